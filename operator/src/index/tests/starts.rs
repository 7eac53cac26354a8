//! Containers that do not start although their node has their profile.

use super::*;
use crate::facts::{Cause, FailedStart};
use crate::notice::Notice;

fn failed(profile: &str, cause: Cause) -> FailedStart {
    FailedStart { profile: profile.to_owned(), cause, place: None, at: None, until: None }
}

/// A pod on `node` that uses the profile `a`, of which these starts failed.
fn failing(uid: &str, node: &str, failed_starts: Vec<FailedStart>) -> PodFacts {
    PodFacts { failed_starts, ..user(uid, Some(node), "a") }
}

fn not_found() -> Vec<FailedStart> {
    let place = Some("/data/kubelet/seccomp/profiles".to_owned());
    vec![FailedStart { place, ..failed("a", Cause::FileNotFound) }]
}

/// What is written about the starts on a node: the condition's reason and the failures' profiles, or that there is none.
#[derive(Debug, PartialEq)]
enum Said {
    Nothing,
    NoFailure,
    Failures(String, Vec<String>),
}

/// Looks at the node `n1` as its controller does, stores what it writes, and gives that with the Events.
fn look(index: &mut Index, now: i64) -> (Said, Vec<Notice>) {
    index.pass_time("n1", at(now));
    let NodeOperation::WriteConditions { version, conditions, start_failures, notices, .. } =
        index.judge_node("n1", at(now)).unwrap().step
    else {
        return (Said::Nothing, Vec::new());
    };
    let known = index.nodes["n1"].report.clone().unwrap();
    let find = |kind: &str| conditions.iter().find(|condition| condition.type_ == kind).cloned();
    let said = match (&start_failures, find("ContainersStart")) {
        (None, _) => Said::Nothing,
        (Some(failures), None) => {
            assert_eq!(failures, &[]);
            Said::NoFailure
        }
        (Some(failures), Some(condition)) => {
            assert_eq!(condition.status, "False");
            Said::Failures(condition.reason, failures.iter().map(|it| it.profile.clone()).collect())
        }
    };
    let number = 1 + version.resource_version.parse::<u32>().unwrap();
    let written = ReportFacts {
        version: Version { resource_version: number.to_string(), ..version },
        ready: find("Ready"),
        containers_start: find("ContainersStart"),
        start_failures: start_failures.clone().unwrap_or(known.start_failures),
        ..known
    };
    index.apply_report(written, Source::Answer, at(now));
    if let Some(failures) = &start_failures {
        index.starts_written("n1", failures.len(), at(now));
    }
    (said, notices)
}

fn requeue_at(index: &mut Index, now: i64) -> Option<i64> {
    index.pass_time("n1", at(now));
    let time = index.judge_node("n1", at(now)).unwrap().requeue_at?;
    Some(time.as_second() - START)
}

fn failures(reason: &str, profiles: &[&str]) -> Said {
    Said::Failures(reason.to_owned(), profiles.iter().map(ToString::to_string).collect())
}

/// Two nodes that have `a`, of which all is said that there is to say at the start.
fn settled() -> Index {
    let mut index = two_nodes();
    look(&mut index, 0);
    assert_eq!(look(&mut index, 0), (Said::Nothing, Vec::new()));
    index
}

#[test]
fn a_node_that_has_a_profile_which_the_runtime_does_not_find_says_so_after_half_a_minute() {
    let mut index = settled();
    index.apply_pod(failing("web", "n1", not_found()), at(10));
    assert!(index.take_dirty().nodes.contains("n1"));
    assert_eq!(look(&mut index, 10).0, Said::Nothing);
    assert_eq!(requeue_at(&mut index, 10), Some(40));
    assert_eq!(look(&mut index, 40), (failures("FileNotFound", &["a"]), vec![Notice::FileNotFound]));
    let report = index.nodes["n1"].report.clone().unwrap();
    assert_eq!(
        report.start_failures[0].message,
        "the container runtime does not find the file, which the agent keeps: it looks in \
         /data/kubelet/seccomp/profiles. Likely the kubelet's root directory is not the chart's kubeletRoot (pod shop/web)"
    );
    assert_eq!(
        report.containers_start.unwrap().message,
        "containers do not start under a (FileNotFound); status.startFailures says why"
    );
    // It is said once, and what the node holds is as true as before.
    assert_eq!(look(&mut index, 1000), (Said::Nothing, Vec::new()));
    assert_eq!(requeue_at(&mut index, 1000), None);
    assert_eq!(report.ready.unwrap().status, "True");
    assert_eq!(ready_condition(&status(&index, 1000)), ("True", "AllNodesReady"));
}

#[test]
fn a_node_on_which_nobody_listens_for_a_profile_says_so() {
    let mut index = settled();
    index.apply_pod(failing("web", "n1", vec![failed("a", Cause::NobodyListens)]), at(10));
    look(&mut index, 10);
    assert_eq!(look(&mut index, 40), (failures("NobodyListens", &["a"]), vec![Notice::NobodyListens]));
    assert_eq!(
        index.nodes["n1"].report.clone().unwrap().start_failures[0].message,
        "the container runtime reaches no seccomp agent on the socket that the profile names as listenerPath. Likely \
         none listens there on this node (pod shop/web)"
    );
}

#[test]
fn what_a_pod_says_of_a_file_that_has_just_come_is_waited_out() {
    let mut index = settled();
    index.apply_pod(failing("web", "n1", not_found()), at(10));
    assert_eq!(look(&mut index, 10).0, Said::Nothing);
    // The kubelet's next try finds it.
    index.apply_pod(user("web", Some("n1"), "a"), at(25));
    assert!(index.take_dirty().nodes.contains("n1"));
    assert_eq!(look(&mut index, 25).0, Said::Nothing);
    index.apply_pod(failing("web", "n1", not_found()), at(41));
    assert_eq!(look(&mut index, 41).0, Said::Nothing);
}

#[test]
fn a_node_that_lacks_the_profile_is_not_said_to_fail_at_it() {
    let mut index = settled();
    let other = ReportFacts { version: version(7, 9), ..report("n1", &[("a", 2)]) };
    index.apply_report(other, Source::Watch, at(5));
    index.apply_pod(failing("web", "n1", not_found()), at(10));
    index.apply_pod(failing("other", "n1", vec![failed("absent", Cause::FileNotFound)]), at(10));
    index.apply_pod(failing("nowhere", "n9", not_found()), at(10));
    for now in [10, 40, 100] {
        assert_eq!(look(&mut index, now).0, Said::Nothing);
    }
}

#[test]
fn what_is_over_is_said_to_be_over_a_minute_later() {
    let mut index = settled();
    index.apply_pod(failing("web", "n1", not_found()), at(0));
    look(&mut index, 0);
    look(&mut index, 30);
    // Between two tries a container says nothing for a moment.
    index.apply_pod(user("web", Some("n1"), "a"), at(50));
    assert_eq!(look(&mut index, 50).0, Said::Nothing);
    assert_eq!(requeue_at(&mut index, 50), Some(110));
    index.apply_pod(failing("web", "n1", not_found()), at(60));
    assert_eq!(look(&mut index, 60).0, Said::Nothing);
    assert_eq!(look(&mut index, 120).0, Said::Nothing);
    index.delete_pod("web", at(200));
    assert!(index.take_dirty().nodes.contains("n1"));
    assert_eq!(look(&mut index, 200).0, Said::Nothing);
    assert_eq!(look(&mut index, 259).0, Said::Nothing);
    assert_eq!(look(&mut index, 260), (Said::NoFailure, Vec::new()));
    assert_eq!(look(&mut index, 261).0, Said::Nothing);
    assert_eq!(requeue_at(&mut index, 261), None);
}

#[test]
fn new_contents_are_not_blamed_for_a_start_under_the_earlier_ones() {
    let mut index = settled();
    let start = |second| vec![FailedStart { at: Some(at(second)), ..failed("a", Cause::StartFailed) }];
    index.apply_pod(failing("web", "n1", start(5)), at(5));
    look(&mut index, 5);
    assert_eq!(look(&mut index, 35), (failures("StartFailed", &["a"]), vec![Notice::StartFailed]));
    let mended = ProfileFacts { version: version(1, 2), generation: Some(2), ..profile("a", 2) };
    index.apply_profile(mended, Source::Watch, at(50));
    assert!(index.take_dirty().nodes.contains("n1"));
    assert_eq!(look(&mut index, 50).0, Said::NoFailure);
    let held = index.nodes["n1"].report.clone().unwrap();
    let held = ReportFacts { version: version(7, 99), files: report("n1", &[("a", 2)]).files, ..held };
    index.apply_report(held, Source::Watch, at(51));
    // The kubelet waits with its next try for up to five minutes.
    assert_eq!(look(&mut index, 51).0, Said::Nothing);
    assert_eq!(look(&mut index, 200).0, Said::Nothing);
    // It fails again.
    index.apply_pod(failing("web", "n1", start(300)), at(300));
    look(&mut index, 300);
    assert_eq!(look(&mut index, 330).0, failures("StartFailed", &["a"]));
}

#[test]
fn a_container_that_waits_since_before_is_held_against_new_contents_only_after_the_kubelets_next_try() {
    let mut index = settled();
    // It does not say since when it waits.
    let waits = || failing("web", "n1", vec![failed("a", Cause::StartFailed)]);
    index.apply_pod(waits(), at(5));
    look(&mut index, 5);
    assert_eq!(look(&mut index, 35).0, failures("StartFailed", &["a"]));
    let mended = ProfileFacts { version: version(1, 2), generation: Some(2), ..profile("a", 2) };
    index.apply_profile(mended, Source::Watch, at(50));
    // The node has them before it is looked at.
    let held = index.nodes["n1"].report.clone().unwrap();
    let held = ReportFacts { version: version(7, 99), files: report("n1", &[("a", 2)]).files, ..held };
    index.apply_report(held, Source::Watch, at(51));
    assert_eq!(look(&mut index, 51).0, Said::NoFailure);
    assert_eq!(requeue_at(&mut index, 51), Some(81));
    assert_eq!(look(&mut index, 80).0, Said::Nothing);
    // These do not start either.
    assert_eq!(look(&mut index, 81).0, failures("StartFailed", &["a"]));
}

#[test]
fn a_pod_that_has_ended_speaks_until_its_time_is_over() {
    let mut index = settled();
    let ended = FailedStart { until: Some(at(600)), ..failed("a", Cause::StartFailed) };
    index.apply_pod(PodFacts { kind: PodKind::Other, ..failing("job", "n1", vec![ended]) }, at(0));
    look(&mut index, 0);
    assert_eq!(look(&mut index, 30).0, failures("StartFailed", &["a"]));
    assert_eq!(requeue_at(&mut index, 30), Some(600));
    look(&mut index, 600);
    assert_eq!(requeue_at(&mut index, 600), Some(660));
    assert_eq!(look(&mut index, 660).0, Said::NoFailure);
}

#[test]
fn a_profile_that_goes_takes_its_failures_along() {
    let mut index = settled();
    index.apply_pod(failing("web", "n1", not_found()), at(0));
    look(&mut index, 0);
    look(&mut index, 30);
    index.take_dirty();
    index.delete_profile("a", "uid-1", at(40));
    assert!(index.take_dirty().nodes.contains("n1"));
    assert_eq!(look(&mut index, 40).0, Said::NoFailure);
}

#[test]
fn an_operator_that_has_just_started_takes_back_nothing_that_pods_still_say() {
    let mut index = settled();
    index.apply_pod(failing("web", "n1", not_found()), at(0));
    look(&mut index, 0);
    look(&mut index, 30);
    let stored = index.nodes["n1"].report.clone().unwrap();
    let mut next = two_nodes();
    next.apply_report(stored, Source::List, at(40));
    next.apply_pod(failing("web", "n1", not_found()), at(40));
    assert_eq!(look(&mut next, 40), (Said::Nothing, Vec::new()));
    // What nobody says any more does not stay for want of a memory.
    next.delete_pod("web", at(50));
    assert_eq!(look(&mut next, 50).0, Said::Nothing);
    assert_eq!(look(&mut next, 110).0, Said::NoFailure);
}

#[test]
fn a_definition_that_knows_no_start_failures_costs_one_write() {
    let mut index = settled();
    index.apply_pod(failing("web", "n1", not_found()), at(0));
    look(&mut index, 0);
    assert_eq!(look(&mut index, 30).0, failures("FileNotFound", &["a"]));
    let dropped = ReportFacts { start_failures: Vec::new(), ..index.nodes["n1"].report.clone().unwrap() };
    index.apply_report(dropped, Source::Answer, at(30));
    for now in 31..300 {
        assert_eq!(look(&mut index, now).0, Said::Nothing);
    }
    index.delete_pod("web", at(300));
    look(&mut index, 300);
    assert_eq!(look(&mut index, 360).0, Said::NoFailure);
    assert_eq!(look(&mut index, 361).0, Said::Nothing);
}

/// Profiles `p0` to `p99`, which both nodes have.
fn hundred_profiles() -> Index {
    let mut index = settled();
    let names: Vec<_> = (0..100).map(|number| format!("p{number}")).collect();
    let mut files = vec![("a", 1)];
    files.extend(names.iter().map(|name| (name.as_str(), 1)));
    for name in &names {
        index.apply_profile(profile(name, 1), Source::Watch, at(0));
    }
    let held = ReportFacts { version: version(7, 50), ..report("n1", &files) };
    index.apply_report(held, Source::Watch, at(0));
    look(&mut index, 0);
    index
}

#[test]
fn a_stranger_who_names_every_profile_gets_no_more_than_a_short_list() {
    let mut index = hundred_profiles();
    for number in 0..100 {
        let cause = if number % 2 == 0 { Cause::FileNotFound } else { Cause::StartFailed };
        let starts = vec![failed(&format!("p{number}"), cause)];
        index.apply_pod(failing(&format!("web-{number}"), "n1", starts), at(10));
    }
    look(&mut index, 10);
    let (said, notices) = look(&mut index, 40);
    let Said::Failures(_, profiles) = said else { panic!("{said:?}") };
    assert_eq!((profiles.len(), notices.len()), (api::MOST_START_FAILURES, 1));
    let stored = index.nodes["n1"].report.as_ref().unwrap();
    let message = &stored.containers_start.as_ref().unwrap().message;
    assert!(message.ends_with("and 11 more; status.startFailures says why"), "{message}");
}

#[test]
fn a_stranger_whose_pods_come_and_go_costs_no_more_than_a_write_a_minute() {
    let mut index = hundred_profiles();
    let (mut writes, mut events) = (0, 0);
    for second in 10..610 {
        let number = second / 5 % 100;
        let starts = vec![failed(&format!("p{number}"), Cause::StartFailed)];
        index.apply_pod(failing(&format!("web-{number}"), "n1", starts), at(second));
        // Each lives for 40 s.
        index.delete_pod(&format!("web-{}", (second / 5 + 92) % 100), at(second));
        let (said, notices) = look(&mut index, second);
        writes += u32::from(said != Said::Nothing);
        events += notices.len();
    }
    assert!((5..=12).contains(&writes), "{writes} writes in ten minutes");
    assert_eq!(events, 1);
}

#[test]
fn pods_that_replace_each_other_cost_no_write() {
    let mut index = settled();
    index.apply_pod(failing("web-0", "n1", not_found()), at(0));
    look(&mut index, 0);
    look(&mut index, 30);
    for number in 1..100 {
        index.apply_pod(failing(&format!("web-{number}"), "n1", not_found()), at(30 + number));
        index.delete_pod(&format!("web-{}", number - 1), at(30 + number));
        assert_eq!(look(&mut index, 30 + number), (Said::Nothing, Vec::new()));
    }
    assert_eq!(index.witnesses.count(), 1);
}

#[test]
fn a_pod_that_is_gone_says_nothing() {
    let mut index = settled();
    index.apply_pod(failing("web", "n1", not_found()), at(0));
    index.take_dirty();
    index.delete_pod("web", at(1));
    assert!(index.take_dirty().nodes.contains("n1"));
    assert_eq!(index.witnesses.count(), 0);
}
