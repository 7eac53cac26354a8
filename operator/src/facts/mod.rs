//! What the index needs to know of an object: plain data, taken from the objects at the edge.
//!
//! The watched types hold only the fields that are read, so that a cluster's ten thousand pods are decoded and
//! dropped one page at a time instead of being kept.

mod node;
mod pod;
mod profile;
mod report;
mod start;

pub use api::WatchedPod;
pub use node::{NodeFacts, WatchedNode};
pub use pod::{AgentPods, PodFacts, PodKind};
pub use profile::{ProfileFacts, WatchedProfile};
pub use report::ReportFacts;
pub use start::{Cause, FailedStart};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use link::changes::Origin;

/// Which object this is, and which version of it was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Version {
    /// Tells an object from one that was recreated under its name.
    pub uid: String,
    /// The precondition of every write that is based on this version.
    pub resource_version: String,
}

impl Version {
    /// The version in an object's metadata.
    #[must_use]
    pub fn of(metadata: &ObjectMeta) -> Self {
        Self {
            uid: metadata.uid.clone().unwrap_or_default(),
            resource_version: metadata.resource_version.clone().unwrap_or_default(),
        }
    }

    /// Whether this version is earlier than `other`, of the same object or of another one of its name.
    ///
    /// Resource versions of one kind grow and compare as numbers (KEP-5504; so they did in every release before).
    /// What cannot be compared is never called older: it is then taken as news.
    #[must_use]
    pub fn is_older_than(&self, other: &Self) -> bool {
        let number = |version: &Self| version.resource_version.parse::<u64>().ok();
        matches!((number(self), number(other)), (Some(a), Some(b)) if a < b)
    }
}

/// Where news of an object comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A list: the truth as of now, even where versions went back because the API server's store was restored.
    List,
    /// A watch: dropped where something newer is known already.
    Watch,
    /// The answer to a write of ours. It may come after the watch has shown that the object is gone or another one,
    /// so it changes what is known and never brings anything back.
    Answer,
    /// The answer to a create: new, unless the watch was faster.
    Created,
}

impl From<Origin> for Source {
    fn from(origin: Origin) -> Self {
        match origin {
            Origin::List => Self::List,
            Origin::Watch => Self::Watch,
        }
    }
}

impl Source {
    /// Whether news of version `new` counts where `known` is known.
    #[must_use]
    pub fn counts(self, new: &Version, known: Option<&Version>) -> bool {
        match (self, known) {
            (Self::List, _) | (Self::Watch | Self::Created, None) => true,
            (Self::Watch | Self::Created, Some(known)) => !new.is_older_than(known),
            (Self::Answer, None) => false,
            (Self::Answer, Some(known)) => new.uid == known.uid && !new.is_older_than(known),
        }
    }
}

fn created(metadata: &ObjectMeta) -> Timestamp {
    metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0)
}
