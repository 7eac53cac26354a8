//! Conditions of both kinds: their types, and their schema.

use schemars::{Schema, SchemaGenerator, json_schema};

/// On a profile: its contents are a valid profile.
pub const ACCEPTED: &str = "Accepted";
/// On a profile: every node that must have it has it. On a node's status: the node has every profile.
pub const READY: &str = "Ready";
/// On a profile, while it is being deleted: what the deletion waits for.
pub const DELETING: &str = "Deleting";
/// On a profile, as True, if it cannot become ready unless somebody changes it; kstatus then reports a failure.
pub const STALLED: &str = "Stalled";
/// On a valid profile: no rule finds an error in it, that is, it does what it says. It has no effect on anything.
pub const SOUND: &str = "Sound";
/// Reason of [`READY`] on a profile that no operator has reconciled, where its status is Unknown.
pub const PENDING: &str = "Pending";
/// On a node's status, as False, while containers on the node do not start although it has their profile.
pub const CONTAINERS_START: &str = "ContainersStart";

/// The reasons of [`SOUND`]. If it is False, its reason is the rule's name in CamelCase.
pub mod sound {
    /// No rule finds an error or a warning.
    pub const NO_FINDINGS: &str = "NoFindings";
    /// The rules find warnings only.
    pub const WARNINGS: &str = "Warnings";
    /// The check was not finished in time; the condition's status is Unknown.
    pub const NOT_CHECKED: &str = "NotChecked";
}

/// The reasons of a node's conditions.
pub mod node {
    use std::time::Duration;

    /// The node is not Ready in the cluster; the operator does not wait for it.
    pub const UNREACHABLE: &str = "NodeUnreachable";
    /// No agent has been ready on the node for some time, so nothing watches its files.
    pub const AGENT_DOWN: &str = "AgentDown";
    /// The node's agent has never reported.
    pub const NO_REPORT: &str = "NoReport";
    /// The node has lacked a profile for the time of [`grace`].
    pub const BEHIND: &str = "Behind";
    /// The node has every profile.
    pub const ALL_PROFILES: &str = "AllProfiles";

    /// Of [`CONTAINERS_START`](super::CONTAINERS_START): the runtime does not find the agent's file.
    pub const FILE_NOT_FOUND: &str = "FileNotFound";
    /// Of [`CONTAINERS_START`](super::CONTAINERS_START): the runtime reaches no seccomp agent on the profile's socket.
    pub const LISTENER_UNREACHABLE: &str = "ListenerUnreachable";
    /// Of [`CONTAINERS_START`](super::CONTAINERS_START): the runtime starts no container under the profile.
    pub const START_FAILED: &str = "StartFailed";

    /// How long something may be wrong with a node's agent or with a container's start before a condition reports it.
    pub const GRACE: Duration = Duration::from_secs(30);
    /// What each node of the cluster adds for a node that lacks a profile.
    const GRACE_A_NODE: Duration = Duration::from_millis(250);
    /// The longest such time.
    const MAX_GRACE: Duration = Duration::from_mins(5);

    /// How long a node may lack a profile before its condition changes, in a cluster with this many nodes. A rollout
    /// takes longer in a larger cluster, and one that took longer than this would cost two writes for each node. The
    /// profile itself is not Ready from the first moment, and its status names the nodes that it waits for.
    #[must_use]
    pub fn grace(nodes: u64) -> Duration {
        let nodes = u32::try_from(nodes).unwrap_or(u32::MAX);
        // In whole seconds, so that a node more or less makes no difference in a small cluster.
        let more = Duration::from_secs(GRACE_A_NODE.saturating_mul(nodes).as_secs());
        GRACE.saturating_add(more).min(MAX_GRACE)
    }
}

/// `metav1.Condition` with bounds, merged by type.
///
/// Written by hand because the generated schema of the upstream type has no bounds, and without bounds the API server's
/// estimate of the cost of a CEL rule on the list is too high.
pub(crate) fn schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "description": "The current conditions of the object, one for each type.",
        "type": "array",
        "maxItems": 8,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status", "lastTransitionTime", "reason", "message"],
            "properties": {
                "type": { "description": "The type of the condition.", "type": "string", "maxLength": 64 },
                "status": { "description": "Whether the condition is true.", "type": "string", "enum": ["True", "False", "Unknown"] },
                "observedGeneration": {
                    "description": "The metadata.generation on which the condition is based.", "type": "integer", "format": "int64", "minimum": 0
                },
                "lastTransitionTime": {
                    "description": "When the status last changed.", "type": "string", "format": "date-time"
                },
                "reason": { "description": "The reason, as one word.", "type": "string", "maxLength": 64 },
                "message": { "description": "A readable explanation.", "type": "string", "maxLength": 4096 }
            }
        }
    })
}
