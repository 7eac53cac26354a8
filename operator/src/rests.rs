//! Objects that are left alone for a while, because trying again at once would end the same way.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use link::backoff::{self, LONGEST};

/// How long a rest that is over is remembered, so that the next one for the same cause is longer: what is still there is
/// tried again sooner. Those that are older go when the next rest begins.
const REMEMBERED: Duration = LONGEST.saturating_mul(3);

/// Rests by kind and name, each for a cause: ever longer while the cause stays the same.
#[derive(Debug)]
pub struct Rests<C> {
    /// The longest first rest.
    first: Duration,
    all: Mutex<HashMap<(&'static str, String), Rest<C>>>,
}

#[derive(Debug)]
struct Rest<C> {
    cause: C,
    /// How often in a row.
    times: u32,
    until: Instant,
}

impl<C> Rest<C> {
    fn left(&self, now: Instant) -> Option<Duration> {
        Some(self.until.saturating_duration_since(now)).filter(|left| !left.is_zero())
    }
}

impl<C: PartialEq> Rests<C> {
    /// Nothing rests. The first rest for a cause takes `first` at most, each further one about twice as long, up to
    /// [`LONGEST`].
    #[must_use]
    pub fn new(first: Duration) -> Self {
        Self { first, all: Mutex::default() }
    }

    /// The object is to rest for `cause`, from `now` on; says for how long.
    pub fn begin(&self, kind: &'static str, name: &str, cause: C, now: Instant) -> Duration {
        let mut all = self.all();
        all.retain(|_, rest| now < rest.until + REMEMBERED);
        let key = (kind, name.to_owned());
        let times = all.get(&key).filter(|rest| rest.cause == cause).map_or(0, |rest| rest.times);
        let length = backoff::after(times, self.first, LONGEST);
        all.insert(key, Rest { cause, times: times.saturating_add(1), until: now + length });
        length
    }

    /// How long the object still rests, whatever the cause.
    #[must_use]
    pub fn left(&self, kind: &'static str, name: &str, now: Instant) -> Option<Duration> {
        self.all().get(&(kind, name.to_owned()))?.left(now)
    }

    /// How long the object still rests for `cause`.
    #[must_use]
    pub fn left_for(&self, kind: &'static str, name: &str, cause: &C, now: Instant) -> Option<Duration> {
        self.all().get(&(kind, name.to_owned())).filter(|rest| rest.cause == *cause)?.left(now)
    }

    /// It went well: the next rest is a first one.
    pub fn forget(&self, kind: &'static str, name: &str) {
        self.all().remove(&(kind, name.to_owned()));
    }

    fn all(&self) -> MutexGuard<'_, HashMap<(&'static str, String), Rest<C>>> {
        // Each entry is whole after any panic.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_secs(2);

    #[test]
    fn rests_for_one_cause_are_ever_longer_and_another_cause_begins_anew() {
        let (rests, mut now) = (Rests::new(FIRST), Instant::now());
        for most in [2, 4, 8, 16, 20, 20] {
            let rest = rests.begin("node", "a", 1, now);
            assert!((most * 500..=most * 1000).contains(&rest.as_millis()), "{rest:?} of {most} s");
            assert_eq!(rests.left_for("node", "a", &1, now), Some(rest));
            assert_eq!(rests.left("node", "a", now), Some(rest));
            assert_eq!(rests.left_for("node", "a", &2, now), None);
            assert_eq!(rests.left("node", "b", now), None);
            assert_eq!(rests.left("profile", "a", now), None);
            now += rest;
            assert_eq!(rests.left("node", "a", now), None);
        }
        assert!(rests.begin("node", "a", 2, now) <= FIRST);
        rests.forget("node", "a");
        assert_eq!(rests.left("node", "a", now), None);
    }

    #[test]
    fn what_is_never_tried_again_is_not_remembered_for_ever() {
        let (rests, start) = (Rests::new(FIRST), Instant::now());
        for number in 0..1000 {
            rests.begin("node", &format!("n{number}"), (), start);
        }
        rests.begin("node", "n0", (), start + LONGEST);
        assert_eq!(rests.all().len(), 1000);
        let third = rests.begin("node", "n0", (), start + LONGEST / 2 + REMEMBERED);
        assert_eq!(rests.all().len(), 1);
        assert!(third > FIRST, "{third:?}: it was tried again");
    }
}
