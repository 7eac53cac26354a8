//! Attaches a profile to an image: an artifact that refers to the manifest of a platform.
//!
//! [`Artifact`] is the artifact, `plan.rs` decides whether one is needed and of what time, and
//! [`Finder::attach`](crate::Finder::attach) puts it into the registry by [`Client`](crate::Client)'s `push.rs`.

mod artifact;
mod perform;
mod plan;

pub use artifact::Artifact;
pub use perform::{AttachError, Attached, Attachment, Planned};
pub use plan::{NotLatest, Times};

pub(crate) use artifact::{Referrer, with_entry};
