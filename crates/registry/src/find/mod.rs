//! Where an image carries its profile.
//!
//! The places, in the order in which they count; the first one where there is something wins, also if it cannot be used:
//!
//! 1. an artifact that refers to the manifest of the platform ([`Place::Referrer`]),
//! 2. CRI-O's annotations of the manifest, which name an artifact ([`Place::Reference`]),
//! 3. Podman's label, which holds the profile ([`Place::Label`]),
//! 4. the annotation of the manifest that this project's predecessor read, which holds the profile ([`Place::Annotation`]).
//!
//! What is found is text: whether it is a profile is for others to decide.
//!
//! A [`Finder`] with keys finds nothing that may be used unless it is signed: a profile in the image by a signature of the
//! image, one in an artifact that refers to the image by a signature of the artifact, and one in an artifact that the image
//! names by a signature of the image, and also of the artifact if it is named by a tag.

mod artifact;
#[cfg(test)]
mod bounds;
mod finder;
mod manifests;
mod platform;
#[cfg(test)]
mod scene;
mod search;
mod signed;

use std::fmt;

use crate::document::Manifest;
use crate::{Digest, RegistryError};

pub use artifact::{Refusal, choose};
pub use finder::{Depth, FindError, Finder, Logins, Sizes};
pub use platform::{Architecture, NoPlatform, platforms};
pub use search::Carried;
pub use signed::Unsigned;

pub(crate) use artifact::{Candidate, MOST_CANDIDATES, layer};
pub(crate) use manifests::{Manifests, OfIndex, OfPlatform, Opened};

/// CRI-O's annotations, in its order; before `/CONTAINER` and `/POD` counts the annotation itself (`TryPull` in
/// `seccompociartifact.go` of CRI-O).
const REFERENCES: [&str; 2] = ["seccomp-profile.crio.io", "seccomp-profile.kubernetes.cri-o.io"];
/// Podman's label (`ContainerImageSeccompLabel` of `libpod`).
const LABEL: &str = "io.containers.seccomp.profile";
/// The annotation of this project's predecessor.
const ANNOTATION: &str = "seccomp.imjasonh.dev/profile";
/// The largest profile.
pub const LARGEST_PROFILE: u64 = 1024 * 1024;
/// The most bytes of the profiles of all platforms of an image together.
const LARGEST_PROFILES: usize = 2 * 1024 * 1024;

/// A place where an image's profile may be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// An artifact that refers to the manifest.
    Referrer,
    /// An annotation of the manifest with the reference of an artifact.
    Reference {
        /// Its key.
        key: String,
    },
    /// A label of the configuration, with the profile itself.
    Label,
    /// An annotation of the manifest, with the profile itself.
    Annotation,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Referrer => f.write_str("referrer"),
            Self::Reference { key } => write!(f, "annotation {key}"),
            Self::Label => write!(f, "label {LABEL}"),
            Self::Annotation => write!(f, "annotation {ANNOTATION}"),
        }
    }
}

impl Place {
    /// The place, as one word of a bounded set.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Referrer => "Referrer",
            Self::Reference { .. } => "CrioAnnotation",
            Self::Label => "PodmanLabel",
            Self::Annotation => "Annotation",
        }
    }
}

/// What is at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The place.
    pub place: Place,
    /// The artifact, if it is in one: with its digest, if it has been read.
    pub artifact: Option<String>,
    /// The text, or why there is none that may be used.
    pub contents: Result<String, Unusable>,
}

/// Why what is at a place may not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// The registry gave no usable answer.
    #[error("{0}")]
    Registry(#[from] RegistryError),
    /// The artifact is not what it should be.
    #[error("{0}")]
    Artifact(#[from] Refusal),
    /// The annotation is no reference.
    #[error("its value is not a reference: {0}")]
    Reference(#[from] crate::ReferenceError),
    /// The text is too large.
    #[error("the profile is larger than {LARGEST_PROFILE} bytes")]
    TooLarge,
    /// The texts of several platforms are too large together.
    #[error("the profiles of the image's platforms have together more than {LARGEST_PROFILES} bytes")]
    TooLargeTogether,
    /// The pull secrets cannot be read.
    #[error("{0}")]
    Logins(#[from] crate::KeyringError),
    /// It has to be signed, and is not.
    #[error("it is not signed: {0}")]
    Unsigned(#[from] Unsigned),
}

impl Unusable {
    /// The reason, as one word of a bounded set.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Registry(error) => error.reason(),
            Self::Artifact(refusal) => refusal.reason(),
            Self::Reference(error) => error.reason(),
            Self::TooLarge | Self::TooLargeTogether => "ProfileTooLarge",
            Self::Logins(error) => error.problem.reason(),
            Self::Unsigned(unsigned) => unsigned.reason(),
        }
    }

    /// Whether something was larger than the search was to read.
    const fn is_too_large(&self) -> bool {
        match self {
            Self::Registry(error) => error.is_too_large(),
            Self::Unsigned(unsigned) => unsigned.is_too_large(),
            Self::TooLargeTogether => true,
            _ => false,
        }
    }

    /// Whether the same place may be usable later although nobody changes anything.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        match self {
            Self::Registry(error) => error.is_passing(),
            Self::Unsigned(unsigned) => unsigned.is_passing(),
            _ => false,
        }
    }
}

/// What was found of one image for one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForPlatform {
    /// The architecture, as in the nodes' label `kubernetes.io/arch`; empty if the image does not state it.
    pub architecture: String,
    /// The digest of the platform's manifest.
    pub manifest: Digest,
    /// What is at the places, in their order.
    pub found: Vec<Found>,
}

impl ForPlatform {
    /// What counts.
    #[must_use]
    pub fn winner(&self) -> Option<&Found> {
        self.found.first()
    }
}

/// The first of CRI-O's annotations, for a container of this name if it has one, with its key.
fn reference<'a>(manifest: &'a Manifest, container: Option<&str>) -> Option<(String, &'a str)> {
    let keys = REFERENCES.into_iter().flat_map(|key| {
        let container = container.map(|name| format!("{key}/{name}"));
        [Some(key.to_owned()), container, Some(format!("{key}/POD"))].into_iter().flatten()
    });
    keys.filter_map(|key| manifest.annotations.get(&key).map(|value| (key, value)))
        .find(|(_, it)| !it.is_empty())
}

/// Text that is in a document itself.
fn inline(place: Place, text: &str) -> Found {
    let contents = match text.len() as u64 <= LARGEST_PROFILE {
        true => Ok(text.to_owned()),
        false => Err(Unusable::TooLarge),
    };
    Found { place, artifact: None, contents }
}
