//! Objects that are not reconciled for a while, because an immediate retry would fail the same way.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use link::backoff::{self, MAX_PAUSE};

/// How long a cooldown is remembered after it is over, so that the next one for the same cause is longer. While the
/// cause lasts, the next try comes sooner than this. Older cooldowns are dropped when the next one begins.
const REMEMBERED: Duration = MAX_PAUSE.saturating_mul(3);

/// Cooldowns by key, each for a cause: each is longer than the one before while the cause stays the same.
#[derive(Debug)]
pub struct Cooldowns<K, C> {
    /// The longest that a first cooldown takes.
    first: Duration,
    all: Mutex<HashMap<K, Cooldown<C>>>,
}

#[derive(Debug)]
struct Cooldown<C> {
    cause: C,
    /// How often in a row.
    times: u32,
    until: Instant,
}

impl<C> Cooldown<C> {
    fn left(&self, now: Instant) -> Option<Duration> {
        Some(self.until.saturating_duration_since(now)).filter(|left| !left.is_zero())
    }
}

impl<K: Clone + Eq + Hash, C: PartialEq> Cooldowns<K, C> {
    /// No object cools down yet. The first cooldown for a cause takes `first` at most, each further one about twice as
    /// long, up to [`MAX_PAUSE`].
    #[must_use]
    pub fn new(first: Duration) -> Self {
        Self { first, all: Mutex::default() }
    }

    /// Begins a cooldown of the object because of `cause`; returns how long it takes.
    pub fn begin(&self, key: &K, cause: C, now: Instant) -> Duration {
        let mut all = self.all();
        all.retain(|_, cooldown| now < cooldown.until + REMEMBERED);
        let times =
            all.get(key).filter(|cooldown| cooldown.cause == cause).map_or(0, |cooldown| cooldown.times);
        let length = backoff::after(times, self.first, MAX_PAUSE);
        all.insert(key.clone(), Cooldown { cause, times: times.saturating_add(1), until: now + length });
        length
    }

    /// How long the object's cooldown still takes, whatever the cause.
    #[must_use]
    pub fn left(&self, key: &K, now: Instant) -> Option<Duration> {
        self.all().get(key)?.left(now)
    }

    /// How long the object's cooldown still takes, if its cause satisfies `holds`.
    #[must_use]
    pub fn left_while(&self, key: &K, holds: impl FnOnce(&C) -> bool, now: Instant) -> Option<Duration> {
        self.all().get(key).filter(|cooldown| holds(&cooldown.cause))?.left(now)
    }

    /// The object was reconciled: its next cooldown is a first one.
    pub fn forget(&self, key: &K) {
        self.all().remove(key);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<K, Cooldown<C>>> {
        // Each entry is consistent even after a panic.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_secs(2);

    #[test]
    fn cooldowns_for_one_cause_double_and_another_cause_begins_anew() {
        let (cooldowns, mut now) = (Cooldowns::new(FIRST), Instant::now());
        for most in [2, 4, 8, 16, 20, 20] {
            let cooldown = cooldowns.begin(&"a", 1, now);
            assert!((most * 500..=most * 1000).contains(&cooldown.as_millis()), "{cooldown:?} of {most} s");
            assert_eq!(cooldowns.left_while(&"a", |cause| *cause == 1, now), Some(cooldown));
            assert_eq!(cooldowns.left(&"a", now), Some(cooldown));
            assert_eq!(cooldowns.left_while(&"a", |cause| *cause == 2, now), None);
            assert_eq!(cooldowns.left(&"b", now), None);
            now += cooldown;
            assert_eq!(cooldowns.left(&"a", now), None);
        }
        assert!(cooldowns.begin(&"a", 2, now) <= FIRST);
        cooldowns.forget(&"a");
        assert_eq!(cooldowns.left(&"a", now), None);
    }

    #[test]
    fn an_object_that_is_never_tried_again_is_forgotten() {
        let (cooldowns, start) = (Cooldowns::new(FIRST), Instant::now());
        for number in 0..1000 {
            cooldowns.begin(&number, (), start);
        }
        cooldowns.begin(&0, (), start + MAX_PAUSE);
        assert_eq!(cooldowns.all().len(), 1000);
        let third = cooldowns.begin(&0, (), start + MAX_PAUSE / 2 + REMEMBERED);
        assert_eq!(cooldowns.all().len(), 1);
        assert!(third > FIRST, "{third:?}: it was tried again");
    }
}
