//! Registries of container images, as far as this project needs them.
//!
//! Terms. A *registry* keeps *repositories*; a repository has *manifests* and *blobs*, each named by the *digest* of its
//! bytes. A *tag* is a name for a manifest, which may change. A *reference* names a repository and, in it, a tag, a digest
//! or both. A *pull secret* is a Secret with credentials for registries; a *login* is one of them.
//!
//! - [`Reference`] parses references as the kubelet does, [`Digest`] is a digest and verifies bytes.
//! - [`Keyring`] chooses the logins for a repository among those of pull secrets, as the kubelet does.
//!
//! The crate does not know Kubernetes.

#![forbid(unsafe_code)]

mod digest;
mod keyring;
mod login;
mod reference;

pub use digest::{Algorithm, Digest, DigestError};
pub use keyring::{Keyring, KeyringError, Matched, PullSecret, SecretProblem};
pub use login::Login;
pub use reference::{Reference, ReferenceError, Repository, Tag};
