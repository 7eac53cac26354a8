//! A run that is stopped or killed, and `--undo`.

use std::cell::RefCell;
use std::time::Duration;

use serde_json::{Value, json};

use super::console::{NEVER, NOBODY, YES, is_as_before, killed, run};
use super::server::Server;

#[tokio::test(start_paused = true)]
async fn a_stop_at_any_time_gives_the_workload_its_former_profile_again() {
    for seconds in [0, 1, 2, 3, 5, 20, 40, 70, 300, 600] {
        let server = RefCell::new(Server::new());
        let (result, script) = run(&server, &["--yes"], NOBODY, Duration::from_secs(seconds)).await;
        let server = server.into_inner();
        assert!(!result.unwrap(), "after {seconds} s");
        assert!(is_as_before(&server) && server.profiles.is_empty(), "{}", server.workload);
        assert!(script.said.contains("it was stopped"), "{}", script.said);
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_killed_is_continued_or_undone_and_what_was_learned_before_counts() {
    // Its state after the second rollout.
    let killed = async || killed(Server::new(), "--runtime=none", 60).await;
    let server = killed().await;
    let (result, script) = run(&server, &["--undo"], NOBODY, NEVER).await;
    assert!(result.unwrap() && is_as_before(&server.borrow()), "{}", script.said);
    assert_eq!(server.borrow().changes, ["rollout", "delete web-learning"]);
    let (result, _) = run(&server, &["--undo"], NOBODY, NEVER).await;
    assert_eq!(result.unwrap_err().reason(), "NothingToUndo");

    let server = killed().await;
    server.borrow_mut().logged.clear();
    let (result, script) = run(&server, &["--yes"], NOBODY, NEVER).await;
    assert!(result.unwrap(), "{}", script.said);
    assert!(script.said.contains("An earlier run was not ended"), "{}", script.said);
    // The pods had the filter of the second round.
    assert!(script.said.contains("round 3: it runs under web-learning; 2 calls known"), "{}", script.said);
    let names = server.borrow().profiles["web"]["spec"]["contents"]["syscalls"][0]["names"].clone();
    assert_eq!(names, json!(["mmap", "openat", "read"]));

    // Another run finds that it has the result.
    let (result, _) = run(&server, &["--yes"], NOBODY, NEVER).await;
    assert_eq!(result.unwrap_err().reason(), "AlreadyLearned");
    // With the earlier profile again, what the result permits is known.
    let before = server.borrow().before.clone();
    server.borrow_mut().workload["spec"] = before;
    server.borrow_mut().program = vec![vec!["write"]];
    let (result, script) = run(&server, &["--yes"], NOBODY, NEVER).await;
    assert!(result.unwrap(), "{}", script.said);
    let names = server.borrow().profiles["web"]["spec"]["contents"]["syscalls"][0]["names"].clone();
    assert_eq!(names, json!(["mmap", "openat", "read", "write"]));
}

/// A result of an earlier run, for another workload.
fn earlier_result() -> Value {
    let rules = json!([{ "names": ["read"], "action": "SCMP_ACT_ALLOW" }]);
    json!({
        "metadata": {
            "name": "web", "generation": 1, "labels": { "seccomp.imjasonh.dev/from": "learned" },
            "annotations": { "seccomp.imjasonh.dev/workload": "Deployment shop/other" },
        },
        "spec": { "contents": { "defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules } },
    })
}

#[tokio::test(start_paused = true)]
async fn a_kill_after_any_change_can_be_undone_or_continued() {
    // The last two changes of a run end it; what is before is not in force.
    let (all, ends) = (11, 10);
    for existing in [None, Some(earlier_result())] {
        // What had the result's name matters once the result is applied.
        for changes in (if existing.is_some() { 6 } else { 1 })..=all {
            let killed = async || {
                let mut server = Server { cut: Some(changes), ..Server::new() };
                server.profiles.extend(existing.clone().map(|it| ("web".to_owned(), it)));
                let server = RefCell::new(server);
                tokio::select! {
                    _ = run(&server, &["--yes"], NOBODY, NEVER) => {}
                    () = tokio::time::sleep(Duration::from_mins(50)) => {}
                }
                let mut killed = server.into_inner();
                assert_eq!(killed.cut, Some(0));
                killed.cut = None;
                RefCell::new(killed)
            };
            let server = killed().await;
            let (result, script) = run(&server, &["--undo"], NOBODY, NEVER).await;
            if changes == all {
                assert_eq!(result.unwrap_err().reason(), "NothingToUndo");
            } else if changes == ends {
                assert!(script.said.contains("was not under web-learning"), "{}", script.said);
            } else {
                assert!(
                    result.unwrap() && is_as_before(&server.borrow()),
                    "after {changes}: {}",
                    script.said
                );
            }
            let server = server.into_inner();
            assert_eq!(server.file() == "profiles/web.json", changes >= ends);
            if changes < ends {
                let spec = |it: &Value| (it["spec"].clone(), it["metadata"]["annotations"].clone());
                assert_eq!(
                    server.profiles.get("web").map(spec),
                    existing.as_ref().map(spec),
                    "after {changes}"
                );
                assert_eq!(server.profiles.len(), usize::from(existing.is_some()));
            }
            if existing.is_some() {
                continue;
            }
            let server = killed().await;
            let (result, _) = run(&server, &["--yes"], YES, NEVER).await;
            if changes >= ends {
                assert_eq!(result.unwrap_err().reason(), "AlreadyLearned");
            } else {
                assert!(result.unwrap(), "after {changes}");
                assert_eq!(server.borrow().file(), "profiles/web.json");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn undo_leaves_a_profile_that_somebody_else_has_given_the_workload_since() {
    let server = killed(Server::new(), "--runtime=none", 60).await;
    let path = json!({ "type": "Localhost", "localhostProfile": "profiles/newer.json" });
    server.borrow_mut().workload["spec"]["template"]["spec"]["securityContext"]["seccompProfile"] = path;
    let (result, script) = run(&server, &["--undo"], NOBODY, NEVER).await;
    assert!(result.unwrap());
    assert!(script.said.contains("somebody else has given its pods another profile, which stays"));
    let server = server.into_inner();
    assert_eq!(server.file(), "profiles/newer.json");
    assert!(!server.workload.to_string().contains("learning") && server.profiles.is_empty());
}
