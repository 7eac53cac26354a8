//! The index against a naive recomputation: any news in any order must give the same counts.

use std::collections::{BTreeMap, BTreeSet};

use api::{FileProblem, FileState, Removal, SeccompProfileStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use profile::ContentHash;
use proptest::collection::vec;
use proptest::prelude::*;

use super::{Index, NodeStep, ProfileStep, Tally};
use crate::facts::{NodeFacts, PodFacts, PodKind, ProfileFacts, ReportFacts, Source, Version};

const START: i64 = 1_800_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(START + second).unwrap()
}

fn version(uid: u32, resource_version: u32) -> Version {
    Version { uid: format!("uid-{uid}"), resource_version: resource_version.to_string() }
}

fn hash(content: u8) -> ContentHash {
    ContentHash::of(&[content])
}

fn profile(name: &str, content: u8) -> ProfileFacts {
    ProfileFacts {
        name: name.to_owned(),
        version: version(1, 1),
        generation: Some(1),
        content: Ok(hash(content)),
        deleting: false,
        finalizer: Some(0),
        has_finalizers: true,
        delete_in_use: false,
        removal_approved: false,
        status: None,
    }
}

fn node(name: &str) -> NodeFacts {
    NodeFacts {
        name: name.to_owned(),
        uid: format!("{name}-1"),
        created: at(-1000),
        selected: true,
        reachable: true,
    }
}

fn report(node: &str, files: &[(&str, u8)]) -> ReportFacts {
    ReportFacts {
        node: node.to_owned(),
        version: version(7, 1),
        owner: Some(format!("{node}-1")),
        files: Some(files.iter().map(|(name, content)| (name.to_string(), hash(*content).short())).collect()),
        problems: BTreeMap::new(),
        has_status: true,
        ready: None,
    }
}

fn agent(node: &str, ready: bool) -> PodFacts {
    PodFacts {
        uid: format!("agent-{node}"),
        display: format!("ns/agent-{node}"),
        node: Some(node.to_owned()),
        created: at(0),
        kind: PodKind::Agent { ready, since: None },
    }
}

fn user(uid: &str, node: Option<&str>, profile: &str) -> PodFacts {
    PodFacts {
        uid: uid.to_owned(),
        display: format!("shop/{uid}"),
        node: node.map(str::to_owned),
        created: at(0),
        kind: PodKind::User(BTreeSet::from([profile.to_owned()])),
    }
}

/// Two nodes that have profile `a` with content 1, with their agents.
fn two_nodes() -> Index {
    let mut index = Index::new("profiles");
    for name in ["n1", "n2"] {
        index.apply_node(node(name), at(0));
        index.apply_report(report(name, &[("a", 1)]), Source::Watch, at(0));
        index.apply_pod(agent(name, true), at(0));
    }
    index.apply_profile(profile("a", 1), Source::Watch, at(0));
    index
}

/// What the operator would write for `a` now.
fn status(index: &Index, now: i64) -> SeccompProfileStatus {
    match index.judge_profile("a", at(now)).unwrap().step {
        ProfileStep::WriteStatus { status, .. } => *status,
        other => panic!("expected a status, found {other:?}"),
    }
}

/// Stores what the operator would write for `a`, as the API server would.
fn store(index: &mut Index, mut facts: ProfileFacts, now: i64) -> ProfileFacts {
    let verdict = index.judge_profile("a", at(now)).unwrap();
    if let ProfileStep::WriteStatus { status, .. } = verdict.step {
        facts.removal_approved = status.removal.is_some();
        facts.status = Some((*status).clone());
        facts.version.resource_version =
            format!("{}", 1 + facts.version.resource_version.parse::<u32>().unwrap());
        index.apply_profile(facts.clone(), Source::Watch, at(now));
        index.status_written("a", &status, at(now));
    }
    facts
}

fn ready_condition(status: &SeccompProfileStatus) -> (&str, &str) {
    let condition = status.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
    (&condition.status, &condition.reason)
}

fn node_condition(index: &Index, node: &str, now: i64) -> Option<(String, String)> {
    match index.judge_node(node, at(now)).unwrap().step {
        NodeStep::WriteCondition { condition, .. } => Some((condition.status, condition.reason)),
        _ => None,
    }
}

#[test]
fn a_profile_is_ready_once_every_node_reports_its_bytes() {
    let mut index = two_nodes();
    assert_eq!(ready_condition(&status(&index, 1)), ("True", "AllNodesReady"));
    index.apply_report(
        ReportFacts { version: version(7, 2), ..report("n2", &[("a", 2)]) },
        Source::Watch,
        at(1),
    );
    let behind = status(&index, 1);
    assert_eq!(ready_condition(&behind), ("False", "RollingOut"));
    assert_eq!(behind.ready.as_deref(), Some("1/2"));
}

#[test]
fn a_profile_recreated_under_its_name_is_not_ready_with_the_old_bytes() {
    let mut index = two_nodes();
    index.apply_profile(ProfileFacts { version: version(2, 9), ..profile("a", 2) }, Source::Watch, at(1));
    assert_eq!(status(&index, 1).ready.as_deref(), Some("0/2"));
    // News of the old one that comes late changes nothing.
    index.delete_profile("a", "uid-1", at(1));
    assert_eq!(status(&index, 1).ready.as_deref(), Some("0/2"));
}

#[test]
fn late_news_of_an_older_version_is_dropped() {
    let mut index = two_nodes();
    index.apply_profile(ProfileFacts { version: version(1, 10), ..profile("a", 2) }, Source::Watch, at(1));
    index.apply_profile(ProfileFacts { version: version(1, 9), ..profile("a", 1) }, Source::Watch, at(1));
    assert_eq!(status(&index, 1).ready.as_deref(), Some("0/2"));
}

#[test]
fn a_report_of_an_earlier_node_of_the_same_name_does_not_count() {
    let mut index = two_nodes();
    index.apply_node(NodeFacts { uid: "n2-2".into(), created: at(0), ..node("n2") }, at(1));
    let joined = status(&index, 1);
    assert_eq!((joined.ready.as_deref(), joined.nodes.unwrap().joining), (Some("1/2"), 1));
}

#[test]
fn a_new_node_is_not_waited_for_until_it_has_had_its_time() {
    let mut index = two_nodes();
    index.apply_node(NodeFacts { created: at(0), reachable: false, ..node("n3") }, at(0));
    assert_eq!(ready_condition(&status(&index, 1)), ("True", "AllNodesReady"));
    index.apply_node(NodeFacts { created: at(0), ..node("n3") }, at(1));
    assert_eq!(ready_condition(&status(&index, 1)), ("True", "AllNodesReady"));
    assert_eq!(index.judge_node("n3", at(1)).unwrap().step, NodeStep::CreateReport { owner: "n3-1".into() });
    index.apply_report(ReportFacts { files: None, ..report("n3", &[]) }, Source::Watch, at(1));
    assert_eq!(index.judge_node("n3", at(1)).unwrap().look_again, Some(at(120)));
    index.pass_time("n3", at(120));
    assert_eq!(ready_condition(&status(&index, 120)), ("False", "RollingOut"));
}

#[test]
fn a_node_that_cannot_be_reached_is_shown_and_not_waited_for() {
    let mut index = two_nodes();
    index.apply_report(ReportFacts { version: version(7, 2), ..report("n2", &[]) }, Source::Watch, at(1));
    index.apply_node(NodeFacts { reachable: false, ..node("n2") }, at(1));
    let status = status(&index, 1);
    assert_eq!(ready_condition(&status), ("True", "AllNodesReady"));
    assert_eq!((status.ready.as_deref(), status.nodes.unwrap().unreachable), (Some("1/2"), 1));
}

#[test]
fn no_node_at_all_is_not_ready() {
    let mut index = Index::new("profiles");
    index.apply_profile(profile("a", 1), Source::Watch, at(0));
    assert_eq!(ready_condition(&status(&index, 0)), ("False", "NoNodes"));
}

#[test]
fn a_node_that_cannot_write_shows_why() {
    let mut index = two_nodes();
    let problem = FileProblem {
        name: "a".into(),
        state: FileState::Failed,
        reason: "DiskFull".into(),
        message: "no space".repeat(1000),
    };
    let problems = BTreeMap::from([("a".to_owned(), problem)]);
    index.apply_report(
        ReportFacts { version: version(7, 2), problems, ..report("n2", &[("a", 9)]) },
        Source::Watch,
        at(1),
    );
    let status = status(&index, 1);
    assert_eq!(ready_condition(&status), ("False", "NodesFailed"));
    assert_eq!((status.failures[0].node.as_str(), status.failures[0].reason.as_str()), ("n2", "DiskFull"));
    assert!(status.failures[0].message.chars().count() <= 512);
}

#[test]
fn an_agent_that_has_been_down_for_too_long_makes_its_node_pending() {
    let mut index = two_nodes();
    index.apply_pod(agent("n2", false), at(0));
    index.pass_time("n2", at(299));
    assert_eq!(ready_condition(&status(&index, 299)), ("True", "AllNodesReady"));
    index.pass_time("n2", at(300));
    let down = status(&index, 300);
    assert_eq!(ready_condition(&down), ("False", "RollingOut"));
    assert!(
        down.conditions[1].message.ends_with("waiting for n2 (AgentDown)"),
        "{}",
        down.conditions[1].message
    );
    assert_eq!(node_condition(&index, "n2", 300), Some(("False".into(), "AgentDown".into())));
}

#[test]
fn a_nodes_condition_turns_false_only_when_it_has_been_behind_for_long() {
    let mut index = two_nodes();
    assert_eq!(node_condition(&index, "n1", 0), Some(("True".into(), "AllProfiles".into())));
    index.apply_profile(profile("b", 5), Source::Watch, at(10));
    assert_eq!(node_condition(&index, "n1", 39), None);
    assert_eq!(index.judge_node("n1", at(39)).unwrap().look_again, Some(at(40)));
    assert_eq!(node_condition(&index, "n1", 40), Some(("False".into(), "Behind".into())));
}

#[test]
fn a_node_that_is_no_longer_selected_loses_its_report() {
    let mut index = two_nodes();
    index.apply_node(NodeFacts { selected: false, ..node("n2") }, at(1));
    assert_eq!(status(&index, 1).ready.as_deref(), Some("1/1"));
    assert_eq!(
        index.judge_node("n2", at(1)).unwrap().step,
        NodeStep::DeleteReport { version: version(7, 1) }
    );
}

#[test]
fn a_deletion_waits_for_live_pods_and_then_for_the_nodes() {
    let mut index = two_nodes();
    let mut facts = store(&mut index, profile("a", 1), 0);
    index.apply_pod(user("web", Some("n1"), "a"), at(1));
    facts = store(&mut index, ProfileFacts { deleting: true, ..facts }, 1);
    index.apply_profile(facts.clone(), Source::Watch, at(1));
    facts = store(&mut index, facts, 2);
    let stored = facts.status.clone().unwrap();
    assert_eq!((stored.in_use, stored.removal), (Some(true), None));
    let deleting = stored.conditions.iter().find(|condition| condition.type_ == "Deleting").unwrap();
    assert!(deleting.message.starts_with("1 pod uses it: shop/web;"), "{}", deleting.message);

    index.delete_pod("web", at(3));
    facts = store(&mut index, facts, 3);
    assert_eq!(facts.status.as_ref().unwrap().removal, Some(Removal::Approved));
    // Approved, but both nodes still hold it.
    assert_eq!(index.judge_profile("a", at(4)).unwrap().step, ProfileStep::Nothing);
    index.apply_report(ReportFacts { version: version(7, 2), ..report("n1", &[]) }, Source::Watch, at(4));
    index.apply_node(NodeFacts { reachable: false, ..node("n2") }, at(4));
    let step = index.judge_profile("a", at(4)).unwrap().step;
    assert_eq!(step, ProfileStep::Release { finalizer: 0, unconfirmed: vec![] });
}

#[test]
fn a_node_that_never_confirms_holds_a_deletion_for_two_minutes() {
    let mut index = two_nodes();
    let facts = ProfileFacts { deleting: true, ..store(&mut index, profile("a", 1), 0) };
    index.apply_profile(facts.clone(), Source::Watch, at(0));
    store(&mut index, facts, 1);
    let waiting = index.judge_profile("a", at(120)).unwrap();
    assert_eq!((waiting.step, waiting.look_again), (ProfileStep::Nothing, Some(at(121))));
    let step = index.judge_profile("a", at(121)).unwrap().step;
    assert_eq!(step, ProfileStep::Release { finalizer: 0, unconfirmed: vec!["n1".into(), "n2".into()] });
}

#[test]
fn an_unscheduled_pod_holds_a_profile_for_ten_minutes_and_one_on_a_lost_node_not_at_all() {
    let mut index = two_nodes();
    index.apply_profile(ProfileFacts { deleting: true, ..profile("a", 1) }, Source::Watch, at(0));
    index.apply_pod(user("lost", Some("n9"), "a"), at(0));
    assert_eq!(status(&index, 1).removal, Some(Removal::Approved));
    index.apply_pod(user("new", None, "a"), at(0));
    assert_eq!(status(&index, 599).removal, None);
    assert_eq!(index.judge_profile("a", at(599)).unwrap().look_again, Some(at(600)));
    assert_eq!(status(&index, 600).removal, Some(Removal::Approved));
}

#[test]
fn the_annotation_lets_a_profile_in_use_go() {
    let mut index = two_nodes();
    index.apply_pod(user("web", Some("n1"), "a"), at(0));
    index.apply_profile(
        ProfileFacts { deleting: true, delete_in_use: true, ..profile("a", 1) },
        Source::Watch,
        at(0),
    );
    assert_eq!(status(&index, 0).removal, Some(Removal::Approved));
}

#[test]
fn counts_alone_are_written_at_most_every_five_seconds_in_a_small_cluster() {
    let mut index = two_nodes();
    store(&mut index, profile("a", 1), 0);
    index.apply_node(NodeFacts { reachable: false, ..node("n2") }, at(1));
    let waiting = index.judge_profile("a", at(1)).unwrap();
    assert_eq!((waiting.step, waiting.look_again), (ProfileStep::Nothing, Some(at(5))));
    assert_eq!(status(&index, 5).ready.as_deref(), Some("1/2"));
}

#[test]
fn a_node_that_claims_an_impossible_time_harms_nobody() {
    let mut index = two_nodes();
    let kind = PodKind::Agent { ready: false, since: Some(Timestamp::MAX) };
    index.apply_pod(PodFacts { kind, ..agent("n2", false) }, at(0));
    index.apply_node(NodeFacts { created: Timestamp::MAX, ..node("n1") }, at(0));
    index.pass_time("n2", at(300));
    assert_eq!(status(&index, 300).nodes.unwrap().pending, 1);
}

#[test]
fn a_deletion_waits_a_moment_for_news_of_pods_and_longer_while_that_news_is_missing() {
    let mut index = two_nodes();
    index.apply_profile(ProfileFacts { deleting: true, ..profile("a", 1) }, Source::Watch, at(0));
    let waiting = index.judge_profile("a", at(0)).unwrap();
    assert_eq!((waiting.step, waiting.look_again), (ProfileStep::Nothing, Some(at(1))));
    index.doubt_pods(at(60));
    let doubtful = status(&index, 1);
    assert_eq!(doubtful.removal, None);
    assert_eq!(doubtful.conditions[2].reason, "PodsUnknown");
    assert_eq!(index.judge_profile("a", at(1)).unwrap().look_again, Some(at(60)));
    assert_eq!(status(&index, 60).removal, Some(Removal::Approved));
}

#[test]
fn leave_to_remove_is_not_taken_back_by_a_status_that_cannot_be_read() {
    let mut index = two_nodes();
    let facts = ProfileFacts { deleting: true, removal_approved: true, status: None, ..profile("a", 1) };
    index.apply_profile(facts, Source::Watch, at(0));
    index.apply_pod(user("web", Some("n1"), "a"), at(0));
    assert_eq!(status(&index, 1).removal, Some(Removal::Approved));
}

#[test]
fn contents_that_come_back_at_once_are_not_called_ready_by_the_report_of_their_first_turn() {
    let mut index = two_nodes();
    store(&mut index, profile("a", 1), 0);
    for (content, generation) in [(2, 2), (1, 3)] {
        let facts = ProfileFacts {
            version: version(1, 10 + u32::from(content)),
            generation: Some(generation),
            ..profile("a", content)
        };
        index.apply_profile(facts, Source::List, at(1));
    }
    assert_eq!(ready_condition(&status(&index, 2)), ("False", "RollingOut"));
    assert_eq!(index.judge_profile("a", at(2)).unwrap().look_again, Some(at(3)));
    assert_eq!(ready_condition(&status(&index, 3)), ("True", "AllNodesReady"));
}

#[test]
fn a_node_that_keeps_changing_its_mind_cannot_make_the_operator_write_as_often() {
    let mut index = two_nodes();
    let mut facts = store(&mut index, profile("a", 1), 0);
    let mut writes = 0;
    for turn in 0..200u32 {
        let second = i64::from(turn / 2);
        let files: &[(&str, u8)] = if turn % 2 == 0 { &[] } else { &[("a", 1)] };
        let report = ReportFacts { version: version(7, 10 + turn), ..report("n2", files) };
        index.apply_report(report, Source::Watch, at(second));
        let before = facts.version.clone();
        facts = store(&mut index, facts, second);
        writes += u32::from(facts.version != before);
    }
    // One every five seconds for the counts, and eight times to and fro as the wait doubles to a minute.
    assert!(writes <= 20 + 16, "{writes} writes for 200 reports within 100 s");
    // And it is called ready once the node has made up its mind.
    assert_eq!(ready_condition(&status(&index, 100 + 61)), ("True", "AllNodesReady"));
}

#[test]
fn a_restarted_operator_does_not_call_a_node_ready_whose_agent_was_down() {
    let mut index = Index::new("profiles");
    index.apply_node(node("n1"), at(0));
    index.apply_report(report("n1", &[("a", 1)]), Source::List, at(0));
    let since = Some(at(-3600));
    index.apply_pod(PodFacts { kind: PodKind::Agent { ready: false, since }, ..agent("n1", false) }, at(0));
    index.apply_profile(profile("a", 1), Source::List, at(0));
    assert_eq!(ready_condition(&status(&index, 0)), ("False", "RollingOut"));
}

#[test]
fn a_restarted_operator_believes_an_earlier_one_where_the_agent_has_no_pod() {
    let mut index = Index::new("profiles");
    index.apply_node(node("n1"), at(0));
    let down = Condition {
        type_: "Ready".into(),
        status: "False".into(),
        reason: "AgentDown".into(),
        message: String::new(),
        observed_generation: None,
        last_transition_time: Time(at(-60)),
    };
    index.apply_report(ReportFacts { ready: Some(down), ..report("n1", &[("a", 1)]) }, Source::List, at(0));
    index.apply_profile(profile("a", 1), Source::List, at(0));
    assert_eq!(ready_condition(&status(&index, 0)), ("False", "RollingOut"));
}

#[test]
fn an_agents_pod_that_loses_its_label_is_no_agent_any_more() {
    let mut index = two_nodes();
    index.apply_pod(PodFacts { kind: PodKind::Other, ..agent("n2", true) }, at(0));
    index.delete_pod("agent-n2", at(1));
    index.pass_time("n2", at(300));
    assert_eq!(ready_condition(&status(&index, 300)), ("False", "RollingOut"));
}

#[test]
fn an_answer_that_comes_late_neither_replaces_a_successor_nor_brings_anything_back() {
    let mut index = two_nodes();
    index.apply_profile(ProfileFacts { version: version(2, 9), ..profile("a", 2) }, Source::Watch, at(1));
    index.apply_profile(ProfileFacts { version: version(1, 8), ..profile("a", 1) }, Source::Answer, at(1));
    assert_eq!(index.profile_version("a"), Some(&version(2, 9)));
    index.apply_profile(ProfileFacts { version: version(1, 10), ..profile("a", 1) }, Source::Answer, at(1));
    assert_eq!(index.profile_version("a"), Some(&version(2, 9)));
    index.delete_profile("a", "uid-2", at(1));
    index.apply_profile(ProfileFacts { version: version(2, 11), ..profile("a", 2) }, Source::Answer, at(1));
    assert_eq!(index.profile_version("a"), None);
    index.delete_report("n1", "uid-7", at(1));
    index.apply_report(ReportFacts { version: version(7, 12), ..report("n1", &[]) }, Source::Answer, at(1));
    assert_eq!(index.judge_node("n1", at(1)).unwrap().step, NodeStep::CreateReport { owner: "n1-1".into() });
}

#[test]
fn a_list_counts_even_where_versions_went_back_with_a_restored_store() {
    let mut index = two_nodes();
    index.apply_profile(ProfileFacts { version: version(1, 900), ..profile("a", 2) }, Source::Watch, at(1));
    index.apply_profile(ProfileFacts { version: version(1, 5), ..profile("a", 1) }, Source::List, at(2));
    assert_eq!(index.profile_version("a"), Some(&version(1, 5)));
}

#[test]
fn a_report_that_no_node_owns_is_replaced() {
    let mut index = two_nodes();
    index.apply_report(
        ReportFacts { version: version(8, 9), owner: None, ..report("n1", &[("a", 1)]) },
        Source::Watch,
        at(1),
    );
    assert_eq!(
        index.judge_node("n1", at(1)).unwrap().step,
        NodeStep::DeleteReport { version: version(8, 9) }
    );
}

/// News that a watch can bring.
#[derive(Debug, Clone)]
enum News {
    Profile { name: u8, uid: u32, content: Option<u8>, approved: bool },
    ProfileGone { name: u8, uid: u32 },
    Node { name: u8, uid: u32, created: i64, selected: bool, reachable: bool },
    NodeGone { name: u8, uid: u32 },
    Report { node: u8, uid: u32, owner: u32, files: Option<Vec<(u8, u8)>>, problems: Vec<u8> },
    ReportGone { node: u8, uid: u32 },
    Agent { node: u8, ready: bool },
    AgentGone { node: u8 },
    Time { seconds: i64 },
}

fn news() -> impl Strategy<Value = News> {
    let (name, uid, content) = (0..4u8, 1..3u32, 0..3u8);
    prop_oneof![
        (name.clone(), uid.clone(), proptest::option::of(content.clone()), proptest::bool::weighted(0.2))
            .prop_map(|(name, uid, content, approved)| News::Profile { name, uid, content, approved }),
        (name.clone(), uid.clone()).prop_map(|(name, uid)| News::ProfileGone { name, uid }),
        (
            name.clone(),
            uid.clone(),
            -200..50i64,
            proptest::bool::weighted(0.8),
            proptest::bool::weighted(0.8)
        )
            .prop_map(|(name, uid, created, selected, reachable)| News::Node {
                name,
                uid,
                created,
                selected,
                reachable
            }),
        (name.clone(), uid.clone()).prop_map(|(name, uid)| News::NodeGone { name, uid }),
        (
            name.clone(),
            uid.clone(),
            uid.clone(),
            proptest::option::weighted(0.9, vec((name.clone(), content), 0..4)),
            vec(name.clone(), 0..2)
        )
            .prop_map(|(node, uid, owner, files, problems)| News::Report {
                node,
                uid,
                owner,
                files,
                problems
            }),
        (name.clone(), uid).prop_map(|(node, uid)| News::ReportGone { node, uid }),
        (name.clone(), any::<bool>()).prop_map(|(node, ready)| News::Agent { node, ready }),
        name.prop_map(|node| News::AgentGone { node }),
        (1..200i64).prop_map(|seconds| News::Time { seconds }),
    ]
}

fn deliver(index: &mut Index, news: &News, now: Timestamp, number: u32) {
    match news.clone() {
        News::Profile { name, uid, content, approved } => {
            let status = approved
                .then(|| SeccompProfileStatus { removal: Some(Removal::Approved), ..Default::default() });
            let content = content.map(hash).ok_or_else(|| "bad".to_owned());
            let facts = ProfileFacts {
                version: version(uid, number),
                content,
                removal_approved: approved,
                status,
                ..profile(&format!("p{name}"), 0)
            };
            index.apply_profile(facts, Source::Watch, now);
        }
        News::ProfileGone { name, uid } => {
            index.delete_profile(&format!("p{name}"), &format!("uid-{uid}"), now)
        }
        News::Node { name, uid, created, selected, reachable } => {
            let name = format!("n{name}");
            let uid = format!("{name}-{uid}");
            index.apply_node(NodeFacts { name, uid, created: at(created), selected, reachable }, now);
        }
        News::NodeGone { name, uid } => {
            index.delete_node(&format!("n{name}"), &format!("n{name}-{uid}"), now)
        }
        News::Report { node, uid, owner, files, problems } => {
            let node = format!("n{node}");
            let problem = |name: &u8| {
                let name = format!("p{name}");
                let (reason, message) = ("Io".to_owned(), format!("{number}"));
                (name.clone(), FileProblem { name, state: FileState::Failed, reason, message })
            };
            index.apply_report(
                ReportFacts {
                    version: version(uid, number),
                    owner: Some(format!("{node}-{owner}")),
                    files: files.map(|files| {
                        files
                            .iter()
                            .map(|(name, content)| (format!("p{name}"), hash(*content).short()))
                            .collect()
                    }),
                    problems: problems.iter().map(problem).collect(),
                    ..report(&node, &[])
                },
                Source::Watch,
                now,
            );
        }
        News::ReportGone { node, uid } => {
            index.delete_report(&format!("n{node}"), &format!("uid-{uid}"), now)
        }
        News::Agent { node, ready } => index.apply_pod(agent(&format!("n{node}"), ready), now),
        News::AgentGone { node } => index.delete_pod(&format!("agent-n{node}"), now),
        News::Time { .. } => {
            for node in index.nodes.keys().cloned().collect::<Vec<_>>() {
                index.pass_time(&node, now);
            }
        }
    }
}

/// The counts from nothing but the facts.
fn recount(index: &Index, now: Timestamp) -> (BTreeMap<String, Tally>, BTreeMap<String, u32>) {
    let mut tallies = BTreeMap::new();
    let mut lacking: BTreeMap<_, _> = index.nodes.keys().map(|name| (name.clone(), 0)).collect();
    for (name, profile) in &index.profiles {
        let mut tally = Tally::default();
        for (node_name, node) in &index.nodes {
            let Some(object) = node.object.as_ref().filter(|object| object.selected) else { continue };
            let report = node.report.as_ref().filter(|report| report.owner.as_ref() == Some(&object.uid));
            let files = report.and_then(|report| report.files.as_ref());
            let held = files.and_then(|files| files.get(name));
            let want = profile.facts.content.as_ref().ok().map(ContentHash::short);
            let same = want.is_some() && held == want.as_ref();
            let down =
                node.agents_down_since().is_some_and(|since| since.as_second() + 300 <= now.as_second());
            let young = now.as_second() < object.created.min(node.first_seen()).as_second() + 120;
            let unreachable = (files.is_some() || !young) && !object.reachable;
            let count = if files.is_none() && young {
                &mut tally.joining
            } else if unreachable {
                &mut tally.unreachable
            } else if down || files.is_none() {
                &mut tally.pending
            } else if same {
                &mut tally.ready
            } else if report.is_some_and(|report| report.problems.contains_key(name)) {
                &mut tally.failed
            } else {
                &mut tally.pending
            };
            *count += 1;
            tally.holding += u32::from(!unreachable && held.is_some());
            *lacking.get_mut(node_name).unwrap() +=
                u32::from(want.is_some() && !profile.facts.removal_approved && !same);
        }
        tallies.insert(name.clone(), tally);
    }
    (tallies, lacking)
}

proptest! {
    #[test]
    fn any_news_in_any_order_gives_the_counts_of_a_naive_recomputation(news in vec(news(), 1..60)) {
        let mut index = Index::new("profiles");
        let mut second = 0;
        for (number, news) in (1u32..).zip(&news) {
            if let News::Time { seconds } = news {
                second += seconds;
            }
            deliver(&mut index, news, at(second), number);
            // Time may have passed since a node's class was last looked at; a look brings it up to date.
            deliver(&mut index, &News::Time { seconds: 0 }, at(second), number);
            let (tallies, lacking) = recount(&index, at(second));
            let counted: BTreeMap<_, _> = index.profiles().map(|(name, tally, _)| (name.to_owned(), *tally)).collect();
            prop_assert_eq!(counted, tallies);
            for profile in index.profiles.values() {
                let named = (profile.pending.len(), profile.failed.len());
                prop_assert_eq!(named, (profile.tally.pending as usize, profile.tally.failed as usize));
            }
            let counted: BTreeMap<_, _> = index.nodes.iter().map(|(name, node)| (name.clone(), node.lacking())).collect();
            prop_assert_eq!(counted, lacking);
        }
    }

    #[test]
    fn a_change_of_what_would_be_written_is_always_due(news in vec(news(), 1..40)) {
        let mut index = Index::new("profiles");
        for (number, news) in (1u32..).zip(&news) {
            index.take_dirty();
            let before: BTreeMap<_, _> = index.profile_keys().into_keys().map(|name| (name.clone(), index.judge_profile(&name, at(0)))).collect();
            deliver(&mut index, news, at(0), number);
            let dirty = index.take_dirty();
            for (name, before) in before {
                if index.judge_profile(&name, at(0)) != before {
                    prop_assert!(dirty.profiles.contains(&name), "{} changed and is not due", name);
                }
            }
        }
    }
}
