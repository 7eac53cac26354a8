//! Files and ledgers that something else changes again and again are repaired a bounded number of times between
//! retries.

use std::fs;

use super::testing::{KeeperFixture, short};
use super::*;
use crate::disk::SystemCall;

/// How often `file` was renamed to or unlinked since the last call.
fn renames(fixture: &KeeperFixture, file: &str) -> usize {
    let log = fixture.script.log();
    log.iter()
        .filter(|(call, name)| matches!(call, SystemCall::Rename | SystemCall::Unlink) && name == file)
        .count()
}

/// Somebody writes the file anew right after the agent has written or removed it, before it is read back.
fn change_before_reading_back(fixture: &KeeperFixture, file: &str) {
    let path = fixture.path(file);
    fixture.script.on(move |call, _| {
        if call == SystemCall::SyncDirectory {
            fs::write(&path, "evil").unwrap();
        }
        Ok(())
    });
}

#[test]
fn a_file_that_is_changed_without_end_is_repaired_at_the_pace_of_the_retries() {
    let mut fixture = KeeperFixture::with(&[("a", "one")]);
    for _ in 0..50 {
        fs::write(fixture.path("a.json"), "evil").unwrap();
        fixture.touch("a.json");
    }
    assert_eq!(fixture.repairs(), [10, 0, 0]);
    assert_eq!(fixture.reported(), [("a".into(), short("evil"))], "the report says what is there");
    fixture.retry();
    assert_eq!(fixture.read("a.json").as_deref(), Some("one"));
}

#[test]
fn a_file_that_is_changed_before_it_is_read_back_has_the_same_limit() {
    let mut fixture = KeeperFixture::with(&[("a", "one")]);
    change_before_reading_back(&fixture, "a.json");
    fs::write(fixture.path("a.json"), "evil").unwrap();
    for _ in 0..50 {
        fixture.touch("a.json");
    }
    assert_eq!(renames(&fixture, "a.json"), 10);
    assert_eq!(fixture.reported(), [("a".into(), short("evil"))]);
    // It is not read until the next retry, which has the same limit.
    fixture.touch("a.json");
    assert_eq!(fixture.script.log(), []);
    fixture.retry();
    for _ in 0..50 {
        fixture.touch("a.json");
    }
    assert_eq!(renames(&fixture, "a.json"), 10);
    fixture.script.calm();
    fixture.retry();
    assert_eq!(fixture.read("a.json").as_deref(), Some("one"));
    assert_eq!(fixture.reported(), [("a".into(), short("one"))]);
}

#[test]
fn a_new_goal_is_written_at_once_however_often_the_file_was_repaired() {
    let mut fixture = KeeperFixture::with(&[("a", "one")]);
    change_before_reading_back(&fixture, "a.json");
    fs::write(fixture.path("a.json"), "evil").unwrap();
    for _ in 0..50 {
        fixture.touch("a.json");
    }
    fixture.script.calm();
    fixture.apply("a", "two");
    assert_eq!(fixture.read("a.json").as_deref(), Some("two"));
}

#[test]
fn a_file_that_was_never_right_has_the_same_limit() {
    let mut fixture = KeeperFixture::with(&[]);
    change_before_reading_back(&fixture, "a.json");
    fixture.apply("a", "one");
    fixture.script.log();
    // A file with a profile's name is another program's until it has the right bytes.
    assert_eq!(fixture.read("a.json").as_deref(), Some("evil"));
    fs::write(fixture.path("a.json"), "one").unwrap();
    fixture.touch("a.json");
    fs::write(fixture.path("a.json"), "evil").unwrap();
    for _ in 0..50 {
        fixture.touch("a.json");
    }
    assert!(renames(&fixture, "a.json") <= 10);
}

#[test]
fn a_removed_file_that_is_put_back_without_end_has_the_same_limit() {
    let mut fixture = KeeperFixture::with(&[("a", "one")]);
    change_before_reading_back(&fixture, "a.json");
    fixture.delete("a");
    for _ in 0..50 {
        fixture.touch("a.json");
    }
    assert_eq!(renames(&fixture, "a.json"), 1 + 10, "one deletion and ten repairs");
    fixture.script.calm();
    fixture.retry();
    assert_eq!(fixture.read("a.json"), None);
}

#[test]
fn a_change_of_the_directory_does_not_reset_the_limit() {
    let mut fixture = KeeperFixture::with(&[("a", "one")]);
    change_before_reading_back(&fixture, "a.json");
    fs::write(fixture.path("a.json"), "evil").unwrap();
    for _ in 0..50 {
        fixture.keeper.directory_changed().unwrap();
        fixture.sync();
    }
    assert_eq!(renames(&fixture, "a.json"), 10);
}

#[test]
fn checks_do_not_clear_a_problem() {
    let mut fixture = KeeperFixture::with(&[("a", "one")]);
    fixture.script.fail(SystemCall::Create, rustix::io::Errno::NOSPC);
    fs::write(fixture.path("a.json"), "evil").unwrap();
    for _ in 0..20 {
        fixture.check();
    }
    assert_eq!(fixture.problem(), (ProblemKind::Failed, "DiskFull".into()));
}

#[test]
fn a_ledger_that_is_changed_without_end_is_written_at_the_pace_of_the_retries() {
    let mut fixture = KeeperFixture::with(&[("a", "one")]);
    let ledger = fixture.read(LEDGER);
    for _ in 0..50 {
        fs::write(fixture.path(LEDGER), "x").unwrap();
        fixture.touch(LEDGER);
    }
    assert_eq!(renames(&fixture, LEDGER), 10);
    assert_eq!(fixture.read(LEDGER).as_deref(), Some("x"));
    fixture.retry();
    assert_eq!(fixture.read(LEDGER), ledger);
}
