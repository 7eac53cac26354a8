//! What is learned, and when it is quiet.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::console::{NOBODY, YES, is_as_before, learn};
use super::server::Server;

#[tokio::test(start_paused = true)]
async fn it_learns_rollout_by_rollout_until_it_is_quiet_and_applies_the_result_on_yes() {
    let begun = Instant::now();
    let (result, script, server) = learn(|_| {}, &[], YES).await;
    assert!(result.unwrap());
    let expected = [
        "create web-learning",
        "rollout",
        "update web-learning",
        "rollout",
        "update web-learning",
        "rollout",
        "update web-learning",
        "create web",
        "rollout",
        "delete web-learning",
    ];
    assert_eq!(server.changes, expected);
    assert!((600..900).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert_eq!(server.file(), "profiles/web.json");
    assert!(!server.workload.to_string().contains("learning"), "{}", server.workload);
    let result = &server.profiles["web"];
    assert_eq!(result["metadata"]["labels"]["seccomp.imjasonh.dev/from"], "learned");
    let contents = &result["spec"]["contents"];
    assert_eq!(contents["defaultAction"], "SCMP_ACT_ERRNO");
    // As in containerd's default, from which it began, clone3 is refused with ENOSYS.
    let rules = json!([
        { "names": ["mmap", "openat", "read"], "action": "SCMP_ACT_ALLOW" },
        { "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38 },
    ]);
    assert_eq!(contents["syscalls"], rules);
    for line in [
        "Refused stays what is refused by RuntimeDefault, taken to be that of containerd",
        "CALL     COUNT   PODS   CONTAINERS",
        "mmap     7       1      main",
        "3 calls seen in 3 pods, in 3 rounds",
        "lint finds",
        "Deployment shop/web runs under web\n",
    ] {
        assert!(script.said.contains(line), "no {line} in\n{}", script.said);
    }
    assert_eq!(
        script.asked,
        ["Let Deployment shop/web learn?", "Apply web, and let Deployment shop/web run under it?"]
    );
    assert!(
        script.progress.iter().any(|it| it.contains("round 3: 3 calls known; quiet for 5m")),
        "{:?}",
        script.progress
    );
}

#[tokio::test(start_paused = true)]
async fn a_container_that_a_webhook_adds_to_the_pods_learns_as_well() {
    let (result, script, _) = learn(|server| server.injected = true, &["--yes"], NOBODY).await;
    assert!(result.unwrap(), "{}", script.said);
    assert!(script.said.contains("1      injected"), "{}", script.said);
}

#[tokio::test(start_paused = true)]
async fn without_a_running_pod_or_a_living_observer_it_is_not_quiet() {
    let none = |server: &mut Server| server.phase = |it| (it.as_secs() < 300).then_some("Running");
    let (result, script, server) = learn(none, &["--yes"], NOBODY).await;
    assert!(!result.unwrap() && is_as_before(&server));
    assert!(script.said.contains("it never got quiet") && script.said.contains("none of its pods ran"));
    let dead = |server: &mut Server| server.is_observing = |it| it.as_secs() < 300;
    let (result, script, server) = learn(dead, &["--yes"], NOBODY).await;
    assert!(!result.unwrap() && is_as_before(&server));
    assert!(
        script.said.contains("it never got quiet") && script.said.contains("observer's pod is not ready")
    );
    // Back again, it is.
    let away = |server: &mut Server| server.is_observing = |it| !(300..1000).contains(&it.as_secs());
    let begun = Instant::now();
    let (result, ..) = learn(away, &["--yes"], NOBODY).await;
    assert!(result.unwrap());
    assert!((1590..1700).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_quiet_time_that_shows_nothing_is_refused() {
    for times in [["--quiet", "59s"], ["--quiet", "2h"]] {
        let (result, _, server) = learn(|_| {}, &times, YES).await;
        assert_eq!(result.unwrap_err().reason(), "Times");
        assert_eq!(server.changes, [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn lost_records_reset_the_quiet_time() {
    let begun = Instant::now();
    let lost = |since: Duration| i64::from(since.as_secs() > 500);
    let (result, script, _) = learn(|server| server.lost = lost, &["--yes"], NOBODY).await;
    assert!(result.unwrap());
    assert!(begun.elapsed().as_secs() > 1100, "{:?}", begun.elapsed());
    assert!(script.said.contains("calls may be missing: node-1: 1 audit records lost"), "{}", script.said);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_changed_where_no_observer_reports_or_no_filter_is_in_force() {
    let (result, _, server) = learn(|server| server.observer = false, &["--yes"], NOBODY).await;
    let error = result.unwrap_err().to_string();
    assert!(error.contains("node-1") && error.contains("observer.enabled"), "{error}");
    assert_eq!(server.changes, [""; 0]);
    let unconfined = |server: &mut Server| {
        server.workload["spec"]["template"]["spec"]["securityContext"] = json!({});
        server.before = server.workload["spec"].clone();
    };
    let (result, _, server) = learn(unconfined, &["--yes"], NOBODY).await;
    let error = result.unwrap_err().to_string();
    assert!(error.contains("--from-unconfined"), "{error}");
    assert_eq!(server.changes, [""; 0]);
    let foreign = |server: &mut Server| {
        server
            .profiles
            .insert("web-learning".to_owned(), json!({ "metadata": { "name": "web-learning" }, "spec": {} }));
    };
    let (result, _, server) = learn(foreign, &["--yes"], NOBODY).await;
    assert_eq!(result.unwrap_err().reason(), "Foreign");
    assert_eq!(server.changes, [""; 0]);
    // Its present profile, which somebody has written.
    let own = |server: &mut Server| {
        server.profiles.insert("web".to_owned(), json!({ "metadata": { "name": "web" }, "spec": {} }));
        let path = json!({ "type": "Localhost", "localhostProfile": "profiles/web.json" });
        server.workload["spec"]["template"]["spec"]["securityContext"]["seccompProfile"] = path;
    };
    let (result, _, server) = learn(own, &["--yes"], NOBODY).await;
    assert_eq!(result.unwrap_err().reason(), "Foreign");
    assert_eq!(server.changes, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_changed_where_the_evidence_cannot_be_written() {
    let (result, _, server) = learn(|_| {}, &["--yes", "--evidence", "/nowhere/seen.json"], NOBODY).await;
    assert_eq!(result.unwrap_err().reason(), "Write");
    assert_eq!(server.changes, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_fails_for_the_moment_is_made_again_and_after_an_error_what_was_learned_is_shown() {
    let busy = |server: &mut Server| server.failing = 2;
    let (result, script, _) = learn(|server| server.later = Some((20, busy)), &["--yes"], NOBODY).await;
    assert!(result.unwrap(), "{}", script.said);
    let broken = |server: &mut Server| server.ready = |file| file != "profiles/web-learning.json";
    let (result, script, server) =
        learn(|server| server.later = Some((20, broken)), &["--yes"], NOBODY).await;
    assert_eq!(result.unwrap_err().reason(), "NotReady");
    assert!(script.profile.contains("names: [openat, read]"), "{}", script.said);
    assert!(script.said.contains("it has failed"), "{}", script.said);
    assert!(is_as_before(&server) && server.profiles.is_empty());
}
