//! The node affinity that a pod requires.

use k8s_openapi::api::core::v1::NodeSelector;
use serde::Deserialize;

/// The `affinity` of a pod's `spec`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Affinity {
    node_affinity: Option<NodeAffinity>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NodeAffinity {
    required_during_scheduling_ignored_during_execution: Option<NodeSelector>,
}

impl Affinity {
    /// The nodes that it requires.
    pub(super) fn required(&self) -> Option<&NodeSelector> {
        self.node_affinity.as_ref()?.required_during_scheduling_ignored_during_execution.as_ref()
    }
}
