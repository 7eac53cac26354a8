//! The Events about pods whose runtime may not apply their profiles on the node's kernel.

use kube_runtime::events::{Event, EventType};

use super::super::pod_events::named;
use super::index::RunsElsewhere;

/// The reason of the Event about a pod that runs in a sandbox.
pub const IN_SANDBOX: &str = "ProfileInSandbox";

/// The reason of the Event about a pod whose runtime is not known.
pub const UNKNOWN_RUNTIME: &str = "RuntimeNotKnown";

/// The Event about such a pod. `directory` is the directory of the profiles below the kubelet's `seccomp/`.
#[must_use]
pub fn of(found: &RunsElsewhere, directory: &str) -> Event {
    let RunsElsewhere { pod, handler, sandbox } = found;
    let paths: Vec<_> = pod.profiles.iter().map(|name| format!("{directory}/{}", name.file_name())).collect();
    let (paths, class) = (named(&paths), &pod.class);
    let (type_, reason, note) = match sandbox {
        Some(sandbox) => (
            EventType::Warning,
            IN_SANDBOX,
            format!(
                "{paths} is not in force on the node's kernel: RuntimeClass {class} (handler {handler}) is {}.",
                sandbox.description()
            ),
        ),
        None => (
            EventType::Normal,
            UNKNOWN_RUNTIME,
            format!(
                "It is not known whether the runtime of RuntimeClass {class} (handler {handler}) applies {paths}."
            ),
        ),
    };
    Event { type_, reason: reason.to_owned(), note: Some(note), action: "Run".to_owned(), secondary: None }
}

#[cfg(test)]
mod tests {
    use api::Sandbox;

    use super::super::super::pod_id::PodId;
    use super::super::index::ClassedPod;
    use super::*;

    fn found(class: &str, profiles: usize, sandbox: Option<Sandbox>) -> RunsElsewhere {
        let name = |number: usize| format!("{}{number}", "a".repeat(if profiles > 1 { 238 } else { 1 }));
        RunsElsewhere {
            pod: ClassedPod {
                id: PodId { namespace: "shop".into(), name: "web".into(), uid: "u".into() },
                class: class.into(),
                profiles: (0..profiles).map(|number| name(number).parse().unwrap()).collect(),
            },
            // The API server takes a label of DNS.
            handler: if profiles > 1 { "h".repeat(63) } else { "runsc".into() },
            sandbox,
        }
    }

    #[test]
    fn a_note_says_under_which_conditions_the_filter_is_in_force() {
        let event = of(&found("boxed", 1, Some(Sandbox::GVisor)), "profiles");
        assert_eq!(
            event.note.as_deref(),
            Some(
                "profiles/a0.json is not in force on the node's kernel: RuntimeClass boxed (handler runsc) is gVisor, \
                 which applies a filter only inside its sandbox and only with --oci-seccomp."
            )
        );
    }

    #[test]
    fn a_note_fits_into_an_event_however_long_the_names_are() {
        for sandbox in [None, Some(Sandbox::GVisor), Some(Sandbox::Kata)] {
            let note = of(&found(&"c".repeat(253), 100, sandbox), &"d".repeat(128)).note.unwrap();
            assert!(note.len() <= 1024 && note.contains(" and 99 more"), "{}: {note}", note.len());
        }
    }
}
