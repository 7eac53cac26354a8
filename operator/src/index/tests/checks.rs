//! When contents are checked, and what the findings cost.

use api::Text;
use serde_json::json;

use super::*;
use crate::findings::{Checked, Findings};

/// What is found in contents that name a call which does not exist, if `wrong`, or else in contents without fault.
fn found(wrong: bool) -> Checked {
    let name = if wrong { "no_such_call" } else { "acct" };
    let contents = json!({
        "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
        "syscalls": [{ "names": [name], "action": "SCMP_ACT_TRAP" }],
    });
    let spec: Text = serde_json::from_value(json!({ "contents": contents })).unwrap();
    Checked::Findings(Findings::in_spec(&spec, &[]))
}

/// Checks the profile, if it must be; returns whether it was.
pub(super) fn check(index: &mut Index, name: &str, wrong: bool) -> bool {
    let check = index.check(name);
    let is_due = check.is_some();
    if let Some(check) = check {
        index.checked(name, check, found(wrong));
    }
    is_due
}

/// The condition Sound, and how many warnings there are.
pub(super) fn sound(status: &SeccompProfileStatus) -> Option<(&str, &str, usize)> {
    let sound = crate::status::sound_condition(status)?;
    Some((&sound.status, &sound.reason, status.warnings.len()))
}

fn operation(index: &mut Index, now: i64) -> ProfileOperation {
    index.decide_profile("a", at(now)).unwrap().operation
}

#[test]
fn contents_are_checked_once_and_again_when_they_change() {
    let mut index = two_nodes();
    assert!(check(&mut index, "a", true));
    assert!(!check(&mut index, "a", true));
    assert_eq!(sound(&status(&index, 0)), Some(("False", "UnknownSyscall", 1)));
    // The operator's own write, and somebody's label.
    let facts = store(&mut index, profile("a", 1), 0);
    index.apply_profile(ProfileFacts { version: version(1, 9), ..facts.clone() }, UpdateSource::Watch, at(1));
    assert!(!check(&mut index, "a", true));
    let changed = ProfileFacts { version: version(1, 10), generation: Some(2), ..profile("a", 2) };
    index.apply_profile(ProfileFacts { status: facts.status, ..changed }, UpdateSource::Watch, at(2));
    assert_eq!(sound(&status(&index, 2)), None, "what was found in earlier contents");
    assert!(check(&mut index, "a", false));
    assert_eq!(sound(&status(&index, 2)), Some(("True", "NoFindings", 0)));
    assert!(index.findings("a").is_some() && index.findings("b").is_none());
}

#[test]
fn the_result_of_a_check_of_earlier_contents_is_dropped() {
    let mut index = two_nodes();
    let earlier = index.check("a").unwrap();
    let changed = ProfileFacts { version: version(1, 2), generation: Some(2), ..profile("a", 2) };
    index.apply_profile(changed, UpdateSource::Watch, at(1));
    index.checked("a", earlier, found(true));
    assert!(check(&mut index, "a", false));
}

#[test]
fn contents_that_are_invalid_are_not_checked_and_are_neither_sound_nor_unsound() {
    let mut index = two_nodes();
    let bad =
        ProfileFacts { content: Err("unknown action".to_owned()), version: version(1, 2), ..profile("a", 2) };
    index.apply_profile(bad, UpdateSource::Watch, at(1));
    assert!(!check(&mut index, "a", true));
    assert_eq!(sound(&status(&index, 1)), None);
}

#[test]
fn a_profile_that_is_being_deleted_is_not_checked_and_keeps_what_was_found() {
    let mut index = two_nodes();
    check(&mut index, "a", true);
    let stored = store(&mut index, profile("a", 1), 0);
    let mut index = two_nodes();
    index.apply_pod(user("web", Some("n1"), "a"), at(0));
    let deleted =
        ProfileFacts { generation: Some(2), deletion: Some(at(1)), version: version(1, 9), ..stored };
    index.apply_profile(deleted, UpdateSource::List, at(1));
    assert!(!check(&mut index, "a", false));
    assert_eq!(sound(&status(&index, 1)), Some(("False", "UnknownSyscall", 1)));
}

#[test]
fn every_profile_is_checked_again_when_the_first_node_of_an_architecture_joins_and_not_when_it_comes_back() {
    let mut index = two_nodes();
    assert_eq!(index.check("a").unwrap().architectures, [Architecture::X86_64]);
    check(&mut index, "a", false);
    let facts = store(&mut index, profile("a", 1), 0);
    let arm = |name: &str| NodeFacts { architecture: Some(Architecture::Aarch64), ..node(name) };
    index.apply_node(NodeFacts { selected: false, ..arm("windows") }, at(1));
    index.apply_node(NodeFacts { architecture: None, ..node("unknown") }, at(1));
    assert_eq!(index.check("a"), None);
    index.take_dirty();
    index.apply_node(arm("n3"), at(1));
    assert!(index.take_dirty().profiles.contains("a"));
    let check = index.check("a").unwrap();
    assert_eq!(check.architectures, [Architecture::X86_64, Architecture::Aarch64]);
    // Until then the status keeps what was found before.
    assert_eq!(sound(&status(&index, 1)), sound(facts.status.as_ref().unwrap()));
    index.checked("a", check, found(true));
    index.delete_node("n3", "n3-1", at(2));
    index.apply_node(arm("n4"), at(3));
    assert_eq!(index.check("a"), None);
}

#[test]
fn findings_that_change_alone_wait_as_counts_do() {
    let mut index = two_nodes();
    check(&mut index, "a", false);
    store(&mut index, profile("a", 1), 0);
    index.apply_node(
        NodeFacts { architecture: Some(Architecture::Aarch64), selected: true, ..node("n1") },
        at(1),
    );
    check(&mut index, "a", true);
    assert_eq!(operation(&mut index, 1), ProfileOperation::Defer);
    assert!(
        matches!(operation(&mut index, 61), ProfileOperation::WriteStatus { notices, .. } if notices.is_empty())
    );
}

#[test]
fn a_restarted_operator_writes_only_what_it_finds_otherwise() {
    let stored = |wrong| {
        let mut index = two_nodes();
        check(&mut index, "a", wrong);
        store(&mut index, profile("a", 1), 0)
    };
    for (before, after) in [(true, true), (false, false), (true, false)] {
        let mut index = two_nodes();
        let facts = ProfileFacts { version: version(1, 5), ..stored(before) };
        index.apply_profile(facts, UpdateSource::List, at(1));
        assert_eq!(operation(&mut index, 1), ProfileOperation::Nothing, "before the check");
        assert!(check(&mut index, "a", after));
        let writes = matches!(operation(&mut index, 1), ProfileOperation::WriteStatus { .. });
        assert_eq!(writes, before != after);
    }
}

/// A definition of an earlier release has no warnings: its API server removes them from each status.
#[test]
fn warnings_that_the_api_server_does_not_store_are_not_written_again_and_again() {
    let mut index = two_nodes();
    check(&mut index, "a", true);
    let mut facts = store(&mut index, profile("a", 1), 0);
    facts.status.as_mut().unwrap().warnings.clear();
    let facts = ProfileFacts { version: version(1, 9), ..facts };
    index.apply_profile(facts, UpdateSource::Watch, at(1));
    assert_eq!(operation(&mut index, 100), ProfileOperation::Nothing);
}
