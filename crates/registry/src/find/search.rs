//! Looks at the places of an image, one after the other.

use super::artifact::{self, Candidate, MOST_CANDIDATES};
use super::{
    ANNOTATION, ForPlatform, Found, LABEL, LARGEST_PROFILE, Place, Unusable, choose, inline, platforms,
    reference,
};
use crate::client::{Client, Fetched, Which};
use crate::document::{Descriptor, Document, ImageConfig, Manifest, media};
use crate::find::platform::Architecture;
use crate::{Digest, Keyring, Keys, Login, NoPlatform, Reference, RegistryError, Repository};

/// The largest configuration of an image.
pub(crate) const LARGEST_CONFIG: u64 = 2 * 1024 * 1024;

/// Whose logins are used.
pub trait Logins {
    /// Those for a repository, in the order in which they are tried until one succeeds; none stands for
    /// [`Login::Anonymous`].
    fn for_repository(&self, repository: &Repository) -> Vec<Login>;
}

impl Logins for Keyring {
    fn for_repository(&self, repository: &Repository) -> Vec<Login> {
        self.find(repository).into_iter().map(|it| it.login.clone()).collect()
    }
}

/// How far a search goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// To the place that counts.
    First,
    /// To all places.
    All,
}

/// Looks at images in registries.
pub struct Finder<'a, L> {
    /// The client.
    pub client: &'a Client,
    /// The logins.
    pub logins: &'a L,
    /// How far it goes.
    pub depth: Depth,
    /// By which keys a profile must be signed, if it must.
    pub keys: Option<&'a Keys>,
}

/// A manifest as a registry has it, and the login that has opened it.
#[derive(Debug, Clone)]
pub(crate) struct Opened {
    pub(crate) repository: Repository,
    pub(crate) login: Login,
    pub(crate) fetched: Fetched,
}

/// The manifests of an image.
pub(crate) struct Manifests {
    /// The digest of the reference.
    pub(crate) digest: Digest,
    /// By platform.
    pub(crate) platforms: Vec<OfPlatform>,
}

/// The manifest of one platform.
pub(crate) struct OfPlatform {
    /// The architecture that an index states for it.
    pub(crate) architecture: Option<Architecture>,
    /// The digest of that index.
    pub(crate) index: Option<Digest>,
    pub(crate) opened: Opened,
    pub(crate) manifest: Box<Manifest>,
}

/// Why nothing can be said of an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    /// The registry gave no usable answer.
    #[error("{0}")]
    Registry(#[from] RegistryError),
    /// There is no manifest for any of the architectures.
    #[error("{0}")]
    Platform(#[from] NoPlatform),
    /// An index names another one as a platform.
    #[error("the index names another index as the manifest of a platform")]
    Nested,
}

impl FindError {
    /// The reason, as one word of a bounded set.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Registry(error) => error.reason(),
            Self::Platform(_) => "NoPlatform",
            Self::Nested => "IndexNested",
        }
    }
}

/// An image with what it carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// The digest of the reference: what a pod is pinned to.
    pub digest: Digest,
    /// By platform.
    pub platforms: Vec<ForPlatform>,
}

impl<L: Logins> Finder<'_, L> {
    /// What an image carries for Linux on these architectures, or on all that it is for.
    ///
    /// # Errors
    /// The image itself cannot be read. A place that cannot be read is a part of the answer.
    pub async fn find(
        &self,
        image: &Reference,
        architectures: &[Architecture],
        container: Option<&str>,
    ) -> Result<Carried, FindError> {
        let Manifests { digest, platforms } = self.manifests(image, architectures).await?;
        let mut found = Vec::new();
        for platform in platforms {
            found.push(self.platform(platform, container).await);
        }
        Ok(Carried { digest, platforms: found })
    }

    /// The manifests of an image for Linux on these architectures, or on all that it is for.
    pub(crate) async fn manifests(
        &self,
        image: &Reference,
        architectures: &[Architecture],
    ) -> Result<Manifests, FindError> {
        let opened = self.open(image).await?;
        let digest = opened.fetched.digest.clone();
        let index = match opened.fetched.document.clone() {
            Document::Index(index) => index,
            Document::Image(manifest) => {
                return Ok(Manifests {
                    digest,
                    platforms: vec![OfPlatform { architecture: None, index: None, opened, manifest }],
                });
            }
        };
        let mut found = Vec::new();
        for descriptor in platforms(&index, architectures)? {
            let index = Some(digest.clone());
            let (opened, manifest) = self.entry(&opened, descriptor).await?;
            let architecture = descriptor.platform.as_ref().map(|it| it.architecture.clone());
            found.push(OfPlatform { architecture, index, opened, manifest });
        }
        Ok(Manifests { digest, platforms: found })
    }

    /// The manifest that an index names, with the login that has opened the index.
    pub(crate) async fn entry(
        &self,
        index: &Opened,
        descriptor: &Descriptor,
    ) -> Result<(Opened, Box<Manifest>), FindError> {
        let Opened { repository, login, .. } = index;
        let which = Which::Digest(descriptor.digest.clone());
        let fetched = self.client.manifest(repository, &which, login).await?;
        let Document::Image(manifest) = fetched.document.clone() else {
            return Err(FindError::Nested);
        };
        Ok((Opened { repository: repository.clone(), login: login.clone(), fetched }, manifest))
    }

    /// The logins to try for a repository, one after the other.
    pub(crate) fn logins_for(&self, repository: &Repository) -> Vec<Login> {
        let logins = self.logins.for_repository(repository);
        if logins.is_empty() { vec![Login::Anonymous] } else { logins }
    }

    /// Gets a manifest with the first login that opens it.
    pub(crate) async fn open(&self, image: &Reference) -> Result<Opened, RegistryError> {
        let which = match (image.digest(), image.tag()) {
            (Some(digest), _) => Which::Digest(digest.clone()),
            (None, Some(tag)) => Which::Tag(tag),
            (None, None) => return Err(RegistryError::NotFound(crate::error::Said::default())),
        };
        let repository = image.repository();
        let mut last = RegistryError::Unauthorized;
        for login in self.logins_for(repository) {
            match self.client.manifest(repository, &which, &login).await {
                Ok(fetched) => return Ok(Opened { repository: repository.clone(), login, fetched }),
                Err(error) if error.is_about_login() => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    async fn platform(&self, of: OfPlatform, container: Option<&str>) -> ForPlatform {
        let OfPlatform { architecture, opened, manifest, .. } = &of;
        let is_enough = |found: &[Found]| self.depth == Depth::First && !found.is_empty();
        let mut found: Vec<Found> = self.referrer(opened).await.into_iter().collect();
        if let (false, Some((key, value))) = (is_enough(&found), reference(manifest, container)) {
            found.push(self.referenced(key, value, &of).await);
        }
        let needs_config = !is_enough(&found) || architecture.is_none();
        let config = if needs_config { self.config(&of).await } else { None };
        let mut stated = String::new();
        match config {
            Some(Ok(config)) => {
                if let (false, Some(text)) = (is_enough(&found), config.labels.get(LABEL)) {
                    found.push(self.inline(Place::Label, text, &of).await);
                }
                stated = config.architecture;
            }
            // Without it nobody knows whether there is a label.
            Some(Err(error)) if !is_enough(&found) => {
                found.push(Found { place: Place::Label, artifact: None, contents: Err(error.into()) });
            }
            _ => {}
        }
        if let (false, Some(text)) = (is_enough(&found), manifest.annotations.get(ANNOTATION)) {
            found.push(self.inline(Place::Annotation, text, &of).await);
        }
        let architecture = architecture.clone().unwrap_or(stated);
        ForPlatform { architecture, manifest: opened.fetched.digest.clone(), found }
    }

    /// The configuration of an image; `None` if the manifest is not that of an image.
    pub(crate) async fn config(&self, of: &OfPlatform) -> Option<Result<ImageConfig, RegistryError>> {
        let Opened { repository, login, .. } = &of.opened;
        let descriptor = &of.manifest.config;
        if !matches!(&*descriptor.media_type, media::IMAGE_CONFIG | media::DOCKER_CONFIG) {
            return None;
        }
        let bytes = self.client.blob(repository, descriptor, LARGEST_CONFIG, login).await;
        Some(bytes.and_then(|bytes| Ok(ImageConfig::read(&bytes)?)))
    }

    /// The artifact that refers to a manifest.
    async fn referrer(&self, opened: &Opened) -> Option<Found> {
        let found = |artifact: Option<String>, contents| Found { place: Place::Referrer, artifact, contents };
        let candidates = match self.candidates(opened).await {
            Ok(candidates) => candidates,
            Err(error) => return Some(found(None, Err(error))),
        };
        let manifests: Vec<_> = candidates.iter().map(|it| (it.digest.clone(), &*it.manifest)).collect();
        let chosen = match choose(&manifests) {
            Ok(chosen) => chosen?,
            Err(refusal) => return Some(found(None, Err(refusal.into()))),
        };
        let candidate = candidates.iter().find(|it| it.digest == chosen)?;
        let name = format!("{}@{chosen}", opened.repository);
        let Opened { repository, login, .. } = opened;
        // A signature of the image would not do: the image does not name what refers to it.
        let contents = match self.signed(repository, login, &chosen).await {
            Ok(()) => self.contents(repository, login, &candidate.manifest, &candidate.bytes).await,
            Err(unsigned) => Err(unsigned.into()),
        };
        Some(found(Some(name), contents))
    }

    /// The artifacts of a profile that refer to a manifest.
    pub(crate) async fn candidates(&self, opened: &Opened) -> Result<Vec<Candidate>, Unusable> {
        let descriptors = self.listed(opened).await?;
        self.profiles_among(opened, descriptors).await
    }

    /// The descriptors of artifacts that refer to a manifest and may be profiles.
    pub(crate) async fn listed(&self, opened: &Opened) -> Result<Vec<Descriptor>, Unusable> {
        let Opened { repository, login, fetched } = opened;
        let referrers = self.client.referrers(repository, &fetched.digest, login).await?;
        let mut descriptors = referrers.descriptors;
        descriptors.retain(artifact::may_be_profile);
        descriptors.sort_by(|one, two| one.digest.cmp(&two.digest));
        descriptors.dedup_by(|one, two| one.digest == two.digest);
        match descriptors.len() > MOST_CANDIDATES {
            true => Err(artifact::Refusal::TooMany(descriptors.len()).into()),
            false => Ok(descriptors),
        }
    }

    /// The artifacts of a profile among those that refer to a manifest.
    pub(crate) async fn profiles_among(
        &self,
        opened: &Opened,
        descriptors: Vec<Descriptor>,
    ) -> Result<Vec<Candidate>, Unusable> {
        let Opened { repository, login, fetched } = opened;
        let mut found = Vec::new();
        for descriptor in descriptors {
            let which = Which::Digest(descriptor.digest);
            let Fetched { digest, document, bytes, .. } =
                match self.client.manifest(repository, &which, login).await {
                    // The list is older than the deletion.
                    Err(RegistryError::NotFound(_)) => continue,
                    fetched => fetched?,
                };
            let Document::Image(manifest) = document else { continue };
            let is_of_this = artifact::is_profile(&manifest)
                && manifest.subject.as_ref().is_some_and(|subject| subject.digest == fetched.digest);
            if is_of_this {
                found.push(Candidate { digest, manifest, bytes });
            }
        }
        Ok(found)
    }

    /// The artifact that an annotation names.
    async fn referenced(&self, key: String, value: &str, of: &OfPlatform) -> Found {
        let mut name: String = value.chars().take(300).collect();
        let contents = async {
            let artifact = Reference::parse(value)?;
            self.signed_image(of).await?;
            let Opened { repository, login, fetched } = self.open(&artifact).await?;
            // From here on it is known which one it is, also if the annotation has a tag.
            name = artifact.pinned(fetched.digest.clone()).to_string();
            // A digest is determined by the image's own.
            if artifact.digest().is_none() {
                self.signed(&repository, &login, &fetched.digest).await?;
            }
            let manifest = artifact::manifest(&fetched.document)?;
            self.contents(&repository, &login, manifest, &fetched.bytes).await
        }
        .await;
        Found { place: Place::Reference { key }, artifact: Some(name), contents }
    }

    /// Text that is in the image itself.
    async fn inline(&self, place: Place, text: &str, of: &OfPlatform) -> Found {
        let mut found = inline(place, text);
        if found.contents.is_ok()
            && let Err(unsigned) = self.signed_image(of).await
        {
            found.contents = Err(unsigned.into());
        }
        found
    }

    async fn contents(
        &self,
        repository: &Repository,
        login: &Login,
        manifest: &Manifest,
        bytes: &[u8],
    ) -> Result<String, Unusable> {
        let layer = artifact::layer(manifest, bytes)?;
        let bytes = self.client.blob(repository, &layer, LARGEST_PROFILE, login).await?;
        Ok(artifact::text(&bytes)?)
    }
}
