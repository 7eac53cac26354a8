//! Profiles that select the nodes that must have them.

use api::NodeLabelSelector;

use super::*;

fn in_pool(pool: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("pool".to_owned(), pool.to_owned())])
}

fn only(pool: &str, number: u32) -> ProfileFacts {
    let node_selector = NodeLabelSelector { match_labels: in_pool(pool), match_expressions: Vec::new() };
    ProfileFacts {
        version: version(1, number),
        generation: Some(number.into()),
        node_selector: Some(node_selector),
        ..profile("a", 1)
    }
}

/// Two nodes in different pools, of which `n1` has the file.
fn pools() -> Index {
    let mut index = Index::new("profiles");
    for (name, pool, files) in [("n1", "web", &[("a", 1)][..]), ("n2", "db", &[])] {
        index.apply_node(NodeFacts { labels: in_pool(pool), ..node(name) }, at(0));
        index.apply_pod(agent(name, true), at(0));
        index.apply_report(report(name, files), UpdateSource::Watch, at(0));
    }
    index
}

fn ready(index: &Index, now: i64) -> Option<String> {
    status(index, now).ready
}

#[test]
fn only_nodes_that_a_profile_selects_count_and_wait_for_it() {
    let mut index = pools();
    index.apply_profile(only("web", 1), UpdateSource::Watch, at(1));
    assert_eq!(ready(&index, 1).as_deref(), Some("1/1"));
    assert_eq!((index.nodes["n1"].lacking(), index.nodes["n2"].lacking()), (0, 0));
    index.apply_profile(only("db", 2), UpdateSource::Watch, at(2));
    assert_eq!(ready(&index, 2).as_deref(), Some("0/1"));
    assert_eq!((index.nodes["n1"].lacking(), index.nodes["n2"].lacking()), (0, 1));
    index.apply_profile(only("nothing", 3), UpdateSource::Watch, at(3));
    let status = status(&index, 3);
    assert_eq!(status.ready.as_deref(), Some("0/0"));
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
    assert_eq!((&*ready.status, &*ready.reason), ("False", "NoNodes"));
}

#[test]
fn a_node_whose_label_changes_begins_or_ceases_to_count() {
    let mut index = pools();
    index.apply_profile(only("web", 1), UpdateSource::Watch, at(1));
    index.apply_node(NodeFacts { labels: in_pool("web"), ..node("n2") }, at(2));
    assert_eq!(ready(&index, 2).as_deref(), Some("1/2"));
    assert_eq!(index.node_standing("n2").unwrap().missing.len(), 1);
    index.apply_node(NodeFacts { labels: in_pool("db"), ..node("n2") }, at(3));
    index.apply_node(NodeFacts { labels: in_pool("db"), ..node("n1") }, at(3));
    assert_eq!(ready(&index, 3).as_deref(), Some("0/0"));
}

#[test]
fn a_deletion_waits_for_every_node_that_holds_the_file_whether_it_is_selected_or_not() {
    let mut index = pools();
    index.apply_profile(only("db", 1), UpdateSource::Watch, at(1));
    assert_eq!(index.profiles["a"].tally.holding, 1);
}

#[test]
fn a_profile_that_was_ready_on_other_nodes_has_not_been_ready_on_those_that_it_selects_now() {
    let mut index = pools();
    index.apply_profile(only("web", 1), UpdateSource::Watch, at(1));
    let facts = store(&mut index, only("web", 1), 1);
    let ready_hash = |facts: &ProfileFacts| facts.status.as_ref().unwrap().ready_hash.clone();
    assert_eq!(ready_hash(&facts), Some(hash(1).to_string()));
    let moved = ProfileFacts { status: facts.status, ..only("db", 2) };
    index.apply_profile(moved.clone(), UpdateSource::Watch, at(2));
    let facts = store(&mut index, moved, 2);
    assert_eq!(facts.status.as_ref().unwrap().content_hash, Some(hash(1).to_string()));
    assert_eq!(ready_hash(&facts), None);
}
