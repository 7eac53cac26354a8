//! Registries of container images, as far as this project needs them.
//!
//! Terms. A *registry* keeps *repositories*; a repository has *manifests* and *blobs*, each named by the *digest* of its
//! bytes. A *tag* is a name for a manifest, which may change. A *reference* names a repository and, in it, a tag, a digest
//! or both. A *pull secret* is a Secret with credentials for registries; a *login* is one of them.
//!
//! - [`Reference`] parses references as the kubelet does, [`Digest`] is a digest and verifies bytes.
//! - [`Keyring`] chooses the logins for a repository among those of pull secrets, as the kubelet does.
//! - [`Client`] reads manifests, blobs and referrers, with bounds on time, bytes, redirects and hosts ([`Reach`]).
//! - [`Document`] is a manifest or an index.
//! - [`Finder`] finds the profile that an image carries, at all places where one may be ([`Place`]), attaches one to an
//!   image ([`Artifact`]), copies an image with it ([`Copied`]), and reads a whole image ([`Pull`]).
//! - [`Keys`] verify signatures that cosign makes of manifests, and a [`Prefix`] says of which repositories.
//! - [`Cache`] keeps answers for a while, by login.
//!
//! Everything but the client and the finder is pure. The crate does not know Kubernetes.

#![forbid(unsafe_code)]

mod attach;
mod cache;
mod client;
mod copy;
mod created;
mod digest;
pub mod document;
mod error;
mod find;
mod keyring;
mod login;
mod protocol;
mod pull;
mod reference;
mod signature;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use attach::{Artifact, AttachError, Attached, Attachment, NotLatest, Planned, Times};
pub use cache::{Bounds, Cache, Keep, Shared};
pub use client::{Client, ClientError, Fetched, Limits, Referrers, Which};
pub use copy::{Copied, CopyError};
pub use created::Created;
pub use digest::{Algorithm, Digest, DigestError, Parts};
pub use document::{Document, DocumentError};
pub use error::{RegistryError, Said};
pub use find::{
    Architecture, Carried, Depth, FindError, Finder, ForPlatform, Found, LARGEST_PROFILE, Logins, NoPlatform,
    Place, Refusal, Sizes, Unsigned, Unusable, choose, platforms,
};
pub use keyring::{Keyring, KeyringError, Matched, PullSecret, SecretProblem};
pub use login::{Fingerprint, Login};
pub use protocol::{Reach, Unreachable};
pub use pull::{Pull, PullError};
pub use reference::{Prefix, PrefixError, Reference, ReferenceError, Repository, Tag};
pub use signature::{Fault, KeyError, Keys, OtherKey};
