//! Random profiles, faults, crashes and meddling: the directory converges, and what is not ours survives.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use rustix::io::Errno;

use super::testing::{file, keeper, list};
use super::*;
use crate::disk::testing::Script;

const NAMES: [&str; 3] = ["a", "b", "c"];

#[derive(Debug, Clone)]
enum Event {
    Apply(usize, u8),
    Delete(usize),
    Relist,
    /// Somebody puts a file there, with bytes that no profile has or (`Some`) with those of one.
    PutFile(usize, Option<u8>),
    PutLink(usize),
    PutDirectory(usize, bool),
    Remove(usize),
    SetMode(usize, u32),
    RemoveLedger,
    Sync,
    Retry,
    Check,
    /// One call of the next pass fails.
    FailAt(usize),
    /// The process is killed before one of its next calls, and starts again.
    CrashAt(usize),
}

fn event() -> impl Strategy<Value = Event> {
    let name = 0..NAMES.len();
    prop_oneof![
        4 => (name.clone(), 0..4u8).prop_map(|(name, bytes)| Event::Apply(name, bytes)),
        2 => name.clone().prop_map(Event::Delete),
        1 => Just(Event::Relist),
        3 => (name.clone(), proptest::option::weighted(0.3, 0..4u8)).prop_map(|(n, b)| Event::PutFile(n, b)),
        1 => name.clone().prop_map(Event::PutLink),
        1 => (name.clone(), any::<bool>()).prop_map(|(name, full)| Event::PutDirectory(name, full)),
        2 => name.clone().prop_map(Event::Remove),
        1 => (name, prop_oneof![Just(0o600), Just(0o666), Just(0)]).prop_map(|(n, m)| Event::SetMode(n, m)),
        1 => Just(Event::RemoveLedger),
        6 => Just(Event::Sync),
        2 => Just(Event::Retry),
        1 => Just(Event::Check),
        3 => (0..40usize).prop_map(Event::FailAt),
        4 => (0..60usize).prop_map(Event::CrashAt),
    ]
}

/// What somebody else put into the directory, and how to tell that it is still there.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Theirs {
    File(String),
    Link,
    Directory,
}

struct World {
    path: PathBuf,
    script: Script,
    keeper: Option<Keeper<Script>>,
    profiles: BTreeMap<&'static str, String>,
    /// What must survive: it was put where the ledger did not say that a file of ours had been.
    theirs: BTreeMap<&'static str, Theirs>,
    /// Makes each foreign file different from all others.
    serial: u32,
}

impl World {
    fn new(root: &Path) -> Self {
        let (path, script) = (root.join("profiles"), Script::default());
        let keeper = Some(keeper(&path, &script));
        let mut world =
            Self { path, script, keeper, profiles: BTreeMap::new(), theirs: BTreeMap::new(), serial: 0 };
        world.relist();
        world
    }

    fn keeper(&mut self) -> &mut Keeper<Script> {
        self.keeper.as_mut().unwrap()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.json"))
    }

    fn set_goal(&mut self, name: &str, goal: Goal) {
        self.keeper().set_goal(name.parse().unwrap(), goal, Instant::now());
    }

    fn relist(&mut self) {
        let profiles = self.profiles.clone();
        let listed: Vec<_> = profiles.iter().map(|(name, bytes)| (*name, &**bytes)).collect();
        list(self.keeper(), &listed);
    }

    /// Whether the ledger on the disk says that a file of ours has lain there.
    fn is_written(&self, name: &str) -> bool {
        let ledger = fs::read(self.path.join(LEDGER)).map(|bytes| Ledger::from_bytes(&bytes).unwrap());
        ledger.is_ok_and(|ledger| ledger.claim(&name.parse().unwrap()) == Some(Claim::Written))
    }

    fn clear(&mut self, name: &'static str) {
        let file = self.file(name);
        if fs::symlink_metadata(&file).is_ok_and(|about| about.is_dir()) {
            fs::remove_dir_all(&file).unwrap();
        } else {
            let _ = fs::remove_file(&file);
        }
        self.theirs.remove(name);
    }

    /// Somebody puts something there.
    fn put(&mut self, name: &'static str, theirs: Theirs, put: impl FnOnce(&Path)) {
        self.clear(name);
        put(&self.file(name));
        // A directory with something in it stays whatever lay there before.
        if !self.is_written(name) || theirs == Theirs::Directory {
            self.theirs.insert(name, theirs);
        }
        self.keeper().file_changed(&format!("{name}.json"));
    }

    fn happen(&mut self, event: &Event) {
        match *event {
            Event::Apply(name, bytes) => {
                let bytes = format!("profile {bytes}");
                self.profiles.insert(NAMES[name], bytes.clone());
                self.set_goal(NAMES[name], file(&bytes));
            }
            Event::Delete(name) => {
                if self.profiles.remove(NAMES[name]).is_some() {
                    self.set_goal(NAMES[name], Goal::Removal);
                }
            }
            Event::Relist => self.relist(),
            Event::PutFile(name, None) => {
                self.serial += 1;
                let bytes = format!("theirs {}", self.serial);
                self.put(NAMES[name], Theirs::File(bytes.clone()), |path| fs::write(path, bytes).unwrap());
            }
            Event::PutFile(name, Some(bytes)) => {
                // May be adopted, and then is ours: only that it is never half changed matters.
                self.clear(NAMES[name]);
                fs::write(self.file(NAMES[name]), format!("profile {bytes}")).unwrap();
                self.keeper().file_changed(&format!("{}.json", NAMES[name]));
            }
            Event::PutLink(name) => {
                let link = |path: &Path| std::os::unix::fs::symlink("/nowhere", path).unwrap();
                self.put(NAMES[name], Theirs::Link, link);
            }
            Event::PutDirectory(name, true) => self.put(NAMES[name], Theirs::Directory, |path| {
                fs::create_dir(path).unwrap();
                fs::write(path.join("x"), "").unwrap();
            }),
            Event::PutDirectory(name, false) => {
                // Empty: ours to remove only where our file was, and of no value to anybody.
                self.clear(NAMES[name]);
                if self.is_written(NAMES[name]) {
                    fs::create_dir(self.file(NAMES[name])).unwrap();
                }
            }
            Event::Remove(name) => {
                self.clear(NAMES[name]);
                self.keeper().file_changed(&format!("{}.json", NAMES[name]));
            }
            Event::SetMode(name, mode) => {
                let file = self.file(NAMES[name]);
                if fs::symlink_metadata(&file).is_ok_and(|about| about.is_file()) {
                    fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
                }
            }
            Event::RemoveLedger => {
                let _ = fs::remove_file(self.path.join(LEDGER));
                self.keeper().check_all();
                // Without its ledger an agent that starts knows no file; a running one writes it again first.
                self.keeper().sync();
            }
            Event::Sync => drop(self.keeper().sync()),
            Event::Retry => {
                self.keeper().retry().unwrap();
                self.keeper().sync();
            }
            Event::Check => {
                self.keeper().check_all();
                self.keeper().sync();
            }
            Event::FailAt(at) => {
                let mut call = 0;
                self.script.on(move |_, _| {
                    call += 1;
                    if call == at + 1 { Err(Errno::NOSPC) } else { Ok(()) }
                });
                self.keeper().sync();
                self.script.calm();
            }
            Event::CrashAt(at) => {
                drop(self.script.crash_at(at));
                self.keeper().sync();
                // The lock of the old process goes with it.
                self.keeper = None;
                self.script.calm();
                self.keeper = Some(keeper(&self.path, &self.script));
                self.relist();
            }
        }
    }

    fn theirs_survive(&self) {
        for (name, theirs) in &self.theirs {
            let file = self.file(name);
            let survives = match theirs {
                Theirs::File(bytes) => fs::read_to_string(&file).ok().as_ref() == Some(bytes),
                Theirs::Link => fs::read_link(&file).is_ok(),
                Theirs::Directory => file.join("x").exists(),
            };
            assert!(survives, "{theirs:?} under {name} is gone");
        }
    }

    fn converges(&mut self) {
        for _ in 0..3 {
            self.keeper().retry().unwrap();
            self.keeper().check_all();
            self.keeper().sync();
        }
        self.theirs_survive();
        let report = self.keeper().report();
        for name in NAMES {
            let on_disk = fs::read_to_string(self.file(name)).ok();
            let problem = report.problems.iter().find(|problem| problem.name == name);
            match (self.profiles.get(name), self.theirs.contains_key(name)) {
                (Some(_), true) => assert_eq!(problem.unwrap().state, api::ProblemKind::Conflict),
                (Some(bytes), false) if problem.is_none() => {
                    assert_eq!(on_disk.as_ref(), Some(bytes));
                    assert_eq!(fs::metadata(self.file(name)).unwrap().permissions().mode() & 0o7777, 0o644);
                    assert!(self.is_written(name));
                }
                // Another profile's bytes that somebody put there are a stranger's, and stay.
                (Some(_), false) => assert!(on_disk.unwrap().starts_with("profile")),
                (None, _) => assert_eq!((problem, report.files.get(name)), (None, None)),
            }
        }
        let left = fs::read_dir(&self.path).unwrap().map(|entry| entry.unwrap().file_name());
        let left: Vec<_> = left.filter(|file| file.to_str().unwrap().ends_with("seccomp-tmp")).collect();
        assert_eq!(left, Vec::<std::ffi::OsString>::new());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_directory_converges_and_what_is_not_ours_survives(
        events in proptest::collection::vec(event(), 1..40)
    ) {
        let root = tempfile::tempdir().unwrap();
        let mut world = World::new(root.path());
        for event in &events {
            world.happen(event);
            world.theirs_survive();
        }
        world.converges();
    }
}
