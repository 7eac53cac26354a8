//! Versions of objects that the API server has called outdated.
//!
//! Only news of the object helps then. While the watch is late, news of everything else goes on making the object due, and
//! without a memory each look would send the same write to an API server that is too busy as it is.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use daemon::backoff;

use crate::facts::Version;

/// The longest first pause before a write is bound to the same version once more: the API server itself may have been
/// wrong, as one is that was restored from a backup.
const FIRST: Duration = Duration::from_secs(2);

/// By kind and name.
#[derive(Debug, Default)]
pub struct Outdated(Mutex<HashMap<(&'static str, String), Refused>>);

#[derive(Debug)]
struct Refused {
    version: Version,
    times: u32,
    /// No write that is bound to the version before then.
    not_before: Instant,
}

impl Refused {
    fn rest(&self, now: Instant) -> Option<Duration> {
        Some(self.not_before.saturating_duration_since(now)).filter(|rest| !rest.is_zero())
    }
}

impl Outdated {
    /// A write that was bound to `version` was refused, because there is a newer one.
    pub fn refused(&self, kind: &'static str, name: &str, version: &Version, now: Instant) {
        let mut all = self.all();
        let refused = all.entry((kind, name.to_owned())).or_insert_with(|| Refused {
            version: version.clone(),
            times: 0,
            not_before: now,
        });
        if refused.version != *version {
            refused.version = version.clone();
            refused.times = 0;
        }
        refused.not_before = now + backoff::after(refused.times, FIRST, backoff::LONGEST);
        refused.times = refused.times.saturating_add(1);
    }

    /// How long no write is to be bound to `version`; `None` if one may be.
    #[must_use]
    pub fn rest(&self, kind: &'static str, name: &str, version: &Version, now: Instant) -> Option<Duration> {
        let all = self.all();
        all.get(&(kind, name.to_owned())).filter(|refused| refused.version == *version)?.rest(now)
    }

    /// How long until a write is tried once more whatever the news.
    #[must_use]
    pub fn until(&self, kind: &'static str, name: &str, now: Instant) -> Option<Duration> {
        self.all().get(&(kind, name.to_owned()))?.rest(now)
    }

    /// A write went through, or there is nothing to write.
    pub fn forget(&self, kind: &'static str, name: &str) {
        self.all().remove(&(kind, name.to_owned()));
    }

    fn all(&self) -> MutexGuard<'_, HashMap<(&'static str, String), Refused>> {
        // Each entry is whole after any panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(number: u32) -> Version {
        Version { uid: "1".to_owned(), resource_version: number.to_string() }
    }

    #[test]
    fn a_version_that_was_refused_rests_ever_longer_and_a_newer_one_does_not() {
        let (outdated, mut now) = (Outdated::default(), Instant::now());
        for most in [2, 4, 8, 16, 20, 20] {
            outdated.refused("node", "a", &version(1), now);
            let rest = outdated.rest("node", "a", &version(1), now).unwrap();
            assert!((most * 500..=most * 1000).contains(&rest.as_millis()), "{rest:?} of {most} s");
            assert_eq!(outdated.rest("node", "a", &version(2), now), None);
            assert_eq!(outdated.rest("node", "b", &version(1), now), None);
            assert_eq!(outdated.rest("profile", "a", &version(1), now), None);
            assert_eq!(outdated.until("node", "a", now), Some(rest));
            now += rest;
            assert_eq!(outdated.rest("node", "a", &version(1), now), None);
        }
        outdated.refused("node", "a", &version(2), now);
        assert!(outdated.rest("node", "a", &version(2), now).unwrap() <= FIRST);
        outdated.forget("node", "a");
        assert_eq!(outdated.rest("node", "a", &version(2), now), None);
    }
}
