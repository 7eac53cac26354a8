//! The directory on a real file system.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use api::ProfileName;
use profile::ContentHash;
use rustix::io::Errno;

use super::testing::Script;
use super::*;

struct Fixture {
    root: tempfile::TempDir,
    script: Script,
    directory: Directory<Script>,
}

impl Fixture {
    fn new() -> Self {
        let (root, script) = (tempfile::tempdir().unwrap(), Script::default());
        let directory = Directory::with_faults(&root.path().join("profiles"), script.clone()).unwrap();
        Self { root, script, directory }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.root.path().join("profiles").join(file)
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("")).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn a() -> ProfileName {
    "a".parse().unwrap()
}

fn hash_of(found: &Found) -> Option<ContentHash> {
    match found {
        Found::File { hash, .. } => *hash,
        _ => None,
    }
}

#[test]
fn the_directory_is_made_with_its_parents_and_readable_for_all() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("kubelet/seccomp/profiles");
    let _directory = Directory::open(&path).unwrap();
    for made in [&path, path.parent().unwrap()] {
        assert_eq!(fs::metadata(made).unwrap().mode() & 0o777, 0o755, "{}", made.display());
    }
}

#[test]
fn two_agents_never_keep_one_directory() {
    let fixture = Fixture::new();
    let second = Directory::open(&fixture.path(""));
    assert!(matches!(second, Err(OpenError::Locked { .. })));
    let path = fixture.path("");
    drop(fixture.directory);
    assert!(Directory::open(&path).is_ok());
}

#[test]
fn a_path_that_is_no_directory_is_refused() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("profiles"), "").unwrap();
    assert!(matches!(Directory::open(&root.path().join("profiles")), Err(OpenError::Open { .. })));
}

#[test]
fn at_no_moment_is_a_part_of_a_file_there() {
    let mut fixture = Fixture::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (path, sink) = (fixture.path("a.json"), Arc::clone(&seen));
    fixture.script.on(move |_, _| {
        sink.lock().unwrap().push(fs::read(&path).ok());
        Ok(())
    });
    fixture.directory.put(&a(), b"one", Replaces::Nothing, Stamp::First).unwrap();
    fixture.directory.put(&a(), b"two", Replaces::OwnFile, Stamp::Replaced).unwrap();
    fixture.directory.sync().unwrap();
    let mut seen = std::mem::take(&mut *seen.lock().unwrap());
    seen.dedup();
    assert_eq!(seen, [None, Some(b"one".to_vec()), Some(b"two".to_vec())]);
}

#[test]
fn bytes_are_flushed_before_the_rename_and_readable_for_all() {
    let mut fixture = Fixture::new();
    fixture.directory.put(&a(), b"one", Replaces::Nothing, Stamp::First).unwrap();
    let steps: Vec<_> = fixture.script.log().into_iter().map(|(call, _)| call).collect();
    assert_eq!(
        steps,
        [
            SystemCall::Create,
            SystemCall::Stat,
            SystemCall::Write,
            SystemCall::SetMode,
            SystemCall::Sync,
            SystemCall::Rename
        ]
    );
    assert_eq!(fs::metadata(fixture.path("a.json")).unwrap().mode() & 0o777, 0o644);
    assert_eq!(fixture.files(), ["a.json"]);
}

#[test]
fn where_any_step_fails_the_old_file_stays_and_nothing_is_left_behind() {
    for call in [
        SystemCall::Create,
        SystemCall::Stat,
        SystemCall::Write,
        SystemCall::SetMode,
        SystemCall::Sync,
        SystemCall::Rename,
    ] {
        let mut fixture = Fixture::new();
        fixture.directory.put(&a(), b"old", Replaces::Nothing, Stamp::First).unwrap();
        fixture.script.fail(call, Errno::NOSPC);
        let failure = fixture.directory.put(&a(), b"new", Replaces::OwnFile, Stamp::Replaced).unwrap_err();
        assert_eq!((failure.call, failure.errno), (call, Errno::NOSPC));
        assert_eq!(fs::read(fixture.path("a.json")).unwrap(), b"old");
        assert_eq!(fixture.files(), ["a.json"]);
    }
}

#[test]
fn what_takes_a_free_name_meanwhile_is_not_overwritten() {
    let mut fixture = Fixture::new();
    let path = fixture.path("a.json");
    fixture.script.on(move |call, _| {
        if call == SystemCall::Rename {
            fs::write(&path, "theirs").unwrap();
        }
        Ok(())
    });
    let failure = fixture.directory.put(&a(), b"ours", Replaces::Nothing, Stamp::First).unwrap_err();
    assert_eq!(DiskError::from(failure).reason().as_str(), "NotOurs");
    assert_eq!(fs::read(fixture.path("a.json")).unwrap(), b"theirs");
    assert_eq!(fixture.files(), ["a.json"]);
}

#[test]
fn a_file_system_that_cannot_rename_without_replacing_is_as_strict() {
    let mut fixture = Fixture::new();
    fixture.script.fail(SystemCall::Rename, Errno::INVAL);
    fixture.directory.put(&a(), b"ours", Replaces::Nothing, Stamp::First).unwrap();
    assert_eq!(fixture.files(), ["a.json"]);
    let failure = fixture.directory.put(&a(), b"more", Replaces::Nothing, Stamp::First).unwrap_err();
    assert_eq!((failure.call, failure.errno), (SystemCall::Link, Errno::EXIST));
    assert_eq!(fs::read(fixture.path("a.json")).unwrap(), b"ours");
    assert_eq!(fixture.files(), ["a.json"]);
}

#[test]
fn a_link_under_the_temporary_name_is_never_followed() {
    let mut fixture = Fixture::new();
    let outside = fixture.root.path().join("outside");
    fs::write(&outside, "theirs").unwrap();
    symlink(&outside, fixture.path(".a.seccomp-tmp")).unwrap();
    fixture.directory.put(&a(), b"ours", Replaces::Nothing, Stamp::First).unwrap();
    assert_eq!(fs::read(&outside).unwrap(), b"theirs");
    assert_eq!(fs::read(fixture.path("a.json")).unwrap(), b"ours");
}

#[test]
fn a_link_is_seen_as_one_even_if_it_appears_after_the_look() {
    let mut fixture = Fixture::new();
    let outside = fixture.root.path().join("outside");
    fs::write(&outside, "theirs").unwrap();
    fs::write(fixture.path("a.json"), "ours").unwrap();
    let (path, target) = (fixture.path("a.json"), outside.clone());
    fixture.script.on(move |call, _| {
        if call == SystemCall::Open {
            fs::remove_file(&path).unwrap();
            symlink(&target, &path).unwrap();
        }
        Ok(())
    });
    assert_eq!(fixture.directory.find(&a()), Found::Special("a symbolic link"));
    fixture.script.calm();
    fixture.directory.put(&a(), b"ours", Replaces::OwnFile, Stamp::Replaced).unwrap();
    assert_eq!(fs::read(&outside).unwrap(), b"theirs");
    assert!(fs::symlink_metadata(fixture.path("a.json")).unwrap().is_file());
}

#[test]
fn everything_that_can_have_a_name_is_distinguished() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.directory.find(&a()), Found::Absent);
    fs::write(fixture.path("a.json"), "{}").unwrap();
    assert_eq!(hash_of(&fixture.directory.find(&a())), Some(ContentHash::of(b"{}")));
    fs::set_permissions(fixture.path("a.json"), fs::Permissions::from_mode(0o4644)).unwrap();
    assert!(matches!(fixture.directory.find(&a()), Found::File { access_is_right: false, .. }));
    fs::remove_file(fixture.path("a.json")).unwrap();
    fs::create_dir(fixture.path("a.json")).unwrap();
    assert_eq!(fixture.directory.find(&a()), Found::EmptyDirectory);
    fs::write(fixture.path("a.json/x"), "").unwrap();
    assert_eq!(fixture.directory.find(&a()), Found::Directory);
    fs::remove_dir_all(fixture.path("a.json")).unwrap();
    // Opening a FIFO without a writer would wait forever.
    rustix::fs::mknodat(
        rustix::fs::CWD,
        fixture.path("a.json"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    assert!(fs::symlink_metadata(fixture.path("a.json")).unwrap().file_type().is_fifo());
    assert_eq!(fixture.directory.find(&a()), Found::Special("a FIFO"));
}

#[test]
fn a_file_larger_than_any_profile_is_not_read() {
    let mut fixture = Fixture::new();
    fs::File::create(fixture.path("a.json")).unwrap().set_len(1 << 40).unwrap();
    assert!(matches!(fixture.directory.find(&a()), Found::File { hash: None, .. }));
    assert_eq!(fixture.script.count(SystemCall::Read), 0);
}

#[test]
fn a_file_of_which_open_or_stat_fails_is_reported() {
    let mut fixture = Fixture::new();
    fs::write(fixture.path("a.json"), "{}").unwrap();
    fixture.script.fail(SystemCall::Open, Errno::ACCESS);
    let found = fixture.directory.find(&a());
    assert!(matches!(found, Found::Unreadable(DiskError::PermissionDenied(_))), "{found:?}");
    fixture.script.fail(SystemCall::Stat, Errno::IO);
    let found = fixture.directory.find(&a());
    assert!(matches!(found, Found::Unknown(DiskError::Io(_))), "{found:?}");
}

#[test]
fn only_the_temporary_files_of_agents_are_swept() {
    let mut fixture = Fixture::new();
    for kept in [".a.json.swp", ".notes.tmp", "a.json", "b.seccomp-tmp"] {
        fs::write(fixture.path(kept), "theirs").unwrap();
    }
    fs::create_dir(fixture.path(".d.seccomp-tmp")).unwrap();
    for swept in [".a.seccomp-tmp", ".seccomp-profile-ledger.seccomp-tmp"] {
        fs::write(fixture.path(swept), "half").unwrap();
    }
    fixture.directory.sweep().unwrap();
    assert_eq!(fixture.files(), [".a.json.swp", ".d.seccomp-tmp", ".notes.tmp", "a.json", "b.seccomp-tmp"]);
}

#[test]
fn a_ledger_that_is_a_link_or_no_file_is_not_used() {
    let mut fixture = Fixture::new();
    let outside = fixture.root.path().join("outside");
    fs::write(&outside, Ledger::default().to_bytes()).unwrap();
    symlink(&outside, fixture.path(LEDGER)).unwrap();
    assert!(matches!(fixture.directory.load_ledger(), Err(LedgerError::Read(_))));
    fs::remove_file(fixture.path(LEDGER)).unwrap();
    fs::create_dir(fixture.path(LEDGER)).unwrap();
    assert!(matches!(fixture.directory.load_ledger(), Err(LedgerError::NotALedger(_))));
}
