//! The Events that the gate publishes about Nodes, and about pods on nodes without their profiles.
//!
//! The notes about Nodes are fixed texts, because the API server keeps the Events of one reason as one object with a
//! counter; the Node's condition has the variable parts.

use kube_runtime::events::{Event, EventType};

use super::super::pod_events::named;
use super::judgement::Reason;

/// An Event about a Node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeNotice {
    /// The start-up taint was taken off: the node has every profile.
    Released,
    /// The start-up taint was taken off although the node lacks profiles.
    ReleasedWithProblems,
    /// A file of another owner is in the place of a profile.
    Conflict,
    /// The agent refuses a profile.
    Rejected,
}

impl NodeNotice {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Released, Self::ReleasedWithProblems, Self::Conflict, Self::Rejected];

    /// The Event for a condition that has just got this reason, if there is one.
    #[must_use]
    pub fn of_reason(reason: Reason) -> Option<Self> {
        match reason {
            Reason::Conflict => Some(Self::Conflict),
            Reason::Rejected => Some(Self::Rejected),
            _ => None,
        }
    }

    /// The Event's reason.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Released => "ProfilesReady",
            Self::ReleasedWithProblems => "ReleasedWithoutProfiles",
            Self::Conflict => "ProfileConflict",
            Self::Rejected => "ProfileRejected",
        }
    }

    /// The Event.
    #[must_use]
    pub fn event(self) -> Event {
        let (type_, action, note) = match self {
            Self::Released => (
                EventType::Normal,
                "Release",
                "The start-up taint is taken off: the node lacks no seccomp profile.",
            ),
            Self::ReleasedWithProblems => (
                EventType::Warning,
                "Release",
                "The start-up taint is taken off although the node lacks seccomp profiles, because gate.nodes.releaseWithProblems is set. The condition ProfilesReady names them.",
            ),
            Self::Conflict => (
                EventType::Warning,
                "Wait",
                "A file of another owner is in the place of a seccomp profile. Until somebody removes it, the start-up taint stays on a new node. The condition ProfilesReady names the profile.",
            ),
            Self::Rejected => (
                EventType::Warning,
                "Wait",
                "The node's agent refuses a seccomp profile. Until somebody changes the profile or the agent's limits, the start-up taint stays on a new node. The condition ProfilesReady names the profile.",
            ),
        };
        Event {
            type_,
            reason: self.reason().to_owned(),
            note: Some(note.to_owned()),
            action: action.to_owned(),
            secondary: None,
        }
    }
}

/// The reason of the Event about a pod on a node that is told not to hold a profile that the pod names.
pub const NOT_FOR_NODE: &str = "ProfileNotForNode";

/// The Event about a pod on the node `node`, which is told not to hold the profiles with these paths.
#[must_use]
pub fn of_misplaced(node: &str, paths: &[String]) -> Event {
    let note = format!(
        "The node {node} does not hold {}: spec.nodeSelector of the SeccompProfile does not select it. Give the pod the \
         same node selector, or label the node.",
        named(paths)
    );
    Event {
        type_: EventType::Warning,
        reason: NOT_FOR_NODE.to_owned(),
        note: Some(note),
        action: "Schedule".to_owned(),
        secondary: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_about_a_misplaced_pod_fits_into_an_event_however_long_the_names_are() {
        let path = format!("{}/{}.json", "d".repeat(128), "a".repeat(240));
        let note = of_misplaced(&"n".repeat(253), &vec![path; 100]).note.unwrap();
        assert!(note.len() <= 1024 && note.contains(" and 99 more"), "{}: {note}", note.len());
    }
}
