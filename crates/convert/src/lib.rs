//! Turns seccomp profiles of other tools into profiles of the OCI runtime specification.
//!
//! Docker, Podman and CRI-O read a *dialect* of that specification: a rule may have *conditions* (`includes`,
//! `excludes`) on the capabilities of the container and on the architecture and the kernel of the node, and `archMap`
//! lists architectures by node. They decide the conditions when they start a container; containerd ignores them. A
//! *target* states for which containers and nodes the conditions are decided here.
//!
//! - [`dialect::convert`] converts a profile of the dialect, or of the specification itself.
//! - [`operator::convert`] converts a profile of the Security Profiles Operator, with its base profiles.
//! - [`Converted`] is the profile with [`Remark`]s: everything that is not in it, and everything that was assumed.
//! - [`ConvertError`] says why no single profile means the same.
//!
//! Nothing is dropped without a remark, and an unknown field is an error. The crate is pure: no Kubernetes, no async, no
//! I/O.

#![forbid(unsafe_code)]

mod at;
mod capability;
pub mod dialect;
mod errno;
mod error;
mod kernel;
mod machine;
pub mod operator;
mod plain;
mod remark;
mod target;
mod wording;

pub use capability::{Capabilities, CapabilityError};
pub use error::{ConvertError, LaterKernel};
pub use kernel::{Kernel, NoKernel};
pub use machine::{Machine, UnknownMachine};
pub use remark::{Remark, Rules, Why};
pub use target::Target;

use profile::Profile;

/// A converted profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Converted {
    /// The profile.
    pub profile: Profile,
    /// What is not in it, and what was assumed.
    pub remarks: Vec<Remark>,
}
