//! The Events that the operator publishes about profiles and nodes.
//!
//! The notes are fixed texts: the API server keeps the Events of one reason as one object with a counter, so that a
//! note with variable parts would show the first parts for ever. The status has the variable parts, and the note names
//! the field.

use api::{OpenEnum, Removal, SeccompProfileStatus, State};
use kube_runtime::events::{Event, EventType};

use crate::facts::Cause;

/// An Event that the operator publishes about a profile or a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// Every node that must have it has it.
    Ready,
    /// A node cannot hold it.
    NodesFailed,
    /// Its contents are not a valid profile.
    Rejected,
    /// Its deletion waits for pods.
    DeletionWaits,
    /// Its file is removed although pods use it.
    RemovalForced,
    /// Its file is removed while pods on an unreachable node may use it.
    CutOffPods,
    /// It is released although some node has not confirmed that it removed the file.
    Unconfirmed,
    /// On a node the runtime does not find a file that the agent keeps.
    FileNotFound,
    /// On a node the runtime reaches no seccomp agent on the socket that a profile names.
    ListenerUnreachable,
    /// On a node the runtime starts no container under a profile.
    StartFailed,
    /// A report is deleted because its node does not exist.
    NoSuchNode,
}

impl Notice {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Ready,
        Self::NodesFailed,
        Self::Rejected,
        Self::DeletionWaits,
        Self::RemovalForced,
        Self::CutOffPods,
        Self::Unconfirmed,
        Self::FileNotFound,
        Self::ListenerUnreachable,
        Self::StartFailed,
        Self::NoSuchNode,
    ];

    /// The Event about containers that do not start for this `cause`.
    #[must_use]
    pub fn of_start(cause: Cause) -> Self {
        match cause {
            Cause::FileNotFound => Self::FileNotFound,
            Cause::ListenerUnreachable => Self::ListenerUnreachable,
            Cause::StartFailed => Self::StartFailed,
        }
    }

    /// The Event's reason.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::NodesFailed => "NodesFailed",
            Self::Rejected => "InvalidProfile",
            Self::DeletionWaits => "DeletionWaits",
            Self::RemovalForced => "RemovalForced",
            Self::CutOffPods => "CutOffPods",
            Self::Unconfirmed => "RemovalUnconfirmed",
            Self::FileNotFound => Cause::FileNotFound.reason(),
            Self::ListenerUnreachable => Cause::ListenerUnreachable.reason(),
            Self::StartFailed => Cause::StartFailed.reason(),
            Self::NoSuchNode => "NoSuchNode",
        }
    }

    /// The Event. `detail` is appended to the note; it must never change for one object.
    #[must_use]
    pub fn event(self, detail: Option<&str>) -> Event {
        let (kind, action, note) = match self {
            Self::Ready => (EventType::Normal, "Distribute", "Every node that must have the profile has it."),
            Self::NodesFailed => (
                EventType::Warning,
                "Distribute",
                "A node cannot hold the profile; status.failures names the node and the reason.",
            ),
            Self::Rejected => (
                EventType::Warning,
                "Validate",
                "The profile is invalid; the condition Accepted gives the reason. Files stay as they were.",
            ),
            Self::DeletionWaits => (
                EventType::Normal,
                "Delete",
                "Pods use the profile; the condition Deleting names them. The deletion continues when they have ended.",
            ),
            Self::RemovalForced => (
                EventType::Warning,
                "Delete",
                "The file is removed although pods use it, because of the annotation delete-in-use.",
            ),
            Self::CutOffPods => (
                EventType::Warning,
                "Delete",
                "Pods on an unreachable node use the profile; they lose the file when the node is back.",
            ),
            Self::Unconfirmed => (
                EventType::Warning,
                "Delete",
                "A node did not confirm in time that it removed the file; its agent removes it when it runs again.",
            ),
            Self::FileNotFound => (
                EventType::Warning,
                "Start",
                "Containers do not start: the runtime does not find a profile that the node has. Likely the kubelet's root directory is not the chart's kubeletRoot; status.startFailures has the details.",
            ),
            Self::ListenerUnreachable => (
                EventType::Warning,
                "Start",
                "Containers do not start: the runtime reaches no seccomp agent on the socket that a profile names as listenerPath. Likely none listens there on this node; status.startFailures has the details.",
            ),
            Self::StartFailed => (
                EventType::Warning,
                "Start",
                "The runtime starts no container under a profile that the node has. Likely the profile denies a call that the runtime makes; status.startFailures has the details.",
            ),
            Self::NoSuchNode => (
                EventType::Warning,
                "Delete",
                "There has been no node of this name for five minutes: its report was deleted.",
            ),
        };
        let note = match detail {
            Some(detail) => format!("{note} {detail}"),
            None => note.to_owned(),
        };
        Event {
            type_: kind,
            reason: self.reason().into(),
            note: Some(note),
            action: action.into(),
            secondary: None,
        }
    }
}

/// The Events to publish when `wanted` replaces `stored`. `forced`: the annotation overrides pods that use the profile.
/// `cut_off`: pods on an unreachable node may use it.
#[must_use]
pub fn of_change(
    stored: Option<&SeccompProfileStatus>,
    wanted: &SeccompProfileStatus,
    forced: bool,
    cut_off: bool,
) -> Vec<Notice> {
    let known = |status: &SeccompProfileStatus| status.state.as_ref().and_then(OpenEnum::known);
    let was = |state| stored.and_then(known) == Some(state);
    let same_hash = stored.is_some_and(|stored| stored.content_hash == wanted.content_hash);
    let approved = |status: &SeccompProfileStatus| status.removal == Some(Removal::Approved.into());
    let approved_now = approved(wanted) && !stored.is_some_and(approved);
    match known(wanted) {
        Some(State::Ready) if !(was(State::Ready) && same_hash) => vec![Notice::Ready],
        Some(State::Failed) if !was(State::Failed) => vec![Notice::NodesFailed],
        Some(State::Rejected) if !was(State::Rejected) => vec![Notice::Rejected],
        Some(State::Deleting) if approved_now => {
            let mut notices = Vec::new();
            if forced {
                notices.push(Notice::RemovalForced);
            }
            if cut_off {
                notices.push(Notice::CutOffPods);
            }
            notices
        }
        Some(State::Deleting) if !was(State::Deleting) => vec![Notice::DeletionWaits],
        _ => Vec::new(),
    }
}
