//! The status of containers: why one does not start, and since when one runs.

use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;

/// A container that is waiting or has ended, with what the kubelet and the runtime say: the reason tells whether its
/// start failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotStarted<'a> {
    /// The container's name.
    pub container: &'a str,
    /// The reason: `CreateContainerError`, `RunContainerError`, `StartError` and many more.
    pub reason: &'a str,
    /// The runtime's message. The pod's author controls parts of it: commands, users, paths.
    pub message: &'a str,
    /// When the container ended; `None` if it has not ended or the time is unreadable.
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
    running: Option<Running>,
    waiting: Option<Waiting>,
    terminated: Option<Terminated>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Running {
    // A string, as in `Terminated`.
    started_at: Option<String>,
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
    // A string, because the node writes it, and an unreadable time must not end the watch.
    finished_at: Option<String>,
}

impl ContainerStatus {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// When it started, if it runs.
    pub(crate) fn started(&self) -> Option<Timestamp> {
        self.state.running.as_ref()?.started_at.as_ref()?.parse().ok()
    }

    /// When it ended, if it has ended and does not run again.
    pub(crate) fn ended(&self) -> Option<Timestamp> {
        self.state.terminated.as_ref()?.ended()
    }

    /// When it ended the last time before its present run.
    pub(crate) fn ended_before(&self) -> Option<Timestamp> {
        self.last_state.terminated.as_ref()?.ended()
    }

    /// Why it does not run. While the kubelet backs off, the reason is in the last termination.
    pub(crate) fn not_started(&self) -> Option<NotStarted<'_>> {
        let container = self.name.as_str();
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
        Some(NotStarted { container, reason, message, ended: terminated.ended() })
    }
}

impl Terminated {
    fn ended(&self) -> Option<Timestamp> {
        self.finished_at.as_ref()?.parse().ok()
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
    fn the_reason_why_a_container_does_not_run_is_found() {
        let waiting = json!({ "state": { "waiting": { "reason": "CreateContainerError", "message": "m" } } });
        assert_eq!(said(waiting), Some(("CreateContainerError".into(), "m".into(), None)));
        let terminated = json!({ "terminated": { "reason": "StartError", "message": "m", "finishedAt": "1970-01-01T00:00:07Z" } });
        let expected = Some(("StartError".into(), "m".into(), Some(7)));
        assert_eq!(said(json!({ "state": terminated })), expected);
        let back_off = json!({ "waiting": { "reason": "CrashLoopBackOff", "message": "back-off 10s" } });
        assert_eq!(said(json!({ "state": back_off, "lastState": terminated })), expected);
    }

    #[test]
    fn a_running_container_has_no_reason_whatever_happened_before() {
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
