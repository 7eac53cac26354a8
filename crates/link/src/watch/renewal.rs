//! When a watch that has ended begins again: within a spread, if something else than its time ended it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::Spread;

/// How long a watch lasts whose configuration does not limit it: the default of kube.
pub(super) const DEFAULT_LIMIT: Duration = Duration::from_secs(290);
/// A watch that ends this much before its time was ended by the API server for another reason, or by the network.
const EARLY: Duration = Duration::from_secs(2);

/// When a watch that has ended begins again.
#[derive(Debug, Default)]
pub(super) struct Renewal {
    /// How long a watch lasts that nothing ends.
    pub(super) limit: Duration,
    pub(super) spread: Mutex<Spread>,
    /// When the API server accepted the latest watch.
    pub(super) began: Mutex<Option<Instant>>,
}

impl Renewal {
    /// A watch has begun.
    pub(super) fn begun(&self) {
        *lock(&self.began) = Some(Instant::now());
    }

    /// The list or the watch has failed, and the back-off decides about the next request.
    pub(super) fn failed(&self) {
        *lock(&self.began) = None;
    }

    /// How long the next watch waits.
    pub(super) fn pause(&self) -> Duration {
        let began = lock(&self.began).take();
        match began {
            Some(began) if began.elapsed() + EARLY < self.limit => lock(&self.spread).pause(),
            _ => Duration::ZERO,
        }
    }
}

/// Locks a value that is consistent even after a panic.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
