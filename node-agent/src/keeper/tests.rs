//! The keeper on a real directory, rule by rule.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;

use api::FileState;
use profile::ContentHash;
use prometheus::Registry;
use rustix::io::Errno;

use super::*;
use crate::desired::Object;
use crate::disk::testing::Script;
use crate::disk::{Drift, Step};

/// A keeper with its directory, and the API server's and the meddler's hands.
pub(super) struct World {
    pub(super) root: tempfile::TempDir,
    pub(super) script: Script,
    pub(super) keeper: Keeper<Script>,
}

pub(super) fn name(name: &str) -> ProfileName {
    name.parse().unwrap()
}

pub(super) fn object(name: &str, bytes: &str) -> Object {
    let want = Want::File { bytes: bytes.as_bytes().into(), hash: ContentHash::of(bytes.as_bytes()) };
    Object { name: name.into(), uid: name.into(), want }
}

pub(super) fn keeper(path: &std::path::Path, script: &Script) -> Keeper<Script> {
    let directory = Directory::with_faults(path, script.clone()).unwrap();
    Keeper::new("node".parse().unwrap(), directory, Metrics::new(&Registry::new()).unwrap())
}

impl World {
    fn new() -> Self {
        let (root, script) = (tempfile::tempdir().unwrap(), Script::default());
        let keeper = keeper(&root.path().join("profiles"), &script);
        Self { root, script, keeper }
    }

    /// A world in which profiles with these bytes are on the disk.
    fn with(profiles: &[(&str, &str)]) -> Self {
        let mut world = Self::new();
        world.list(profiles);
        assert_eq!(world.keeper.report().problems, []);
        world.script.log();
        world
    }

    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.root.path().join("profiles").join(file)
    }

    fn change(&mut self, change: Change) {
        self.keeper.change(change, Instant::now());
    }

    fn list(&mut self, profiles: &[(&str, &str)]) -> Pass {
        self.change(Change::Init);
        for (name, bytes) in profiles {
            self.change(Change::InitApply(object(name, bytes)));
        }
        self.change(Change::InitDone);
        self.keeper.sync()
    }

    fn apply(&mut self, name: &str, bytes: &str) -> Pass {
        self.change(Change::Apply(object(name, bytes)));
        self.keeper.sync()
    }

    fn delete(&mut self, name: &str) -> Pass {
        self.change(Change::Delete { name: name.into(), uid: name.into() });
        self.keeper.sync()
    }

    fn touch(&mut self, file: &str) -> Pass {
        self.keeper.touched(file);
        self.keeper.sync()
    }

    fn retry(&mut self) -> Pass {
        self.keeper.retry().unwrap();
        self.keeper.sync()
    }

    fn check(&mut self) -> Pass {
        self.keeper.check_all();
        self.keeper.sync()
    }

    /// The process ends and another one starts, with the same profiles.
    fn restart(&mut self, profiles: &[(&str, &str)]) -> Pass {
        // The lock goes with the old one.
        self.restart_unlisted();
        self.list(profiles)
    }

    fn restart_unlisted(&mut self) {
        let elsewhere = tempfile::tempdir().unwrap();
        self.keeper = keeper(elsewhere.path(), &self.script);
        self.keeper = keeper(&self.root.path().join("profiles"), &self.script);
    }

    fn read(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.path(file)).ok()
    }

    fn ledger(&self) -> Ledger {
        Ledger::from_bytes(&fs::read(self.path(LEDGER)).unwrap()).unwrap()
    }

    /// State and reason of the only problem.
    fn problem(&self) -> (FileState, String) {
        match self.keeper.report().problems.as_slice() {
            [problem] => (problem.state, problem.reason.clone()),
            problems => panic!("{problems:?}"),
        }
    }

    fn reported(&self) -> Vec<(String, String)> {
        self.keeper.report().files.into_iter().collect()
    }

    fn repairs(&self) -> [u64; 3] {
        [Drift::Changed, Drift::Removed, Drift::Replaced].map(|drift| self.keeper.metrics.repairs(drift))
    }
}

fn short(bytes: &str) -> String {
    ContentHash::of(bytes.as_bytes()).short().to_string()
}

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
        world.script.log().iter().filter(|(step, name)| *step == Step::Rename && name == LEDGER).count()
    };
    assert_eq!(ledgers(&world), 2);
    world.apply("p0", "two");
    assert_eq!(ledgers(&world), 0);
}

#[test]
fn our_own_writes_are_no_news() {
    let mut world = World::with(&[("a", "one")]);
    // Within a tick of the kernel's clock a change could hide, so that the bytes are read again; nothing is written.
    for file in [LEDGER, "a.json", "a.json"] {
        assert_eq!(world.touch(file), Pass::default());
    }
    let written = world.script.log();
    assert!(!written.iter().any(|(step, _)| matches!(step, Step::Create | Step::Rename)), "{written:?}");
}

#[test]
fn a_file_that_looks_as_it_did_is_not_even_read() {
    let mut world = World::with(&[("a", "one")]);
    // As if the file were older than a tick of the clock.
    world.keeper.records.get_mut("a").unwrap().seen.as_mut().unwrap().racy = false;
    world.touch("a.json");
    assert_eq!(world.script.log(), [(Step::Stat, "a.json".to_owned())]);
}

#[test]
fn files_of_no_profile_are_nobodys_business() {
    let mut world = World::with(&[]);
    fs::write(world.path("theirs.json"), "x").unwrap();
    world.touch("theirs.json");
    world.check();
    assert_eq!(world.reported(), []);
    assert_eq!(world.read("theirs.json").as_deref(), Some("x"));
}

#[test]
fn drift_of_every_kind_is_mended_and_counted() {
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
fn the_full_check_finds_what_no_event_told() {
    let mut world = World::with(&[("a", "one"), ("b", "one")]);
    fs::write(world.path("b.json"), "evil").unwrap();
    assert_eq!(world.keeper.sync(), Pass::default());
    world.check();
    assert_eq!(world.read("b.json").as_deref(), Some("one"));
    assert_eq!(world.repairs(), [1, 0, 0]);
}

#[test]
fn drift_is_mended_while_the_api_server_is_away() {
    let mut world = World::with(&[("a", "one")]);
    // A list that never ends.
    world.change(Change::Init);
    fs::remove_file(world.path("a.json")).unwrap();
    world.touch("a.json");
    assert_eq!(world.read("a.json").as_deref(), Some("one"));
}

#[test]
fn who_changes_a_file_without_end_is_fought_at_the_pace_of_the_retries() {
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
    assert_eq!(world.problem(), (FileState::Conflict, "NotOurs".into()));
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
    assert_eq!(world.problem(), (FileState::Conflict, "NotOurs".into()));
    fs::remove_file(world.path("a.json")).unwrap();
    fs::create_dir(world.path("a.json")).unwrap();
    world.retry();
    assert_eq!(world.problem(), (FileState::Conflict, "DirectoryInTheWay".into()));
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
    assert_eq!(world.problem(), (FileState::Conflict, "DirectoryInTheWay".into()));
    world.delete("a");
    assert_eq!(world.read("a.json/theirs").as_deref(), Some("x"));
    assert_eq!(world.keeper.report().problems, []);
}

#[test]
fn a_disk_that_refuses_keeps_the_old_file_and_heals_by_itself() {
    for (step, errno, reason) in [
        (Step::Write, Errno::NOSPC, "DiskFull"),
        (Step::Create, Errno::NOSPC, "DiskFull"),
        (Step::Write, Errno::DQUOT, "QuotaExceeded"),
        (Step::Create, Errno::ROFS, "ReadOnly"),
        (Step::Create, Errno::ACCESS, "PermissionDenied"),
        (Step::Rename, Errno::PERM, "PermissionDenied"),
        (Step::Sync, Errno::IO, "Io"),
        (Step::Create, Errno::MFILE, "Io"),
    ] {
        let mut world = World::with(&[("a", "one")]);
        world.script.fail(step, errno);
        let pass = world.apply("a", "two");
        assert!(pass.changed && pass.failed);
        assert_eq!(world.problem(), (FileState::Failed, reason.into()), "{step} {errno}");
        assert_eq!(world.reported(), [("a".into(), short("one"))]);
        assert_eq!(world.retry(), Pass { changed: false, failed: true }, "nothing new to report");
        world.script.calm();
        assert!(world.retry().changed);
        assert_eq!(world.keeper.report().problems, []);
        assert_eq!(world.read("a.json").as_deref(), Some("two"));
    }
}

#[test]
fn a_new_profile_is_not_written_before_the_ledger_knows() {
    let mut world = World::with(&[("a", "one")]);
    world.script.on(
        |step, name| {
            if step == Step::Rename && name == LEDGER { Err(Errno::ROFS) } else { Ok(()) }
        },
    );
    world.change(Change::Apply(object("a", "two")));
    world.apply("b", "one");
    assert_eq!(world.problem(), (FileState::Failed, "ReadOnly".into()));
    assert_eq!(world.read("b.json"), None);
    assert_eq!(world.read("a.json").as_deref(), Some("two"), "what is ours already goes on");
    world.script.calm();
    world.retry();
    assert_eq!(world.read("b.json").as_deref(), Some("one"));
}

#[test]
fn a_directory_that_cannot_be_flushed_is_a_problem_until_it_can() {
    let mut world = World::with(&[("a", "one")]);
    world.script.fail(Step::SyncDirectory, Errno::IO);
    world.apply("a", "two");
    assert_eq!(world.problem(), (FileState::Failed, "Io".into()));
    world.retry();
    assert_eq!(world.problem(), (FileState::Failed, "Io".into()));
    world.script.calm();
    world.retry();
    assert_eq!(world.keeper.report().problems, []);
    assert!(world.script.count(Step::SyncDirectory) > 0);
}

#[test]
fn leftovers_go_only_after_a_complete_list_and_only_if_they_are_ours() {
    let mut world = World::with(&[("a", "one"), ("b", "one")]);
    fs::write(world.path("theirs.json"), "x").unwrap();
    world.restart_unlisted();
    world.change(Change::Init);
    world.change(Change::InitApply(object("a", "one")));
    world.keeper.sync();
    world.check();
    world.retry();
    assert_eq!(world.read("b.json").as_deref(), Some("one"));
    world.change(Change::InitDone);
    world.keeper.sync();
    assert_eq!(world.read("a.json").as_deref(), Some("one"));
    assert_eq!(world.read("b.json"), None);
    assert_eq!(world.read("theirs.json").as_deref(), Some("x"));
    assert_eq!(world.reported(), [("a".into(), short("one"))]);
}

#[test]
fn a_restart_changes_nothing_and_mends_what_happened_meanwhile() {
    let mut world = World::with(&[("a", "one"), ("b", "one")]);
    let inode = fs::metadata(world.path("a.json")).unwrap().ino();
    fs::write(world.path("b.json"), "evil").unwrap();
    world.restart(&[("a", "one"), ("b", "one")]);
    assert_eq!(fs::metadata(world.path("a.json")).unwrap().ino(), inode);
    assert_eq!(world.read("b.json").as_deref(), Some("one"));
}

#[test]
fn a_ledger_that_cannot_be_used_is_kept_and_nothing_is_touched() {
    for (bytes, reason) in
        [(r#"{"version":2,"files":{}}"#, "LedgerTooNew"), (r#"{"version":1,"wri"#, "LedgerUnreadable")]
    {
        let mut world = World::with(&[("a", "one"), ("b", "one"), ("c", "one")]);
        world.restart_unlisted();
        fs::write(world.path(LEDGER), bytes).unwrap();
        world.restart(&[("a", "one"), ("b", "two")]);
        world.retry();
        world.check();
        assert_eq!(world.read(LEDGER).as_deref(), Some(bytes));
        assert_eq!(world.problem(), (FileState::Failed, reason.into()));
        assert_eq!(world.keeper.report().problems[0].name, "b");
        for file in ["a.json", "b.json", "c.json"] {
            assert_eq!(world.read(file).as_deref(), Some("one"));
        }
        assert_eq!(world.reported().len(), 2, "what lies there is told: a is right, b is old");
        // The operator removes it: what has the right bytes is adopted, the rest is nobody's.
        fs::remove_file(world.path(LEDGER)).unwrap();
        world.retry();
        assert_eq!(world.ledger().claim(&name("a")), Some(Claim::Written));
        assert_eq!(world.problem(), (FileState::Conflict, "NotOurs".into()));
    }
}

#[test]
fn a_ledger_changed_under_the_running_agent_is_written_again() {
    let mut world = World::with(&[("a", "one")]);
    let ledger = world.read(LEDGER);
    fs::write(world.path(LEDGER), "x").unwrap();
    world.touch(LEDGER);
    assert_eq!(world.read(LEDGER), ledger);
    fs::remove_file(world.path(LEDGER)).unwrap();
    world.check();
    assert_eq!(world.read(LEDGER), ledger);
}

#[test]
fn an_invalid_profile_keeps_its_file_and_stops_no_other() {
    let mut world = World::with(&[("a", "one")]);
    let want = Want::Invalid("spec.contents: wrong".into());
    world.change(Change::Apply(Object { want, ..object("a", "") }));
    world.apply("b", "one");
    assert_eq!(world.problem(), (FileState::Rejected, "InvalidProfile".into()));
    assert_eq!(world.read("a.json").as_deref(), Some("one"));
    assert_eq!(world.reported(), [("a".into(), short("one")), ("b".into(), short("one"))]);
    assert!(!world.retry().failed, "its author mends it, not trying");
    world.restart_unlisted();
    let want = Want::Invalid("spec.contents: wrong".into());
    world.change(Change::Init);
    world.change(Change::InitApply(Object { want, ..object("a", "") }));
    world.change(Change::InitDone);
    world.keeper.sync();
    assert_eq!(world.read("a.json").as_deref(), Some("one"));
    assert_eq!(world.read("b.json"), None);
    assert!(world.apply("a", "two").changed);
    assert_eq!(world.read("a.json").as_deref(), Some("two"));
    assert_eq!(world.keeper.report().problems, []);
}

#[test]
fn a_name_that_no_file_can_have_is_reported() {
    let mut world = World::with(&[]);
    assert!(world.apply("../../etc/passwd", "one").changed);
    assert_eq!(world.problem(), (FileState::Rejected, "InvalidProfile".into()));
    assert!(world.delete("../../etc/passwd").changed);
    assert_eq!(world.keeper.report().problems, []);
}

#[test]
fn leave_to_remove_ends_the_report_on_the_file_whether_or_not_it_was_ours() {
    let mut world = World::with(&[("a", "one")]);
    fs::write(world.path("b.json"), "theirs").unwrap();
    world.apply("b", "one");
    for profile in ["a", "b"] {
        world.change(Change::Apply(Object { want: Want::Removal, ..object(profile, "") }));
    }
    assert!(world.keeper.sync().changed);
    assert_eq!(world.read("a.json"), None);
    assert_eq!(world.read("b.json").as_deref(), Some("theirs"));
    assert_eq!(world.reported(), []);
    assert_eq!(world.keeper.report().problems, []);
}

#[test]
fn a_file_that_cannot_be_removed_is_told_and_tried_again() {
    let mut world = World::with(&[("a", "one")]);
    world.script.fail(Step::Unlink, Errno::PERM);
    world.delete("a");
    assert_eq!(world.problem(), (FileState::Failed, "PermissionDenied".into()));
    assert_eq!(world.reported(), [("a".into(), short("one"))]);
    world.script.calm();
    world.retry();
    assert_eq!(world.read("a.json"), None);
    assert_eq!(world.keeper.report().problems, []);
    assert_eq!(world.ledger(), Ledger::default());
}

#[test]
fn a_profile_recreated_while_its_removal_fails_converges_on_the_new_bytes() {
    let mut world = World::with(&[("a", "one")]);
    world.script.fail(Step::Unlink, Errno::PERM);
    world.delete("a");
    world.script.calm();
    world.apply("a", "two");
    world.retry();
    assert_eq!(world.read("a.json").as_deref(), Some("two"));
    assert_eq!(world.reported(), [("a".into(), short("two"))]);
    assert_eq!(world.keeper.report().problems, []);
}

#[test]
fn a_directory_that_was_replaced_ends_the_keeper() {
    let mut world = World::with(&[("a", "one")]);
    fs::rename(world.path(""), world.root.path().join("aside")).unwrap();
    fs::create_dir(world.path("")).unwrap();
    assert!(world.keeper.retry().is_err());
}
