//! Since when a file has its present bytes, as the report states it.

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::io::Errno;

use super::testing::KeeperFixture;
use super::*;
use crate::disk::SystemCall;

const START: i64 = 1_800_000_000;

fn at(second: i64, nanosecond: u32) -> SystemTime {
    UNIX_EPOCH + Duration::new(u64::try_from(START + second).unwrap(), nanosecond)
}

/// The stated times, in seconds.
fn stated(fixture: &KeeperFixture) -> Vec<(String, i64)> {
    let changed = fixture.keeper.report().changed.unwrap();
    changed.into_iter().map(|(name, time)| (name, time.0.as_second() - START)).collect()
}

fn a(second: i64) -> Vec<(String, i64)> {
    vec![("a".to_owned(), second)]
}

/// A directory in which `a` was written once and replaced once, at the tenth second.
fn replaced_once() -> KeeperFixture {
    let mut fixture = KeeperFixture::with(&[("a", "one")]);
    fixture.script.set_clock(at(10, 0));
    assert!(fixture.apply("a", "two").changed);
    fixture
}

#[test]
fn the_first_file_under_a_name_has_no_time_and_its_first_replacement_has_one_rounded_up() {
    let mut fixture = KeeperFixture::with(&[("a", "one"), ("b", "one")]);
    assert_eq!(stated(&fixture), []);
    fixture.script.set_clock(at(10, 1));
    fixture.apply("a", "two");
    assert_eq!(stated(&fixture), a(11));
    fixture.script.set_clock(at(20, 0));
    fixture.apply("a", "three");
    assert_eq!(stated(&fixture), a(20));
}

#[test]
fn the_time_is_that_of_the_rename_however_long_the_flush_before_it_takes() {
    let mut fixture = KeeperFixture::with(&[("a", "one")]);
    fixture.script.set_clock(at(10, 5));
    let clock = fixture.script.clone();
    fixture.script.on(move |call, name| {
        if call == SystemCall::Rename && name == "a.json" {
            clock.set_clock(at(17, 5));
        }
        Ok(())
    });
    fixture.apply("a", "two");
    assert_eq!(stated(&fixture), a(18));
    fixture.script.calm();
    fixture.restart(&[("a", "two")]);
    assert_eq!(stated(&fixture), a(18), "on the disk as well");
}

#[test]
fn a_restarted_agent_states_the_same_times_and_reports_the_same() {
    let mut fixture = replaced_once();
    let before = fixture.keeper.report();
    fixture.script.set_clock(at(5000, 7));
    fixture.restart(&[("a", "two")]);
    assert_eq!(fixture.keeper.report(), before);
    assert_eq!(stated(&fixture), a(10));
}

#[test]
fn a_profile_that_was_changed_while_no_agent_ran_has_the_time_of_the_write() {
    let mut fixture = KeeperFixture::with(&[("a", "one")]);
    fixture.script.set_clock(at(30, 0));
    fixture.restart(&[("a", "two")]);
    assert_eq!(stated(&fixture), a(30));
}

#[test]
fn an_agent_killed_anywhere_in_a_replacement_states_a_time_after_restart() {
    let mut calls = 0;
    loop {
        let mut fixture = KeeperFixture::with(&[("a", "one")]);
        fixture.script.set_clock(at(10, 0));
        let crashed = fixture.script.crash_at(calls);
        fixture.apply("a", "two");
        let crashed = crashed();
        fixture.script.calm();
        let replaced = fixture.read("a.json").as_deref() == Some("two");
        fixture.script.set_clock(at(60, 0));
        fixture.restart(&[("a", "two")]);
        assert_eq!(stated(&fixture), a(if replaced { 10 } else { 60 }), "before call {calls}");
        if !crashed {
            break;
        }
        calls += 1;
    }
    assert!(calls > 5, "only {calls} calls");
}

#[test]
fn a_repair_keeps_the_time_because_containers_have_the_same_bytes() {
    for damage in [
        |path: &std::path::Path| fs::write(path, "drift").unwrap(),
        |path: &std::path::Path| fs::remove_file(path).unwrap(),
        |path: &std::path::Path| fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap(),
    ] {
        let mut fixture = replaced_once();
        fixture.script.set_clock(at(99, 0));
        damage(&fixture.path("a.json"));
        fixture.touch("a.json");
        assert_eq!(fixture.read("a.json").as_deref(), Some("two"));
        assert_eq!(stated(&fixture), a(10));
        fixture.restart(&[("a", "two")]);
        assert_eq!(stated(&fixture), a(10), "the repaired file keeps it on the disk");
    }
}

#[test]
fn a_file_that_was_lost_or_changed_while_no_agent_ran_counts_as_replaced() {
    for damage in [
        |path: &std::path::Path| fs::write(path, "drift").unwrap(),
        |path: &std::path::Path| fs::remove_file(path).unwrap(),
    ] {
        let mut fixture = KeeperFixture::with(&[("a", "one")]);
        damage(&fixture.path("a.json"));
        fixture.script.set_clock(at(40, 0));
        fixture.restart(&[("a", "one")]);
        assert_eq!(stated(&fixture), a(40));
    }
}

#[test]
fn a_file_that_is_adopted_has_the_time_that_its_maker_gave_it_and_none_with_a_fraction() {
    for (nanosecond, expected) in [(0, a(3)), (1, Vec::new())] {
        let mut fixture = KeeperFixture::new();
        fs::write(fixture.path("a.json"), "one").unwrap();
        fs::set_permissions(fixture.path("a.json"), fs::Permissions::from_mode(0o644)).unwrap();
        let time = at(3, nanosecond);
        let file = File::options().write(true).open(fixture.path("a.json")).unwrap();
        file.set_times(FileTimes::new().set_modified(time)).unwrap();
        fixture.script.set_clock(at(50, 0));
        fixture.list(&[("a", "one")]);
        assert_eq!(stated(&fixture), expected);
    }
}

#[test]
fn what_somebody_does_to_the_times_of_a_file_has_no_effect_while_the_agent_runs() {
    let mut fixture = replaced_once();
    let file = File::options().write(true).open(fixture.path("a.json")).unwrap();
    file.set_times(FileTimes::new().set_modified(UNIX_EPOCH + Duration::from_secs(7))).unwrap();
    assert_eq!(fixture.touch("a.json"), Pass::default());
    assert_eq!(stated(&fixture), a(10));
}

#[test]
fn a_time_in_the_future_is_taken_for_the_start_of_the_agent() {
    let mut fixture = replaced_once();
    // The clock was wrong, and has been set back since.
    fixture.script.set_clock(at(-1000, 1));
    fixture.restart(&[("a", "two")]);
    assert_eq!(stated(&fixture), a(-999));
}

#[test]
fn a_disk_that_stores_no_times_keeps_no_profile_from_the_node() {
    let mut fixture = KeeperFixture::with(&[("a", "one")]);
    fixture.script.set_clock(at(10, 0));
    fixture.script.fail(SystemCall::SetTime, Errno::PERM);
    fixture.apply("a", "two");
    assert_eq!(fixture.read("a.json").as_deref(), Some("two"));
    assert_eq!(fixture.keeper.report().problems, []);
    assert_eq!(stated(&fixture), a(10), "while this process runs");
}

#[test]
fn a_profile_that_is_deleted_and_made_again_begins_anew() {
    let mut fixture = replaced_once();
    fixture.delete("a");
    assert_eq!(stated(&fixture), []);
    fixture.apply("a", "three");
    assert_eq!(stated(&fixture), []);
}
