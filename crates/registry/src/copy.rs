//! Copies an image between registries, with the profiles that are attached to it.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::attach::Referrer;
use crate::client::{Place, TransferError};
use crate::document::{Descriptor, Document, Manifest};
use crate::find::{OfIndex, Opened};
use crate::{Digest, FindError, Finder, Logins, Reference, RegistryError, Unusable};

/// What was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// The digest of the image.
    pub digest: Digest,
    /// The manifests of the image, with that of an index.
    pub manifests: usize,
    /// The artifacts with a profile.
    pub profiles: Vec<Digest>,
    /// The blobs that were not there.
    pub blobs: usize,
    /// Their bytes.
    pub bytes: u64,
    /// The blobs that were there.
    pub known: usize,
}

/// Why an image is not copied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CopyError {
    /// The image cannot be read.
    #[error("{0}")]
    From(#[from] FindError),
    /// What is attached to it cannot be read.
    #[error("what is attached to {manifest} cannot be read: {why}")]
    Attached {
        /// The manifest.
        manifest: Digest,
        /// Why.
        why: Unusable,
    },
    /// It cannot be written.
    #[error("cannot write to {repository}: {error}")]
    To {
        /// The repository.
        repository: String,
        /// Why.
        error: RegistryError,
    },
    /// The destination names another digest.
    #[error("the destination names {named}, and the image is {found}")]
    Digest {
        /// The digest that it names.
        named: Digest,
        /// That of the image.
        found: Digest,
    },
}

impl CopyError {
    /// The reason, as one word of a bounded set.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::From(error) => error.reason(),
            Self::Attached { why, .. } => why.reason(),
            Self::To { error, .. } => error.reason(),
            Self::Digest { .. } => "OtherDigest",
        }
    }
}

/// An image, as it is to be copied.
struct Whole {
    /// The manifest or index of the reference.
    root: Opened,
    /// The manifests, each once; an index is not one of them.
    manifests: Vec<(Opened, Arc<Manifest>)>,
    /// The artifacts with a profile, and the manifest of each.
    profiles: Vec<(Referrer, Arc<Manifest>)>,
}

impl Whole {
    /// The blobs, each once, in the order in which they are named.
    fn blobs(&self) -> Vec<Descriptor> {
        let manifests = self.manifests.iter().map(|(_, manifest)| manifest);
        let mut known = BTreeSet::new();
        let mut blobs = Vec::new();
        for manifest in manifests.chain(self.profiles.iter().map(|(_, manifest)| manifest)) {
            for descriptor in std::iter::once(&manifest.config).chain(&manifest.layers) {
                // What is to be had from elsewhere is not in the registry.
                if !descriptor.is_elsewhere.0 && known.insert(&descriptor.digest) {
                    blobs.push(descriptor.clone());
                }
            }
        }
        blobs
    }
}

impl<L: Logins> Finder<'_, L> {
    /// Copies an image from one repository to another: all its platforms, and the artifacts with a profile that refer to
    /// them. The reference is written last, so that it never names what is not there. `progress` is called for each blob
    /// before it is looked for, with its number, the number of all, and its size.
    ///
    /// # Errors
    /// The image cannot be read, or the registry does not take it.
    pub async fn copy(
        &self,
        from: &Reference,
        to: &Reference,
        progress: &mut (dyn FnMut(usize, usize, u64) + Send),
    ) -> Result<Copied, CopyError> {
        let whole = self.whole(from).await?;
        let found = &whole.root.fetched.digest;
        let bytes = &whole.root.fetched.bytes;
        if let Some(named) = to.digest().filter(|named| !named.verifies(bytes)) {
            return Err(CopyError::Digest { named: named.clone(), found: found.clone() });
        }
        let repository = to.repository().to_string();
        let mut last = CopyError::To { repository, error: RegistryError::Unauthorized };
        for login in self.logins_for(to.repository()) {
            let place = Place { repository: to.repository(), login: &login };
            match self.write(&whole, to, place, progress).await {
                Err(CopyError::To { repository, error }) if error.is_about_login() => {
                    last = CopyError::To { repository, error };
                }
                result => return result,
            }
        }
        Err(last)
    }

    /// Reads all manifests.
    async fn whole(&self, from: &Reference) -> Result<Whole, CopyError> {
        let root = self.open(from).await.map_err(FindError::from)?;
        let mut manifests = Vec::new();
        match &root.fetched.document {
            Document::Image(manifest) => manifests.push((root.clone(), manifest.clone())),
            Document::Index(index) => {
                let mut known = BTreeSet::new();
                for descriptor in index.manifests.iter().filter(|it| known.insert(&it.digest)) {
                    manifests.push(self.entry(&OfIndex::of(&root), descriptor).await?);
                }
            }
        }
        let mut profiles = Vec::new();
        for (opened, _) in &manifests {
            let manifest = &opened.fetched.digest;
            let candidates = self.candidates(opened).await;
            let failed = |why| CopyError::Attached { manifest: manifest.clone(), why };
            for candidate in candidates.map_err(failed)? {
                let annotations = candidate.manifest.annotations.all().clone();
                let (subject, media_type) = (manifest.clone(), candidate.manifest.media_type.clone());
                let referrer = Referrer { subject, media_type, manifest: candidate.bytes, annotations };
                profiles.push((referrer, candidate.manifest));
            }
        }
        Ok(Whole { root, manifests, profiles })
    }

    async fn write(
        &self,
        whole: &Whole,
        to: &Reference,
        place: Place<'_>,
        progress: &mut (dyn FnMut(usize, usize, u64) + Send),
    ) -> Result<Copied, CopyError> {
        let failed = |error| CopyError::To { repository: place.repository.to_string(), error };
        let Opened { repository, login, fetched } = &whole.root;
        let from = Place { repository, login };
        let mut copied = Copied {
            digest: fetched.digest.clone(),
            manifests: 0,
            profiles: Vec::new(),
            blobs: 0,
            bytes: 0,
            known: 0,
        };
        let blobs = whole.blobs();
        for (number, descriptor) in blobs.iter().enumerate() {
            progress(number + 1, blobs.len(), descriptor.size);
            match self.client.transfer(from, place, descriptor).await {
                Ok(true) => (copied.blobs, copied.bytes) = (copied.blobs + 1, copied.bytes + descriptor.size),
                Ok(false) => copied.known += 1,
                Err(TransferError::From(error)) => return Err(FindError::from(error).into()),
                Err(TransferError::To(error)) => return Err(failed(error)),
            }
        }
        for (Opened { fetched, .. }, manifest) in &whole.manifests {
            let (name, bytes) = (fetched.digest.to_string(), fetched.bytes.clone());
            self.client.put_manifest(place, &name, &manifest.media_type, bytes).await.map_err(failed)?;
            copied.manifests += 1;
        }
        for (referrer, _) in &whole.profiles {
            self.client.put_referrer(place, referrer).await.map_err(failed)?;
            copied.profiles.push(referrer.digest());
        }
        if let Document::Index(_) = fetched.document {
            copied.manifests += 1;
        }
        let digest = || to.digest().unwrap_or(&fetched.digest).to_string();
        let name = to.tag().map_or_else(digest, |tag| tag.to_string());
        let media_type = fetched.document.media_type();
        self.client.put_manifest(place, &name, media_type, fetched.bytes.clone()).await.map_err(failed)?;
        Ok(copied)
    }
}
