//! Wrong time stamps, as from a clock that jumps or from `touch`.

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::testing::{KeeperFixture, short};
use super::*;

fn stamp(fixture: &KeeperFixture, file: &str, time: SystemTime) {
    let file = File::options().write(true).open(fixture.path(file)).unwrap();
    file.set_times(FileTimes::new().set_accessed(time).set_modified(time)).unwrap();
}

#[expect(clippy::disallowed_methods, reason = "to set wrong time stamps")]
fn times() -> [SystemTime; 4] {
    let years = |years: u64| Duration::from_secs(years * 365 * 24 * 3600);
    let now = SystemTime::now();
    [UNIX_EPOCH, now - Duration::from_hours(1), now + Duration::from_hours(1), UNIX_EPOCH + years(400)]
}

#[test]
fn a_good_file_of_any_time_is_left_alone() {
    let mut fixture = KeeperFixture::with(&[("a", "one")]);
    let inode = fs::metadata(fixture.path("a.json")).unwrap().ino();
    for time in times() {
        stamp(&fixture, "a.json", time);
        stamp(&fixture, LEDGER, time);
        for file in ["a.json", LEDGER] {
            assert_eq!(fixture.touch(file), Pass::default());
        }
        assert_eq!(fixture.check(), Pass { events: vec![DiskEvent::Checked], ..Pass::default() });
        assert_eq!(fixture.retry(), Pass::default());
    }
    fixture.restart(&[("a", "one")]);
    assert_eq!(fs::metadata(fixture.path("a.json")).unwrap().ino(), inode);
    assert_eq!(fixture.repairs(), [0, 0, 0]);
}

#[test]
fn a_change_that_keeps_size_and_time_is_found_by_an_event_and_by_the_full_check() {
    for time in times() {
        let mut fixture = KeeperFixture::with(&[("a", "one")]);
        stamp(&fixture, "a.json", time);
        fixture.touch("a.json");
        for (round, look) in [|fixture: &mut KeeperFixture| fixture.touch("a.json"), KeeperFixture::check]
            .into_iter()
            .enumerate()
        {
            fs::write(fixture.path("a.json"), "two").unwrap();
            stamp(&fixture, "a.json", time);
            look(&mut fixture);
            assert_eq!(fixture.read("a.json").as_deref(), Some("one"), "by look {round}");
            assert_eq!(fixture.repairs(), [1 + round, 0, 0]);
            assert_eq!(fixture.reported(), [("a".into(), short("one"))]);
        }
    }
}

#[test]
fn a_ledger_whose_change_no_time_stamp_shows_is_found_by_the_full_check() {
    let mut fixture = KeeperFixture::with(&[("a", "one")]);
    let ledger = fixture.read(LEDGER).unwrap();
    fs::write(fixture.path(LEDGER), ledger.replace(r#"["a"]"#, r#"["b"]"#)).unwrap();
    // As if a clock that was set back had given it the same time stamps.
    fixture.keeper.ledger_print = fixture.keeper.directory.ledger_fingerprint();
    fixture.touch(LEDGER);
    assert_ne!(fixture.read(LEDGER).as_ref(), Some(&ledger), "what this test needs: the hint is fooled");
    fixture.check();
    assert_eq!(fixture.read(LEDGER), Some(ledger));
}
