//! Profiles that the operator says the node does not hold.

use super::testing::{KeeperFixture, name, short};
use super::*;

fn place(fixture: &mut KeeperFixture, profile: &str, placement: Placement) -> Pass {
    fixture.keeper.set_placement(name(profile), placement, Instant::now());
    fixture.sync()
}

#[test]
fn an_excluded_profile_loses_its_file_and_gets_it_back_with_its_present_bytes() {
    let mut fixture = KeeperFixture::with(&[("a", "one"), ("b", "one")]);
    assert!(place(&mut fixture, "a", Placement::Excluded).changed);
    assert_eq!(fixture.read("a.json"), None);
    assert_eq!(fixture.reported(), [("b".into(), short("one"))]);
    assert_eq!((fixture.keeper.report().file_count, fixture.ledger().claim(&name("a"))), (1, None));
    // It stays so, and reports nothing new.
    for pass in [fixture.apply("a", "two"), fixture.check(), fixture.retry(), fixture.touch("a.json")] {
        assert!(!pass.changed && !pass.failed, "{pass:?}");
    }
    assert_eq!(fixture.read("a.json"), None);
    assert!(place(&mut fixture, "a", Placement::Here).changed);
    assert_eq!(fixture.read("a.json").as_deref(), Some("two"));
    assert_eq!(fixture.keeper.report().changed.unwrap().len(), 0, "no container can be under earlier bytes");
    assert_eq!(fixture.repairs(), [0, 0, 0]);
}

#[test]
fn a_new_profile_that_is_excluded_is_never_written() {
    let mut fixture = KeeperFixture::with(&[]);
    fixture.keeper.set_placement(name("a"), Placement::Excluded, Instant::now());
    fixture.apply("a", "one");
    assert_eq!((fixture.read("a.json"), fixture.reported()), (None, vec![]));
}

#[test]
fn until_the_word_is_known_a_file_stays_as_it_is_and_none_is_written() {
    let mut fixture = KeeperFixture::with(&[("a", "one")]);
    fixture.restart_unlisted();
    for profile in ["a", "b"] {
        fixture.keeper.set_placement(name(profile), Placement::Unknown, Instant::now());
    }
    fixture.list(&[("a", "two"), ("b", "one")]);
    assert_eq!((fixture.read("a.json").as_deref(), fixture.read("b.json")), (Some("one"), None));
    assert_eq!(fixture.reported(), [("a".into(), short("one"))]);
    place(&mut fixture, "a", Placement::Here);
    place(&mut fixture, "b", Placement::Excluded);
    assert_eq!((fixture.read("a.json").as_deref(), fixture.read("b.json")), (Some("two"), None));
}

#[test]
fn a_file_of_somebody_else_under_an_excluded_name_stays_and_is_no_problem() {
    let mut fixture = KeeperFixture::new();
    std::fs::write(fixture.path("a.json"), "theirs").unwrap();
    fixture.list(&[("a", "one")]);
    assert_eq!(fixture.keeper.report().problems.len(), 1);
    assert!(place(&mut fixture, "a", Placement::Excluded).changed);
    assert_eq!(fixture.read("a.json").as_deref(), Some("theirs"));
    assert_eq!((fixture.keeper.report().problems, fixture.reported()), (vec![], vec![]));
    assert!(!fixture.check().changed);
}

#[test]
fn an_excluded_profile_that_cannot_be_removed_is_a_problem_until_it_can() {
    let mut fixture = KeeperFixture::with(&[("a", "one")]);
    fixture.script.on(|call, file| match call {
        crate::disk::SystemCall::Unlink if file == "a.json" => Err(rustix::io::Errno::IO),
        _ => Ok(()),
    });
    assert!(place(&mut fixture, "a", Placement::Excluded).failed);
    assert_eq!(fixture.problem().0, ProblemKind::Failed);
    assert_eq!(fixture.reported(), [("a".into(), short("one"))], "it is still there");
    fixture.script.calm();
    fixture.retry();
    assert_eq!((fixture.keeper.report().problems, fixture.reported()), (vec![], vec![]));
}

#[test]
fn a_lost_directory_is_no_problem_of_an_excluded_profile() {
    let mut fixture = KeeperFixture::with(&[("a", "one"), ("b", "one")]);
    place(&mut fixture, "a", Placement::Excluded);
    std::fs::remove_dir_all(fixture.path("")).unwrap();
    let why = fixture.keeper.directory_changed().unwrap_err();
    let lost = fixture.keeper.directory_lost(why);
    let problems: Vec<_> = lost.report.problems.iter().map(|problem| &*problem.name).collect();
    assert_eq!(problems, ["b"]);
}
