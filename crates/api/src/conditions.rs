//! Conditions of both kinds: their types, and their schema.

use schemars::{Schema, SchemaGenerator, json_schema};

/// On a profile: its contents are a valid profile.
pub const ACCEPTED: &str = "Accepted";
/// On a profile: every node that must have it has it. On a node's status: the node has every profile.
pub const READY: &str = "Ready";
/// On a profile, while it is being deleted: what the deletion waits for.
pub const DELETING: &str = "Deleting";
/// On a profile, as True, where it will not become ready before somebody changes it: kstatus' word for failed.
pub const STALLED: &str = "Stalled";
/// Why [`READY`] is Unknown on a profile that no operator has judged.
pub const PENDING: &str = "Pending";
/// On a node's status, as False, while containers there do not start although the node has their profile.
pub const CONTAINERS_START: &str = "ContainersStart";

/// Why a node's [`READY`] is as it is: the reasons that the operator writes there.
pub mod node {
    /// The node is not Ready in the cluster; nobody waits for it.
    pub const UNREACHABLE: &str = "NodeUnreachable";
    /// No agent has been ready on the node for some time: nobody watches its files.
    pub const AGENT_DOWN: &str = "AgentDown";
    /// The node's agent has never reported.
    pub const NO_REPORT: &str = "NoReport";
    /// The node lacks a profile, and has for [`GRACE`].
    pub const BEHIND: &str = "Behind";
    /// The node has every profile.
    pub const ALL_PROFILES: &str = "AllProfiles";

    /// Of [`CONTAINERS_START`](super::CONTAINERS_START): the runtime does not find the file that the agent keeps.
    pub const FILE_NOT_FOUND: &str = "FileNotFound";
    /// Of [`CONTAINERS_START`](super::CONTAINERS_START): the runtime reaches no seccomp agent on the profile's socket.
    pub const NOBODY_LISTENS: &str = "NobodyListens";
    /// Of [`CONTAINERS_START`](super::CONTAINERS_START): the runtime starts no container under the profile.
    pub const START_FAILED: &str = "StartFailed";

    /// How long a node may be behind before its condition says so: a rollout should not cost two writes a node.
    pub const GRACE: std::time::Duration = std::time::Duration::from_secs(30);
}

/// `metav1.Condition` with bounds, merged by type.
///
/// Written by hand because the generated schema of the upstream type has no bounds, and without them the API server
/// counts every CEL rule on the list as too dear.
pub(crate) fn schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "description": "What is true of this object now, one entry a type.",
        "type": "array",
        "maxItems": 8,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status", "lastTransitionTime", "reason", "message"],
            "properties": {
                "type": { "description": "What the condition is about.", "type": "string", "maxLength": 64 },
                "status": { "description": "Whether it is so.", "type": "string", "enum": ["True", "False", "Unknown"] },
                "observedGeneration": {
                    "description": "The metadata.generation that was judged.", "type": "integer", "format": "int64", "minimum": 0
                },
                "lastTransitionTime": {
                    "description": "When the status last changed.", "type": "string", "format": "date-time"
                },
                "reason": { "description": "Why, in one word.", "type": "string", "maxLength": 64 },
                "message": { "description": "Why, for a person.", "type": "string", "maxLength": 4096 }
            }
        }
    })
}
