//! The facts that the index needs about an object: plain data, extracted from the objects at the edge.
//!
//! The watched types have only the fields that are read, so that a cluster's ten thousand pods are decoded and dropped
//! one page at a time. Besides the facts, only each object's key and uid are kept (`link::changes`).

mod node;
mod observation;
mod pod;
mod profile;
mod report;
mod report_status;
mod start;

pub use api::WatchedPod;
pub use node::{NodeCondition, NodeFacts, WatchedNode};
pub use observation::{CallId, ObservationFacts, ObservedContainerFacts, ObservedPod, RefusedCall};
pub use pod::{AgentPods, PodFacts, PodKind, RunningUnder};
pub use profile::{ProfileFacts, ProfileOrigin, WatchedProfile};
#[cfg(test)]
pub(crate) use report::tests::by_tree;
pub use report::{ReportFacts, WatchedReport};
pub use start::{Cause, PodStartFailure};

use ::profile::{ContentHash, ShortHash};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use link::changes::Origin;

/// Which object this is, and which version of it was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectVersion {
    /// Tells an object from one that was recreated under its name.
    pub uid: String,
    /// The precondition of every write that is based on this version.
    pub resource_version: String,
}

impl ObjectVersion {
    /// The version in an object's metadata.
    #[must_use]
    pub fn of(metadata: &ObjectMeta) -> Self {
        Self {
            uid: metadata.uid.clone().unwrap_or_default(),
            resource_version: metadata.resource_version.clone().unwrap_or_default(),
        }
    }

    /// Whether this version is earlier than `other`, which may belong to another object of the same name.
    ///
    /// Resource versions of one kind grow and compare as numbers (KEP-5504; so they did in every release before).
    /// A version that cannot be compared never counts as older, so that its update is applied.
    #[must_use]
    pub fn is_older_than(&self, other: &Self) -> bool {
        let number = |version: &Self| version.resource_version.parse::<u64>().ok();
        matches!((number(self), number(other)), (Some(a), Some(b)) if a < b)
    }
}

/// Where an update of an object comes from. Unlike [`Origin`], it includes the answers to the operator's own
/// writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateSource {
    /// A list: always applied, even where versions went back because the API server's store was restored.
    List,
    /// A watch: dropped where a newer version is known.
    Watch,
    /// The answer to a write of the operator. It may arrive after the watch has shown that the object was deleted or
    /// replaced, so it updates an object and never adds one.
    Answer,
    /// The answer to a create: applied unless the watch was faster.
    Created,
}

impl From<Origin> for UpdateSource {
    fn from(origin: Origin) -> Self {
        match origin {
            Origin::List => Self::List,
            Origin::Watch => Self::Watch,
        }
    }
}

impl UpdateSource {
    /// Whether an update to version `new` is applied where `known` is the present version.
    #[must_use]
    pub fn accepts(self, new: &ObjectVersion, known: Option<&ObjectVersion>) -> bool {
        match (self, known) {
            (Self::List, _) | (Self::Watch | Self::Created, None) => true,
            (Self::Watch | Self::Created, Some(known)) => !new.is_older_than(known),
            (Self::Answer, None) => false,
            (Self::Answer, Some(known)) => new.uid == known.uid && !new.is_older_than(known),
        }
    }
}

/// When an object was created; the beginning of time if that cannot be read.
pub(crate) fn created(metadata: &ObjectMeta) -> Timestamp {
    metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0)
}

/// Identifies the object with this uid in what is kept of other objects: shorter than the uid.
pub(crate) fn uid_hash(uid: &str) -> ShortHash {
    ContentHash::of(uid.as_bytes()).short()
}
