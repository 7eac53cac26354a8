//! Why a pod waits, and the Events about it.
//!
//! The API server keeps the Events of one reason about one object as one, with the note of the first. So each is
//! published once for a pod, and its note names what it is about at that time.

use daemon::metrics::Label;
use kube_runtime::events::{Event, EventType};

use super::super::pod_events::named;
use crate::status;

/// Why a pod waits; the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WaitReason {
    /// The nodes do not have a profile yet.
    RollingOut,
    /// Nodes cannot hold a profile, and the pod cannot be scheduled on the others.
    NodesFailed,
    /// The contents of a profile are invalid.
    Rejected,
    /// A profile was deleted, and the nodes remove its file.
    Removed,
    /// There is no profile of a name.
    NoSuchProfile,
}

impl WaitReason {
    /// The reason of the Event.
    #[must_use]
    pub fn event(self) -> &'static str {
        match self {
            Self::RollingOut => "ProfileNotReady",
            Self::NodesFailed => "NodesWithoutProfile",
            Self::Rejected => "ProfileInvalid",
            Self::Removed => "ProfileRemoved",
            Self::NoSuchProfile => "NoSuchProfile",
        }
    }
}

impl Label for WaitReason {
    const ALL: &'static [Self] =
        &[Self::RollingOut, Self::NodesFailed, Self::Rejected, Self::Removed, Self::NoSuchProfile];

    fn as_str(self) -> &'static str {
        match self {
            Self::RollingOut => "rolling-out",
            Self::NodesFailed => "nodes-failed",
            Self::Rejected => "rejected",
            Self::Removed => "removed",
            Self::NoSuchProfile => "no-such-profile",
        }
    }
}

/// The reason of the Event about a pod that was scheduled although nodes cannot hold its profiles.
pub const LEFT_OUT: &str = "NodesLeftOut";

/// The reason of the Event about a pod whose gate the API server does not let anybody take off.
pub const NOT_LIFTED: &str = "GateNotLifted";

/// The Event about a pod that waits because of these files in the directory of the profiles.
#[must_use]
pub fn of_wait(reason: WaitReason, directory: &str, files: &[String]) -> Event {
    let paths: Vec<_> = files.iter().map(|file| format!("{directory}/{file}")).collect();
    let paths = named(&paths);
    let (kind, note) = match reason {
        WaitReason::RollingOut => {
            (EventType::Normal, format!("The pod is scheduled when the nodes have {paths}."))
        }
        WaitReason::NodesFailed => (
            EventType::Warning,
            format!(
                "Nodes cannot hold {paths}, and the pod cannot be scheduled on the others: they are too many, or all on \
                 which it could run. status.failures of the SeccompProfile names nodes and reasons."
            ),
        ),
        WaitReason::Rejected => (
            EventType::Warning,
            format!("The SeccompProfile of {paths} is invalid; its condition Accepted gives the reason."),
        ),
        WaitReason::Removed => (
            EventType::Warning,
            format!(
                "The SeccompProfile of {paths} was deleted. The pod is scheduled when there is one again."
            ),
        ),
        WaitReason::NoSuchProfile => (
            EventType::Warning,
            format!("There is no SeccompProfile of {paths}. The pod is scheduled when there is one."),
        ),
    };
    event(kind, reason.event(), note)
}

/// The Event about a pod that does not run on these nodes.
#[must_use]
pub fn of_left_out(nodes: &[String]) -> Event {
    let note = format!("The pod does not run on {}, which cannot hold its seccomp profiles.", named(nodes));
    event(EventType::Normal, LEFT_OUT, note)
}

/// The Event about a pod whose gate should be taken off, which the API server refuses with this error.
#[must_use]
pub fn of_refusal(error: &str) -> Event {
    let note = format!(
        "The nodes have the pod's profiles, and the API server refuses to take the scheduling gate off: {}",
        status::bounded(error, 450)
    );
    event(EventType::Warning, NOT_LIFTED, note)
}

fn event(kind: EventType, reason: &str, note: String) -> Event {
    Event { type_: kind, reason: reason.into(), note: Some(note), action: "Schedule".into(), secondary: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_fits_into_an_event_however_many_and_long_the_names_are() {
        let long: Vec<_> = (0..100).map(|_| format!("{}.json", "a".repeat(240))).collect();
        let directory = "d".repeat(128);
        for reason in WaitReason::ALL {
            let note = of_wait(*reason, &directory, &long).note.unwrap();
            assert!(note.len() <= 1024, "{}: {note}", note.len());
            assert!(note.contains(" and 99 more"), "{note}");
        }
    }

    #[test]
    fn a_note_about_a_refusal_fits_into_an_event_however_long_the_error_is() {
        let note = of_refusal(&"é".repeat(2000)).note.unwrap();
        assert!(note.len() <= 1024 && note.ends_with('…'), "{}: {note}", note.len());
    }

    #[test]
    fn a_note_names_what_the_pod_waits_for() {
        let event = of_wait(WaitReason::RollingOut, "profiles", &["a.json".to_owned(), "b.json".to_owned()]);
        let note = "The pod is scheduled when the nodes have profiles/a.json, profiles/b.json.";
        assert_eq!(event.note.as_deref(), Some(note));
    }
}
