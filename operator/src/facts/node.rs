//! The facts that the index needs about a Node.

use std::collections::BTreeMap;

use api::Selection;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use syscalls::Architecture;

use super::created;

/// The fields of a Node that are watched.
#[derive(Debug, Clone, Deserialize)]
pub struct WatchedNode {
    /// Metadata, with the labels that the selection matches.
    #[serde(deserialize_with = "api::metadata::lenient")]
    pub metadata: ObjectMeta,
    #[serde(default)]
    spec: NodeSpec,
    #[serde(default)]
    status: NodeStatus,
}
api::watched_as!(WatchedNode, Node);

#[derive(Debug, Clone, Default, Deserialize)]
struct NodeSpec {
    // As stored, because a JSON patch compares with it.
    #[serde(default)]
    taints: Vec<Value>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct NodeStatus {
    #[serde(default)]
    conditions: Vec<NodeCondition>,
    #[serde(default, rename = "nodeInfo")]
    info: NodeInfo,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct NodeInfo {
    #[serde(default)]
    architecture: String,
}

/// A condition of a Node.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeCondition {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// The reason, as one word.
    #[serde(default)]
    pub reason: String,
    /// A readable explanation.
    #[serde(default)]
    pub message: String,
    /// When the status last changed, as stored.
    pub last_transition_time: Option<String>,
}

impl WatchedNode {
    /// Its taints, each as stored.
    #[must_use]
    pub fn taints(&self) -> &[Value] {
        &self.spec.taints
    }

    /// Its condition of the type `kind`.
    #[must_use]
    pub fn condition(&self, kind: &str) -> Option<&NodeCondition> {
        self.status.conditions.iter().find(|condition| condition.kind == kind)
    }
}

/// A Node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeFacts {
    /// Its name.
    pub name: String,
    /// Its uid, which owns the node's report.
    pub uid: String,
    /// When it joined the cluster.
    pub created: Timestamp,
    /// Its labels, by which profiles select nodes.
    pub labels: BTreeMap<String, String>,
    /// Whether agents run there: it matches the agents' node selector and required affinity.
    pub selected: bool,
    /// Whether its Ready condition is True. Otherwise the scheduler binds no pod to it.
    pub reachable: bool,
    /// Whether its kubelet answers: it sets the Ready condition to True or False itself, and the control plane sets it
    /// to Unknown when the kubelet is silent. Pods keep running on a node whose condition is False.
    pub answers: bool,
    /// The architecture of its kernel, if it is known here.
    pub architecture: Option<Architecture>,
}

impl NodeFacts {
    /// The facts of a watched Node.
    #[must_use]
    pub fn of(node: &WatchedNode, selection: &Selection) -> Self {
        let none = BTreeMap::new();
        let name = node.metadata.name.clone().unwrap_or_default();
        let labels = node.metadata.labels.as_ref().unwrap_or(&none);
        let ready_is = |statuses: &[&str]| {
            let mut conditions = node.status.conditions.iter();
            conditions.any(|it| it.kind == "Ready" && statuses.contains(&it.status.as_str()))
        };
        Self {
            uid: node.metadata.uid.clone().unwrap_or_default(),
            created: created(&node.metadata),
            selected: selection.matches(&name, labels),
            reachable: ready_is(&["True"]),
            answers: ready_is(&["True", "False"]),
            architecture: Architecture::from_go_name(&node.status.info.architecture),
            labels: labels.clone(),
            name,
        }
    }
}
