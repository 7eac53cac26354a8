//! The kinds of objects whose first list is not complete.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The kinds whose list is not complete. Until there are none, an object that exists may be missing.
#[derive(Debug)]
pub struct Unlisted(Mutex<BTreeSet<&'static str>>);

impl Unlisted {
    /// All of these kinds.
    #[must_use]
    pub fn new(kinds: impl IntoIterator<Item = &'static str>) -> Self {
        Self(Mutex::new(kinds.into_iter().collect()))
    }

    /// The list of a kind is complete. Returns whether that of every kind is.
    pub fn listed(&self, kind: &'static str) -> bool {
        let mut unlisted = lock(&self.0);
        unlisted.remove(kind);
        unlisted.is_empty()
    }

    /// Objects of a kind may be missing, or be out of date, until it is [`Self::listed`] again.
    pub fn interrupted(&self, kind: &'static str) {
        lock(&self.0).insert(kind);
    }

    /// Whether the list of every kind is complete.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        lock(&self.0).is_empty()
    }
}

/// Locks a value that is consistent even after a panic. Outside of tests, a panic ends the process (`panic = "abort"`).
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_missing_once_every_kind_has_been_listed() {
        let unlisted = Unlisted::new(["pods", "nodes"]);
        assert!(!unlisted.listed("pods") && !unlisted.is_empty());
        assert!(!unlisted.listed("pods"), "again, after a watch was renewed");
        assert!(unlisted.listed("nodes") && unlisted.is_empty());
        unlisted.interrupted("pods");
        assert!(!unlisted.is_empty());
        assert!(unlisted.listed("pods"));
    }
}
