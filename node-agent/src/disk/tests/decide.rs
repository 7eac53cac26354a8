//! The decision, for every combination of goal, claim and finding.

use profile::ContentHash;
use rustix::io::Errno;

use super::*;

fn wanted() -> ContentHash {
    ContentHash::of(b"wanted")
}

fn intended() -> ContentHash {
    ContentHash::of(b"intended")
}

fn other() -> ContentHash {
    ContentHash::of(b"other")
}

fn unreadable() -> DiskError {
    FailedCall { call: SystemCall::Open, name: "a.json".into(), errno: Errno::ACCESS }.into()
}

fn file(hash: Option<ContentHash>, access_is_right: bool) -> Found {
    Found::File { hash, access_is_right, replaced: None }
}

fn findings() -> Vec<Found> {
    vec![
        Found::Absent,
        file(Some(wanted()), true),
        file(Some(wanted()), false),
        file(Some(intended()), true),
        file(Some(other()), true),
        file(None, true),
        Found::Unreadable(unreadable()),
        Found::Special("a symbolic link"),
        Found::EmptyDirectory,
        Found::Directory,
        Found::Unknown(unreadable()),
    ]
}

fn claims() -> [Option<Claim>; 3] {
    [None, Some(Claim::Intended(intended())), Some(Claim::Written)]
}

fn decided(goal: Expected, claim: Option<Claim>, found: &Found) -> FileAction {
    decide(goal, Ownership::Known(claim), found, None)
}

#[test]
fn what_is_not_ours_is_never_touched() {
    for claim in claims() {
        for found in findings() {
            let hash = if let Found::File { hash, .. } = &found { *hash } else { None };
            for goal in [Expected::File(wanted()), Expected::Anything, Expected::Nothing] {
                let is_ours = found == Found::Absent
                    || claim == Some(Claim::Written)
                    || (hash == Some(intended()) && claim == Some(Claim::Intended(intended())))
                    || (hash == Some(wanted()) && goal == Expected::File(wanted()));
                let action = decided(goal, claim, &found);
                let hands_off =
                    matches!(action, FileAction::Nothing | FileAction::Forget | FileAction::Fail(_));
                assert!(is_ours || hands_off, "{goal:?} {claim:?} {found:?}: {action:?}");
            }
        }
    }
}

#[test]
fn what_is_ours_is_always_made_to_match_the_goal() {
    for found in findings() {
        let action = decided(Expected::File(wanted()), Some(Claim::Written), &found);
        let expected = match &found {
            Found::Absent => FileAction::Write { replaces: Replaces::Nothing, drift: Some(Drift::Removed) },
            Found::File { hash, access_is_right: true, .. } if *hash == Some(wanted()) => FileAction::Nothing,
            Found::File { .. } | Found::Unreadable(_) => {
                FileAction::Write { replaces: Replaces::OwnFile, drift: None }
            }
            Found::Special(_) => {
                FileAction::Write { replaces: Replaces::OwnFile, drift: Some(Drift::Replaced) }
            }
            Found::EmptyDirectory => {
                FileAction::Write { replaces: Replaces::EmptyDirectory, drift: Some(Drift::Replaced) }
            }
            Found::Directory => FileAction::Fail(DiskError::DirectoryInTheWay),
            Found::Unknown(error) => FileAction::Fail(error.clone()),
        };
        assert_eq!(action, expected, "{found:?}");
    }
}

#[test]
fn an_invalid_or_unknown_profile_changes_nothing() {
    for claim in claims() {
        for found in findings() {
            assert_eq!(decided(Expected::Anything, claim, &found), FileAction::Nothing);
        }
    }
}

#[test]
fn a_ledger_that_cannot_be_used_stops_everything_but_what_is_right_already() {
    let error = LedgerError::TooNew(2);
    for found in findings() {
        let decide = |goal| decide(goal, Ownership::Unknown(&error), &found, None);
        let is_right = matches!(&found, Found::File { hash, .. } if *hash == Some(wanted()));
        let refused = FileAction::Fail(error.clone().into());
        let expected = |right| if right { FileAction::Nothing } else { refused.clone() };
        assert_eq!(decide(Expected::File(wanted())), expected(is_right), "{found:?}");
        assert_eq!(decide(Expected::Nothing), expected(found == Found::Absent), "{found:?}");
    }
}

#[test]
fn the_same_bytes_are_adopted_and_their_permissions_repaired() {
    for claim in [None, Some(Claim::Intended(intended()))] {
        let adopted = |access_is_right| {
            decided(Expected::File(wanted()), claim, &file(Some(wanted()), access_is_right))
        };
        assert_eq!(adopted(true), FileAction::Adopt { rewrite: false });
        assert_eq!(adopted(false), FileAction::Adopt { rewrite: true });
    }
}

#[test]
fn an_intended_file_is_claimed_before_new_bytes_replace_it() {
    let found = file(Some(intended()), true);
    let action = decided(Expected::File(wanted()), Some(Claim::Intended(intended())), &found);
    assert_eq!(action, FileAction::Adopt { rewrite: true });
}

#[test]
fn only_a_file_that_was_right_before_has_drifted() {
    let drift = |verified| match decide(
        Expected::File(wanted()),
        Ownership::Known(Some(Claim::Written)),
        &file(Some(other()), true),
        verified,
    ) {
        FileAction::Write { drift, .. } => drift,
        action => panic!("{action:?}"),
    };
    assert_eq!(drift(None), None);
    assert_eq!(drift(Some(other())), None, "the profile changed, not the file");
    assert_eq!(drift(Some(wanted())), Some(Drift::Changed));
}

#[test]
fn the_ledger_forgets_a_name_only_when_nothing_of_ours_lies_there() {
    let gone = |claim, found: &Found| decided(Expected::Nothing, Some(claim), found);
    let (written, promised) = (Claim::Written, Claim::Intended(intended()));
    assert_eq!(gone(written, &Found::Absent), FileAction::Forget);
    assert_eq!(gone(written, &Found::Directory), FileAction::Forget);
    assert_eq!(gone(written, &Found::EmptyDirectory), FileAction::Remove { directory: true });
    assert_eq!(gone(written, &file(Some(other()), true)), FileAction::Remove { directory: false });
    assert_eq!(gone(promised, &file(Some(intended()), true)), FileAction::Remove { directory: false });
    assert_eq!(gone(promised, &file(Some(other()), true)), FileAction::Forget);
    assert_eq!(gone(promised, &file(None, true)), FileAction::Forget);
    let error = unreadable();
    let hidden = Found::Unreadable(error.clone());
    assert_eq!(gone(promised, &hidden), FileAction::Fail(error.clone()));
    assert_eq!(gone(written, &hidden), FileAction::Remove { directory: false });
    assert_eq!(gone(written, &Found::Unknown(error.clone())), FileAction::Fail(error));
}
