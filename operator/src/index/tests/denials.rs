//! The counts of refused calls, and which of them Events are published about.

use ::profile::Action;
use serde_json::{Value, json};

use super::*;
use crate::denied_call::DenialReason;
use crate::facts::{ObservationFacts, ObservedPod};

/// An index with profile `a`, and the pod `web` with uid `u` under it on node `n1`; the first list of observations was empty.
fn index() -> Index {
    let mut index = unlisted();
    index.observations_listed();
    index
}

fn unlisted() -> Index {
    let mut index = Index::new("profiles").counting_denials(true);
    index.apply_node(node("n1"), at(0));
    index.apply_profile(profile("a", 1), UpdateSource::List, at(0));
    index.apply_observed_pod(pod("u", "n1", "a"));
    index
}

fn pod(uid: &str, node: &str, profile: &str) -> ObservedPod {
    let profile = json!({ "seccompProfile": { "type": "Localhost", "localhostProfile": format!("profiles/{profile}.json") } });
    let pod = json!({
        "metadata": { "name": "web", "namespace": "shop", "uid": uid },
        "spec": {
            "nodeName": node,
            "containers": [{ "name": "main", "securityContext": profile }, { "name": "other" }],
        },
    });
    ObservedPod::of(&serde_json::from_value(pod).unwrap(), "profiles").unwrap()
}

fn call(name: &str, action: &str, count: i64) -> Value {
    json!({ "architecture": "x86_64", "number": name.bytes().fold(7_i64, |sum, byte| sum * 31 + i64::from(byte)), "name": name, "action": action, "count": count })
}

fn container(id: &str, calls: &[Value]) -> Value {
    json!({ "namespace": "shop", "pod": "web", "podUid": "u", "container": "main", "containerId": id, "calls": calls })
}

fn observation(node: &str, containers: &[Value]) -> ObservationFacts {
    let report = json!({ "containers": containers });
    let object = json!({ "metadata": { "name": node }, "status": { "report": report } });
    ObservationFacts::of(serde_json::from_value(object).unwrap())
}

/// Applies an observation of the container `c` on `n1`.
fn observe(index: &mut Index, calls: &[Value], now: i64) {
    index.apply_observation(observation("n1", &[container("c", calls)]), at(now));
}

fn count(index: &Index, action: Action) -> u64 {
    index.denials("a").unwrap().find(|it| it.0 == action).unwrap().1
}

fn published(index: &mut Index) -> Vec<(String, DenialReason)> {
    index.take_denied_calls().into_iter().map(|it| (it.call, it.reason)).collect()
}

#[test]
fn what_is_new_in_an_observation_is_added_by_profile_and_action() {
    let mut index = index();
    observe(&mut index, &[call("ptrace", "SCMP_ACT_ERRNO", 3), call("bpf", "SCMP_ACT_LOG", 5)], 0);
    assert_eq!((count(&index, Action::Errno), count(&index, Action::Log)), (3, 5));
    observe(&mut index, &[call("ptrace", "SCMP_ACT_ERRNO", 7), call("bpf", "SCMP_ACT_LOG", 5)], 30);
    assert_eq!((count(&index, Action::Errno), count(&index, Action::Log)), (7, 5));
    // A container that was restarted has another number, and a list again what the watch had already.
    let both = [
        container("c", &[call("ptrace", "SCMP_ACT_ERRNO", 7)]),
        container("d", &[call("ptrace", "SCMP_ACT_ERRNO", 1)]),
    ];
    index.apply_observation(observation("n1", &both), at(60));
    index.observations_listed();
    index.apply_observation(observation("n1", &both), at(61));
    assert_eq!(count(&index, Action::Errno), 8);
}

#[test]
fn counts_that_start_again_from_a_lower_number_never_lower_the_counter() {
    let mut index = index();
    observe(&mut index, &[call("ptrace", "SCMP_ACT_ERRNO", 100)], 0);
    observe(&mut index, &[call("ptrace", "SCMP_ACT_ERRNO", 2)], 30);
    observe(&mut index, &[], 60);
    observe(&mut index, &[call("ptrace", "SCMP_ACT_ERRNO", 1)], 90);
    assert_eq!(count(&index, Action::Errno), 103);
    observe(&mut index, &[call("ptrace", "SCMP_ACT_ERRNO", i64::MAX)], 120);
    assert!(count(&index, Action::Errno) > 103);
}

#[test]
fn what_was_counted_before_this_process_began_adds_nothing_and_is_not_published() {
    let mut index = unlisted();
    observe(&mut index, &[call("ptrace", "SCMP_ACT_ERRNO", 100)], 0);
    index.observations_listed();
    assert_eq!((count(&index, Action::Errno), published(&mut index).len()), (0, 0));
    observe(&mut index, &[call("ptrace", "SCMP_ACT_ERRNO", 101)], 30);
    assert_eq!((count(&index, Action::Errno), published(&mut index).len()), (1, 1));
}

#[test]
fn an_observation_that_somebody_deletes_comes_back_with_counts_that_are_known() {
    let mut index = index();
    observe(&mut index, &[call("ptrace", "SCMP_ACT_ERRNO", 100)], 0);
    index.delete_observation("n1");
    observe(&mut index, &[call("ptrace", "SCMP_ACT_ERRNO", 101)], 30);
    assert_eq!(count(&index, Action::Errno), 101);
    // That of a Node that is gone does not come back, and is forgotten, whichever is gone first.
    index.delete_observation("n1");
    index.delete_node("n1", "n1-1", at(40));
    observe(&mut index, &[call("ptrace", "SCMP_ACT_ERRNO", 5)], 50);
    assert_eq!(count(&index, Action::Errno), 106);
    index.delete_observation("n1");
    observe(&mut index, &[call("ptrace", "SCMP_ACT_ERRNO", 6)], 60);
    assert_eq!(count(&index, Action::Errno), 112);
}

#[test]
fn only_containers_of_pods_on_the_node_count_and_only_under_a_profile_that_exists() {
    let mut index = index();
    let refused = [call("ptrace", "SCMP_ACT_ERRNO", 1)];
    // A stolen observer of another node.
    index.apply_observation(observation("n2", &[container("c", &refused)]), at(0));
    let with = |field: &str, value: &str| {
        let mut container = container(value, &refused);
        container[field] = json!(value);
        container
    };
    // A container without our profile, a pod that was recreated, and one that nobody knows.
    let others = [with("container", "other"), with("podUid", "v"), with("pod", "db")];
    index.apply_observation(observation("n1", &others[..2]), at(0));
    assert_eq!((count(&index, Action::Errno), published(&mut index).len()), (0, 0));
    // The uid is better than the name; without it the name decides.
    index.apply_observation(observation("n1", &others[2..]), at(0));
    index.apply_observation(observation("n1", &[with("podUid", "")]), at(0));
    assert_eq!(count(&index, Action::Errno), 2);
    // Nobody creates series of the metric by naming profiles that do not exist.
    index.apply_observed_pod(pod("u", "n1", "no-such-profile"));
    observe(&mut index, &refused, 0);
    assert!(index.denials("no-such-profile").unwrap().all(|(_, count)| count == 0));
    assert_eq!(count(&index, Action::Errno), 2);
}

#[test]
fn the_last_calls_of_a_pod_that_is_gone_count_for_two_minutes() {
    let mut index = index();
    index.delete_pod("u", at(0));
    index.delete_pod("u", at(100));
    observe(&mut index, &[call("ptrace", "SCMP_ACT_ERRNO", 1)], 119);
    assert_eq!(count(&index, Action::Errno), 1);
    observe(&mut index, &[call("ptrace", "SCMP_ACT_ERRNO", 2)], 120);
    assert_eq!(count(&index, Action::Errno), 1);
}

#[test]
fn a_profile_that_is_deleted_takes_its_counts_along() {
    let mut index = index();
    observe(&mut index, &[call("ptrace", "SCMP_ACT_ERRNO", 3)], 0);
    index.delete_profile("a", "uid-1", at(1));
    index.apply_profile(profile("a", 2), UpdateSource::List, at(2));
    assert_eq!(count(&index, Action::Errno), 0);
}

#[test]
fn a_refused_call_of_a_container_is_published_at_once_and_again_after_five_minutes_if_it_goes_on() {
    let mut index = index();
    let refused = |count| [call("ptrace", "SCMP_ACT_ERRNO", count), call("bpf", "SCMP_ACT_KILL_PROCESS", 1)];
    observe(&mut index, &refused(1), 0);
    let (ptrace, bpf) =
        (("ptrace".to_owned(), DenialReason::Refused), ("bpf".to_owned(), DenialReason::Killed));
    assert_eq!(published(&mut index), [ptrace.clone(), bpf]);
    observe(&mut index, &refused(2), 299);
    assert_eq!(published(&mut index), []);
    observe(&mut index, &refused(3), 300);
    assert_eq!(published(&mut index), [ptrace]);
    // A container that is killed and restarted again and again is one container of its pod.
    let restarted = container("d", &[call("bpf", "SCMP_ACT_KILL_PROCESS", 1)]);
    index.apply_observation(observation("n1", std::slice::from_ref(&restarted)), at(100));
    assert_eq!(published(&mut index), []);
}

#[test]
fn calls_that_were_permitted_or_that_another_program_decided_are_counted_and_not_published() {
    let mut index = index();
    let calls = ["SCMP_ACT_LOG", "SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE"].map(|action| call("ptrace", action, 1));
    observe(&mut index, &calls, 0);
    assert_eq!((count(&index, Action::Log), count(&index, Action::Notify)), (1, 1));
    assert_eq!(published(&mut index), []);
}

#[test]
fn a_pod_has_so_many_events_and_no_more_however_many_calls_it_makes() {
    let mut index = index();
    for round in 0..10 {
        let calls: Vec<_> =
            (0..64).map(|number| call(&format!("c{}", round * 64 + number), "SCMP_ACT_ERRNO", 1)).collect();
        index.apply_observation(observation("n1", &[container(&round.to_string(), &calls)]), at(round));
    }
    assert_eq!(published(&mut index).len(), 64);
    assert_eq!(count(&index, Action::Errno), 640);
}

#[test]
fn without_observers_nothing_is_counted() {
    let mut index = Index::new("profiles");
    index.apply_profile(profile("a", 1), UpdateSource::List, at(0));
    index.apply_observed_pod(pod("u", "n1", "a"));
    index.observations_listed();
    observe(&mut index, &[call("ptrace", "SCMP_ACT_ERRNO", 3)], 0);
    assert!(index.denials("a").is_none() && index.take_denied_calls().is_empty());
}
