//! Random profiles, faults, crashes and meddling: the directory converges, and what is not ours survives.

use std::collections::{BTreeMap, BTreeSet};
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
enum Step {
    Apply(usize, u8),
    Delete(usize),
    /// The operator says that the node does not hold the profile, or takes that back.
    Exclude(usize, bool),
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

fn step() -> impl Strategy<Value = Step> {
    let name = 0..NAMES.len();
    prop_oneof![
        4 => (name.clone(), 0..4u8).prop_map(|(name, bytes)| Step::Apply(name, bytes)),
        2 => name.clone().prop_map(Step::Delete),
        2 => (name.clone(), any::<bool>()).prop_map(|(name, excluded)| Step::Exclude(name, excluded)),
        1 => Just(Step::Relist),
        3 => (name.clone(), proptest::option::weighted(0.3, 0..4u8)).prop_map(|(n, b)| Step::PutFile(n, b)),
        1 => name.clone().prop_map(Step::PutLink),
        1 => (name.clone(), any::<bool>()).prop_map(|(name, full)| Step::PutDirectory(name, full)),
        2 => name.clone().prop_map(Step::Remove),
        1 => (name, prop_oneof![Just(0o600), Just(0o666), Just(0)]).prop_map(|(n, m)| Step::SetMode(n, m)),
        1 => Just(Step::RemoveLedger),
        6 => Just(Step::Sync),
        2 => Just(Step::Retry),
        1 => Just(Step::Check),
        3 => (0..40usize).prop_map(Step::FailAt),
        4 => (0..60usize).prop_map(Step::CrashAt),
    ]
}

/// What somebody else put into the directory, and how to tell that it is still there.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Theirs {
    File(String),
    Link,
    Directory,
}

struct RandomRun {
    path: PathBuf,
    script: Script,
    keeper: Option<Keeper<Script>>,
    profiles: BTreeMap<&'static str, String>,
    excluded: BTreeSet<&'static str>,
    /// What must survive: it was put where the ledger did not say that a file of ours had been.
    theirs: BTreeMap<&'static str, Theirs>,
    /// What may survive or not: the agent's last write of the ledger failed after the new one had replaced the old one, so
    /// that the one on the disk says of the file that it was written, and the agent does not count on that.
    undecided: BTreeSet<&'static str>,
    /// Makes each file of another program different from all others.
    serial: u32,
}

impl RandomRun {
    fn new(root: &Path) -> Self {
        let (path, script) = (root.join("profiles"), Script::default());
        let keeper = Some(keeper(&path, &script));
        let mut run = Self {
            path,
            script,
            keeper,
            profiles: BTreeMap::new(),
            excluded: BTreeSet::new(),
            theirs: BTreeMap::new(),
            undecided: BTreeSet::new(),
            serial: 0,
        };
        run.relist();
        run
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

    fn place(&mut self, name: &str, placement: Placement) {
        self.keeper().set_placement(name.parse().unwrap(), placement, Instant::now());
    }

    fn relist(&mut self) {
        let profiles = self.profiles.clone();
        let listed: Vec<_> = profiles.iter().map(|(name, bytes)| (*name, &**bytes)).collect();
        list(self.keeper(), &listed);
    }

    /// Whether the ledger on the disk says that a file of ours has been there.
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
        self.undecided.remove(name);
    }

    /// Somebody puts something there.
    fn put(&mut self, name: &'static str, theirs: Theirs, put: impl FnOnce(&Path)) {
        self.clear(name);
        put(&self.file(name));
        // A directory with something in it stays whatever was there before.
        if !self.is_written(name) || theirs == Theirs::Directory {
            self.theirs.insert(name, theirs);
        } else if self.keeper().claim(&name.parse().unwrap()) != Some(Claim::Written) {
            self.undecided.insert(name);
        }
        self.keeper().file_changed(&format!("{name}.json"));
    }

    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Apply(name, bytes) => {
                let bytes = format!("profile {bytes}");
                self.profiles.insert(NAMES[name], bytes.clone());
                self.set_goal(NAMES[name], file(&bytes));
            }
            Step::Delete(name) => {
                if self.profiles.remove(NAMES[name]).is_some() {
                    self.set_goal(NAMES[name], Goal::Removal);
                }
            }
            Step::Exclude(name, true) => {
                self.excluded.insert(NAMES[name]);
                self.place(NAMES[name], Placement::Excluded);
            }
            Step::Exclude(name, false) => {
                self.excluded.remove(NAMES[name]);
                self.place(NAMES[name], Placement::Here);
            }
            Step::Relist => self.relist(),
            Step::PutFile(name, None) => {
                self.serial += 1;
                let bytes = format!("theirs {}", self.serial);
                self.put(NAMES[name], Theirs::File(bytes.clone()), |path| fs::write(path, bytes).unwrap());
            }
            Step::PutFile(name, Some(bytes)) => {
                // May be adopted, and then is ours: only that it is never half changed matters.
                self.clear(NAMES[name]);
                fs::write(self.file(NAMES[name]), format!("profile {bytes}")).unwrap();
                self.keeper().file_changed(&format!("{}.json", NAMES[name]));
            }
            Step::PutLink(name) => {
                let link = |path: &Path| std::os::unix::fs::symlink("/nowhere", path).unwrap();
                self.put(NAMES[name], Theirs::Link, link);
            }
            Step::PutDirectory(name, true) => self.put(NAMES[name], Theirs::Directory, |path| {
                fs::create_dir(path).unwrap();
                fs::write(path.join("x"), "").unwrap();
            }),
            Step::PutDirectory(name, false) => {
                // Empty: ours to remove only where our file was, and of no value to anybody.
                self.clear(NAMES[name]);
                if self.is_written(NAMES[name]) {
                    fs::create_dir(self.file(NAMES[name])).unwrap();
                }
            }
            Step::Remove(name) => {
                self.clear(NAMES[name]);
                self.keeper().file_changed(&format!("{}.json", NAMES[name]));
            }
            Step::SetMode(name, mode) => {
                let file = self.file(NAMES[name]);
                if fs::symlink_metadata(&file).is_ok_and(|about| about.is_file()) {
                    fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
                }
            }
            Step::RemoveLedger => {
                let _ = fs::remove_file(self.path.join(LEDGER));
                self.keeper().check_all();
                // Without its ledger an agent that starts knows no file; a running one writes it again first.
                self.keeper().sync();
            }
            Step::Sync => drop(self.keeper().sync()),
            Step::Retry => {
                self.keeper().retry().unwrap();
                self.keeper().sync();
            }
            Step::Check => {
                self.keeper().check_all();
                self.keeper().sync();
            }
            Step::FailAt(at) => {
                let mut call = 0;
                self.script.on(move |_, _| {
                    call += 1;
                    if call == at + 1 { Err(Errno::NOSPC) } else { Ok(()) }
                });
                self.keeper().sync();
                self.script.calm();
            }
            Step::CrashAt(at) => {
                drop(self.script.crash_at(at));
                self.keeper().sync();
                // The lock of the old process goes with it.
                self.keeper = None;
                self.script.calm();
                self.keeper = Some(keeper(&self.path, &self.script));
                // What the operator says is known only after the profiles.
                NAMES.iter().for_each(|name| self.place(name, Placement::Unknown));
                self.relist();
                self.keeper().sync();
                for name in NAMES {
                    let excluded = self.excluded.contains(name);
                    self.place(name, if excluded { Placement::Excluded } else { Placement::Here });
                }
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
            let profile = self.profiles.get(name).filter(|_| !self.excluded.contains(name));
            match (profile, self.theirs.contains_key(name)) {
                (Some(_), true) => assert_eq!(problem.unwrap().state, api::ProblemKind::Conflict),
                (Some(bytes), false) if problem.is_none() => {
                    assert_eq!(on_disk.as_ref(), Some(bytes));
                    assert_eq!(fs::metadata(self.file(name)).unwrap().permissions().mode() & 0o7777, 0o644);
                    assert!(self.is_written(name));
                }
                (Some(_), false) if self.undecided.contains(name) => {
                    assert_eq!(problem.unwrap().state, api::ProblemKind::Conflict);
                }
                // Another profile's bytes that somebody put there belong to another program, and stay.
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
        steps in proptest::collection::vec(step(), 1..40)
    ) {
        let root = tempfile::tempdir().unwrap();
        let mut run = RandomRun::new(root.path());
        for step in &steps {
            run.apply(step);
            run.theirs_survive();
        }
        run.converges();
    }
}

/// The directory's last flush fails, behind the rename of the ledger that says that the file was written.
#[test]
fn where_the_ledger_may_be_lost_a_changed_file_is_another_programs() {
    let root = tempfile::tempdir().unwrap();
    let mut run = RandomRun::new(root.path());
    let steps = [Step::Apply(1, 0), Step::FailAt(29), Step::PutFile(1, None), Step::Apply(0, 0)];
    steps.iter().for_each(|step| run.apply(step));
    assert!(run.undecided.contains("b"), "this is no longer the call that fails");
    run.converges();
}

#[test]
fn wherever_a_removal_fails_what_somebody_puts_there_next_survives() {
    for at in 0..40 {
        let root = tempfile::tempdir().unwrap();
        let mut run = RandomRun::new(root.path());
        let removal = [Step::Apply(0, 0), Step::Sync, Step::Delete(0), Step::FailAt(at)];
        let next = [Step::PutLink(0), Step::Sync, Step::Retry, Step::Check];
        for step in removal.iter().chain(&next) {
            run.apply(step);
            run.theirs_survive();
        }
        run.converges();
    }
}
