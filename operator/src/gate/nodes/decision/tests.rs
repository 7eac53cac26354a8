//! What is written to a Node, and when.

use std::time::Duration;

use api::ProblemKind;
use serde_json::{Value, json};

use super::super::judgement::Reason;
use super::super::startup_node::PROFILES_READY;
use super::*;
use crate::facts::{NodeCondition, ObjectVersion};
use crate::index::MissingProfile;

const RULES: Rules = Rules { release_with_problems: false, unknown_after: Duration::from_mins(5) };

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn taint() -> Value {
    json!({ "key": "readiness.k8s.io/seccomp-profiles", "effect": "NoSchedule" })
}

fn tainted() -> StartupNode {
    StartupNode {
        version: ObjectVersion { uid: "u".to_owned(), resource_version: "1".to_owned() },
        taints: vec![ListedTaint { position: 1, entry: taint() }],
        condition: None,
    }
}

fn standing(missing: &[(&str, Option<ProblemKind>)]) -> NodeStanding {
    let missing =
        missing.iter().map(|(name, problem)| MissingProfile { name: (*name).to_owned(), problem: *problem });
    NodeStanding {
        uid: "u".to_owned(),
        selected: true,
        joined: at(0),
        reported: true,
        agent_down_since: None,
        missing: missing.collect(),
        behind_since: Some(at(0)),
    }
}

/// The Node after a write.
pub(in super::super) fn written(node: &StartupNode, write: &NodeWrite, now: Timestamp) -> StartupNode {
    let mut node = node.clone();
    match write {
        NodeWrite::RemoveTaints(taints) => node.taints.retain(|taint| !taints.contains(taint)),
        NodeWrite::SetCondition { status, reason, message, last_transition_time } => {
            node.condition = Some(NodeCondition {
                kind: PROFILES_READY.to_owned(),
                status: (*status).to_owned(),
                reason: (*reason).to_owned(),
                message: message.clone(),
                last_transition_time: last_transition_time.clone().or(Some(now.to_string())),
            });
        }
    }
    node
}

#[test]
fn a_complete_node_gets_two_writes_the_taint_first_and_then_none() {
    let node = tainted();
    let first = decide(&node, &standing(&[]), RULES, at(1));
    assert_eq!(first.write, Some(NodeWrite::RemoveTaints(node.taints.clone())));
    assert_eq!(first.notices, [NodeNotice::Released]);
    let node = written(&node, &first.write.unwrap(), at(1));
    let second = decide(&node, &standing(&[]), RULES, at(1));
    assert!(matches!(&second.write, Some(NodeWrite::SetCondition { status: "True", .. })), "{second:?}");
    assert_eq!(second.notices, []);
    let node = written(&node, &second.write.unwrap(), at(1));
    let third = decide(&node, &standing(&[]), RULES, at(2));
    assert_eq!(third, NodeDecision { write: None, notices: Vec::new(), requeue_at: None });
}

#[test]
fn a_conflict_keeps_the_taint_and_is_published_once() {
    let conflict = standing(&[("a", Some(ProblemKind::Conflict))]);
    let mut node = tainted();
    let decision = decide(&node, &conflict, RULES, at(1));
    assert_eq!(decision.notices, [NodeNotice::Conflict]);
    node = written(&node, &decision.write.unwrap(), at(1));
    assert_eq!(node.taints.len(), 1);
    assert_eq!(decide(&node, &conflict, RULES, at(1000)).write, None);
    // Another profile in conflict changes the message, but not the reason.
    let more = standing(&[("a", Some(ProblemKind::Conflict)), ("b", Some(ProblemKind::Conflict))]);
    let decision = decide(&node, &more, RULES, at(1000));
    assert_eq!(decision.notices, []);
    let Some(NodeWrite::SetCondition { last_transition_time, .. }) = decision.write else {
        panic!("{decision:?}")
    };
    assert_eq!(last_transition_time, Some(at(1).to_string()), "the status is the same");
}

#[test]
fn a_node_released_with_problems_keeps_its_condition_false() {
    let conflict = standing(&[("a", Some(ProblemKind::Conflict))]);
    let lenient = Rules { release_with_problems: true, ..RULES };
    let node = tainted();
    let decision = decide(&node, &conflict, lenient, at(1));
    let node = written(&node, &decision.write.unwrap(), at(1));
    let decision = decide(&node, &conflict, lenient, at(30));
    assert_eq!(decision.notices, [NodeNotice::ReleasedWithProblems]);
    let node = written(&node, &decision.write.unwrap(), at(30));
    assert_eq!(decide(&node, &conflict, lenient, at(31)).write, None);
    assert_eq!(node.condition.unwrap().reason, Reason::Conflict.as_str());
}

#[test]
fn nothing_is_written_to_a_node_by_what_is_known_of_its_predecessor() {
    let other = NodeStanding { uid: "u2".to_owned(), ..standing(&[]) };
    assert_eq!(decide(&tainted(), &other, RULES, at(1)).write, None);
}
