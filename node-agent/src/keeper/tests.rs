//! The keeper on a real directory: what it writes, mends, adopts and leaves alone.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use api::ProblemKind;

use super::testing::{World, name, short};
use super::*;
use crate::disk::SystemCall;

#[test]
fn a_profile_becomes_a_file_follows_its_changes_and_goes_with_it() {
    let mut world = World::new();
    world.list(&[]);
    assert!(world.apply("a", "one").changed);
    assert_eq!(world.read("a.json").as_deref(), Some("one"));
    assert_eq!(world.reported(), [("a".into(), short("one"))]);
    world.apply("a", "two");
    assert_eq!(world.read("a.json").as_deref(), Some("two"));
    assert_eq!(world.reported(), [("a".into(), short("two"))]);
    assert!(world.delete("a").changed);
    assert_eq!(world.read("a.json"), None);
    assert_eq!(world.reported(), []);
    assert_eq!(world.ledger(), Ledger::default());
    assert_eq!(world.repairs(), [0, 0, 0]);
}

#[test]
fn many_changes_cost_two_writes_of_the_ledger_and_an_update_none() {
    let mut world = World::new();
    let names: Vec<String> = (0..20).map(|i| format!("p{i}")).collect();
    let profiles: Vec<_> = names.iter().map(|name| (name.as_str(), "one")).collect();
    world.list(&profiles);
    let ledgers = |world: &World| {
        world.script.log().iter().filter(|(call, name)| *call == SystemCall::Rename && name == LEDGER).count()
    };
    assert_eq!(ledgers(&world), 2);
    world.apply("p0", "two");
    assert_eq!(ledgers(&world), 0);
}

#[test]
fn the_agents_own_writes_change_no_report() {
    let mut world = World::with(&[("a", "one")]);
    // The bytes are read again; nothing is written.
    for file in [LEDGER, "a.json", "a.json"] {
        assert_eq!(world.touch(file), Pass::default());
    }
    let written = world.script.log();
    assert!(
        !written.iter().any(|(call, _)| matches!(call, SystemCall::Create | SystemCall::Rename)),
        "{written:?}"
    );
}

#[test]
fn files_of_no_profile_are_ignored() {
    let mut world = World::with(&[]);
    fs::write(world.path("theirs.json"), "x").unwrap();
    world.touch("theirs.json");
    world.check();
    assert_eq!(world.reported(), []);
    assert_eq!(world.read("theirs.json").as_deref(), Some("x"));
}

#[test]
fn drift_of_every_kind_is_repaired_and_counted() {
    let mut world = World::with(&[("a", "one")]);
    let path = world.path("a.json");
    let outside = world.root.path().join("outside");
    fs::write(&outside, "theirs").unwrap();
    let is_mended = |world: &World| {
        let about = fs::symlink_metadata(world.path("a.json")).unwrap();
        about.is_file() && about.mode() & 0o7777 == 0o644 && world.read("a.json").as_deref() == Some("one")
    };

    fs::write(&path, "evil").unwrap();
    world.touch("a.json");
    assert!(is_mended(&world));
    assert_eq!(world.repairs(), [1, 0, 0]);

    fs::remove_file(&path).unwrap();
    world.touch("a.json");
    assert!(is_mended(&world));
    assert_eq!(world.repairs(), [1, 1, 0]);

    fs::remove_file(&path).unwrap();
    symlink(&outside, &path).unwrap();
    world.touch("a.json");
    assert!(is_mended(&world));
    assert_eq!(world.repairs(), [1, 1, 1]);

    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    world.touch("a.json");
    assert!(is_mended(&world));
    assert_eq!(world.repairs(), [1, 1, 2]);

    for mode in [0o600, 0o666, 0o000] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        world.touch("a.json");
        assert!(is_mended(&world));
    }
    assert_eq!(world.repairs(), [4, 1, 2]);
    assert_eq!(fs::read(&outside).unwrap(), b"theirs");
    assert_eq!(world.keeper.report().problems, []);
}

#[test]
fn the_full_check_finds_what_no_event_showed() {
    let mut world = World::with(&[("a", "one"), ("b", "one")]);
    fs::write(world.path("b.json"), "evil").unwrap();
    assert_eq!(world.sync(), Pass::default());
    world.check();
    assert_eq!(world.read("b.json").as_deref(), Some("one"));
    assert_eq!(world.repairs(), [1, 0, 0]);
}

#[test]
fn drift_is_repaired_while_the_api_server_is_away() {
    let mut world = World::with(&[("a", "one")]);
    fs::remove_file(world.path("a.json")).unwrap();
    world.touch("a.json");
    assert_eq!(world.read("a.json").as_deref(), Some("one"));
}

#[test]
fn a_file_with_the_same_bytes_is_adopted() {
    let mut world = World::new();
    fs::write(world.path("a.json"), "one").unwrap();
    fs::set_permissions(world.path("a.json"), fs::Permissions::from_mode(0o600)).unwrap();
    world.list(&[("a", "one")]);
    assert_eq!(world.ledger().claim(&name("a")), Some(Claim::Written));
    assert_eq!(fs::metadata(world.path("a.json")).unwrap().mode() & 0o777, 0o644);
    world.delete("a");
    assert_eq!(world.read("a.json"), None);
}

#[test]
fn what_is_not_ours_is_a_conflict_until_it_is_gone() {
    let mut world = World::new();
    fs::write(world.path("a.json"), "theirs").unwrap();
    let pass = world.list(&[("a", "one")]);
    assert!(pass.changed && pass.failed);
    assert_eq!(world.problem(), (ProblemKind::Conflict, "NotOurs".into()));
    assert_eq!(world.reported(), [("a".into(), short("theirs"))]);
    world.retry();
    world.check();
    assert_eq!(world.read("a.json").as_deref(), Some("theirs"));
    fs::remove_file(world.path("a.json")).unwrap();
    world.touch("a.json");
    assert_eq!(world.read("a.json").as_deref(), Some("one"));
    assert_eq!(world.keeper.report().problems, []);
}

#[test]
fn links_and_directories_that_are_not_ours_are_conflicts() {
    let mut world = World::new();
    symlink("/nowhere", world.path("a.json")).unwrap();
    world.list(&[("a", "one")]);
    assert_eq!(world.problem(), (ProblemKind::Conflict, "NotOurs".into()));
    fs::remove_file(world.path("a.json")).unwrap();
    fs::create_dir(world.path("a.json")).unwrap();
    world.retry();
    assert_eq!(world.problem(), (ProblemKind::Conflict, "DirectoryInTheWay".into()));
    fs::remove_dir(world.path("a.json")).unwrap();
    world.retry();
    assert_eq!(world.read("a.json").as_deref(), Some("one"));
}

#[test]
fn a_full_directory_in_place_of_our_file_is_a_conflict() {
    let mut world = World::with(&[("a", "one")]);
    fs::remove_file(world.path("a.json")).unwrap();
    fs::create_dir(world.path("a.json")).unwrap();
    fs::write(world.path("a.json/theirs"), "x").unwrap();
    world.touch("a.json");
    assert_eq!(world.problem(), (ProblemKind::Conflict, "DirectoryInTheWay".into()));
    world.delete("a");
    assert_eq!(world.read("a.json/theirs").as_deref(), Some("x"));
    assert_eq!(world.keeper.report().problems, []);
}
