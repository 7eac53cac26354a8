//! Time stamps that lie, as a clock that jumps or somebody's `touch` makes them.

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::testing::{World, short};
use super::*;

fn stamp(world: &World, file: &str, time: SystemTime) {
    let file = File::options().write(true).open(world.path(file)).unwrap();
    file.set_times(FileTimes::new().set_accessed(time).set_modified(time)).unwrap();
}

#[expect(clippy::disallowed_methods, reason = "to lie about it")]
fn times() -> [SystemTime; 4] {
    let years = |years: u64| Duration::from_secs(years * 365 * 24 * 3600);
    let now = SystemTime::now();
    [UNIX_EPOCH, now - Duration::from_hours(1), now + Duration::from_hours(1), UNIX_EPOCH + years(400)]
}

#[test]
fn a_good_file_of_any_time_is_left_alone() {
    let mut world = World::with(&[("a", "one")]);
    let inode = fs::metadata(world.path("a.json")).unwrap().ino();
    for time in times() {
        stamp(&world, "a.json", time);
        stamp(&world, LEDGER, time);
        for file in ["a.json", LEDGER] {
            assert_eq!(world.touch(file), Pass::default());
        }
        assert_eq!(world.check(), Pass { events: vec![DiskEvent::Checked], ..Pass::default() });
        assert_eq!(world.retry(), Pass::default());
    }
    world.restart(&[("a", "one")]);
    assert_eq!(fs::metadata(world.path("a.json")).unwrap().ino(), inode);
    assert_eq!(world.repairs(), [0, 0, 0]);
}

#[test]
fn a_change_that_keeps_size_and_time_is_found_by_an_event_and_by_the_full_check() {
    for time in times() {
        let mut world = World::with(&[("a", "one")]);
        stamp(&world, "a.json", time);
        world.touch("a.json");
        for (round, look) in [|world: &mut World| world.touch("a.json"), World::check].into_iter().enumerate()
        {
            fs::write(world.path("a.json"), "two").unwrap();
            stamp(&world, "a.json", time);
            look(&mut world);
            assert_eq!(world.read("a.json").as_deref(), Some("one"), "by look {round}");
            assert_eq!(world.repairs(), [1 + round, 0, 0]);
            assert_eq!(world.reported(), [("a".into(), short("one"))]);
        }
    }
}

#[test]
fn a_ledger_whose_change_no_time_stamp_shows_is_found_by_the_full_check() {
    let mut world = World::with(&[("a", "one")]);
    let ledger = world.read(LEDGER).unwrap();
    fs::write(world.path(LEDGER), ledger.replace(r#"["a"]"#, r#"["b"]"#)).unwrap();
    // As if a clock that was set back had given it the same time stamps.
    world.keeper.ledger_print = world.keeper.directory.ledger_fingerprint();
    world.touch(LEDGER);
    assert_ne!(world.read(LEDGER).as_ref(), Some(&ledger), "what this test needs: the hint is fooled");
    world.check();
    assert_eq!(world.read(LEDGER), Some(ledger));
}
