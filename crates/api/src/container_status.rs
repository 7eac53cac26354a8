//! What a Pod says of containers that do not start.

use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;

/// A container that waits to be started, or could not be, in the words of the kubelet and of the runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotStarted<'a> {
    /// The container's name.
    pub container: &'a str,
    /// One word: `CreateContainerError`, `RunContainerError`, `StartError` and many more.
    pub reason: &'a str,
    /// The runtime's message. Parts of it are what the pod's author likes: commands, users, paths.
    pub message: &'a str,
    /// When the container ended, if it is known to have existed.
    pub ended: Option<Timestamp>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ContainerStatus {
    name: String,
    state: ContainerState,
    last_state: ContainerState,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct ContainerState {
    waiting: Option<Waiting>,
    terminated: Option<Terminated>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Waiting {
    reason: String,
    message: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Terminated {
    reason: String,
    message: String,
    // Text, because the node writes it: one time that cannot be read must not end the watch.
    finished_at: Option<String>,
}

impl ContainerStatus {
    /// Why it does not run. While the kubelet waits for the next try, the last one says so.
    pub(crate) fn not_started(&self) -> Option<NotStarted<'_>> {
        let container = self.name.as_str();
        let ended = |it: &'_ Terminated| it.finished_at.as_ref().and_then(|time| time.parse().ok());
        let terminated = match (&self.state.waiting, &self.state.terminated) {
            (Some(waiting), _) if waiting.reason == "CrashLoopBackOff" => {
                self.last_state.terminated.as_ref()?
            }
            (Some(Waiting { reason, message }), _) => {
                return Some(NotStarted { container, reason, message, ended: None });
            }
            (None, Some(terminated)) => terminated,
            (None, None) => return None,
        };
        let Terminated { reason, message, .. } = terminated;
        Some(NotStarted { container, reason, message, ended: ended(terminated) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn said(status: Value) -> Option<(String, String, Option<i64>)> {
        let status: ContainerStatus = serde_json::from_value(status).unwrap();
        let NotStarted { reason, message, ended, .. } = status.not_started()?;
        Some((reason.to_owned(), message.to_owned(), ended.map(Timestamp::as_second)))
    }

    #[test]
    fn a_container_says_why_it_does_not_run() {
        let waiting = json!({ "state": { "waiting": { "reason": "CreateContainerError", "message": "m" } } });
        assert_eq!(said(waiting), Some(("CreateContainerError".into(), "m".into(), None)));
        let terminated = json!({ "terminated": { "reason": "StartError", "message": "m", "finishedAt": "1970-01-01T00:00:07Z" } });
        let expected = Some(("StartError".into(), "m".into(), Some(7)));
        assert_eq!(said(json!({ "state": terminated })), expected);
        let back_off = json!({ "waiting": { "reason": "CrashLoopBackOff", "message": "back-off 10s" } });
        assert_eq!(said(json!({ "state": back_off, "lastState": terminated })), expected);
    }

    #[test]
    fn one_that_runs_says_nothing_whatever_became_of_the_last_one() {
        let ended = json!({ "terminated": { "reason": "StartError", "finishedAt": null } });
        let running = json!({ "running": { "startedAt": "2026-01-01T00:00:00Z" } });
        assert_eq!(said(json!({ "name": "c", "state": running, "lastState": ended })), None);
        assert_eq!(said(json!({ "state": {}, "lastState": {} })), None);
    }

    #[test]
    fn a_time_that_cannot_be_held_is_none() {
        let ended = json!({ "terminated": { "reason": "Error", "finishedAt": "9999-12-31T23:59:59Z" } });
        assert_eq!(said(json!({ "state": ended })), Some(("Error".into(), String::new(), None)));
    }
}
