//! Conditions of both kinds: their types, and their schema.

use schemars::{Schema, SchemaGenerator, json_schema};

/// On a profile: its contents are a valid profile.
pub const ACCEPTED: &str = "Accepted";
/// On a profile: every node that must have it has it. On a node's status: the node has every profile.
pub const READY: &str = "Ready";
/// On a profile, while it is being deleted: what the deletion waits for.
pub const DELETING: &str = "Deleting";

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
