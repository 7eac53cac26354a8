//! Whether this process may write: it is the leader, and it is not about to end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

/// Whether this process may write. Without an election it always leads.
#[derive(Debug, Default)]
pub struct Lead {
    term: Mutex<Term>,
    stopping: AtomicBool,
}

/// Until when this process leads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Term {
    /// Not at all.
    Never,
    /// Until this time.
    Until(Instant),
    /// For ever: there is no election.
    #[default]
    Always,
}

impl Term {
    fn holds(self, now: Instant) -> bool {
        match self {
            Self::Never => false,
            Self::Until(until) => now < until,
            Self::Always => true,
        }
    }
}

impl Lead {
    /// Lets this process lead until `until`; not at all if that is `None`. Returns whether it has become the leader.
    pub fn until(&self, until: Option<Instant>) -> bool {
        let term = until.map_or(Term::Never, Term::Until);
        let before = std::mem::replace(&mut *self.term(), term);
        let now = Instant::now();
        term.holds(now) && !before.holds(now)
    }

    /// Whether this process leads now.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.term().holds(Instant::now())
    }

    /// Begins no more writes, whether this process leads or not: it is about to end.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Whether the process is about to end.
    #[must_use]
    pub fn stops(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Whether this process leads, and is not about to end.
    #[must_use]
    pub fn may_write(&self) -> bool {
        !self.stops() && self.holds()
    }

    fn term(&self) -> std::sync::MutexGuard<'_, Term> {
        // The value is consistent after any panic.
        self.term.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_term_ends_by_itself_and_a_renewal_is_no_new_one() {
        let lead = Lead::default();
        assert!(lead.may_write(), "without an election");
        lead.until(None);
        assert!(!lead.holds());
        let second = Duration::from_secs(1);
        assert!(lead.until(Some(Instant::now() + second)), "it has become the leader");
        assert!(!lead.until(Some(Instant::now() + 2 * second)), "it was the leader already");
        tokio::time::advance(2 * second).await;
        assert!(!lead.may_write());
        assert!(lead.until(Some(Instant::now() + second)));
        lead.stop();
        assert!(lead.holds() && !lead.may_write());
    }
}
