//! Which profiles a node is told not to hold.

use api::{MAX_EXCLUDED, NodeLabelSelector};

use super::*;
use crate::facts::uid_hash;
use crate::index::NodeDecision;

fn pool(name: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("pool".to_owned(), name.to_owned())])
}

fn only(name: &str, pool_name: &str) -> ProfileFacts {
    let selector = NodeLabelSelector { match_labels: pool(pool_name), match_expressions: Vec::new() };
    ProfileFacts { node_selector: Some(selector), ..profile(name, 1) }
}

/// Node `n1` of the pool `web`, which has `files`.
fn web(files: &[(&str, u8)]) -> Index {
    let mut index = Index::new("profiles");
    index.apply_node(NodeFacts { labels: pool("web"), ..node("n1") }, at(0));
    index.apply_pod(agent("n1", true), at(0));
    let ready = Condition {
        type_: "Ready".into(),
        status: "True".into(),
        reason: "AllProfiles".into(),
        message: String::new(),
        observed_generation: None,
        last_transition_time: Time(at(0)),
    };
    index.apply_report(ReportFacts { ready: Some(ready), ..report("n1", files) }, UpdateSource::Watch, at(0));
    index.settle_exclusions("n1");
    index
}

fn label(index: &mut Index, pool_name: &str, now: i64) {
    index.apply_node(NodeFacts { labels: pool(pool_name), ..node("n1") }, at(now));
}

fn decide(index: &mut Index, now: i64) -> NodeDecision {
    index.settle_exclusions("n1");
    index.decide_node("n1", at(now)).unwrap()
}

/// Lists `pods`, and stores what is then written, as the API server would. `None` if nothing is written.
fn excluded_after_list(index: &mut Index, pods: &[PodFacts], now: i64) -> Option<Vec<String>> {
    if matches!(decide(index, now).operation, NodeOperation::ListPods { .. }) {
        index.pods_of_node_listed("n1", "n1-1", pods, at(now));
    }
    let NodeOperation::WriteExclusions { version, excluded } = decide(index, now).operation else {
        return None;
    };
    let mut facts = index.nodes["n1"].report.clone().unwrap();
    assert_eq!(facts.version, version, "bound to what was judged");
    let next = facts.version.resource_version.parse::<u32>().unwrap() + 1;
    facts.version.resource_version = next.to_string();
    facts.excluded = excluded.iter().map(|(name, uid)| (name.clone(), uid_hash(uid))).collect();
    index.apply_report(facts, UpdateSource::Answer, at(now));
    index.settle_exclusions("n1");
    Some(excluded.into_keys().collect())
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn a_profile_is_excluded_from_a_node_that_it_does_not_select_after_a_list_of_all_pods() {
    let mut index = web(&[("a", 1)]);
    index.apply_profile(only("a", "db"), UpdateSource::Watch, at(1));
    index.apply_profile(only("b", "web"), UpdateSource::Watch, at(1));
    index.apply_profile(profile("c", 1), UpdateSource::Watch, at(1));
    let first = decide(&mut index, 1);
    assert_eq!(first.operation, NodeOperation::Nothing, "profiles that are applied together cost one write");
    assert!(first.requeue_at.unwrap() <= at(2));
    assert_eq!(decide(&mut index, 2).operation, NodeOperation::ListPods { uid: "n1-1".into() });
    assert_eq!(excluded_after_list(&mut index, &[], 2), Some(names(&["a"])));
    assert_eq!(decide(&mut index, 9).operation, NodeOperation::Nothing, "and nothing more at rest");
    assert!(!index.nodes["n1"].exclusion.is_marked());
}

#[test]
fn labels_that_change_exclude_a_profile_or_bring_it_back_at_once() {
    let mut index = web(&[("a", 1)]);
    index.apply_profile(only("a", "web"), UpdateSource::Watch, at(1));
    assert_eq!(excluded_after_list(&mut index, &[], 5), None);
    label(&mut index, "db", 10);
    assert!(index.take_dirty().nodes.contains("n1"));
    assert_eq!(excluded_after_list(&mut index, &[], 11), Some(names(&["a"])));
    label(&mut index, "web", 12);
    // The node is told first: until then its agent may be removing the file.
    assert_eq!(status(&index, 12).ready.as_deref(), Some("0/1"));
    assert_eq!(excluded_after_list(&mut index, &[], 12), Some(names(&[])));
    assert_eq!(status(&index, 12).ready.as_deref(), Some("1/1"), "its report lists the file");
}

#[test]
fn a_live_pod_keeps_the_file_of_a_profile_that_it_names_until_it_ends() {
    let mut index = web(&[("a", 1)]);
    index.apply_profile(only("a", "web"), UpdateSource::Watch, at(1));
    index.apply_pod(user("u1", Some("n1"), "a"), at(1));
    label(&mut index, "db", 2);
    assert_eq!(excluded_after_list(&mut index, &[], 5), None);
    index.take_dirty();
    index.apply_pod(PodFacts { kind: PodKind::Other, ..user("u1", Some("n1"), "a") }, at(6));
    assert!(index.take_dirty().nodes.contains("n1"));
    assert_eq!(excluded_after_list(&mut index, &[], 7), Some(names(&["a"])));
}

#[test]
fn a_pod_that_only_the_list_shows_keeps_the_file_too() {
    let mut index = web(&[("a", 1)]);
    index.apply_profile(only("a", "db"), UpdateSource::Watch, at(1));
    assert_eq!(excluded_after_list(&mut index, &[user("u1", Some("n1"), "a")], 5), None);
    assert_eq!(decide(&mut index, 6).operation, NodeOperation::ListPods { uid: "n1-1".into() });
    index.apply_pod(user("u1", Some("n1"), "a"), at(7));
    assert_eq!(decide(&mut index, 7).operation, NodeOperation::Nothing);
    let elsewhere = [user("u2", Some("n2"), "a"), user("u3", None, "a")];
    index.delete_pod("u1", at(8));
    assert_eq!(
        excluded_after_list(&mut index, &elsewhere, 9),
        Some(names(&["a"])),
        "pods elsewhere keep nothing here"
    );
}

#[test]
fn a_pod_that_comes_after_the_word_does_not_bring_the_file_back() {
    let mut index = web(&[]);
    index.apply_profile(only("a", "db"), UpdateSource::Watch, at(1));
    assert_eq!(excluded_after_list(&mut index, &[], 5), Some(names(&["a"])));
    index.apply_pod(user("u1", Some("n1"), "a"), at(6));
    assert_eq!(decide(&mut index, 9).operation, NodeOperation::Nothing);
    // A restarted operator takes the same from the stored object.
    let stored = index.nodes["n1"].report.clone().unwrap();
    let mut restarted = web(&[]);
    restarted.apply_pod(user("u1", Some("n1"), "a"), at(10));
    restarted.apply_profile(only("a", "db"), UpdateSource::Watch, at(10));
    restarted.apply_report(stored, UpdateSource::List, at(10));
    assert_eq!(decide(&mut restarted, 20).operation, NodeOperation::Nothing);
}

#[test]
fn nothing_is_excluded_while_pods_or_nodes_may_be_missing_or_the_node_is_cut_off() {
    let mut index = web(&[("a", 1)]);
    index.apply_profile(only("a", "db"), UpdateSource::Watch, at(1));
    index.kind_may_be_incomplete("Pod");
    assert_eq!(decide(&mut index, 5).operation, NodeOperation::Nothing);
    index.take_dirty();
    index.kind_is_complete("Pod");
    assert!(index.take_dirty().nodes.contains("n1"));
    let cut_off = NodeFacts { labels: pool("web"), reachable: false, answers: false, ..node("n1") };
    index.apply_node(cut_off, at(6));
    let decision = decide(&mut index, 7).operation;
    assert!(!matches!(decision, NodeOperation::ListPods { .. } | NodeOperation::WriteExclusions { .. }));
    label(&mut index, "web", 8);
    assert_eq!(excluded_after_list(&mut index, &[], 9), Some(names(&["a"])));
}

#[test]
fn a_recreated_profile_is_not_excluded_by_what_was_said_of_its_predecessor() {
    let mut index = web(&[]);
    index.apply_profile(only("a", "db"), UpdateSource::Watch, at(1));
    assert_eq!(excluded_after_list(&mut index, &[], 5), Some(names(&["a"])));
    let successor = ProfileFacts { version: version(2, 9), ..profile("a", 1) };
    index.apply_profile(successor, UpdateSource::Watch, at(6));
    assert_eq!(index.nodes["n1"].lacking(), 1);
    // The agent does not heed it, because the uid is another one; the entry goes later.
    assert_eq!(decide(&mut index, 7).operation, NodeOperation::Nothing);
    assert_eq!(excluded_after_list(&mut index, &[], 70), Some(names(&[])));
}

#[test]
fn entries_of_deleted_profiles_go_after_a_while_and_together() {
    let mut index = web(&[]);
    for name in ["a", "b", "c"] {
        index.apply_profile(only(name, "db"), UpdateSource::Watch, at(1));
    }
    assert_eq!(excluded_after_list(&mut index, &[], 5), Some(names(&["a", "b", "c"])));
    index.delete_profile("a", "uid-1", at(10));
    index.delete_profile("b", "uid-1", at(20));
    assert_eq!(decide(&mut index, 30).requeue_at, Some(at(70)));
    assert_eq!(excluded_after_list(&mut index, &[], 70), Some(names(&["c"])));
}

#[test]
fn a_profile_that_is_being_deleted_is_excluded_from_no_further_node() {
    let mut index = web(&[("a", 1)]);
    let deleting = ProfileFacts { deletion: Some(at(1)), ..only("a", "db") };
    index.apply_profile(deleting, UpdateSource::Watch, at(1));
    assert_eq!(decide(&mut index, 9).operation, NodeOperation::Nothing);
}

#[test]
fn no_more_is_written_than_there_is_room_for_and_what_was_written_stays() {
    let mut index = web(&[]);
    for number in 0..MAX_EXCLUDED + 5 {
        index.apply_profile(only(&format!("p{number:04}"), "db"), UpdateSource::Watch, at(1));
    }
    let excluded = excluded_after_list(&mut index, &[], 5).unwrap();
    assert_eq!((excluded.len(), &*excluded[MAX_EXCLUDED - 1]), (MAX_EXCLUDED, "p0999"));
    index.apply_profile(only("a", "db"), UpdateSource::Watch, at(6));
    assert_eq!(decide(&mut index, 9).operation, NodeOperation::Nothing);
    index.delete_profile("p0007", "uid-1", at(10));
    let excluded = excluded_after_list(&mut index, &[], 80).unwrap();
    assert_eq!((excluded.len(), &*excluded[0]), (MAX_EXCLUDED, "a"));
}

#[test]
fn long_names_are_bounded_by_their_bytes() {
    let mut index = web(&[]);
    for number in 0..400 {
        index.apply_profile(only(&format!("p{number:0>239}"), "db"), UpdateSource::Watch, at(1));
    }
    let excluded = excluded_after_list(&mut index, &[], 5).unwrap();
    assert_eq!(excluded.len(), 64 * 1024 / (240 + 42));
}

#[test]
fn where_the_api_server_drops_the_field_it_is_written_every_ten_minutes_only() {
    let mut index = web(&[("a", 1)]);
    index.apply_profile(only("a", "db"), UpdateSource::Watch, at(1));
    assert_eq!(decide(&mut index, 5).operation, NodeOperation::ListPods { uid: "n1-1".into() });
    index.pods_of_node_listed("n1", "n1-1", &[], at(5));
    assert!(matches!(decide(&mut index, 5).operation, NodeOperation::WriteExclusions { .. }));
    index.exclusions_dropped("n1", at(5));
    let decision = decide(&mut index, 6);
    assert_eq!((decision.operation, decision.requeue_at), (NodeOperation::Nothing, Some(at(605))));
}
