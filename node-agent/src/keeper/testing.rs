//! For tests: a keeper with its directory, and what the API server and other processes do to them.

use std::fs;
use std::path::PathBuf;

use api::ProblemKind;
use profile::ContentHash;

use super::*;
use crate::disk::Drift;
use crate::disk::testing::Script;

/// A keeper with its directory, and what the API server and other processes do to them.
pub(super) struct KeeperFixture {
    pub(super) root: tempfile::TempDir,
    pub(super) script: Script,
    pub(super) keeper: Keeper<Script>,
    /// What has happened.
    pub(super) events: Vec<DiskEvent>,
}

pub(super) fn name(name: &str) -> ProfileName {
    name.parse().unwrap()
}

pub(super) fn file(bytes: &str) -> Goal {
    Goal::file(bytes.as_bytes())
}

/// Sets the goals of a complete list of the profiles that exist: those that are not in it are gone.
pub(super) fn list(keeper: &mut Keeper<Script>, profiles: &[(&str, &str)]) {
    let known: Vec<_> = keeper.goals.iter().map(|(name, _)| name.clone()).collect();
    for (profile, bytes) in profiles {
        keeper.set_goal(name(profile), file(bytes), Instant::now());
    }
    for gone in known.into_iter().filter(|known| profiles.iter().all(|(name, _)| *name != known.as_str())) {
        keeper.set_goal(gone, Goal::Removal, Instant::now());
    }
    keeper.list_complete();
}

pub(super) fn keeper(path: &std::path::Path, script: &Script) -> Keeper<Script> {
    let directory = Directory::with_faults(path, script.clone()).unwrap();
    Keeper::new(directory)
}

impl KeeperFixture {
    pub(super) fn new() -> Self {
        let (root, script) = (tempfile::tempdir().unwrap(), Script::default());
        let keeper = keeper(&root.path().join("profiles"), &script);
        Self { root, script, keeper, events: Vec::new() }
    }

    /// A directory in which profiles with these bytes are on the disk.
    pub(super) fn with(profiles: &[(&str, &str)]) -> Self {
        let mut fixture = Self::new();
        fixture.list(profiles);
        assert_eq!(fixture.keeper.report().problems, []);
        fixture.script.log();
        fixture
    }

    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.root.path().join("profiles").join(file)
    }

    pub(super) fn set_goal(&mut self, profile: &str, goal: Goal) {
        self.keeper.set_goal(name(profile), goal, Instant::now());
    }

    pub(super) fn sync(&mut self) -> Pass {
        let pass = self.keeper.sync();
        self.events.extend(pass.events.iter().cloned());
        pass
    }

    pub(super) fn list(&mut self, profiles: &[(&str, &str)]) -> Pass {
        list(&mut self.keeper, profiles);
        self.sync()
    }

    pub(super) fn apply(&mut self, name: &str, bytes: &str) -> Pass {
        self.set_goal(name, file(bytes));
        self.sync()
    }

    pub(super) fn delete(&mut self, name: &str) -> Pass {
        self.set_goal(name, Goal::Removal);
        self.sync()
    }

    pub(super) fn touch(&mut self, file: &str) -> Pass {
        self.keeper.file_changed(file);
        self.sync()
    }

    pub(super) fn retry(&mut self) -> Pass {
        self.keeper.retry().unwrap();
        self.sync()
    }

    pub(super) fn check(&mut self) -> Pass {
        self.keeper.check_all();
        self.sync()
    }

    /// The process ends and another one starts, with the same profiles.
    pub(super) fn restart(&mut self, profiles: &[(&str, &str)]) -> Pass {
        // The lock goes with the old one.
        self.restart_unlisted();
        self.list(profiles)
    }

    pub(super) fn restart_unlisted(&mut self) {
        let elsewhere = tempfile::tempdir().unwrap();
        self.keeper = keeper(elsewhere.path(), &self.script);
        self.keeper = keeper(&self.root.path().join("profiles"), &self.script);
    }

    pub(super) fn read(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.path(file)).ok()
    }

    pub(super) fn ledger(&self) -> Ledger {
        Ledger::from_bytes(&fs::read(self.path(LEDGER)).unwrap()).unwrap()
    }

    /// State and reason of the only problem.
    pub(super) fn problem(&self) -> (ProblemKind, String) {
        match self.keeper.report().problems.as_slice() {
            [problem] => (problem.state.known().unwrap(), problem.reason.clone()),
            problems => panic!("{problems:?}"),
        }
    }

    pub(super) fn reported(&self) -> Vec<(String, String)> {
        self.keeper.report().files.into_iter().collect()
    }

    /// How many files were repaired that were changed, removed, replaced.
    pub(super) fn repairs(&self) -> [usize; 3] {
        [Drift::Changed, Drift::Removed, Drift::Replaced].map(|drift| {
            let is_repair =
                |event: &&DiskEvent| matches!(event, DiskEvent::Completed { outcome, .. } if *outcome == FileOutcome::Repaired(drift));
            self.events.iter().filter(is_repair).count()
        })
    }
}

pub(super) fn short(bytes: &str) -> String {
    ContentHash::of(bytes.as_bytes()).short().to_string()
}
