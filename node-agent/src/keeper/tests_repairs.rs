//! Files and ledgers that something else changes again and again are repaired a bounded number of times between
//! retries.

use std::fs;

use super::testing::{World, short};
use super::*;
use crate::disk::SystemCall;

/// How often `file` was renamed to or unlinked since the last call.
fn renames(world: &World, file: &str) -> usize {
    let log = world.script.log();
    log.iter()
        .filter(|(call, name)| matches!(call, SystemCall::Rename | SystemCall::Unlink) && name == file)
        .count()
}

/// Somebody writes the file anew right after the agent has written or removed it, before it is read back.
fn change_before_reading_back(world: &World, file: &str) {
    let path = world.path(file);
    world.script.on(move |call, _| {
        if call == SystemCall::SyncDirectory {
            fs::write(&path, "evil").unwrap();
        }
        Ok(())
    });
}

#[test]
fn a_file_that_is_changed_without_end_is_repaired_at_the_pace_of_the_retries() {
    let mut world = World::with(&[("a", "one")]);
    for _ in 0..50 {
        fs::write(world.path("a.json"), "evil").unwrap();
        world.touch("a.json");
    }
    assert_eq!(world.repairs(), [10, 0, 0]);
    assert_eq!(world.reported(), [("a".into(), short("evil"))], "the report says what lies there");
    world.retry();
    assert_eq!(world.read("a.json").as_deref(), Some("one"));
}

#[test]
fn a_file_that_is_changed_before_it_is_read_back_has_the_same_limit() {
    let mut world = World::with(&[("a", "one")]);
    change_before_reading_back(&world, "a.json");
    fs::write(world.path("a.json"), "evil").unwrap();
    for _ in 0..50 {
        world.touch("a.json");
    }
    assert_eq!(renames(&world, "a.json"), 10);
    assert_eq!(world.reported(), [("a".into(), short("evil"))]);
    // It is not read until the next retry, which has the same limit.
    world.touch("a.json");
    assert_eq!(world.script.log(), []);
    world.retry();
    for _ in 0..50 {
        world.touch("a.json");
    }
    assert_eq!(renames(&world, "a.json"), 10);
    world.script.calm();
    world.retry();
    assert_eq!(world.read("a.json").as_deref(), Some("one"));
    assert_eq!(world.reported(), [("a".into(), short("one"))]);
}

#[test]
fn a_new_goal_is_written_at_once_however_often_the_file_was_repaired() {
    let mut world = World::with(&[("a", "one")]);
    change_before_reading_back(&world, "a.json");
    fs::write(world.path("a.json"), "evil").unwrap();
    for _ in 0..50 {
        world.touch("a.json");
    }
    world.script.calm();
    world.apply("a", "two");
    assert_eq!(world.read("a.json").as_deref(), Some("two"));
}

#[test]
fn a_file_that_was_never_right_has_the_same_limit() {
    let mut world = World::with(&[]);
    change_before_reading_back(&world, "a.json");
    world.apply("a", "one");
    world.script.log();
    // A file with a profile's name is foreign until it has the right bytes.
    assert_eq!(world.read("a.json").as_deref(), Some("evil"));
    fs::write(world.path("a.json"), "one").unwrap();
    world.touch("a.json");
    fs::write(world.path("a.json"), "evil").unwrap();
    for _ in 0..50 {
        world.touch("a.json");
    }
    assert!(renames(&world, "a.json") <= 10);
}

#[test]
fn a_removed_file_that_is_put_back_without_end_has_the_same_limit() {
    let mut world = World::with(&[("a", "one")]);
    change_before_reading_back(&world, "a.json");
    world.delete("a");
    for _ in 0..50 {
        world.touch("a.json");
    }
    assert_eq!(renames(&world, "a.json"), 1 + 10, "one deletion and ten repairs");
    world.script.calm();
    world.retry();
    assert_eq!(world.read("a.json"), None);
}

#[test]
fn a_change_of_the_directory_does_not_reset_the_limit() {
    let mut world = World::with(&[("a", "one")]);
    change_before_reading_back(&world, "a.json");
    fs::write(world.path("a.json"), "evil").unwrap();
    for _ in 0..50 {
        world.keeper.directory_changed().unwrap();
        world.sync();
    }
    assert_eq!(renames(&world, "a.json"), 10);
}

#[test]
fn checks_do_not_clear_a_problem() {
    let mut world = World::with(&[("a", "one")]);
    world.script.fail(SystemCall::Create, rustix::io::Errno::NOSPC);
    fs::write(world.path("a.json"), "evil").unwrap();
    for _ in 0..20 {
        world.check();
    }
    assert_eq!(world.problem(), (ProblemKind::Failed, "DiskFull".into()));
}

#[test]
fn a_ledger_that_is_changed_without_end_is_written_at_the_pace_of_the_retries() {
    let mut world = World::with(&[("a", "one")]);
    let ledger = world.read(LEDGER);
    for _ in 0..50 {
        fs::write(world.path(LEDGER), "x").unwrap();
        world.touch(LEDGER);
    }
    assert_eq!(renames(&world, LEDGER), 10);
    assert_eq!(world.read(LEDGER).as_deref(), Some("x"));
    world.retry();
    assert_eq!(world.read(LEDGER), ledger);
}
