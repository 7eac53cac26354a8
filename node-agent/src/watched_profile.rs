//! A profile as the watch decodes it.

use api::{SeccompProfile, Text, Untrusted};
use kube::api::ObjectMeta;
use serde::Deserialize;

/// A profile as the watch decodes it: no more than is needed, and its contents as text, so that only one profile
/// of a page at a time is in memory as a tree of values.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "Untrusted<SeccompProfile, Text>")]
pub struct WatchedProfile {
    /// Name, uid and resource version.
    pub(crate) metadata: ObjectMeta,
    /// The text of `spec`.
    pub(crate) spec: Text,
    /// Whether the operator has approved the removal of its file.
    pub(crate) removal_approved: bool,
    desired_nodes: Option<u64>,
}

impl WatchedProfile {
    /// How many nodes should hold it, as far as its status has a number.
    #[must_use]
    pub fn desired_nodes(&self) -> Option<u64> {
        self.desired_nodes
    }
}

impl From<Untrusted<SeccompProfile, Text>> for WatchedProfile {
    fn from(object: Untrusted<SeccompProfile, Text>) -> Self {
        let (removal_approved, desired_nodes) = (object.removal_approved(), object.desired_nodes());
        let ObjectMeta { name, uid, resource_version, .. } = object.metadata;
        let metadata = ObjectMeta { name, uid, resource_version, ..ObjectMeta::default() };
        Self { metadata, spec: object.spec, removal_approved, desired_nodes }
    }
}

api::watched_as!(WatchedProfile, SeccompProfile);
