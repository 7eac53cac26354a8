//! Who looks at images: with which client, which logins and how far.

use super::{LARGEST_PROFILE, LARGEST_PROFILES};
use crate::client::Client;
use crate::document::LARGEST_MANIFEST;
use crate::{Keyring, Keys, Login, NoPlatform, RegistryError, Repository};

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

/// How large the documents may be that a search reads. What it holds at once is some times as much, see `search`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// A manifest, an index or a list of what refers to a manifest, in bytes.
    pub manifest: u64,
    /// The configuration of an image.
    pub config: u64,
    /// A profile in an artifact.
    pub profile: u64,
    /// The profiles of all platforms together.
    pub profiles: usize,
}

impl Sizes {
    /// What is looked at at all: manifests as large as the registries of the distribution project accept them.
    pub const LARGEST: Self = Self {
        manifest: LARGEST_MANIFEST,
        config: 2 * 1024 * 1024,
        profile: LARGEST_PROFILE,
        profiles: LARGEST_PROFILES,
    };
    /// What most images have: room for some five hundred layers with their history, and some times as much as the default
    /// of runtimes has.
    pub const ORDINARY: Self =
        Self { manifest: 128 * 1024, config: 256 * 1024, profile: 128 * 1024, profiles: 128 * 1024 };
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
    /// How large documents may be.
    pub sizes: Sizes,
}

impl<'a, L> Finder<'a, L> {
    /// One that goes to the place that counts, wants no signatures, and reads the largest documents.
    pub const fn new(client: &'a Client, logins: &'a L) -> Self {
        Self { client, logins, depth: Depth::First, keys: None, sizes: Sizes::LARGEST }
    }
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
    /// Whether something was larger than the search was to read.
    #[must_use]
    pub const fn is_too_large(&self) -> bool {
        matches!(self, Self::Registry(error) if error.is_too_large())
    }

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
