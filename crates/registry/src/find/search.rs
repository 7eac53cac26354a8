//! Looks at the places of an image, one after the other.
//!
//! What a search holds at once is bounded: one platform is looked at after the other, of the artifacts that refer to it only
//! what decides between them is kept, their manifests are small, and the texts that are found are bounded together.

use bytes::Bytes;

use super::artifact::{self, Candidate, MOST_CANDIDATES, Outline, Refusal};
use super::finder::{Depth, FindError, Finder, Logins};
use super::manifests::{OfPlatform, Opened};
use super::{ANNOTATION, ForPlatform, Found, LABEL, Place, Unusable, inline, reference};
use crate::client::{Fetched, Which};
use crate::document::{Descriptor, Document, ImageConfig, LARGEST_ARTIFACT};
use crate::find::platform::Architecture;
use crate::{Digest, Login, Reference, RegistryError, Repository};

/// An image with what it carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// The digest of the reference: what a pod is pinned to.
    pub digest: Digest,
    /// By platform.
    pub platforms: Vec<ForPlatform>,
}

impl Carried {
    /// Whether something that decides was larger than the search was to read.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        let mut winners = self.platforms.iter().filter_map(ForPlatform::winner);
        winners.any(|it| it.contents.as_ref().is_err_and(Unusable::is_too_large))
    }
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
        let mut platforms = self.platforms(image, architectures).await?;
        let (mut found, mut left) = (Vec::new(), self.sizes.profiles);
        while let Some(of) = self.next(&mut platforms).await? {
            let mut platform = self.platform(of, container).await;
            if let Some(Found { contents, .. }) = platform.found.first_mut() {
                let length = contents.as_ref().map_or(0, String::len);
                match left.checked_sub(length) {
                    Some(rest) => left = rest,
                    None => *contents = Err(Unusable::TooLargeTogether),
                }
            }
            found.push(platform);
        }
        Ok(Carried { digest: platforms.digest, platforms: found })
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
            Some(Err(error)) => {
                // Without it nobody knows for which architecture a profile is that was found,
                if let (None, Some(contents @ Ok(_))) =
                    (architecture, found.first_mut().map(|it| &mut it.contents))
                {
                    *contents = Err(error.clone().into());
                }
                // nor whether there is a label.
                if !is_enough(&found) {
                    found.push(Found { place: Place::Label, artifact: None, contents: Err(error.into()) });
                }
            }
            None => {}
        }
        if let (false, Some(text)) = (is_enough(&found), manifest.annotations.get(ANNOTATION)) {
            found.push(self.inline(Place::Annotation, text, &of).await);
        }
        let architecture = architecture.clone().unwrap_or(stated);
        ForPlatform { architecture, manifest: opened.fetched.digest.clone(), found }
    }

    /// The configuration of an image; `None` if the manifest is not that of an image.
    pub(crate) async fn config(&self, of: &OfPlatform) -> Option<Result<ImageConfig, RegistryError>> {
        if !of.manifest.is_of_image() {
            return None;
        }
        let bytes = self.config_bytes(of).await;
        Some(bytes.and_then(|bytes| Ok(ImageConfig::read(&bytes)?)))
    }

    /// The configuration that a manifest names, as it is.
    pub(crate) async fn config_bytes(&self, of: &OfPlatform) -> Result<Bytes, RegistryError> {
        let Opened { repository, login, .. } = &of.opened;
        self.client.blob(repository, &of.manifest.config, self.sizes.config, login).await
    }

    /// The artifact that refers to a manifest.
    async fn referrer(&self, opened: &Opened) -> Option<Found> {
        let found = |artifact: Option<String>, contents| Found { place: Place::Referrer, artifact, contents };
        let (chosen, layer) = match self.chosen(opened).await {
            Ok(chosen) => chosen?,
            Err(error) => return Some(found(None, Err(error))),
        };
        let name = format!("{}@{chosen}", opened.repository);
        let Opened { repository, login, .. } = opened;
        // A signature of the image would not do: the image does not name what refers to it.
        let contents = match (self.signed(repository, login, &chosen).await, layer) {
            (Ok(()), Ok(layer)) => self.contents(repository, login, &layer).await,
            (Ok(()), Err(refusal)) => Err(refusal.into()),
            (Err(unsigned), _) => Err(unsigned.into()),
        };
        Some(found(Some(name), contents))
    }

    /// The artifact that counts of those that refer to a manifest, and its layer.
    async fn chosen(
        &self,
        opened: &Opened,
    ) -> Result<Option<(Digest, Result<Descriptor, Refusal>)>, Unusable> {
        let (mut outlines, mut layers) = (Vec::new(), Vec::new());
        for descriptor in self.listed(opened).await? {
            if let Some(Candidate { digest, manifest, bytes }) = self.candidate(opened, descriptor).await? {
                outlines.push(Outline::of(&digest, &manifest));
                layers.push(artifact::layer(&manifest, &bytes));
            }
        }
        let chosen = artifact::choose_among(&outlines)?;
        let mut all = outlines.into_iter().map(|it| it.digest).zip(layers);
        Ok(all.find(|(digest, _)| chosen.as_ref() == Some(digest)))
    }

    /// The artifacts of a profile that refer to a manifest.
    pub(crate) async fn candidates(&self, opened: &Opened) -> Result<Vec<Candidate>, Unusable> {
        let descriptors = self.listed(opened).await?;
        self.profiles_among(opened, descriptors).await
    }

    /// The descriptors of artifacts that refer to a manifest and may be profiles.
    pub(crate) async fn listed(&self, opened: &Opened) -> Result<Vec<Descriptor>, Unusable> {
        let Opened { repository, login, fetched } = opened;
        let referrers =
            self.client.referrers_within(self.sizes.manifest, repository, &fetched.digest, login).await?;
        let mut descriptors = referrers.descriptors;
        descriptors.retain(artifact::may_be_profile);
        descriptors.sort_by(|one, two| one.digest.cmp(&two.digest));
        descriptors.dedup_by(|one, two| one.digest == two.digest);
        if descriptors.len() > MOST_CANDIDATES {
            return Err(Refusal::TooMany(descriptors.len()).into());
        }
        if descriptors.iter().any(|it| it.size > LARGEST_ARTIFACT) {
            return Err(Refusal::ManifestTooLarge.into());
        }
        Ok(descriptors)
    }

    /// The artifacts of a profile among those that refer to a manifest.
    pub(crate) async fn profiles_among(
        &self,
        opened: &Opened,
        descriptors: Vec<Descriptor>,
    ) -> Result<Vec<Candidate>, Unusable> {
        let mut found = Vec::new();
        for descriptor in descriptors {
            found.extend(self.candidate(opened, descriptor).await?);
        }
        Ok(found)
    }

    /// An artifact that refers to a manifest, if it has a profile.
    async fn candidate(
        &self,
        opened: &Opened,
        descriptor: Descriptor,
    ) -> Result<Option<Candidate>, Unusable> {
        let Opened { repository, login, fetched } = opened;
        let which = Which::Digest(descriptor.digest);
        let read = self.client.manifest_within(LARGEST_ARTIFACT, repository, &which, login).await;
        let Fetched { digest, document, bytes, .. } = match read {
            // The list is older than the deletion.
            Err(RegistryError::NotFound(_)) => return Ok(None),
            // The list states another size.
            Err(RegistryError::TooLarge { .. }) => return Err(Refusal::ManifestTooLarge.into()),
            fetched => fetched?,
        };
        let Document::Image(manifest) = document else { return Ok(None) };
        let is_of_this = artifact::is_profile(&manifest)
            && manifest.subject.as_ref().is_some_and(|subject| subject.digest == fetched.digest);
        Ok(is_of_this.then_some(Candidate { digest, manifest, bytes }))
    }

    /// The artifact that an annotation names.
    async fn referenced(&self, key: String, value: &str, of: &OfPlatform) -> Found {
        let mut name: String = value.chars().take(300).collect();
        let contents = async {
            let artifact = Reference::parse(value)?;
            self.signed_image(of).await?;
            let opened = match self.open_within(LARGEST_ARTIFACT, &artifact).await {
                Err(RegistryError::TooLarge { .. }) => return Err(Refusal::ManifestTooLarge.into()),
                opened => opened?,
            };
            let Opened { repository, login, fetched } = opened;
            // From here on it is known which one it is, also if the annotation has a tag.
            name = artifact.pinned(fetched.digest.clone()).to_string();
            // A digest is determined by the image's own.
            if artifact.digest().is_none() {
                self.signed(&repository, &login, &fetched.digest).await?;
            }
            let manifest = artifact::manifest(&fetched.document)?;
            self.contents(&repository, &login, &artifact::layer(manifest, &fetched.bytes)?).await
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
        layer: &Descriptor,
    ) -> Result<String, Unusable> {
        let bytes = self.client.blob(repository, layer, self.sizes.profile, login).await?;
        Ok(artifact::text(&bytes)?)
    }
}
