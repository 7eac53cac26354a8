//! What follows from what is known of a node.

use super::*;

const START: i64 = 1_800_000_000;
const RULES: Rules = Rules { release_with_problems: false, unknown_after: Duration::from_mins(5) };
const LENIENT: Rules = Rules { release_with_problems: true, ..RULES };

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(START + second).unwrap()
}

fn complete() -> NodeStanding {
    NodeStanding {
        uid: "u".to_owned(),
        selected: true,
        joined: at(0),
        reported: true,
        agent_down_since: None,
        missing: Vec::new(),
        behind_since: None,
    }
}

fn lacking(missing: &[(&str, Option<ProblemKind>)]) -> NodeStanding {
    let missing =
        missing.iter().map(|(name, problem)| MissingProfile { name: (*name).to_owned(), problem: *problem });
    NodeStanding { missing: missing.collect(), behind_since: Some(at(0)), ..complete() }
}

fn stored(reason: Reason) -> NodeCondition {
    NodeCondition {
        kind: "seccomp.imjasonh.dev/ProfilesReady".to_owned(),
        status: reason.status().to_owned(),
        reason: reason.as_str().to_owned(),
        message: String::new(),
        last_transition_time: None,
    }
}

fn reason(judgement: &Judgement) -> Option<Reason> {
    judgement.condition.as_ref().map(|(reason, _)| *reason)
}

#[test]
fn a_node_that_reports_every_profile_is_released_at_once() {
    let judgement = judge(&complete(), None, RULES, at(1));
    assert_eq!((reason(&judgement), judgement.release), (Some(Reason::AllProfiles), Release::Complete));
    assert_eq!(judgement.until, None);
}

#[test]
fn a_node_that_has_not_reported_is_not_released_even_if_there_is_no_profile() {
    let new = NodeStanding { reported: false, agent_down_since: Some(at(0)), ..complete() };
    let judgement = judge(&new, None, RULES, at(1));
    assert_eq!((reason(&judgement), judgement.release), (Some(Reason::NoReport), Release::No));
    assert_eq!(judgement.until, Some(at(300)));
}

#[test]
fn files_that_no_agent_has_watched_for_the_stated_time_are_unknown() {
    let down = |since| NodeStanding { agent_down_since: Some(at(since)), ..complete() };
    let before = judge(&down(0), Some(&stored(Reason::AllProfiles)), RULES, at(299));
    assert_eq!((reason(&before), before.until), (Some(Reason::AllProfiles), Some(at(300))));
    let judgement = judge(&down(0), Some(&stored(Reason::AllProfiles)), RULES, at(300));
    assert_eq!((reason(&judgement), judgement.release), (Some(Reason::AgentDown), Release::No));
    assert_eq!(judgement.until, None);
    // A gate that has just started does not know since when.
    let restarted = judge(&down(1000), Some(&stored(Reason::AgentDown)), RULES, at(1001));
    assert_eq!(reason(&restarted), Some(Reason::AgentDown));
    let back = judge(&complete(), Some(&stored(Reason::AgentDown)), RULES, at(1001));
    assert_eq!(reason(&back), Some(Reason::AllProfiles));
}

#[test]
fn a_node_that_was_complete_has_a_grace_time_in_its_condition_and_none_in_its_taint() {
    let behind = lacking(&[("a", None)]);
    let judgement = judge(&behind, Some(&stored(Reason::AllProfiles)), RULES, at(29));
    assert_eq!(judgement, Judgement { condition: None, release: Release::No, until: Some(at(30)) });
    let judgement = judge(&behind, Some(&stored(Reason::AllProfiles)), RULES, at(30));
    assert_eq!((reason(&judgement), judgement.until), (Some(Reason::Behind), None));
    // A new node has none: it was never complete.
    for stored in [None, Some(stored(Reason::NoReport))] {
        assert_eq!(reason(&judge(&behind, stored.as_ref(), RULES, at(1))), Some(Reason::Behind));
    }
}

#[test]
fn a_lasting_problem_keeps_the_node_unless_the_rules_release_it() {
    for kind in [ProblemKind::Conflict, ProblemKind::Rejected] {
        let node = lacking(&[("a", Some(kind))]);
        assert_eq!(judge(&node, None, RULES, at(1000)).release, Release::No);
        let early = judge(&node, None, LENIENT, at(29));
        assert_eq!((early.release, early.until), (Release::No, Some(at(30))));
        assert_eq!(judge(&node, None, LENIENT, at(30)).release, Release::WithProblems);
    }
    // A profile that may still come is waited for.
    for other in [None, Some(ProblemKind::Failed)] {
        let node = lacking(&[("a", Some(ProblemKind::Conflict)), ("b", other)]);
        assert_eq!(judge(&node, None, LENIENT, at(1000)).release, Release::No);
    }
}

#[test]
fn the_condition_names_the_profiles_of_the_worst_problem_and_only_some_of_many() {
    let node = lacking(&[
        ("a", None),
        ("b", Some(ProblemKind::Failed)),
        ("c", Some(ProblemKind::Conflict)),
        ("d", Some(ProblemKind::Rejected)),
    ]);
    let judgement = judge(&node, None, RULES, at(0));
    let expected =
        "a file of another owner is in the place of c; the node's NodeProfileStatus has the details";
    assert_eq!(judgement.condition, Some((Reason::Conflict, expected.to_owned())));
    let names: Vec<_> = (0..9).map(|number| format!("p{number}")).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), Some(ProblemKind::Rejected))).collect();
    let (reason, message) = judge(&lacking(&many), None, RULES, at(0)).condition.unwrap();
    assert_eq!(reason, Reason::Rejected);
    assert!(message.contains("refuses p0, p1, p2, p3, p4 and 4 more;"), "{message}");
}

#[test]
fn a_node_without_an_agent_is_released_once_its_labels_have_had_time_to_come() {
    let other = NodeStanding { selected: false, reported: false, ..complete() };
    let early = judge(&other, None, RULES, at(29));
    assert_eq!(early, Judgement { condition: None, release: Release::No, until: Some(at(30)) });
    let late = judge(&other, None, RULES, at(30));
    assert_eq!(late, Judgement { condition: None, release: Release::Complete, until: None });
    // A condition from a time when an agent ran there does not stay true.
    let left = judge(&other, Some(&stored(Reason::AllProfiles)), RULES, at(30));
    assert_eq!(reason(&left), Some(Reason::NotSelected));
}
