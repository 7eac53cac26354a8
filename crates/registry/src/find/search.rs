//! Looks at the places of an image, one after the other.

use super::artifact::{self, Candidate};
use super::{
    ANNOTATION, ForPlatform, Found, LABEL, LARGEST_PROFILE, Place, Unusable, choose, inline, platforms,
    reference,
};
use crate::client::{Client, Fetched, Which};
use crate::document::{Document, ImageConfig, Manifest, media};
use crate::find::platform::Architecture;
use crate::{Keyring, Login, NoPlatform, Reference, RegistryError, Repository};

/// The largest configuration of an image.
const LARGEST_CONFIG: u64 = 2 * 1024 * 1024;
/// The most referrers whose manifests are read.
const MOST_CANDIDATES: usize = 16;

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
}

/// An image as a registry has it.
#[derive(Debug, Clone)]
struct Opened {
    repository: Repository,
    login: Login,
    fetched: Fetched,
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
    pub digest: crate::Digest,
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
        let opened = self.open(image).await?;
        let digest = opened.fetched.digest.clone();
        let mut found = Vec::new();
        match &opened.fetched.document {
            Document::Image(manifest) => found.push(self.platform(&opened, manifest, container, None).await?),
            Document::Index(index) => {
                for descriptor in platforms(index, architectures)? {
                    let Opened { repository, login, .. } = &opened;
                    let which = Which::Digest(descriptor.digest.clone());
                    let fetched = self.client.manifest(repository, &which, login).await?;
                    let Document::Image(manifest) = fetched.document.clone() else {
                        return Err(FindError::Nested);
                    };
                    let architecture = descriptor.platform.as_ref().map(|it| it.architecture.clone());
                    let of = Opened { repository: repository.clone(), login: login.clone(), fetched };
                    found.push(self.platform(&of, &manifest, container, architecture).await?);
                }
            }
        }
        Ok(Carried { digest, platforms: found })
    }

    /// Gets a manifest with the first login that opens it.
    async fn open(&self, image: &Reference) -> Result<Opened, RegistryError> {
        let which = match (image.digest(), image.tag()) {
            (Some(digest), _) => Which::Digest(digest.clone()),
            (None, Some(tag)) => Which::Tag(tag),
            (None, None) => return Err(RegistryError::NotFound(crate::error::Said::default())),
        };
        let repository = image.repository();
        let mut logins = self.logins.for_repository(repository);
        if logins.is_empty() {
            logins.push(Login::Anonymous);
        }
        let mut last = RegistryError::Unauthorized;
        for login in logins {
            match self.client.manifest(repository, &which, &login).await {
                Ok(fetched) => return Ok(Opened { repository: repository.clone(), login, fetched }),
                Err(error) if error.is_about_login() => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    async fn platform(
        &self,
        opened: &Opened,
        manifest: &Manifest,
        container: Option<&str>,
        architecture: Option<Architecture>,
    ) -> Result<ForPlatform, FindError> {
        let Opened { repository, login, fetched } = opened;
        let is_enough = |found: &[Found]| self.depth == Depth::First && !found.is_empty();
        let mut found: Vec<Found> = self.referrer(opened).await.into_iter().collect();
        if let (false, Some((key, value))) = (is_enough(&found), reference(manifest, container)) {
            found.push(self.referenced(key, value).await);
        }
        let needs_config = !is_enough(&found) || architecture.is_none();
        let config = match needs_config && is_config(manifest) {
            true => Some(self.client.blob(repository, &manifest.config, LARGEST_CONFIG, login).await),
            false => None,
        };
        let config = config.map(|bytes| Ok::<_, RegistryError>(ImageConfig::read(&bytes?)?));
        let mut stated = String::new();
        match config {
            Some(Ok(config)) => {
                if let (false, Some(text)) = (is_enough(&found), config.labels.get(LABEL)) {
                    found.push(inline(Place::Label, text));
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
            found.push(inline(Place::Annotation, text));
        }
        let architecture = architecture.unwrap_or(stated);
        Ok(ForPlatform { architecture, manifest: fetched.digest.clone(), found })
    }

    /// The artifact that refers to a manifest.
    async fn referrer(&self, opened: &Opened) -> Option<Found> {
        let found = |artifact: Option<String>, contents| Found { place: Place::Referrer, artifact, contents };
        let candidates = match self.candidates(opened).await {
            Ok(candidates) => candidates,
            Err(error) => return Some(found(None, Err(error))),
        };
        let manifests: Vec<_> = candidates
            .iter()
            .filter_map(|it| match &it.document {
                Document::Image(manifest) => Some((it.digest.clone(), &**manifest)),
                Document::Index(_) => None,
            })
            .collect();
        let chosen = match choose(&manifests) {
            Ok(chosen) => chosen?,
            Err(refusal) => return Some(found(None, Err(refusal.into()))),
        };
        let candidate = candidates.iter().find(|it| it.digest == chosen)?;
        let name = format!("{}@{chosen}", opened.repository);
        let contents =
            self.contents(&opened.repository, &opened.login, &candidate.document, &candidate.bytes).await;
        Some(found(Some(name), contents))
    }

    /// The artifacts of a profile that refer to a manifest.
    async fn candidates(&self, opened: &Opened) -> Result<Vec<Candidate>, Unusable> {
        let Opened { repository, login, fetched } = opened;
        let referrers = self.client.referrers(repository, &fetched.digest, login).await?;
        let mut descriptors = referrers.descriptors;
        descriptors.retain(artifact::may_be_profile);
        descriptors.sort_by(|one, two| one.digest.cmp(&two.digest));
        descriptors.dedup_by(|one, two| one.digest == two.digest);
        if descriptors.len() > MOST_CANDIDATES {
            return Err(artifact::Refusal::Ambiguous(descriptors.len()).into());
        }
        let mut found = Vec::new();
        for descriptor in descriptors {
            let which = Which::Digest(descriptor.digest);
            let Fetched { digest, document, bytes, .. } =
                match self.client.manifest(repository, &which, login).await {
                    // The list is older than the deletion.
                    Err(RegistryError::NotFound(_)) => continue,
                    fetched => fetched?,
                };
            let is_of_this = matches!(&document, Document::Image(manifest)
                if artifact::is_profile(manifest)
                    && manifest.subject.as_ref().is_some_and(|subject| subject.digest == fetched.digest));
            if is_of_this {
                found.push(Candidate { digest, document, bytes });
            }
        }
        Ok(found)
    }

    /// The artifact that an annotation names.
    async fn referenced(&self, key: String, value: &str) -> Found {
        let name = value.chars().take(300).collect();
        let contents = async {
            let image = Reference::parse(value)?;
            let Opened { repository, login, fetched } = self.open(&image).await?;
            self.contents(&repository, &login, &fetched.document, &fetched.bytes).await
        };
        Found { place: Place::Reference { key }, artifact: Some(name), contents: contents.await }
    }

    async fn contents(
        &self,
        repository: &Repository,
        login: &Login,
        document: &Document,
        bytes: &[u8],
    ) -> Result<String, Unusable> {
        let layer = artifact::layer(document, bytes)?;
        let bytes = self.client.blob(repository, &layer, LARGEST_PROFILE, login).await?;
        Ok(artifact::text(&bytes)?)
    }
}

/// Whether the configuration of a manifest is that of an image.
fn is_config(manifest: &Manifest) -> bool {
    matches!(&*manifest.config.media_type, media::IMAGE_CONFIG | media::DOCKER_CONFIG)
}
