//! Which parts of a program have yet to start.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// A set of parts that are not ready yet; the program is ready once it is empty.
///
/// Each part holds a [`ReadyHandle`] and lets it go with [`ReadyHandle::ready`]. A part that ends without having
/// been ready stays in the set.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    pending: Arc<Mutex<BTreeSet<&'static str>>>,
}

/// The promise of one part to become ready.
#[derive(Debug)]
#[must_use = "a part whose handle is dropped never becomes ready"]
pub struct ReadyHandle {
    part: &'static str,
    readiness: Readiness,
}

impl Readiness {
    /// Adds a part that is not ready.
    pub fn part(&self, part: &'static str) -> ReadyHandle {
        self.lock().insert(part);
        ReadyHandle { part, readiness: self.clone() }
    }

    /// The parts that are not ready, by name.
    #[must_use]
    pub fn pending(&self) -> Vec<&'static str> {
        self.lock().iter().copied().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<&'static str>> {
        // A set of names is whole after any panic.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReadyHandle {
    /// Says that the part is ready, for good.
    pub fn ready(self) {
        self.readiness.lock().remove(self.part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_ready_once_every_part_has_said_so() {
        let readiness = Readiness::default();
        let (nodes, pods) = (readiness.part("nodes"), readiness.part("pods"));
        assert_eq!(readiness.pending(), ["nodes", "pods"]);
        pods.ready();
        assert_eq!(readiness.pending(), ["nodes"]);
        nodes.ready();
        assert!(readiness.pending().is_empty());
    }

    #[test]
    fn a_part_that_ended_early_never_counts_as_ready() {
        let readiness = Readiness::default();
        drop(readiness.part("nodes"));
        assert_eq!(readiness.pending(), ["nodes"]);
    }
}
