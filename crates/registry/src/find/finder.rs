//! Who looks at images: with which client, which logins and how far.

use crate::client::Client;
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
