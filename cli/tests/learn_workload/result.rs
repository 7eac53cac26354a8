//! A result that the workload cannot live with is taken back.

use super::console::{NOBODY, is_as_before, learn};
use super::server::{Event, Server};

#[tokio::test(start_paused = true)]
async fn a_result_under_which_the_workload_does_not_become_ready_is_taken_back() {
    let ready = |file: &str| file != "profiles/web.json";
    let (result, _, server) = learn(|server| server.ready = ready, &["--yes"], NOBODY).await;
    let error = result.unwrap_err();
    assert_eq!(error.reason(), "NotReady", "{error}");
    assert!(is_as_before(&server) && server.profiles.is_empty(), "{:?}", server.changes);
}

#[tokio::test(start_paused = true)]
async fn a_result_under_which_the_workload_does_not_stay_ready_is_taken_back() {
    let (result, script, server) = learn(|server| server.stays_ready = Some(20), &["--yes"], NOBODY).await;
    let error = result.unwrap_err();
    assert!(error.to_string().contains("it was ready, and no longer is"), "{error}");
    assert!(is_as_before(&server) && server.profiles.is_empty(), "{:?}", server.changes);
    assert!(script.said.contains("has its former profile again"), "{}", script.said);
    // What fails later than that is not waited for.
    let (result, ..) =
        learn(|server| server.stays_ready = Some(20), &["--yes", "--settle", "5s"], NOBODY).await;
    assert!(result.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_workload_that_is_not_ready_for_a_moment_keeps_its_result_unless_a_container_was_started_anew() {
    for (recovers, event, applies) in
        [(20, Event::Nothing, true), (40, Event::Nothing, false), (2, Event::Restart, false)]
    {
        let set = |server: &mut Server| {
            (server.stays_ready, server.recovers, server.event) = (Some(20), Some(recovers), event);
        };
        let (result, _, server) = learn(set, &["--yes"], NOBODY).await;
        assert_eq!(result.is_ok(), applies, "{recovers} {event:?} {result:?}");
        assert_eq!(server.profiles.contains_key("web"), applies);
        assert_eq!(is_as_before(&server), !applies);
        if let Err(error) = result {
            let is_said = error.to_string().contains("its container main was started anew");
            assert_eq!(is_said, event == Event::Restart, "{error}");
        }
    }
    // Also at the end of the wait.
    let late = |server: &mut Server| server.stays_ready = Some(59);
    let (result, _, server) = learn(late, &["--yes"], NOBODY).await;
    assert_eq!((result.is_ok(), server.profiles.contains_key("web")), (false, false));
}

#[tokio::test(start_paused = true)]
async fn a_result_that_somebody_else_takes_out_of_the_template_is_not_said_to_be_in_force() {
    let (result, script, server) = learn(|server| server.event = Event::TakenOut, &["--yes"], NOBODY).await;
    assert_eq!(result.unwrap_err().reason(), "Changed");
    assert!(!script.said.contains("runs under web\n"), "{}", script.said);
    assert!(server.profiles.contains_key("web-learning"), "--undo is still possible");
}
