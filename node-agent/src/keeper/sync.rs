//! One pass over the marked names.
//!
//! The order makes a crash at any point harmless: a claim is in the ledger before the file is in the directory, and the
//! file is out of the directory before its claim is out of the ledger.

use api::{ProblemKind, ProfileName};

use super::record::{FileRecord, MAX_REPAIRS, Work, hash_of, replaced_by};
use super::{DiskEvent, FileOutcome, Keeper, Pass};
use crate::disk::{
    Claim, DiskError, Expected, Faults, FileAction, FileTime, Found, Ledger, Ownership, decide,
};
use crate::goal::Goal;
use crate::report::Problem;

impl<F: Faults> Keeper<F> {
    /// Brings the marked names to their goals.
    pub fn sync(&mut self) -> Pass {
        let unflushed = self.names_may_be_lost.then(|| self.flush_names().err()).flatten();
        let mut work = Vec::new();
        for (name, since) in std::mem::take(&mut self.marked) {
            let found = self.directory.find(&name);
            match (self.decide(&name, &found), &unflushed) {
                (FileAction::Nothing, None) => self.nothing_to_do(name, &found),
                (FileAction::Nothing, Some(error)) => self.fail(name, &found, error),
                (FileAction::Fail(error), _) => self.fail(name, &found, &error),
                (action, _) => work.push(Work::new(name, since, found, action)),
            }
        }
        if !work.is_empty() || self.rewrites_ledger() {
            self.write_intents(&mut work);
            self.change_files(&mut work);
            self.read_back(&mut work);
            self.update_ledger(&mut work);
            for work in work {
                self.finish(work);
            }
        }
        if std::mem::take(&mut self.checks_all) {
            self.pass.events.push(DiskEvent::Checked);
        }
        if self.pass.changed {
            self.pass.events.push(DiskEvent::Counted(self.counts()));
        }
        std::mem::take(&mut self.pass)
    }

    fn decide(&self, name: &ProfileName, found: &Found) -> FileAction {
        let owner = match &self.ledger {
            Ok(ledger) => Ownership::Known(ledger.claim(name)),
            Err(error) => Ownership::Unknown(error),
        };
        let verified = self.records.get(name).and_then(|record| record.verified);
        decide(self.goals.expected(name), owner, found, verified)
    }

    /// Writes into the ledger which files are about to be written.
    fn write_intents(&mut self, work: &mut [Work]) {
        let Ok(ledger) = &self.ledger else { return };
        let (mut next, mut claiming) = (ledger.clone(), Vec::new());
        for (at, work) in work.iter_mut().enumerate() {
            let claim = match (&work.action, ledger.claim(&work.name), self.goals.expected(&work.name)) {
                (FileAction::Adopt { .. }, _, _) => Claim::Written,
                (FileAction::Write { .. }, None | Some(Claim::Intended(_)), Expected::File(wanted)) => {
                    Claim::Intended(wanted)
                }
                _ => continue,
            };
            if ledger.claim(&work.name) == Some(claim) {
                continue;
            }
            match next.add(&work.name, claim) {
                Ok(()) => claiming.push(at),
                Err(full) => work.error = Some(full.into()),
            }
        }
        if claiming.is_empty() {
            if !self.rewrites_ledger() {
                return;
            }
            self.ledger_repairs += 1;
        }
        if let Err(error) = self.store_ledger(next) {
            claiming.into_iter().for_each(|at| work[at].error = Some(error.clone()));
        }
    }

    /// Whether the ledger is written although nothing in it changes.
    fn rewrites_ledger(&self) -> bool {
        self.ledger_is_stale && self.ledger_repairs < MAX_REPAIRS
    }

    /// Writes and removes files, and flushes the directory once for all of them.
    fn change_files(&mut self, work: &mut [Work]) {
        for work in work.iter_mut().filter(|work| work.continues()) {
            let (replaces, record) = (replaced_by(&work.action), self.records.get(&work.name));
            if work.is_repair() && record.is_some_and(FileRecord::repairs_exhausted) {
                work.deferred = true;
                continue;
            }
            let acted = match (&work.action, replaces, self.goals.of(&work.name)) {
                (_, Some(replaces), Some(Goal::File { bytes, hash })) => {
                    let claim = self.ledger.as_ref().ok().and_then(|ledger| ledger.claim(&work.name));
                    let stamp = work.stamp(*hash, claim, record);
                    let put = self.directory.put(&work.name, &bytes.bytes(), replaces, stamp);
                    put.map(|replaced| work.replaced = Some(replaced))
                }
                (FileAction::Remove { directory }, ..) => {
                    work.removed = hash_of(&work.found);
                    self.directory.remove(&work.name, *directory)
                }
                _ => continue,
            };
            work.acted = true;
            work.error = acted.err().map(DiskError::from);
        }
        if work.iter().any(|work| work.acted)
            && let Err(error) = self.flush_names()
        {
            work.iter_mut().filter(|work| work.acted).for_each(|work| {
                work.error.get_or_insert_with(|| error.clone());
            });
        }
    }

    /// Reads every file that was written: only what can be read from the disk counts.
    fn read_back(&mut self, work: &mut [Work]) {
        for work in work.iter_mut() {
            if work.acted {
                work.found = self.directory.find(&work.name);
            }
            work.done = work.continues()
                && match (self.goals.expected(&work.name), &work.found) {
                    (Expected::File(wanted), Found::File { hash, access_is_right, .. }) => {
                        *hash == Some(wanted) && *access_is_right
                    }
                    (Expected::File(_), _) => false,
                    (Expected::Nothing | Expected::Anything, found) => {
                        matches!(work.action, FileAction::Forget) || *found == Found::Absent
                    }
                };
        }
    }

    /// Writes into the ledger which files are in the directory now, and removes the claims of those that are not.
    fn update_ledger(&mut self, work: &mut [Work]) {
        let Ok(ledger) = &self.ledger else { return };
        let (mut next, mut settling) = (ledger.clone(), Vec::new());
        for (at, work) in work.iter().enumerate().filter(|(_, work)| work.done) {
            match (&work.action, ledger.claim(&work.name)) {
                (FileAction::Write { .. }, Some(Claim::Intended(_))) => next.written(&work.name),
                (FileAction::Remove { .. } | FileAction::Forget, Some(_)) => next.forget(&work.name),
                _ => continue,
            }
            settling.push(at);
        }
        if !settling.is_empty() && self.store_ledger(next).is_err() {
            // The files are right all the same, and the ledger is written at the next retry.
            settling.into_iter().for_each(|at| work[at].deferred = true);
        }
    }

    fn store_ledger(&mut self, next: Ledger) -> Result<(), DiskError> {
        // The ledger of a newer agent may have replaced it since it was last examined.
        self.check_ledger(false);
        let stored = match &self.ledger {
            Ok(_) => self.directory.store_ledger(&next).map_err(DiskError::from),
            Err(error) => Err(error.clone().into()),
        };
        match &stored {
            Ok(()) => {
                self.ledger = Ok(next);
                self.ledger_print = self.directory.ledger_fingerprint();
                self.ledger_is_stale = false;
            }
            Err(error) => {
                self.pass.events.push(DiskEvent::LedgerNotWritten(error.clone()));
                // Which of the two a crash would leave is not known. What this agent has removed is not its own any more,
                // whatever somebody puts there before the ledger can be written.
                if let Ok(ledger) = &mut self.ledger {
                    let removed = ledger.names().filter(|name| next.claim(name).is_none());
                    for name in removed.cloned().collect::<Vec<_>>() {
                        ledger.forget(&name);
                    }
                    self.ledger_is_stale = true;
                }
            }
        }
        stored
    }

    fn flush_names(&mut self) -> Result<(), DiskError> {
        let flushed = self.directory.sync();
        self.names_may_be_lost = flushed.is_err();
        Ok(flushed?)
    }

    /// Nothing had to be done about a name.
    fn nothing_to_do(&mut self, name: ProfileName, found: &Found) {
        let problem = match self.goals.of(&name).filter(|_| !self.goals.asks_for_nothing(&name)) {
            Some(Goal::Rejected { reason, message }) => {
                Some(Problem { state: ProblemKind::Rejected, reason, message: message.clone() })
            }
            Some(Goal::OverBudget(refusal)) => Some(Problem {
                state: ProblemKind::Failed,
                reason: refusal.reason(),
                message: refusal.to_string().into(),
            }),
            _ => None,
        };
        self.record(name, found, problem, false);
    }

    /// The work on a name failed or could not be tried.
    fn fail(&mut self, name: ProfileName, found: &Found, error: &DiskError) {
        self.pass.events.push(DiskEvent::Failed(error.reason()));
        self.pass.failed = true;
        self.record(name, found, Some(error.into()), false);
    }

    /// Records what came of the work on a name.
    fn finish(&mut self, work: Work) {
        if work.acted && work.is_repair() {
            // Even if it had no effect, because something else had changed the file again before it was read back.
            let record = self.records.entry(work.name.clone()).or_default();
            record.repairs = record.repairs.saturating_add(1);
        }
        if let Some(replaced) = work.replaced {
            // Even if the file could not be read back: the bytes are there.
            self.replaced(&work.name, replaced);
        }
        if let Some(error) = &work.error {
            return self.fail(work.name, &work.found, error);
        }
        if work.done
            && let Some(outcome) = work.outcome()
        {
            let hash = if outcome == FileOutcome::Removed { work.removed } else { hash_of(&work.found) };
            self.pass.events.push(DiskEvent::Completed {
                profile: work.name.clone(),
                hash,
                outcome,
                since: work.since,
            });
        }
        // Even a name of which only the claim was removed may have been in the last report.
        self.pass.changed |= matches!(work.action, FileAction::Remove { .. } | FileAction::Forget);
        // The problem of a file that was left for the next retry is what it was.
        let untried = work.deferred && !work.acted;
        let problem = self.records.get(&work.name).and_then(|record| record.problem.clone());
        let problem = problem.filter(|_| untried);
        self.record(work.name, &work.found, problem, work.deferred || !work.done);
    }

    /// Records since when the bytes under a name have been in the place of others.
    fn replaced(&mut self, name: &ProfileName, replaced: Option<FileTime>) {
        let record = self.records.entry(name.clone()).or_default();
        self.pass.changed |= record.replaced.flatten() != replaced;
        record.replaced = Some(replaced);
    }

    /// Records what is under a name.
    fn record(&mut self, name: ProfileName, found: &Found, problem: Option<Problem>, unfinished: bool) {
        let expected = self.goals.expected(&name);
        let forgotten = self.goals.asks_for_nothing(&name) && self.claim(&name).is_none();
        // An excluded profile is examined at every check, which changes no report.
        if forgotten && !unfinished && problem.is_none() && !self.records.contains_key(&name) {
            return;
        }
        let record = self.records.entry(name.clone()).or_default();
        let hash = hash_of(found);
        if let Found::File { replaced, .. } = found {
            record.replaced.get_or_insert(*replaced);
        }
        if record.problem != problem {
            self.pass.events.push(DiskEvent::Problem {
                profile: name.clone(),
                hash,
                problem: problem.clone(),
            });
            self.pass.changed = true;
        }
        self.pass.changed |= record.hash != hash;
        if let Expected::File(wanted) = expected
            && hash == Some(wanted)
            && problem.is_none()
        {
            record.verified = Some(wanted);
        }
        (record.hash, record.problem, record.unfinished) = (hash, problem, unfinished);
        if forgotten && !record.wants_retry() {
            self.records.remove(&name);
            self.pass.changed = true;
        }
    }
}
