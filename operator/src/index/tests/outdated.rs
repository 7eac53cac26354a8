//! Containers that are older than the file of their profile.

use api::PodCounts;

use super::*;
use crate::facts::UpdateSource::Watch;

/// A pod on a node with containers under `a` that were created at these seconds.
fn running(uid: &str, node: &str, created: &[i64]) -> PodFacts {
    let under = |second: &i64| RunningUnder {
        profile: "a".into(),
        created_after: Some(at(*second)),
        started: at(*second + 1),
    };
    PodFacts { running: created.iter().map(under).collect(), ..user(uid, Some(node), "a") }
}

/// The report of a node that has `a` with a content since a second, or without a stated time.
fn holds(node: &str, content: u8, since: Option<i64>, number: u32) -> ReportFacts {
    let changed = since.map(|since| ("a".to_owned(), at(since))).into_iter().collect();
    ReportFacts { version: version(7, number), changed: Some(changed), ..report(node, &[("a", content)]) }
}

fn updated(content: u8, number: u32) -> ProfileFacts {
    ProfileFacts { version: version(1, number), generation: Some(number.into()), ..profile("a", content) }
}

/// Two nodes, each with a pod of two containers that have run for long.
fn used() -> Index {
    let mut index = two_nodes();
    index.apply_pod(running("web-1", "n1", &[10, 20]), at(30));
    index.apply_pod(running("web-2", "n2", &[10, 20]), at(30));
    index
}

fn counts(index: &Index) -> (u32, u32) {
    let Outdated { pods, containers, .. } = index.outdated("a");
    (pods, containers)
}

/// What the status shows.
fn shown(index: &Index, now: i64) -> (i32, i32) {
    let pods = status(index, now).pods.unwrap();
    assert_eq!(pods.unknown, None);
    (pods.using, pods.outdated.unwrap())
}

#[test]
fn after_the_first_write_no_container_is_outdated() {
    let index = used();
    assert_eq!(counts(&index), (0, 0));
    assert_eq!(shown(&index, 31), (2, 0));
}

#[test]
fn an_update_makes_every_running_container_outdated_until_it_is_restarted() {
    let mut index = used();
    index.apply_profile(updated(2, 2), Watch, at(100));
    assert_eq!(counts(&index), (2, 4), "before any node has the new file");
    index.apply_report(holds("n1", 2, Some(101), 2), Watch, at(102));
    index.apply_report(holds("n2", 2, Some(101), 3), Watch, at(102));
    assert_eq!(counts(&index), (2, 4));
    assert_eq!(shown(&index, 103), (2, 2));
    index.apply_pod(running("web-1", "n1", &[10, 110]), at(111));
    assert_eq!(counts(&index), (2, 3), "one container was restarted in its pod");
    index.delete_pod("web-1", at(112));
    index.apply_pod(running("web-3", "n1", &[113, 113]), at(115));
    assert_eq!(counts(&index), (1, 2));
    index.delete_pod("web-2", at(116));
    assert_eq!(counts(&index), (0, 0));
    assert_eq!(shown(&index, 117), (1, 0));
}

#[test]
fn a_node_whose_clock_is_off_by_a_minute_counts_as_one_whose_clock_is_right() {
    // What both nodes state is of their own clocks: n1 is a minute late, n2 a minute early, and the operator is right.
    let (late, early) = (-60, 60);
    let mut index = two_nodes();
    index.apply_pod(running("web-1", "n1", &[910 + late, 920 + late]), at(930));
    index.apply_pod(running("web-2", "n2", &[910 + early, 920 + early]), at(930));
    index.apply_profile(updated(2, 2), Watch, at(1000));
    index.apply_report(holds("n1", 2, Some(1001 + late), 2), Watch, at(1002));
    index.apply_report(holds("n2", 2, Some(1001 + early), 3), Watch, at(1002));
    assert_eq!(counts(&index), (2, 4));
    assert_eq!(shown(&index, 1003), (2, 2));
    // A container that starts again ten seconds after the change is under the new filter on both.
    index.apply_pod(running("web-1", "n1", &[910 + late, 1011 + late]), at(1012));
    assert_eq!(counts(&index), (2, 3));
    index.apply_pod(running("web-2", "n2", &[1011 + early, 1011 + early]), at(1012));
    assert_eq!(counts(&index), (1, 1));
}

#[test]
fn a_container_on_a_node_that_does_not_get_the_file_stays_outdated_whenever_it_starts() {
    let mut index = used();
    index.apply_profile(updated(2, 2), Watch, at(100));
    index.apply_report(holds("n1", 2, Some(101), 2), Watch, at(102));
    index.apply_pod(running("web-2", "n2", &[200, 200]), at(201));
    assert_eq!(counts(&index), (2, 4), "n2 holds the old bytes");
    index.apply_report(holds("n2", 2, Some(300), 3), Watch, at(301));
    assert_eq!(counts(&index), (2, 4));
    index.apply_pod(running("web-2", "n2", &[302, 302]), at(303));
    assert_eq!(counts(&index), (1, 2));
}

#[test]
fn contents_that_come_back_count_from_when_the_file_has_them_again() {
    let mut index = used();
    index.apply_profile(updated(2, 2), Watch, at(100));
    index.apply_report(holds("n1", 2, Some(101), 2), Watch, at(102));
    index.apply_profile(updated(1, 3), Watch, at(150));
    assert_eq!(counts(&index), (1, 2), "n2 has had the first bytes all the time");
    index.apply_report(holds("n1", 1, Some(151), 3), Watch, at(152));
    assert_eq!(counts(&index), (1, 2), "nobody can tell whether they started under the first or the second");
}

#[test]
fn an_agent_that_states_no_times_leaves_containers_uncounted_once_it_holds_the_file() {
    let mut index = used();
    index.apply_profile(updated(2, 2), Watch, at(100));
    let old = |node: &str, content| ReportFacts {
        changed: None,
        version: version(7, 2),
        ..report(node, &[("a", content)])
    };
    index.apply_report(old("n1", 1), Watch, at(101));
    assert_eq!(counts(&index), (2, 4), "the old bytes are certain");
    let pods = |index: &Index| status(index, 102).pods.unwrap();
    assert_eq!(pods(&index), PodCounts { using: 2, outdated: Some(2), unknown: None });
    index.apply_report(old("n1", 2), Watch, at(102));
    assert_eq!(counts(&index), (1, 2));
    assert_eq!(pods(&index), PodCounts { using: 2, outdated: Some(1), unknown: Some(1) });
    index.apply_report(old("n2", 2), Watch, at(102));
    assert_eq!(pods(&index), PodCounts { using: 2, outdated: None, unknown: Some(2) }, "not zero");
    assert_eq!(index.outdated("a").unknown_containers, 4);
}

#[test]
fn pods_reports_profiles_and_nodes_may_arrive_in_any_order() {
    let mut index = Index::new("profiles");
    index.apply_pod(running("web-1", "n1", &[10, 20]), at(100));
    assert_eq!(counts(&index), (0, 0));
    index.apply_report(holds("n1", 1, Some(50), 2), Watch, at(100));
    index.apply_profile(profile("a", 1), Watch, at(100));
    assert_eq!(counts(&index), (0, 0), "the report may be of an earlier node");
    assert_eq!(index.outdated("a").unknown_pods, 1);
    index.apply_node(node("n1"), at(100));
    assert_eq!(counts(&index), (1, 2));
    index.delete_profile("a", "uid-1", at(101));
    assert_eq!(counts(&index), (0, 0));
}

#[test]
fn a_recreated_node_counts_only_with_its_own_report() {
    let mut index = used();
    index.apply_profile(updated(2, 2), Watch, at(100));
    index.apply_report(holds("n1", 2, Some(101), 2), Watch, at(102));
    index.apply_node(NodeFacts { uid: "n1-2".into(), ..node("n1") }, at(200));
    assert_eq!(counts(&index), (1, 2), "only n2's");
    let own = ReportFacts { owner: Some("n1-2".into()), ..holds("n1", 2, None, 9) };
    index.apply_report(own, Watch, at(201));
    index.apply_pod(running("web-9", "n1", &[202]), at(203));
    assert_eq!(counts(&index), (1, 2));
    index.delete_node("n2", "n2-1", at(204));
    assert_eq!(counts(&index), (0, 0));
}

#[test]
fn while_the_file_is_removed_no_container_is_outdated() {
    let mut index = used();
    index.apply_profile(updated(2, 2), Watch, at(100));
    index.apply_profile(ProfileFacts { removal_approved: true, ..updated(2, 3) }, Watch, at(101));
    let unbound = PodFacts { node: None, ..running("web-3", "n1", &[10]) };
    index.apply_pod(unbound, at(101));
    assert_eq!(index.outdated("a"), Outdated::default());
}

#[test]
fn invalid_contents_leave_the_files_and_so_the_containers_as_they_were() {
    let mut index = used();
    index.apply_profile(ProfileFacts { content: Err("bad".into()), ..updated(0, 2) }, Watch, at(100));
    assert_eq!(counts(&index), (0, 0));
    index.apply_report(holds("n1", 1, Some(50), 2), Watch, at(101));
    assert_eq!(counts(&index), (1, 2));
}

#[test]
fn the_end_of_the_last_outdated_container_is_written_at_once_and_the_others_wait() {
    let mut index = used();
    let facts = store(&mut index, profile("a", 1), 31);
    index.apply_profile(ProfileFacts { content: Ok(hash(2)), generation: Some(2), ..facts }, Watch, at(100));
    index.apply_report(holds("n1", 2, Some(101), 2), Watch, at(101));
    index.apply_report(holds("n2", 2, Some(101), 3), Watch, at(101));
    let facts = index.profiles["a"].facts.clone();
    let facts = store(&mut index, facts, 101);
    assert_eq!(facts.status.unwrap().pods.unwrap().outdated, Some(2));
    index.delete_pod("web-1", at(102));
    let decision = index.profile_decision("a", at(102)).unwrap();
    assert_eq!(decision.operation, ProfileOperation::Defer);
    index.take_dirty();
    index.delete_pod("web-2", at(103));
    assert!(index.take_dirty().profiles.contains("a"));
    assert_eq!(shown(&index, 103), (0, 0));
}

#[test]
fn a_report_that_ends_the_last_outdated_container_queues_a_deferred_profile() {
    let mut index = used();
    index.apply_report(holds("n1", 1, Some(100), 2), Watch, at(101));
    store(&mut index, profile("a", 1), 101);
    assert_eq!(counts(&index), (1, 2));
    index.apply_pod(running("web-3", "n2", &[102]), at(102));
    assert_eq!(index.decide_profile("a", at(102)).unwrap().operation, ProfileOperation::Defer);
    index.take_dirty();
    index.apply_report(holds("n1", 1, None, 3), Watch, at(103));
    assert!(index.take_dirty().profiles.contains("a"));
}

#[test]
fn an_api_server_that_drops_the_counts_is_asked_once() {
    let mut index = used();
    let mut facts = store(&mut index, profile("a", 1), 31);
    let written = facts.status.clone().unwrap();
    assert!(written.pods.is_some());
    facts.status = Some(SeccompProfileStatus { pods: None, ..written });
    facts.version = version(1, 9);
    index.apply_profile(facts, Watch, at(32));
    index.apply_pod(running("web-3", "n2", &[10]), at(40));
    assert_eq!(index.profile_decision("a", at(500)).unwrap().operation, ProfileOperation::Nothing);
}

#[test]
fn one_report_costs_work_for_the_pods_of_its_node_alone() {
    let mut index = two_nodes();
    for number in 0..1000 {
        index.apply_pod(running(&format!("web-{number}"), "n1", &[10]), at(30));
    }
    index.apply_pod(running("alone", "n2", &[10]), at(30));
    index.apply_report(holds("n2", 1, Some(40), 2), Watch, at(41));
    assert_eq!(counts(&index), (1, 1));
    index.apply_report(holds("n1", 1, Some(40), 3), Watch, at(41));
    assert_eq!(counts(&index), (1001, 1001));
    for number in 0..1000 {
        index.delete_pod(&format!("web-{number}"), at(42));
    }
    assert_eq!(counts(&index), (1, 1));
}
