//! Processes that are gone by the time their record is read: their calls are counted for their container all the same,
//! because the kernel says whose child each process is.

use std::thread;

use crate::container::Root;
use crate::observer::{Watching, counts, of_shop, sum};

/// How many containers run at once.
const CONTAINERS: usize = 20;
/// How many calls each makes.
const CALLS: usize = 30;

/// Runs the containers at once, each with this call so often. Returns how many calls are shown, and how many were made.
fn run(call: &str, times: usize) -> (i64, i64) {
    let watching = Watching::begin();
    let root = Root::new();
    let calls = vec![format!("{call}:0:0:0:0:0:0"); times];
    thread::scope(|scope| {
        for number in 1..=CONTAINERS {
            let (watching, root, calls) = (&watching, &root, &calls);
            scope.spawn(move || watching.container(root, number, calls));
        }
    });
    let made = i64::try_from(CONTAINERS * times).unwrap();
    let report = watching.until(|report| sum(&of_shop(report)) + report.unknown + report.lost >= made);
    let found = of_shop(&report);
    let (shown, unknown, lost) = (sum(&found), report.unknown, report.lost);
    eprintln!("{call}: of {made} calls {shown} are shown; unknown {unknown}, lost {lost}");
    for container in found {
        let counts = counts(container);
        let is_right = |count: &i64| usize::try_from(*count).is_ok_and(|count| count <= times);
        assert!(counts.len() == 1 && counts.values().all(is_right), "{container:?}");
    }
    assert!(shown + unknown + lost >= made, "{report:?}");
    (shown, made)
}

#[test]
fn at_least_99_percent_of_the_calls_of_processes_that_live_for_5_ms_are_shown() {
    let (shown, made) = run("8:6e", CALLS);
    assert!(shown * 100 >= made * 99, "{shown} of {made}");
}

#[test]
fn at_least_99_percent_of_the_processes_that_the_filter_ends_are_shown() {
    let (shown, made) = run("0:6f", CALLS);
    assert!(shown * 100 >= made * 99, "{shown} of {made}");
}

#[test]
fn a_call_of_a_container_that_ends_at_once_is_shown() {
    // Its first process makes it, and has no parent in the container: the observer must read it between its start by the
    // runtime and its end.
    let (shown, made) = run("40:6e", 1);
    assert!(shown * 100 >= made * 90, "{shown} of {made}");
}
