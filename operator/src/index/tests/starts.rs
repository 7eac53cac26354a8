//! Containers that do not start although their node has their profile.

use super::*;
use crate::facts::{Cause, PodStartFailure};
use crate::notice::Notice;

fn failed(profile: &str, cause: Cause) -> PodStartFailure {
    PodStartFailure { profile: profile.to_owned(), cause, place: None, at: None, until: None }
}

/// A pod on `node` that uses the profile `a`, with these failed starts.
fn failing(uid: &str, node: &str, failed_starts: Vec<PodStartFailure>) -> PodFacts {
    PodFacts { failed_starts, ..user(uid, Some(node), "a") }
}

fn not_found() -> Vec<PodStartFailure> {
    let place = Some("/data/kubelet/seccomp/profiles".to_owned());
    vec![PodStartFailure { place, ..failed("a", Cause::FileNotFound) }]
}

/// What is written about the starts on a node: the condition's reason and the failures' profiles, or that there is
/// none.
#[derive(Debug, PartialEq)]
enum Written {
    Nothing,
    NoFailure,
    Failures(String, Vec<String>),
}

/// Reconciles the node `n1`, stores what is written, and returns that with the Events.
fn reconcile_n1(index: &mut Index, now: i64) -> (Written, Vec<Notice>) {
    index.advance_time("n1", at(now));
    let NodeOperation::WriteConditions { version, conditions, start_failures, notices, .. } =
        index.decide_node("n1", at(now)).unwrap().operation
    else {
        return (Written::Nothing, Vec::new());
    };
    let known = index.nodes["n1"].report.clone().unwrap();
    let find = |kind: &str| conditions.iter().find(|condition| condition.type_ == kind).cloned();
    let written = match (&start_failures, find("ContainersStart")) {
        (None, _) => Written::Nothing,
        (Some(failures), None) => {
            assert_eq!(failures, &[]);
            Written::NoFailure
        }
        (Some(failures), Some(condition)) => {
            assert_eq!(condition.status, "False");
            Written::Failures(condition.reason, failures.iter().map(|it| it.profile.clone()).collect())
        }
    };
    let number = 1 + version.resource_version.parse::<u32>().unwrap();
    let stored = ReportFacts {
        version: ObjectVersion { resource_version: number.to_string(), ..version },
        ready: find("Ready"),
        containers_start: find("ContainersStart"),
        start_failures: start_failures.clone().unwrap_or(known.start_failures),
        ..known
    };
    index.apply_report(stored, UpdateSource::Answer, at(now));
    if let Some(failures) = &start_failures {
        index.start_failures_written("n1", failures.len(), at(now));
    }
    (written, notices)
}

fn requeue_at(index: &mut Index, now: i64) -> Option<i64> {
    index.advance_time("n1", at(now));
    let time = index.decide_node("n1", at(now)).unwrap().requeue_at?;
    Some(time.as_second() - START)
}

fn failures(reason: &str, profiles: &[&str]) -> Written {
    Written::Failures(reason.to_owned(), profiles.iter().map(ToString::to_string).collect())
}

/// Two nodes that have `a`, with nothing more to write about `n1`.
fn settled() -> Index {
    let mut index = two_nodes();
    reconcile_n1(&mut index, 0);
    assert_eq!(reconcile_n1(&mut index, 0), (Written::Nothing, Vec::new()));
    index
}

#[test]
fn a_node_on_which_the_runtime_does_not_find_a_profile_reports_it_after_half_a_minute() {
    let mut index = settled();
    index.apply_pod(failing("web", "n1", not_found()), at(10));
    assert!(index.take_dirty().nodes.contains("n1"));
    assert_eq!(reconcile_n1(&mut index, 10).0, Written::Nothing);
    assert_eq!(requeue_at(&mut index, 10), Some(40));
    assert_eq!(reconcile_n1(&mut index, 40), (failures("FileNotFound", &["a"]), vec![Notice::FileNotFound]));
    let report = index.nodes["n1"].report.clone().unwrap();
    assert_eq!(
        report.start_failures[0].message,
        "the container runtime does not find the file, which the agent keeps: it looks in \
         /data/kubelet/seccomp/profiles. Likely the kubelet's root directory is not the chart's kubeletRoot (pod shop/web)"
    );
    assert_eq!(
        report.containers_start.unwrap().message,
        "containers do not start under a (FileNotFound); status.startFailures lists the reasons"
    );
    // It is written once, and the other conditions stay.
    assert_eq!(reconcile_n1(&mut index, 1000), (Written::Nothing, Vec::new()));
    assert_eq!(requeue_at(&mut index, 1000), None);
    assert_eq!(report.ready.unwrap().status, "True");
    assert_eq!(ready_condition(&status(&index, 1000)), ("True", "AllNodesReady"));
}

#[test]
fn a_node_without_a_listener_for_a_profile_reports_it() {
    let mut index = settled();
    index.apply_pod(failing("web", "n1", vec![failed("a", Cause::ListenerUnreachable)]), at(10));
    reconcile_n1(&mut index, 10);
    assert_eq!(
        reconcile_n1(&mut index, 40),
        (failures("ListenerUnreachable", &["a"]), vec![Notice::ListenerUnreachable])
    );
    assert_eq!(
        index.nodes["n1"].report.clone().unwrap().start_failures[0].message,
        "the container runtime reaches no seccomp agent on the socket that the profile names as listenerPath. Likely \
         none listens there on this node (pod shop/web)"
    );
}

#[test]
fn a_pod_that_misses_a_file_just_written_is_not_reported() {
    let mut index = settled();
    index.apply_pod(failing("web", "n1", not_found()), at(10));
    assert_eq!(reconcile_n1(&mut index, 10).0, Written::Nothing);
    // The kubelet's next try finds it.
    index.apply_pod(user("web", Some("n1"), "a"), at(25));
    assert!(index.take_dirty().nodes.contains("n1"));
    assert_eq!(reconcile_n1(&mut index, 25).0, Written::Nothing);
    index.apply_pod(failing("web", "n1", not_found()), at(41));
    assert_eq!(reconcile_n1(&mut index, 41).0, Written::Nothing);
}

#[test]
fn failed_starts_on_a_node_that_lacks_the_profile_are_not_reported() {
    let mut index = settled();
    let other = ReportFacts { version: version(7, 9), ..report("n1", &[("a", 2)]) };
    index.apply_report(other, UpdateSource::Watch, at(5));
    index.apply_pod(failing("web", "n1", not_found()), at(10));
    index.apply_pod(failing("other", "n1", vec![failed("absent", Cause::FileNotFound)]), at(10));
    index.apply_pod(failing("nowhere", "n9", not_found()), at(10));
    for now in [10, 40, 100] {
        assert_eq!(reconcile_n1(&mut index, now).0, Written::Nothing);
    }
}

#[test]
fn a_failure_that_is_over_is_removed_a_minute_later() {
    let mut index = settled();
    index.apply_pod(failing("web", "n1", not_found()), at(0));
    reconcile_n1(&mut index, 0);
    reconcile_n1(&mut index, 30);
    // Between two tries, the container's status is empty for a moment.
    index.apply_pod(user("web", Some("n1"), "a"), at(50));
    assert_eq!(reconcile_n1(&mut index, 50).0, Written::Nothing);
    assert_eq!(requeue_at(&mut index, 50), Some(110));
    index.apply_pod(failing("web", "n1", not_found()), at(60));
    assert_eq!(reconcile_n1(&mut index, 60).0, Written::Nothing);
    assert_eq!(reconcile_n1(&mut index, 120).0, Written::Nothing);
    index.delete_pod("web", at(200));
    assert!(index.take_dirty().nodes.contains("n1"));
    assert_eq!(reconcile_n1(&mut index, 200).0, Written::Nothing);
    assert_eq!(reconcile_n1(&mut index, 259).0, Written::Nothing);
    assert_eq!(reconcile_n1(&mut index, 260), (Written::NoFailure, Vec::new()));
    assert_eq!(reconcile_n1(&mut index, 261).0, Written::Nothing);
    assert_eq!(requeue_at(&mut index, 261), None);
}

#[test]
fn a_start_under_earlier_contents_does_not_count_against_new_ones() {
    let mut index = settled();
    let start = |second| vec![PodStartFailure { at: Some(at(second)), ..failed("a", Cause::StartFailed) }];
    index.apply_pod(failing("web", "n1", start(5)), at(5));
    reconcile_n1(&mut index, 5);
    assert_eq!(reconcile_n1(&mut index, 35), (failures("StartFailed", &["a"]), vec![Notice::StartFailed]));
    let mended = ProfileFacts { version: version(1, 2), generation: Some(2), ..profile("a", 2) };
    index.apply_profile(mended, UpdateSource::Watch, at(50));
    assert!(index.take_dirty().nodes.contains("n1"));
    assert_eq!(reconcile_n1(&mut index, 50).0, Written::NoFailure);
    let reported = index.nodes["n1"].report.clone().unwrap();
    let reported =
        ReportFacts { version: version(7, 99), files: report("n1", &[("a", 2)]).files, ..reported };
    index.apply_report(reported, UpdateSource::Watch, at(51));
    // The kubelet waits with its next try for up to five minutes.
    assert_eq!(reconcile_n1(&mut index, 51).0, Written::Nothing);
    assert_eq!(reconcile_n1(&mut index, 200).0, Written::Nothing);
    // It fails again.
    index.apply_pod(failing("web", "n1", start(300)), at(300));
    reconcile_n1(&mut index, 300);
    assert_eq!(reconcile_n1(&mut index, 330).0, failures("StartFailed", &["a"]));
}

#[test]
fn a_container_that_already_waited_counts_against_new_contents_only_after_the_kubelets_next_try() {
    let mut index = settled();
    // Its status does not show since when it waits.
    let waits = || failing("web", "n1", vec![failed("a", Cause::StartFailed)]);
    index.apply_pod(waits(), at(5));
    reconcile_n1(&mut index, 5);
    assert_eq!(reconcile_n1(&mut index, 35).0, failures("StartFailed", &["a"]));
    let mended = ProfileFacts { version: version(1, 2), generation: Some(2), ..profile("a", 2) };
    index.apply_profile(mended, UpdateSource::Watch, at(50));
    // The node has them before it is reconciled.
    let reported = index.nodes["n1"].report.clone().unwrap();
    let reported =
        ReportFacts { version: version(7, 99), files: report("n1", &[("a", 2)]).files, ..reported };
    index.apply_report(reported, UpdateSource::Watch, at(51));
    assert_eq!(reconcile_n1(&mut index, 51).0, Written::NoFailure);
    assert_eq!(requeue_at(&mut index, 51), Some(81));
    assert_eq!(reconcile_n1(&mut index, 80).0, Written::Nothing);
    // These do not start either.
    assert_eq!(reconcile_n1(&mut index, 81).0, failures("StartFailed", &["a"]));
}

#[test]
fn the_failure_of_a_pod_that_has_ended_counts_until_its_time_is_over() {
    let mut index = settled();
    let ended = PodStartFailure { until: Some(at(600)), ..failed("a", Cause::StartFailed) };
    index.apply_pod(PodFacts { kind: PodKind::Other, ..failing("job", "n1", vec![ended]) }, at(0));
    reconcile_n1(&mut index, 0);
    assert_eq!(reconcile_n1(&mut index, 30).0, failures("StartFailed", &["a"]));
    assert_eq!(requeue_at(&mut index, 30), Some(600));
    reconcile_n1(&mut index, 600);
    assert_eq!(requeue_at(&mut index, 600), Some(660));
    assert_eq!(reconcile_n1(&mut index, 660).0, Written::NoFailure);
}

#[test]
fn the_failures_of_a_deleted_profile_are_removed() {
    let mut index = settled();
    index.apply_pod(failing("web", "n1", not_found()), at(0));
    reconcile_n1(&mut index, 0);
    reconcile_n1(&mut index, 30);
    index.take_dirty();
    index.delete_profile("a", "uid-1", at(40));
    assert!(index.take_dirty().nodes.contains("n1"));
    assert_eq!(reconcile_n1(&mut index, 40).0, Written::NoFailure);
}

#[test]
fn a_restarted_operator_keeps_the_failures_that_pods_still_show() {
    let mut index = settled();
    index.apply_pod(failing("web", "n1", not_found()), at(0));
    reconcile_n1(&mut index, 0);
    reconcile_n1(&mut index, 30);
    let stored = index.nodes["n1"].report.clone().unwrap();
    let mut next = two_nodes();
    next.apply_report(stored, UpdateSource::List, at(40));
    next.apply_pod(failing("web", "n1", not_found()), at(40));
    assert_eq!(reconcile_n1(&mut next, 40), (Written::Nothing, Vec::new()));
    // A failure that no pod shows any more is removed, although this process never saw it.
    next.delete_pod("web", at(50));
    assert_eq!(reconcile_n1(&mut next, 50).0, Written::Nothing);
    assert_eq!(reconcile_n1(&mut next, 110).0, Written::NoFailure);
}

#[test]
fn where_the_crd_has_no_start_failures_they_cost_one_write() {
    let mut index = settled();
    index.apply_pod(failing("web", "n1", not_found()), at(0));
    reconcile_n1(&mut index, 0);
    assert_eq!(reconcile_n1(&mut index, 30).0, failures("FileNotFound", &["a"]));
    let dropped = ReportFacts { start_failures: Vec::new(), ..index.nodes["n1"].report.clone().unwrap() };
    index.apply_report(dropped, UpdateSource::Answer, at(30));
    for now in 31..300 {
        assert_eq!(reconcile_n1(&mut index, now).0, Written::Nothing);
    }
    index.delete_pod("web", at(300));
    reconcile_n1(&mut index, 300);
    assert_eq!(reconcile_n1(&mut index, 360).0, Written::NoFailure);
    assert_eq!(reconcile_n1(&mut index, 361).0, Written::Nothing);
}

/// Profiles `p0` to `p99`, which both nodes have.
fn hundred_profiles() -> Index {
    let mut index = settled();
    let names: Vec<_> = (0..100).map(|number| format!("p{number}")).collect();
    let mut files = vec![("a", 1)];
    files.extend(names.iter().map(|name| (name.as_str(), 1)));
    for name in &names {
        index.apply_profile(profile(name, 1), UpdateSource::Watch, at(0));
    }
    let reported = ReportFacts { version: version(7, 50), ..report("n1", &files) };
    index.apply_report(reported, UpdateSource::Watch, at(0));
    reconcile_n1(&mut index, 0);
    index
}

#[test]
fn pods_that_fail_under_every_profile_cause_no_more_than_a_short_list() {
    let mut index = hundred_profiles();
    for number in 0..100 {
        let cause = if number % 2 == 0 { Cause::FileNotFound } else { Cause::StartFailed };
        let starts = vec![failed(&format!("p{number}"), cause)];
        index.apply_pod(failing(&format!("web-{number}"), "n1", starts), at(10));
    }
    reconcile_n1(&mut index, 10);
    let (written, notices) = reconcile_n1(&mut index, 40);
    let Written::Failures(_, profiles) = written else { panic!("{written:?}") };
    assert_eq!((profiles.len(), notices.len()), (api::MAX_START_FAILURES, 1));
    let stored = index.nodes["n1"].report.as_ref().unwrap();
    let message = &stored.containers_start.as_ref().unwrap().message;
    assert!(message.ends_with("and 11 more; status.startFailures lists the reasons"), "{message}");
}

#[test]
fn failing_pods_that_come_and_go_cause_no_more_than_one_write_a_minute() {
    let mut index = hundred_profiles();
    let (mut writes, mut events) = (0, 0);
    for second in 10..610 {
        let number = second / 5 % 100;
        let starts = vec![failed(&format!("p{number}"), Cause::StartFailed)];
        index.apply_pod(failing(&format!("web-{number}"), "n1", starts), at(second));
        // Each pod exists for 40 s.
        index.delete_pod(&format!("web-{}", (second / 5 + 92) % 100), at(second));
        let (written, notices) = reconcile_n1(&mut index, second);
        writes += u32::from(written != Written::Nothing);
        events += notices.len();
    }
    assert!((5..=12).contains(&writes), "{writes} writes in ten minutes");
    assert_eq!(events, 1);
}

#[test]
fn failing_pods_that_replace_each_other_cause_no_write() {
    let mut index = settled();
    index.apply_pod(failing("web-0", "n1", not_found()), at(0));
    reconcile_n1(&mut index, 0);
    reconcile_n1(&mut index, 30);
    for number in 1..100 {
        index.apply_pod(failing(&format!("web-{number}"), "n1", not_found()), at(30 + number));
        index.delete_pod(&format!("web-{}", number - 1), at(30 + number));
        assert_eq!(reconcile_n1(&mut index, 30 + number), (Written::Nothing, Vec::new()));
    }
    assert_eq!(index.failing_pods.count(), 1);
}

#[test]
fn a_deleted_pod_is_forgotten() {
    let mut index = settled();
    index.apply_pod(failing("web", "n1", not_found()), at(0));
    index.take_dirty();
    index.delete_pod("web", at(1));
    assert!(index.take_dirty().nodes.contains("n1"));
    assert_eq!(index.failing_pods.count(), 0);
}
