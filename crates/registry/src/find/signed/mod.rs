//! Whether a manifest is signed.

use super::artifact;
use super::finder::{Finder, Logins};
use super::manifests::OfPlatform;
use crate::client::{Fetched, Which};
use crate::document::{Descriptor, Document, LARGEST_ARTIFACT, PREDICATE as ABOUT, media};
use crate::signature::{Fault, LARGEST_BUNDLE, PREDICATE};
use crate::{Digest, Login, RegistryError, Repository};

/// The most signatures of a manifest that are looked at, without those that were made with a certificate.
const MOST_SIGNATURES: usize = 8;
/// The most artifacts that may be signatures of a manifest and are read.
const MOST_READ: usize = 32;

/// Why something counts as not signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsigned {
    /// There is no bundle.
    #[error("{0} has no signature by cosign in the form of a bundle")]
    Bare(Digest),
    /// No bundle is a signature by one of the keys.
    #[error(
        "of {number} signatures of {manifest}, {looked_at} were looked at, and none is valid; the first: {fault}"
    )]
    Invalid {
        /// Of what.
        manifest: Digest,
        /// How many there are.
        number: usize,
        /// How many of them were looked at.
        looked_at: usize,
        /// What is wrong with the first one.
        fault: Fault,
    },
    /// The registry gave no usable answer.
    #[error("the signatures of {manifest} cannot be read: {error}")]
    Registry {
        /// Of what.
        manifest: Digest,
        /// Why.
        error: RegistryError,
    },
}

impl Unsigned {
    /// The reason, as one word of a bounded set.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Bare(_) => Self::REASONS[0],
            Self::Invalid { .. } => Self::REASONS[1],
            Self::Registry { error, .. } => error.reason(),
        }
    }

    /// The reasons that a registry has answered, and that no signature is valid: somebody may add one at any time.
    pub const REASONS: [&str; 2] = ["Unsigned", "SignatureInvalid"];

    /// Whether the registry's answer was larger than what was to be read.
    #[must_use]
    pub const fn is_too_large(&self) -> bool {
        matches!(self, Self::Registry { error, .. } if error.is_too_large())
    }

    /// Whether the registry may answer later although nobody changes anything.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Registry { error, .. } if error.is_passing())
    }
}

impl<L: Logins> Finder<'_, L> {
    /// Whether what is in an image is signed: cosign signs the digest that it is told, which is that of the index for an
    /// image for several platforms, and the index names the manifest.
    pub(super) async fn signed_image(&self, of: &OfPlatform) -> Result<(), Unsigned> {
        let own = &of.opened.fetched.digest;
        let mut last = Unsigned::Bare(of.index.as_ref().unwrap_or(own).clone());
        for digest in of.index.iter().chain([own]) {
            match self.signed(&of.opened.repository, &of.opened.login, digest).await {
                Ok(()) => return Ok(()),
                // What the registry has not said, or not been read, may be a valid signature, whatever the other digest has.
                Err(_) if last.is_passing() || last.is_too_large() => {}
                Err(Unsigned::Bare(_)) => {}
                Err(unsigned) => last = unsigned,
            }
        }
        Err(last)
    }

    /// Whether the manifest with this digest is signed, if it has to be.
    pub(super) async fn signed(
        &self,
        repository: &Repository,
        login: &Login,
        manifest: &Digest,
    ) -> Result<(), Unsigned> {
        let Some(keys) = self.keys else { return Ok(()) };
        let failed = |error| Unsigned::Registry { manifest: manifest.clone(), error };
        let referrers = self.client.referrers_within(self.sizes.manifest, repository, manifest, login).await;
        let referrers = referrers.map_err(failed)?;
        let mut candidates = referrers.descriptors;
        candidates.retain(may_be_bundle);
        candidates.sort_by_key(|it| (rank(it), it.digest.clone()));
        candidates.dedup_by(|one, two| one.digest == two.digest);
        let (mut number, mut looked_at, mut with_certificate, mut first) = (candidates.len(), 0, 0, None);
        candidates.truncate(MOST_READ);
        for candidate in candidates {
            if looked_at - with_certificate == MOST_SIGNATURES {
                break;
            }
            let bundle = self.bundle(repository, login, manifest, &candidate).await.map_err(failed)?;
            let Some(bundle) = bundle else {
                number -= 1;
                continue;
            };
            looked_at += 1;
            match bundle.and_then(|bundle| keys.signed(&bundle, manifest)) {
                Ok(()) => return Ok(()),
                Err(fault) => {
                    // Who signs without a key, too, leaves the places to the signatures with one.
                    with_certificate += usize::from(fault == Fault::Certificate);
                    first.get_or_insert(fault);
                }
            }
        }
        let manifest = manifest.clone();
        Err(match first {
            Some(fault) => Unsigned::Invalid { manifest, number, looked_at, fault },
            None => Unsigned::Bare(manifest),
        })
    }

    /// The bundle of an artifact; `None` if it is another artifact, or refers to something else.
    async fn bundle(
        &self,
        repository: &Repository,
        login: &Login,
        signed: &Digest,
        candidate: &Descriptor,
    ) -> Result<Option<Result<bytes::Bytes, Fault>>, RegistryError> {
        if candidate.size > LARGEST_ARTIFACT {
            return Ok(Some(Err(Fault::ManifestTooLarge)));
        }
        let which = Which::Digest(candidate.digest.clone());
        let read = self.client.manifest_within(LARGEST_ARTIFACT, repository, &which, login).await;
        let Fetched { document, .. } = match read {
            // The list is older than the deletion.
            Err(RegistryError::NotFound(_)) => return Ok(None),
            // The list states another size.
            Err(RegistryError::TooLarge { .. }) => return Ok(Some(Err(Fault::ManifestTooLarge))),
            // It stays as it is, and another one may be valid.
            Err(error) if !error.is_passing() => return Ok(Some(Err(Fault::Artifact))),
            fetched => fetched?,
        };
        let Document::Image(manifest) = document else { return Ok(None) };
        let is_of_this = manifest.artifact_type.as_deref() == Some(media::BUNDLE)
            && manifest.subject.as_ref().is_some_and(|subject| subject.digest == *signed);
        if !is_of_this {
            return Ok(None);
        }
        let [layer] = &manifest.layers[..] else { return Ok(Some(Err(Fault::Artifact))) };
        if layer.media_type != media::BUNDLE {
            return Ok(Some(Err(Fault::Artifact)));
        }
        if layer.size > LARGEST_BUNDLE {
            return Ok(Some(Err(Fault::TooLarge)));
        }
        match self.client.blob(repository, layer, LARGEST_BUNDLE, login).await {
            Ok(bytes) => Ok(Some(Ok(bytes))),
            Err(error) if error.is_passing() => Err(error),
            Err(_) => Ok(Some(Err(Fault::Artifact))),
        }
    }
}

/// Whether a descriptor among the referrers may be a bundle. As with profiles, some registries state another type.
fn may_be_bundle(descriptor: &Descriptor) -> bool {
    artifact::may_be(descriptor, media::BUNDLE)
}

/// What is looked at first: what says that it is a signature, then what says nothing, then other attestations. Whoever can
/// push can write that, so it decides nothing else.
fn rank(descriptor: &Descriptor) -> u8 {
    let is_typed = descriptor.artifact_type.as_deref() == Some(media::BUNDLE);
    match descriptor.annotations.as_ref().and_then(|it| it.get(ABOUT)) {
        Some(PREDICATE) => 0,
        None if is_typed => 1,
        None => 2,
        Some(_) => 3,
    }
}

#[cfg(test)]
mod tests;
