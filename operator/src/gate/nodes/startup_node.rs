//! What the gate needs about a Node besides its files: the start-up taint and the stored condition.

use serde_json::Value;

use super::taint_key::TaintKey;
use crate::facts::{NodeCondition, ObjectVersion, WatchedNode};

/// The type of the condition. Its prefix keeps it apart from the conditions of others.
pub const PROFILES_READY: &str = "seccomp.imjasonh.dev/ProfilesReady";

/// A Node, as far as the gate writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartupNode {
    /// The version from which these facts were taken.
    pub version: ObjectVersion,
    /// Its taints that have the key of the start-up taint, whatever their value and effect, in the order of the list.
    pub taints: Vec<ListedTaint>,
    /// The stored condition.
    pub condition: Option<NodeCondition>,
}

/// A taint in a Node's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedTaint {
    /// Its position in the list.
    pub position: usize,
    /// The taint, as stored.
    pub entry: Value,
}

impl StartupNode {
    /// The facts of a watched Node. Without a `key` no taint is the gate's.
    #[must_use]
    pub fn of(node: &WatchedNode, key: Option<&TaintKey>) -> Self {
        let is_ours = |taint: &Value| key.is_some_and(|key| taint["key"] == key.as_str());
        let taints = node.taints().iter().enumerate().filter(|(_, taint)| is_ours(taint));
        Self {
            version: ObjectVersion::of(&node.metadata),
            taints: taints.map(|(position, entry)| ListedTaint { position, entry: entry.clone() }).collect(),
            condition: node.condition(PROFILES_READY).cloned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_taint_is_recognized_by_its_key_alone() {
        let key = "readiness.k8s.io/seccomp-profiles";
        let node = json!({
            "metadata": { "name": "n1", "uid": "u", "resourceVersion": "5" },
            "spec": { "taints": [
                { "key": "node.kubernetes.io/not-ready", "effect": "NoSchedule" },
                { "key": key, "effect": "NoSchedule" },
                { "key": format!("{key}-2"), "effect": "NoSchedule" },
                { "key": key, "value": "x", "effect": "NoExecute", "timeAdded": "2026-01-01T00:00:00Z" },
            ] },
            "status": { "conditions": [
                { "type": "Ready", "status": "True", "lastTransitionTime": null },
                { "type": PROFILES_READY, "status": "False", "reason": "Behind", "message": "m" },
            ] },
        });
        let node: WatchedNode = serde_json::from_value(node).unwrap();
        let facts = StartupNode::of(&node, Some(&key.parse().unwrap()));
        assert_eq!(facts.taints.iter().map(|taint| taint.position).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(facts.taints[1].entry["timeAdded"], "2026-01-01T00:00:00Z");
        assert_eq!(facts.condition.unwrap().reason, "Behind");
        assert!(StartupNode::of(&node, None).taints.is_empty());
    }
}
