//! Whether a running container is older than the bytes that its profile's file has now.
//!
//! The runtime reads the file when it *creates* a container, and a container keeps that filter until it ends, whatever
//! it executes. A pod's status does not state when a container was created. It states a time before that and one after
//! it, all by the clock of the node:
//!
//! - After it: `startedAt`, when the container's process began.
//! - Before it: the pod's `startTime`, at which the kubelet accepted the pod, before it created any container; the end of
//!   the container's last run, if it was restarted; and for a container that is no init container, the end of the init
//!   containers that are no sidecars. Such a time that is later than `startedAt` is left out, because it is of something
//!   else: for example a kubelet that starts anew may give a static pod, whose containers run on, another `startTime`.
//!
//! A container that started before the file changed is older than the file, and one that was created after something
//! that happened after the change is not. Between the two lie the containers of pods that were starting when the file
//! changed. Those that started within [`START_WINDOW`] after the change count as older: a restart too many costs less
//! than a filter that is not in force and said to be.
//!
//! The time of the change comes from the same node ([`Report::changed`](crate::Report::changed)), so that a clock that is
//! wrong by any time has no effect as long as nobody sets it. Kubernetes cuts off the fraction of a second of the times
//! of a pod, and the agent rounds the time of the change up. A pod that the kubelet accepted in the same second as the
//! change therefore counts as accepted before it.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use profile::ShortHash;

use crate::ProfileName;

/// How long the kubelet waits for one answer of a runtime, unless the node's `runtimeRequestTimeout` says otherwise
/// (<https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/>).
const RUNTIME_REQUEST_TIMEOUT: Duration = Duration::from_mins(2);

/// How long after the change of a file a container may start that the runtime created before it. The runtime reads the
/// file within `CreateContainer` and starts the process within `StartContainer`. The kubelet sends the second request
/// directly after the answer to the first, waits for each as long as it waits for any, and never starts a container
/// whose creation it gave up.
pub const START_WINDOW: Duration = RUNTIME_REQUEST_TIMEOUT.saturating_mul(2);

/// A running container to which a profile applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningContainer {
    /// Its name.
    pub container: String,
    /// The profile.
    pub profile: ProfileName,
    /// When something happened on the node before the runtime created it: at most `started`. `None` if the status has no
    /// such time.
    pub created_after: Option<Timestamp>,
    /// When it started.
    pub started: Timestamp,
}

/// Since when a node's file of a profile has had the profile's present contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileAge {
    /// It is not known, and no container counts as older: the node has not reported, or its report states no times, because
    /// the agent or the definition of the report is of an earlier release.
    Unknown,
    /// It does not matter, and no container counts as older: the file is being removed.
    Irrelevant,
    /// Since before any container: the file has had no other bytes.
    Always,
    /// Since this time by the node's clock.
    Since(Timestamp),
    /// Not at all: the node does not hold the present contents, and every container started under other ones.
    Never,
}

impl FileAge {
    /// The age of the file in a node's report. `expected` is the hash of the profile's contents; `None` if they are
    /// invalid: files then stay as they were, and only their times count. `file` is the hash in the report. `changed` is
    /// the time in the report: `None` if the agent states no times, `Some(None)` if it states none for this file.
    #[must_use]
    pub fn of(
        expected: Option<ShortHash>,
        file: Option<ShortHash>,
        changed: Option<Option<Timestamp>>,
    ) -> Self {
        match (expected, file, changed) {
            (Some(_), file, _) if file != expected => Self::Never,
            (None, None, _) | (_, _, None) => Self::Unknown,
            (_, _, Some(None)) => Self::Always,
            (_, _, Some(Some(changed))) => Self::Since(changed),
        }
    }

    /// Whether a container that started at `started`, and was created after `created_after`, is older than the file, or
    /// may be.
    #[must_use]
    pub fn is_older(self, created_after: Option<Timestamp>, started: Timestamp) -> bool {
        match self {
            Self::Unknown | Self::Irrelevant | Self::Always => false,
            Self::Since(changed) => is_older(created_after, started, changed),
            Self::Never => true,
        }
    }
}

/// Whether a container that started at `started`, and was created after `created_after`, is older than a file that has
/// had its bytes since `changed`, or may be.
fn is_older(created_after: Option<Timestamp>, started: Timestamp, changed: Timestamp) -> bool {
    let until = changed.checked_add(START_WINDOW).unwrap_or(Timestamp::MAX);
    created_after.is_none_or(|after| after < changed) && started <= until
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::WatchedPod;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn time(second: i64) -> String {
        at(second).to_string()
    }

    /// A pod that the kubelet accepted at second 100, with these statuses of its containers `main`, `init` and `debug`.
    fn pod(main: &Value, init: &Value, debug: &Value) -> WatchedPod {
        serde_json::from_value(object(main, init, debug)).unwrap()
    }

    fn object(main: &Value, init: &Value, debug: &Value) -> Value {
        let statuses = |name: &str, status: &Value| match status {
            Value::Null => json!([]),
            status => {
                let mut status = status.clone();
                status["name"] = json!(name);
                json!([status])
            }
        };
        json!({
            "metadata": { "name": "web", "namespace": "shop" },
            "spec": {
                "securityContext": { "seccompProfile": { "type": "Localhost", "localhostProfile": "profiles/a.json" } },
                "containers": [{ "name": "main" }],
                "initContainers": [{ "name": "init" }],
                "ephemeralContainers": [{ "name": "debug" }],
            },
            "status": {
                "phase": "Running",
                "startTime": time(100),
                "containerStatuses": statuses("main", main),
                "initContainerStatuses": statuses("init", init),
                "ephemeralContainerStatuses": statuses("debug", debug),
            },
        })
    }

    /// The same with an init container that is a sidecar.
    fn pod_with_sidecar(main: &Value, sidecar: &Value) -> WatchedPod {
        let mut object = object(main, sidecar, &NONE);
        object["spec"]["initContainers"][0]["restartPolicy"] = json!("Always");
        serde_json::from_value(object).unwrap()
    }

    fn running(second: i64) -> Value {
        json!({ "state": { "running": { "startedAt": time(second) } } })
    }

    fn ended(second: i64) -> Value {
        json!({ "terminated": { "reason": "Completed", "finishedAt": time(second) } })
    }

    fn older(pod: &WatchedPod, changed: i64) -> Vec<String> {
        let running = pod.running("profiles").into_iter();
        let since = FileAge::Since(at(changed));
        running.filter(|it| since.is_older(it.created_after, it.started)).map(|it| it.container).collect()
    }

    const NONE: Value = Value::Null;

    #[test]
    fn a_container_that_started_before_the_change_is_older_than_the_file() {
        let pod = pod(&running(103), &NONE, &NONE);
        assert_eq!(older(&pod, 104), ["main"]);
        assert_eq!(older(&pod, 100_000), ["main"]);
    }

    #[test]
    fn a_container_of_a_pod_that_was_accepted_after_the_change_is_not() {
        let pod = pod(&running(103), &NONE, &NONE);
        for changed in [-100_000, 0, 99, 100] {
            assert_eq!(older(&pod, changed), [""; 0], "{changed}");
        }
    }

    #[test]
    fn a_container_that_was_starting_when_the_file_changed_counts_as_older() {
        // It may have been created at any time from second 100.
        for started in [101, 103, 220, 222, 341] {
            assert_eq!(older(&pod(&running(started), &NONE, &NONE), 101), ["main"], "{started}");
        }
        // The kubelet gives a runtime two minutes to create it, and two more to start it.
        assert_eq!(older(&pod(&running(342), &NONE, &NONE), 101), [""; 0]);
    }

    #[test]
    fn a_second_is_rounded_to_the_side_of_the_old_filter() {
        // The file changed at 100.3 s, which the agent rounds up to 101; the pod was accepted at 100.9 s, which Kubernetes
        // cuts to 100. Nobody can tell the two apart.
        assert_eq!(older(&pod(&running(101), &NONE, &NONE), 101), ["main"]);
    }

    #[test]
    fn a_container_that_was_restarted_after_the_change_has_read_the_new_file() {
        let restarted = |ended_at: i64, started: i64| {
            let mut status = running(started);
            status["lastState"] = ended(ended_at);
            pod(&status, &NONE, &NONE)
        };
        assert_eq!(older(&restarted(200, 201), 200), [""; 0]);
        assert_eq!(older(&restarted(199, 201), 200), ["main"], "it may have been created before");
        assert_eq!(older(&restarted(150, 151), 200), ["main"]);
        // With back-off, hours after it ended.
        assert_eq!(older(&restarted(150, 500), 200), [""; 0]);
    }

    #[test]
    fn a_container_that_waits_in_back_off_or_has_ended_runs_under_no_filter() {
        let waiting = json!({
            "state": { "waiting": { "reason": "CrashLoopBackOff" } },
            "lastState": ended(90),
        });
        assert_eq!(older(&pod(&waiting, &NONE, &NONE), 1000), [""; 0]);
        assert_eq!(older(&pod(&json!({ "state": ended(90) }), &NONE, &NONE), 1000), [""; 0]);
        assert_eq!(older(&pod(&json!({ "state": {} }), &NONE, &NONE), 1000), [""; 0]);
    }

    #[test]
    fn an_init_container_counts_while_it_runs_and_a_sidecar_for_as_long_as_the_pod() {
        assert_eq!(older(&pod(&NONE, &running(102), &NONE), 110), ["init"]);
        assert_eq!(older(&pod(&running(105), &json!({ "state": ended(104) }), &NONE), 110), ["main"]);
        assert_eq!(older(&pod(&running(105), &running(102), &NONE), 110), ["init", "main"]);
    }

    #[test]
    fn a_container_is_created_after_the_init_containers_have_ended() {
        let initialized = pod(&running(131), &json!({ "state": ended(130) }), &NONE);
        assert_eq!(
            older(&initialized, 120),
            [""; 0],
            "the pod was accepted before, and the container created after"
        );
        assert_eq!(older(&initialized, 131), ["main"]);
    }

    #[test]
    fn a_sidecar_that_ends_tells_nothing_about_the_containers_beside_it() {
        let crashed = json!({ "state": ended(500) });
        assert_eq!(older(&pod_with_sidecar(&running(103), &crashed), 400), ["main"]);
        // `main` started after that end, but may have been created before it.
        assert_eq!(older(&pod_with_sidecar(&running(600), &crashed), 490), ["main"]);
        let mut restarted = running(520);
        restarted["lastState"] = ended(500);
        assert_eq!(older(&pod_with_sidecar(&running(103), &restarted), 400), ["main"]);
    }

    #[test]
    fn a_time_after_the_start_of_a_container_is_no_time_before_its_creation() {
        assert_eq!(older(&pod(&running(103), &json!({ "state": ended(500) }), &NONE), 400), ["main"]);
        // The time before that is the next best one.
        assert_eq!(older(&pod(&running(103), &json!({ "state": ended(500) }), &NONE), 100), [""; 0]);
        let mut ended_later = running(103);
        ended_later["lastState"] = ended(500);
        assert_eq!(older(&pod(&ended_later, &NONE, &NONE), 400), ["main"]);
        // A static pod has run since second 50, and the kubelet started anew at second 100.
        assert_eq!(older(&pod(&running(50), &NONE, &NONE), 90), ["main"]);
    }

    #[test]
    fn an_ephemeral_container_counts_too() {
        assert_eq!(older(&pod(&NONE, &NONE, &running(500)), 501), ["debug"]);
        // A pod that has run for long gets it at any time, and its status does not tell when it was created.
        assert_eq!(older(&pod(&NONE, &NONE, &running(500)), 499), ["debug"]);
        assert_eq!(older(&pod(&NONE, &NONE, &running(500)), 200), [""; 0]);
    }

    #[test]
    fn an_image_that_starts_its_program_again_keeps_its_filter_and_counts() {
        // A supervisor in the container is no restart of the container: its status stays as it was.
        let mut status = running(103);
        status["restartCount"] = json!(0);
        assert_eq!(older(&pod(&status, &NONE, &NONE), 100_000), ["main"]);
    }

    #[test]
    fn a_container_without_a_readable_time_or_under_no_profile_of_ours_is_not_counted() {
        for started in [json!(null), json!("yesterday"), json!("9999-12-31T23:59:59Z")] {
            let status = json!({ "state": { "running": { "startedAt": started } } });
            assert_eq!(pod(&status, &NONE, &NONE).running("profiles"), []);
        }
        assert_eq!(pod(&running(103), &NONE, &NONE).running("other"), []);
    }

    #[test]
    fn the_age_of_a_file_follows_from_the_report() {
        let hash = |content: u8| Some(profile::ContentHash::of(&[content]).short());
        let time = Some(Some(at(5)));
        for (expected, file, changed, age) in [
            (hash(1), hash(1), Some(None), FileAge::Always),
            (hash(1), hash(1), time, FileAge::Since(at(5))),
            (hash(1), hash(1), None, FileAge::Unknown),
            (hash(1), hash(2), time, FileAge::Never),
            (hash(1), hash(2), None, FileAge::Never),
            (hash(1), None, Some(None), FileAge::Never),
            (None, hash(2), time, FileAge::Since(at(5))),
            (None, hash(2), None, FileAge::Unknown),
            (None, None, time, FileAge::Unknown),
        ] {
            assert_eq!(FileAge::of(expected, file, changed), age, "{expected:?} {file:?} {changed:?}");
        }
        assert!(FileAge::Never.is_older(Some(at(0)), at(1)));
        assert!(!FileAge::Always.is_older(None, at(1)) && !FileAge::Unknown.is_older(None, at(1)));
    }

    #[test]
    fn times_at_the_ends_of_what_can_be_held_are_compared() {
        assert!(is_older(None, Timestamp::MIN, Timestamp::MAX));
        assert!(!is_older(Some(Timestamp::MAX), Timestamp::MAX, Timestamp::MIN));
    }
}
