//! The Event about a call that the filter of a pod's container refused.
//!
//! The note has variable parts, and yet is always the same for one container, call and reason, because what varies is in
//! the reference to the container and in the Event's action, by which the recorder tells Events apart.

use ::profile::Action;
use k8s_openapi::api::core::v1::ObjectReference;
use kube_runtime::events::{Event, EventType};

/// What became of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DenialReason {
    /// It failed.
    Refused,
    /// It ended the process or the thread.
    Killed,
}

impl DenialReason {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Refused, Self::Killed];

    /// What became of a call for which a filter had this action. `None` if it was permitted, or if another program
    /// decided.
    #[must_use]
    pub fn of(action: Action) -> Option<Self> {
        match action {
            Action::Errno | Action::Trap => Some(Self::Refused),
            Action::Kill | Action::KillProcess | Action::KillThread => Some(Self::Killed),
            Action::Allow | Action::Log | Action::Trace | Action::Notify => None,
        }
    }

    /// The Event's reason.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Refused => "SeccompRefused",
            Self::Killed => "SeccompKilled",
        }
    }
}

/// A call that the filter of a container refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeniedCall {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The pod's uid.
    pub uid: String,
    /// Where the container is in the pod: `spec.containers{main}`.
    pub field: String,
    /// The container's name.
    pub container: String,
    /// The profile that the container is under.
    pub profile: String,
    /// The name of the call.
    pub call: String,
    /// What became of it.
    pub reason: DenialReason,
}

impl DeniedCall {
    /// The container that the Event is about.
    #[must_use]
    pub fn reference(&self) -> ObjectReference {
        ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: Some(self.namespace.clone()),
            name: Some(self.pod.clone()),
            uid: Some(self.uid.clone()),
            field_path: Some(self.field.clone()),
            ..ObjectReference::default()
        }
    }

    /// The Event.
    #[must_use]
    pub fn event(&self) -> Event {
        let Self { namespace, pod, container, profile, call, .. } = self;
        let what = match self.reason {
            DenialReason::Refused => "refuses",
            DenialReason::Killed => "ends the process at",
        };
        let note = format!(
            "In the container {container}, the seccomp profile {profile} {what} the system call {call}. `kubectl seccomp \
             denials -n {namespace} {pod}` says how often, and what would allow it."
        );
        Event {
            type_: EventType::Warning,
            reason: self.reason.reason().to_owned(),
            note: Some(note),
            action: call.clone(),
            secondary: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_says_which_profile_refuses_which_call_and_fits_however_long_the_names_are() {
        let denied = |length: usize| DeniedCall {
            namespace: "n".repeat(length.min(63)),
            pod: "p".repeat(length.min(253)),
            uid: "u".to_owned(),
            field: "spec.containers{main}".to_owned(),
            container: "c".repeat(length.min(63)),
            profile: "a".repeat(length.min(240)),
            call: "s".repeat(length.min(64)),
            reason: DenialReason::Killed,
        };
        let event = denied(1).event();
        assert_eq!(
            event.note.as_deref(),
            Some(
                "In the container c, the seccomp profile a ends the process at the system call s. `kubectl seccomp denials -n n \
                 p` says how often, and what would allow it."
            )
        );
        assert_eq!((event.reason.as_str(), event.action.as_str()), ("SeccompKilled", "s"));
        let event = denied(1000).event();
        assert!(event.note.unwrap().len() <= 1024 && event.action.len() <= 128);
    }
}
