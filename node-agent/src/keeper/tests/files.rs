//! What the keeper writes, repairs, adopts and leaves alone.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use api::ProblemKind;

use super::testing::{KeeperFixture, name, short};
use super::*;
use crate::disk::SystemCall;

#[test]
fn a_profile_becomes_a_file_follows_its_changes_and_goes_with_it() {
    let mut fixture = KeeperFixture::new();
    fixture.list(&[]);
    assert!(fixture.apply("a", "one").changed);
    assert_eq!(fixture.read("a.json").as_deref(), Some("one"));
    assert_eq!(fixture.reported(), [("a".into(), short("one"))]);
    fixture.apply("a", "two");
    assert_eq!(fixture.read("a.json").as_deref(), Some("two"));
    assert_eq!(fixture.reported(), [("a".into(), short("two"))]);
    assert!(fixture.delete("a").changed);
    assert_eq!(fixture.read("a.json"), None);
    assert_eq!(fixture.reported(), []);
    assert_eq!(fixture.ledger(), Ledger::default());
    assert_eq!(fixture.repairs(), [0, 0, 0]);
}

#[test]
fn many_changes_cost_two_writes_of_the_ledger_and_an_update_none() {
    let mut fixture = KeeperFixture::new();
    let names: Vec<String> = (0..20).map(|i| format!("p{i}")).collect();
    let profiles: Vec<_> = names.iter().map(|name| (name.as_str(), "one")).collect();
    fixture.list(&profiles);
    let ledgers = |fixture: &KeeperFixture| {
        fixture
            .script
            .log()
            .iter()
            .filter(|(call, name)| *call == SystemCall::Rename && name == LEDGER)
            .count()
    };
    assert_eq!(ledgers(&fixture), 2);
    fixture.apply("p0", "two");
    assert_eq!(ledgers(&fixture), 0);
}

#[test]
fn the_agents_own_writes_change_no_report() {
    let mut fixture = KeeperFixture::with(&[("a", "one")]);
    // The bytes are read again; nothing is written.
    for file in [LEDGER, "a.json", "a.json"] {
        assert_eq!(fixture.touch(file), Pass::default());
    }
    let written = fixture.script.log();
    assert!(
        !written.iter().any(|(call, _)| matches!(call, SystemCall::Create | SystemCall::Rename)),
        "{written:?}"
    );
}

#[test]
fn files_of_no_profile_are_ignored() {
    let mut fixture = KeeperFixture::with(&[]);
    fs::write(fixture.path("theirs.json"), "x").unwrap();
    fixture.touch("theirs.json");
    fixture.check();
    assert_eq!(fixture.reported(), []);
    assert_eq!(fixture.read("theirs.json").as_deref(), Some("x"));
}

#[test]
fn drift_of_every_kind_is_repaired_and_counted() {
    let mut fixture = KeeperFixture::with(&[("a", "one")]);
    let path = fixture.path("a.json");
    let outside = fixture.root.path().join("outside");
    fs::write(&outside, "theirs").unwrap();
    let is_mended = |fixture: &KeeperFixture| {
        let about = fs::symlink_metadata(fixture.path("a.json")).unwrap();
        about.is_file() && about.mode() & 0o7777 == 0o644 && fixture.read("a.json").as_deref() == Some("one")
    };

    fs::write(&path, "evil").unwrap();
    fixture.touch("a.json");
    assert!(is_mended(&fixture));
    assert_eq!(fixture.repairs(), [1, 0, 0]);

    fs::remove_file(&path).unwrap();
    fixture.touch("a.json");
    assert!(is_mended(&fixture));
    assert_eq!(fixture.repairs(), [1, 1, 0]);

    fs::remove_file(&path).unwrap();
    symlink(&outside, &path).unwrap();
    fixture.touch("a.json");
    assert!(is_mended(&fixture));
    assert_eq!(fixture.repairs(), [1, 1, 1]);

    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    fixture.touch("a.json");
    assert!(is_mended(&fixture));
    assert_eq!(fixture.repairs(), [1, 1, 2]);

    for mode in [0o600, 0o666, 0o000] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        fixture.touch("a.json");
        assert!(is_mended(&fixture));
    }
    assert_eq!(fixture.repairs(), [4, 1, 2]);
    assert_eq!(fs::read(&outside).unwrap(), b"theirs");
    assert_eq!(fixture.keeper.report().problems, []);
}

#[test]
fn the_full_check_finds_what_no_event_showed() {
    let mut fixture = KeeperFixture::with(&[("a", "one"), ("b", "one")]);
    fs::write(fixture.path("b.json"), "evil").unwrap();
    assert_eq!(fixture.sync(), Pass::default());
    fixture.check();
    assert_eq!(fixture.read("b.json").as_deref(), Some("one"));
    assert_eq!(fixture.repairs(), [1, 0, 0]);
}

#[test]
fn drift_is_repaired_while_the_api_server_is_away() {
    let mut fixture = KeeperFixture::with(&[("a", "one")]);
    fs::remove_file(fixture.path("a.json")).unwrap();
    fixture.touch("a.json");
    assert_eq!(fixture.read("a.json").as_deref(), Some("one"));
}

#[test]
fn a_file_with_the_same_bytes_is_adopted() {
    let mut fixture = KeeperFixture::new();
    fs::write(fixture.path("a.json"), "one").unwrap();
    fs::set_permissions(fixture.path("a.json"), fs::Permissions::from_mode(0o600)).unwrap();
    fixture.list(&[("a", "one")]);
    assert_eq!(fixture.ledger().claim(&name("a")), Some(Claim::Written));
    assert_eq!(fs::metadata(fixture.path("a.json")).unwrap().mode() & 0o777, 0o644);
    fixture.delete("a");
    assert_eq!(fixture.read("a.json"), None);
}

#[test]
fn what_is_not_ours_is_a_conflict_until_it_is_gone() {
    let mut fixture = KeeperFixture::new();
    fs::write(fixture.path("a.json"), "theirs").unwrap();
    let pass = fixture.list(&[("a", "one")]);
    assert!(pass.changed && pass.failed);
    assert_eq!(fixture.problem(), (ProblemKind::Conflict, "NotOurs".into()));
    assert_eq!(fixture.reported(), [("a".into(), short("theirs"))]);
    fixture.retry();
    fixture.check();
    assert_eq!(fixture.read("a.json").as_deref(), Some("theirs"));
    fs::remove_file(fixture.path("a.json")).unwrap();
    fixture.touch("a.json");
    assert_eq!(fixture.read("a.json").as_deref(), Some("one"));
    assert_eq!(fixture.keeper.report().problems, []);
}

#[test]
fn links_and_directories_that_are_not_ours_are_conflicts() {
    let mut fixture = KeeperFixture::new();
    symlink("/nowhere", fixture.path("a.json")).unwrap();
    fixture.list(&[("a", "one")]);
    assert_eq!(fixture.problem(), (ProblemKind::Conflict, "NotOurs".into()));
    fs::remove_file(fixture.path("a.json")).unwrap();
    fs::create_dir(fixture.path("a.json")).unwrap();
    fixture.retry();
    assert_eq!(fixture.problem(), (ProblemKind::Conflict, "DirectoryInTheWay".into()));
    fs::remove_dir(fixture.path("a.json")).unwrap();
    fixture.retry();
    assert_eq!(fixture.read("a.json").as_deref(), Some("one"));
}

#[test]
fn a_full_directory_in_place_of_our_file_is_a_conflict() {
    let mut fixture = KeeperFixture::with(&[("a", "one")]);
    fs::remove_file(fixture.path("a.json")).unwrap();
    fs::create_dir(fixture.path("a.json")).unwrap();
    fs::write(fixture.path("a.json/theirs"), "x").unwrap();
    fixture.touch("a.json");
    assert_eq!(fixture.problem(), (ProblemKind::Conflict, "DirectoryInTheWay".into()));
    fixture.delete("a");
    assert_eq!(fixture.read("a.json/theirs").as_deref(), Some("x"));
    assert_eq!(fixture.keeper.report().problems, []);
}
