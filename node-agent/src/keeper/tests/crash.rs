//! The process is killed before each of its system calls in turn, and another one starts.

use std::fs;

use super::testing::{keeper, list, name};
use super::*;
use crate::disk::testing::Script;

type Listing = &'static [(&'static str, &'static str)];

/// Changes the directory from `before` towards `after`, is killed before the `n`th call, and starts again with
/// `later`. False once the process reaches the end.
fn killed_at(n: usize, before: Listing, after: Listing, later: Listing) -> bool {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("profiles");
    let script = Script::default();
    let listed = |script: &Script, profiles: Listing| {
        let mut keeper = keeper(&path, script);
        list(&mut keeper, profiles);
        keeper.sync();
        keeper
    };
    drop(listed(&script, before));
    fs::write(path.join("theirs.json"), "theirs").unwrap();
    fs::write(path.join("clash.json"), "theirs").unwrap();

    let crashed = script.crash_at(n);
    drop(listed(&script, after));
    let crashed = crashed();
    script.calm();

    // Whatever is there is whole.
    for (profile, _) in before.iter().chain(after) {
        let bytes = fs::read_to_string(path.join(name(profile).file_name())).ok();
        let whole = |of: Listing| of.iter().any(|(p, b)| p == profile && Some(*b) == bytes.as_deref());
        let absent = |of: Listing| !of.iter().any(|(p, _)| p == profile);
        let or_absent = bytes.is_none() && (absent(before) || absent(after));
        let is_whole = *profile == "clash" || whole(before) || whole(after) || or_absent;
        assert!(is_whole, "before call {n}: {profile} is {bytes:?}");
    }

    let mut keeper = listed(&Script::default(), later);
    keeper.retry().unwrap();
    keeper.sync();
    let mut left: Vec<String> = fs::read_dir(&path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|file| !["theirs.json", "clash.json", LEDGER].contains(&file.as_str()))
        .collect();
    left.sort();
    let ours: Vec<_> = later.iter().filter(|(profile, _)| *profile != "clash").collect();
    let expected: Vec<_> = ours.iter().map(|(profile, _)| format!("{profile}.json")).collect();
    assert_eq!(left, expected, "before call {n}");
    for (profile, bytes) in ours {
        assert_eq!(fs::read_to_string(path.join(name(profile).file_name())).unwrap(), *bytes);
        assert_eq!(keeper.claim(&name(profile)), Some(Claim::Written));
    }
    for theirs in ["theirs.json", "clash.json"] {
        assert_eq!(fs::read_to_string(path.join(theirs)).unwrap(), "theirs", "before call {n}");
    }
    let problems: Vec<_> = keeper.report().problems.into_iter().map(|problem| problem.name).collect();
    let clashes: Vec<_> =
        later.iter().filter(|(profile, _)| *profile == "clash").map(|(profile, _)| *profile).collect();
    assert_eq!(problems, clashes, "before call {n}");
    crashed
}

fn killed_everywhere(before: Listing, after: Listing, later: Listing) {
    let calls = (0..).take_while(|&n| killed_at(n, before, after, later)).count();
    assert!(calls > 10, "only {calls} calls");
}

#[test]
fn an_agent_killed_anywhere_in_its_first_writes_converges_after_restart() {
    killed_everywhere(
        &[],
        &[("a", "1"), ("b", "1"), ("clash", "1")],
        &[("a", "1"), ("b", "1"), ("clash", "1")],
    );
}

#[test]
fn an_agent_killed_anywhere_in_its_first_writes_recognizes_its_files_under_other_goals() {
    killed_everywhere(&[], &[("a", "1"), ("b", "1")], &[("a", "2")]);
}

#[test]
fn an_agent_killed_anywhere_in_an_update_converges_on_the_later_goals_after_restart() {
    killed_everywhere(&[("a", "1"), ("b", "1")], &[("a", "2"), ("b", "2")], &[("a", "3"), ("b", "2")]);
}

#[test]
fn an_agent_killed_anywhere_in_a_removal_finishes_or_undoes_it_after_restart() {
    killed_everywhere(&[("a", "1"), ("b", "1"), ("c", "1")], &[("b", "1")], &[("b", "1"), ("c", "2")]);
}
