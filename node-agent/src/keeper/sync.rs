//! One pass over the marked names.
//!
//! The order is what makes a crash at any point harmless: what will be ours is in the ledger before it is in the
//! directory, and out of the directory before it is out of the ledger.

use api::{FileState, ProfileName};

use super::record::{MOST_REPAIRS, Record, Work, hash_of, over};
use super::{Deed, Event, Keeper, Pass};
use crate::disk::{Claim, DiskError, Expected, Faults, FileAction, Found, Ledger, Owner, decide};
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
                (FileAction::Rest, None) => self.rest(name, &found),
                (FileAction::Rest, Some(error)) => self.refuse(name, &found, error),
                (FileAction::Refuse(error), _) => self.refuse(name, &found, &error),
                (action, _) => work.push(Work::new(name, since, found, action)),
            }
        }
        if !work.is_empty() || self.mends_ledger() {
            self.state_intents(&mut work);
            self.act(&mut work);
            self.read_back(&mut work);
            self.settle_ledger(&mut work);
            for work in work {
                self.finish(work);
            }
        }
        if std::mem::take(&mut self.checks_all) {
            self.pass.events.push(Event::Checked);
        }
        if self.pass.changed {
            self.pass.events.push(Event::Counted(self.counts()));
        }
        std::mem::take(&mut self.pass)
    }

    fn decide(&self, name: &ProfileName, found: &Found) -> FileAction {
        let owner = match &self.ledger {
            Ok(ledger) => Owner::Known(ledger.claim(name)),
            Err(error) => Owner::Unknown(error),
        };
        let verified = self.records.get(name).and_then(|record| record.verified);
        decide(self.goals.expected(name), owner, found, verified)
    }

    /// The ledger learns what is about to be put into the directory.
    fn state_intents(&mut self, work: &mut [Work]) {
        let Ok(ledger) = &self.ledger else { return };
        let (mut next, mut claiming) = (ledger.clone(), Vec::new());
        for (at, work) in work.iter_mut().enumerate() {
            let claim = match (&work.action, ledger.claim(&work.name), self.goals.expected(&work.name)) {
                (FileAction::Claim { .. }, _, _) => Claim::Written,
                (FileAction::Put { .. }, None | Some(Claim::Intended(_)), Expected::File(want)) => {
                    Claim::Intended(want)
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
            if !self.mends_ledger() {
                return;
            }
            self.ledger_repairs += 1;
        }
        if let Err(error) = self.store_ledger(next) {
            claiming.into_iter().for_each(|at| work[at].error = Some(error.clone()));
        }
    }

    /// Whether the ledger is to be written although nothing in it changes.
    fn mends_ledger(&self) -> bool {
        self.ledger_is_stale && self.ledger_repairs < MOST_REPAIRS
    }

    /// Files are put and removed, and the directory is flushed once for all of them.
    fn act(&mut self, work: &mut [Work]) {
        for work in work.iter_mut().filter(|work| work.goes_on()) {
            let (over, record) = (over(&work.action), self.records.get(&work.name));
            if work.is_repair() && record.is_some_and(Record::is_fought_over) {
                work.deferred = true;
                continue;
            }
            let acted = match (&work.action, over, self.goals.of(&work.name)) {
                (_, Some(over), Some(Goal::File { bytes, .. })) => {
                    self.directory.put(&work.name, bytes, over)
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

    /// What counts is what can be read from the disk.
    fn read_back(&mut self, work: &mut [Work]) {
        for work in work.iter_mut() {
            if work.acted {
                work.found = self.directory.find(&work.name);
            }
            work.done = work.goes_on()
                && match (self.goals.expected(&work.name), &work.found) {
                    (Expected::File(want), Found::File { hash, access_is_right, .. }) => {
                        *hash == Some(want) && *access_is_right
                    }
                    (Expected::File(_), _) => false,
                    (Expected::Nothing | Expected::Anything, found) => {
                        matches!(work.action, FileAction::Forget) || *found == Found::Absent
                    }
                };
        }
    }

    /// The ledger learns what is now in the directory, and forgets what is not.
    fn settle_ledger(&mut self, work: &mut [Work]) {
        let Ok(ledger) = &self.ledger else { return };
        let (mut next, mut settling) = (ledger.clone(), Vec::new());
        for (at, work) in work.iter().enumerate().filter(|(_, work)| work.done) {
            match (&work.action, ledger.claim(&work.name)) {
                (FileAction::Put { .. }, Some(Claim::Intended(_))) => next.written(&work.name),
                (FileAction::Remove { .. } | FileAction::Forget, Some(_)) => next.forget(&work.name),
                _ => continue,
            }
            settling.push(at);
        }
        if !settling.is_empty() && self.store_ledger(next).is_err() {
            // The files are right all the same; the ledger is tried again.
            settling.into_iter().for_each(|at| work[at].deferred = true);
        }
    }

    fn store_ledger(&mut self, next: Ledger) -> Result<(), DiskError> {
        // A newer agent's may have taken its place since the last look.
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
                self.pass.events.push(Event::LedgerNotWritten(error.clone()));
            }
        }
        stored
    }

    fn flush_names(&mut self) -> Result<(), DiskError> {
        let flushed = self.directory.sync();
        self.names_may_be_lost = flushed.is_err();
        Ok(flushed?)
    }

    /// Nothing was to be done.
    fn rest(&mut self, name: ProfileName, found: &Found) {
        let problem = match self.goals.of(&name) {
            Some(Goal::Rejected { reason, message }) => {
                Some(Problem { state: FileState::Rejected, reason, message: message.clone() })
            }
            Some(Goal::Refused(refusal)) => Some(Problem {
                state: FileState::Failed,
                reason: refusal.reason(),
                message: refusal.to_string().into(),
            }),
            _ => None,
        };
        self.remember(name, found, problem, false);
    }

    /// Nothing can be done.
    fn refuse(&mut self, name: ProfileName, found: &Found, error: &DiskError) {
        self.pass.events.push(Event::Failed(error.reason()));
        self.pass.failed = true;
        self.remember(name, found, Some(error.into()), false);
    }

    /// Something was done, or not.
    fn finish(&mut self, work: Work) {
        if work.acted && work.is_repair() {
            // Whether or not it came to anything: who is faster than the reading back is fought no faster either.
            let record = self.records.entry(work.name.clone()).or_default();
            record.repairs = record.repairs.saturating_add(1);
        }
        if let Some(error) = &work.error {
            return self.refuse(work.name, &work.found, error);
        }
        if work.done
            && let Some(deed) = work.deed()
        {
            let hash = if deed == Deed::Removed { work.removed } else { hash_of(&work.found) };
            self.pass.events.push(Event::Done { profile: work.name.clone(), hash, deed, since: work.since });
        }
        // Even a name that the ledger forgot may have been in the last report.
        self.pass.changed |= matches!(work.action, FileAction::Remove { .. } | FileAction::Forget);
        // What was not even tried is as wrong as it was.
        let untried = work.deferred && !work.acted;
        let problem = self.records.get(&work.name).and_then(|record| record.problem.clone());
        let problem = problem.filter(|_| untried);
        self.remember(work.name, &work.found, problem, work.deferred || !work.done);
    }

    fn remember(&mut self, name: ProfileName, found: &Found, problem: Option<Problem>, unfinished: bool) {
        let expected = self.goals.expected(&name);
        let forgotten =
            self.goals.of(&name).is_none_or(|goal| *goal == Goal::Removal) && self.claim(&name).is_none();
        let record = self.records.entry(name.clone()).or_default();
        let hash = hash_of(found);
        if record.problem != problem {
            self.pass.events.push(Event::Problem { profile: name.clone(), hash, problem: problem.clone() });
            self.pass.changed = true;
        }
        self.pass.changed |= record.hash != hash;
        if let Expected::File(want) = expected
            && hash == Some(want)
            && problem.is_none()
        {
            record.verified = Some(want);
        }
        (record.hash, record.problem, record.unfinished) = (hash, problem, unfinished);
        if forgotten && !record.wants_retry() {
            self.records.remove(&name);
            self.pass.changed = true;
        }
    }
}
