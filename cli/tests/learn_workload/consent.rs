//! What is applied only after a yes, and which yes counts.

use std::cell::RefCell;
use std::time::Duration;

use tokio::time::Instant;

use super::console::{NEVER, NOBODY, YES, is_as_before, killed, learn, run};
use super::server::Server;

#[tokio::test(start_paused = true)]
async fn without_a_yes_to_the_result_the_workload_has_its_former_profile_again() {
    for answer in [None, Some(false)] {
        let (result, script, server) = learn(|_| {}, &[], [Some(true), answer]).await;
        assert!(!result.unwrap());
        assert!(is_as_before(&server), "{}", server.workload);
        assert!(server.profiles.is_empty());
        assert_eq!(script.asked.len(), 2);
        assert!(script.profile.contains("names: [mmap, openat, read]"), "{}", script.said);
        assert!(script.said.contains("has its former profile again"), "{}", script.said);
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_yes_nothing_is_changed_even_where_an_earlier_run_is_continued() {
    for (answer, reason) in [(None, "NobodyToAsk"), (Some(false), "NotConfirmed")] {
        let server = killed(Server::new(), "--runtime=none", 120).await;
        for server in [RefCell::new(Server::new()), server] {
            let before = server.borrow().workload.clone();
            let (result, script) = run(&server, &[], [answer; 2], NEVER).await;
            let error = result.unwrap_err();
            assert_eq!(error.reason(), reason, "{error}");
            assert_eq!(script.asked.len(), 1);
            assert_eq!(server.borrow().changes, [""; 0]);
            assert_eq!(server.borrow().workload, before);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn where_calls_of_unknown_containers_were_made_the_yes_in_advance_does_not_count() {
    for (answers, applies) in [(NOBODY, false), (YES, true)] {
        let unknown = |since: Duration| 5 + i64::from(since.as_secs() > 500);
        let (result, script, server) = learn(|server| server.unknown = unknown, &["--yes"], answers).await;
        assert_eq!(result.unwrap(), applies);
        assert_eq!(script.asked.len(), 1);
        assert!(
            script.said.contains("calls of unknown containers were made on its nodes"),
            "{}",
            script.said
        );
        assert_eq!(server.profiles.contains_key("web"), applies);
    }
}

#[tokio::test(start_paused = true)]
async fn calls_of_containers_that_have_no_name_yet_are_waited_for_and_the_yes_in_advance_counts() {
    // Another container starts when it would be quiet, and is named in the next report.
    let begun = Instant::now();
    let starts = |since: Duration| 4 * i64::from((600..800).contains(&since.as_secs()));
    let (result, script, server) =
        learn(|server| (server.unknown, server.unnamed) = (starts, starts), &["--yes"], NOBODY).await;
    assert!(result.unwrap(), "{}", script.said);
    assert!(begun.elapsed().as_secs() > 800, "{:?}", begun.elapsed());
    assert!(server.profiles.contains_key("web") && script.asked.is_empty());
    assert!(!script.said.contains("may be missing"), "{}", script.said);
}

#[tokio::test(start_paused = true)]
async fn where_no_call_is_logged_at_all_nothing_is_applied() {
    let (result, _, server) = learn(|server| server.program = vec![vec![]], &["--yes"], NOBODY).await;
    let error = result.unwrap_err();
    assert_eq!(error.reason(), "NothingSeen", "{error}");
    assert!(is_as_before(&server) && server.profiles.is_empty());
    // What a killed run has left does not count as seen, nor do the calls that a runtime makes itself.
    let silent = Server { program: vec![vec![]], ..Server::new() };
    let server = killed(silent, "--runtime=runc", 30).await;
    let (result, script) = run(&server, &["--yes", "--runtime=runc"], NOBODY, NEVER).await;
    let error = result.unwrap_err();
    assert_eq!(error.reason(), "NothingSeen", "{error}");
    assert!(!script.said.contains("earlier runs have learned"), "{}", script.said);
    assert!(is_as_before(&server.borrow()) && server.borrow().profiles.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_run_that_sees_nothing_applies_what_earlier_ones_have_learned_only_after_another_yes() {
    for (answers, applies) in [(NOBODY, false), (YES, true)] {
        let server = killed(Server::new(), "--runtime=none", 120).await;
        server.borrow_mut().program = vec![vec![]];
        server.borrow_mut().logged.clear();
        let (result, script) = run(&server, &["--yes"], answers, NEVER).await;
        assert_eq!(result.unwrap(), applies);
        assert!(script.said.contains("nothing was seen in this run"), "{}", script.said);
        assert_eq!(script.asked.len(), 1);
        assert_eq!(server.borrow().profiles.contains_key("web"), applies);
    }
}

#[tokio::test(start_paused = true)]
async fn a_workload_that_never_gets_quiet_is_said_so_and_the_yes_in_advance_does_not_count() {
    let lost = |since: Duration| i64::try_from(since.as_secs()).unwrap();
    let (result, script, server) = learn(|server| server.lost = lost, &["--yes"], NOBODY).await;
    assert!(!result.unwrap());
    assert!(script.said.contains("it never got quiet"), "{}", script.said);
    assert!(script.profile.contains("names: [mmap, openat, read]"), "{}", script.said);
    assert!(is_as_before(&server) && server.profiles.is_empty());
}
