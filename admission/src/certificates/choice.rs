//! Which of two certificates that were given new connections get: pure decisions, time included.

use std::time::Duration;

use super::clock::UnixTime;
use super::given::{Given, TrustError};

/// The newest certificate, and the one before as long as it may be needed.
#[derive(Debug)]
pub struct Choice {
    settle: Duration,
    newest: Option<Newest>,
    /// The last one that was trusted while it was in use.
    present: Option<Given>,
    has_begun: bool,
}

#[derive(Debug)]
struct Newest {
    given: Given,
    /// Since when, by the monotonic clock, it has been trusted without interruption.
    trusted_since: Option<Duration>,
}

/// What is to be done now.
#[derive(Debug)]
pub struct Decision {
    /// What new connections get.
    pub given: Given,
    /// Whether this replica may have requests.
    pub is_ready: bool,
    /// Why this one.
    pub verdict: Verdict,
    /// After how long something else may be right, though nothing happens; `None`: not before a certificate expires.
    pub next: Option<Duration>,
}

/// Why new connections get a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is the newest, and the API server trusts it.
    Newest {
        /// Until when.
        expires: UnixTime,
    },
    /// The newest is not trusted, or not for long enough, and the one before still is.
    Before {
        /// Until when.
        expires: UnixTime,
    },
    /// None is trusted.
    Untrusted {
        /// What is wrong with the newest.
        error: String,
    },
}

impl Decision {
    /// Until when the API server trusts what new connections get.
    #[must_use]
    pub fn expires(&self) -> Option<UnixTime> {
        match self.verdict {
            Verdict::Newest { expires } | Verdict::Before { expires } => Some(expires),
            Verdict::Untrusted { .. } => None,
        }
    }
}

impl Choice {
    /// Without a certificate. One that was given later than another is used when it has been trusted for `settle`, and a
    /// process is ready when its first one has been.
    #[must_use]
    pub fn new(settle: Duration) -> Self {
        Self { settle, newest: None, present: None, has_begun: false }
    }

    /// This is the newest certificate; the same one again changes nothing.
    pub fn found(&mut self, given: Given) {
        if self.newest.as_ref().is_some_and(|newest| newest.given.is(&given)) {
            return;
        }
        self.newest = Some(Newest { given, trusted_since: None });
    }

    /// What is to be done when the monotonic clock shows `at`; `None` without a certificate. `trust` says until when the API
    /// server trusts one, or why it does not.
    pub fn decide(
        &mut self,
        at: Duration,
        trust: impl Fn(&Given) -> Result<UnixTime, TrustError>,
    ) -> Option<Decision> {
        let newest = self.newest.as_mut()?;
        let of_newest = trust(&newest.given);
        newest.trusted_since = of_newest.is_ok().then(|| newest.trusted_since.unwrap_or(at));
        let left = newest.trusted_since.map(|since| self.settle.saturating_sub(at.saturating_sub(since)));
        let has_settled = left.is_some_and(|left| left.is_zero());
        self.has_begun |= has_settled;
        let before = self.present.as_ref().filter(|present| !present.is(&newest.given));
        let of_before = before.and_then(|before| Some((before.clone(), trust(before).ok()?)));
        let next = left.filter(|left| !left.is_zero());
        let (given, verdict) = match (of_newest, of_before) {
            (newest, Some((before, expires))) if !has_settled || newest.is_err() => {
                (before, Verdict::Before { expires })
            }
            (Ok(expires), _) => {
                self.present = Some(newest.given.clone());
                (newest.given.clone(), Verdict::Newest { expires })
            }
            // The one before may be trusted again.
            (Err(error), _) => (newest.given.clone(), Verdict::Untrusted { error: error.to_string() }),
        };
        let is_trusted = !matches!(verdict, Verdict::Untrusted { .. });
        Some(Decision { given, is_ready: self.has_begun && is_trusted, verdict, next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificates::given::testing::given;

    const LATER: UnixTime = UnixTime(9000);
    const SETTLE: Duration = Duration::from_secs(10);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Decides when only these certificates are trusted.
    fn decide(choice: &mut Choice, seconds: u64, trusted: &[&Given]) -> Decision {
        let trust = |given: &Given| match trusted.iter().any(|trusted| trusted.is(given)) {
            true => Ok(LATER),
            false => Err(TrustError::NoAuthority),
        };
        choice.decide(at(seconds), trust).unwrap()
    }

    #[test]
    fn a_process_is_ready_when_its_first_certificate_has_been_trusted_for_long_enough() {
        let first = given();
        let mut choice = Choice::new(SETTLE);
        assert!(choice.decide(at(0), |_| Ok(LATER)).is_none());
        choice.found(first.clone());
        let untrusted = decide(&mut choice, 0, &[]);
        assert!(untrusted.given.is(&first) && !untrusted.is_ready && untrusted.next.is_none());
        assert!(matches!(&untrusted.verdict, Verdict::Untrusted { error } if error.contains("no authority")));
        assert_eq!(untrusted.expires(), None);
        let trusted = decide(&mut choice, 1, &[&first]);
        assert!(!trusted.is_ready && trusted.next == Some(SETTLE) && trusted.expires() == Some(LATER));
        assert!(!decide(&mut choice, 10, &[&first]).is_ready);
        // An interruption begins anew.
        assert!(!decide(&mut choice, 11, &[]).is_ready);
        assert!(!decide(&mut choice, 12, &[&first]).is_ready);
        let ready = decide(&mut choice, 22, &[&first]);
        assert!(
            ready.is_ready && ready.next.is_none() && ready.verdict == Verdict::Newest { expires: LATER }
        );
        // Later it is as ready as it is trusted.
        assert!(!decide(&mut choice, 23, &[]).is_ready);
        assert!(decide(&mut choice, 24, &[&first]).is_ready);
    }

    #[test]
    fn a_newer_certificate_is_used_when_it_has_been_trusted_for_long_enough_or_the_present_one_is_not() {
        let (first, second, third) = (given(), given(), given());
        let mut choice = Choice::new(SETTLE);
        choice.found(first.clone());
        decide(&mut choice, 0, &[&first]);
        decide(&mut choice, 10, &[&first]);
        choice.found(second.clone());
        let waits = decide(&mut choice, 20, &[&first]);
        assert!(waits.given.is(&first) && waits.is_ready);
        assert_eq!(waits.verdict, Verdict::Before { expires: LATER });
        let settles = decide(&mut choice, 21, &[&first, &second]);
        assert!(settles.given.is(&first) && settles.next == Some(SETTLE));
        assert!(decide(&mut choice, 30, &[&first, &second]).given.is(&first));
        let used = decide(&mut choice, 31, &[&first, &second]);
        assert!(used.given.is(&second) && used.is_ready);
        // The authority is replaced at once: whatever is trusted now is better than what was.
        choice.found(third.clone());
        let at_once = decide(&mut choice, 40, &[&third]);
        assert!(at_once.given.is(&third) && at_once.is_ready);
    }

    #[test]
    fn the_certificate_before_is_kept_while_none_is_trusted() {
        let (first, second) = (given(), given());
        let mut choice = Choice::new(SETTLE);
        choice.found(first.clone());
        decide(&mut choice, 0, &[&first]);
        decide(&mut choice, 10, &[&first]);
        choice.found(second.clone());
        // Somebody empties the configuration.
        let none = decide(&mut choice, 20, &[]);
        assert!(none.given.is(&second) && !none.is_ready);
        let again = decide(&mut choice, 21, &[&first]);
        assert!(again.given.is(&first) && again.is_ready);
    }
}
