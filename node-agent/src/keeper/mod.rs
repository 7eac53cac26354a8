//! Makes the directory match the goals and keeps it so. Plain, synchronous state with one owner.
//!
//! Each of these calls marks the names that may need work: [`Keeper::set_goal`] and [`Keeper::list_complete`] when a
//! goal changes, [`Keeper::file_changed`] and [`Keeper::directory_changed`] when something happened in the directory,
//! [`Keeper::check_all`] and [`Keeper::retry`] from time to time. [`Keeper::sync`] then examines the marked names, does
//! what has to be done, many names with one write of the ledger, and returns what happened. [`Keeper::report`] lists
//! what is there. Nothing here depends on Kubernetes, a log, a metric or a thread, and the clock is only used for the
//! time at which a file replaced other bytes.

mod event;
mod goals;
mod record;
mod sync;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Instant;

use api::{ProblemKind, ProfileName, Report};

use crate::disk::{
    Claim, Directory, Displaced, Expected, Faults, Fingerprint, LEDGER, Ledger, LedgerError, NoFaults,
};
use crate::goal::{Goal, Placement};
use crate::report::{self, Problem, ReportEntry};

pub use event::{DiskEvent, FileCounts, FileOutcome};
use goals::Goals;
use record::FileRecord;

/// The result of a pass.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pass {
    /// The report has changed.
    pub changed: bool,
    /// Something could not be done.
    pub failed: bool,
    /// What happened in it, and since the pass before it.
    pub events: Vec<DiskEvent>,
}

/// The directory is no longer the one that the runtime sees.
#[derive(Debug, Clone, PartialEq)]
pub struct DirectoryLost {
    /// How it was lost.
    pub why: Displaced,
    /// The last report: no file is left that the kubelet's runtime sees.
    pub report: Report,
}

/// The keeper of the directory.
#[derive(Debug)]
pub struct Keeper<F = NoFaults> {
    directory: Directory<F>,
    goals: Goals,
    /// The ledger as it is on the disk; an error where that cannot be used.
    ledger: Result<Ledger, LedgerError>,
    ledger_print: Option<Fingerprint>,
    /// Something else has changed the ledger's file.
    ledger_is_stale: bool,
    /// How often the ledger was written since the last retry only because it was stale.
    ledger_repairs: u8,
    /// The last flush of the directory failed: what was renamed before may be undone by a power cut.
    names_may_be_lost: bool,
    records: BTreeMap<ProfileName, FileRecord>,
    /// Names to examine, with the time of the change that set their goal, if that is the reason.
    marked: BTreeMap<ProfileName, Option<Instant>>,
    /// Whether every name is marked, so that the next pass is a full check.
    checks_all: bool,
    /// The result of the next pass, as far as it is known.
    pass: Pass,
}

impl<F: Faults> Keeper<F> {
    /// Takes the directory over: removes the temporary files of an agent that ended in the middle of a write, and reads
    /// the ledger.
    #[must_use]
    pub fn new(mut directory: Directory<F>) -> Self {
        let mut pass = Pass::default();
        pass.events.extend(directory.sweep().err().map(DiskEvent::NotSwept));
        let ledger = directory.load_ledger();
        pass.events.extend(ledger.as_ref().err().cloned().map(DiskEvent::LedgerUnusable));
        let ledger_print = directory.ledger_fingerprint();
        Self {
            directory,
            goals: Goals::default(),
            ledger,
            ledger_print,
            ledger_is_stale: false,
            ledger_repairs: 0,
            names_may_be_lost: false,
            records: BTreeMap::new(),
            marked: BTreeMap::new(),
            checks_all: false,
            pass,
        }
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Directory<F> {
        &self.directory
    }

    /// Takes what happened since the last pass, without waiting for the next one.
    pub fn take_events(&mut self) -> Vec<DiskEvent> {
        std::mem::take(&mut self.pass.events)
    }

    /// Whether there has been a complete list of the profiles.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.goals.is_complete()
    }

    /// Sets what should be under a name, as of `at`.
    pub fn set_goal(&mut self, name: ProfileName, goal: Goal, at: Instant) {
        if self.goals.set(&name, goal) {
            self.marked.entry(name).or_default().get_or_insert(at);
        }
    }

    /// Sets whether the node holds the file of a profile, as of `at`.
    pub fn set_placement(&mut self, name: ProfileName, placement: Placement, at: Instant) {
        if self.goals.place(&name, placement) {
            self.marked.entry(name).or_default().get_or_insert(at);
        }
    }

    /// Records that a profile has a name that no file can have, and why; `None` once the profile is gone.
    pub fn set_misnamed(&mut self, name: Box<str>, message: Option<Box<str>>) {
        self.pass.changed |= self.goals.set_misnamed(name, message);
    }

    /// Records that there has been a complete list of the profiles: nothing should be under a name without a goal.
    pub fn list_complete(&mut self) {
        if self.goals.complete() {
            // Only now is it known which files belong to no profile any more.
            self.pass.changed = true;
            self.mark_ledger();
            // Every name that is not marked was read while the list came.
            self.checks_all = true;
        }
    }

    /// Records that something happened to a file of this name in the directory.
    pub fn file_changed(&mut self, file: &str) {
        if file == LEDGER {
            return self.check_ledger(false);
        }
        let Some(name) = ProfileName::from_file_name(file) else { return };
        let Some(record) = self.records.get(&name) else { return };
        // A file that the agent itself has just written is read once more, too: no time stamp shows that nothing else
        // has changed it since, because clocks can be set back and time stamps to any value.
        if !(record.repairs_exhausted() && record.wants_retry()) {
            self.marked.entry(name).or_default();
        }
    }

    /// Records that something happened to the directory itself, so that any file in it may have changed.
    ///
    /// # Errors
    /// The directory is no longer the one that the runtime sees.
    pub fn directory_changed(&mut self) -> Result<(), Displaced> {
        self.directory.check_identity()?;
        self.retry_ledger();
        self.check_all();
        Ok(())
    }

    /// Marks every name, so that every byte is read.
    pub fn check_all(&mut self) {
        for name in self.goals.iter().map(|(name, _)| name).chain(self.records.keys()) {
            self.marked.entry(name.clone()).or_default();
        }
        self.mark_ledger();
        self.check_ledger(true);
        self.checks_all = true;
    }

    /// Marks the names where something failed or remains to be done, and reads a ledger again that could not be used.
    ///
    /// # Errors
    /// The directory is no longer the one that the runtime sees.
    pub fn retry(&mut self) -> Result<(), Displaced> {
        self.directory.check_identity()?;
        self.retry_ledger();
        self.ledger_repairs = 0;
        for (name, record) in &mut self.records {
            record.repairs = 0;
            if record.wants_retry() {
                self.marked.entry(name.clone()).or_default();
            }
        }
        Ok(())
    }

    /// What is on the disk.
    #[must_use]
    pub fn report(&self) -> Report {
        let entries = self.records.iter().filter(|(name, record)| self.is_reported(name, record));
        let entries = entries.map(|(name, record)| ReportEntry {
            name: name.as_str(),
            hash: record.hash.map(|hash| hash.short()),
            replaced: record.replaced.flatten(),
            problem: record.problem.as_ref(),
        });
        report::build(self.directory.path(), entries, self.goals.misnamed())
    }

    /// The last report when the directory is lost. The agent that starts next may have to wait before it can write the
    /// files again, because the kubelet restarts a container that ends often with longer and longer pauses.
    #[must_use]
    pub fn directory_lost(&self, why: Displaced) -> Box<DirectoryLost> {
        let problem = Problem {
            state: ProblemKind::Failed,
            reason: Displaced::REASON,
            message: why.to_string().into(),
        };
        let is_wanted = |name| matches!(self.goals.expected(name), Expected::File(_));
        let wanted = self.goals.iter().filter(|(name, _)| is_wanted(name));
        let entries = wanted.map(|(name, _)| ReportEntry {
            name: name.as_str(),
            hash: None,
            replaced: None,
            problem: Some(&problem),
        });
        let report = report::build(self.directory.path(), entries, self.goals.misnamed());
        Box::new(DirectoryLost { why, report })
    }

    /// A file is reported while its name is that of a profile, or the file is the agent's. Once the removal of a
    /// profile is approved or it is excluded from the node, a file under its name that is not the agent's has nothing to
    /// do with it any more.
    fn is_reported(&self, name: &ProfileName, record: &FileRecord) -> bool {
        !self.goals.asks_for_nothing(name) || self.claim(name).is_some() || record.problem.is_some()
    }

    fn claim(&self, name: &ProfileName) -> Option<Claim> {
        self.ledger.as_ref().ok().and_then(|ledger| ledger.claim(name))
    }

    fn mark_ledger(&mut self) {
        for name in self.ledger.iter().flat_map(Ledger::names) {
            self.marked.entry(name.clone()).or_default();
        }
    }

    /// Finds out whether something else has changed the ledger's file. The ledger in memory then replaces it, unless it
    /// is the ledger of a newer agent.
    fn check_ledger(&mut self, read: bool) {
        if self.ledger.is_err() || !(read || self.directory.ledger_fingerprint() != self.ledger_print) {
            return;
        }
        match self.directory.load_ledger() {
            Err(error @ LedgerError::TooNew(_)) => {
                self.pass.events.push(DiskEvent::LedgerReplaced(error.clone()));
                self.ledger = Err(error);
            }
            found => self.ledger_is_stale |= found != self.ledger,
        }
    }

    fn retry_ledger(&mut self) {
        if self.ledger.is_err() {
            self.ledger = self.directory.load_ledger();
            self.ledger_print = self.directory.ledger_fingerprint();
            if self.ledger.is_ok() {
                self.pass.events.push(DiskEvent::LedgerUsable);
                self.check_all();
            }
        }
    }

    fn counts(&self) -> FileCounts {
        let mut counts = FileCounts::default();
        for (name, record) in &self.records {
            match (&record.problem, self.goals.expected(name)) {
                (Some(problem), _) => match problem.state {
                    api::ProblemKind::Failed => counts.failed += 1,
                    api::ProblemKind::Conflict => counts.conflict += 1,
                    api::ProblemKind::Rejected => counts.rejected += 1,
                },
                (None, Expected::File(wanted)) if record.hash == Some(wanted) => counts.ready += 1,
                (None, _) => {}
            }
        }
        counts
    }
}
