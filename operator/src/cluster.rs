//! The index among the tasks that share it.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::index::Index;
use crate::metrics::Metrics;
use crate::trigger::Trigger;

/// The index, what is due, and the metrics. Watches change it, controllers ask it.
#[derive(Debug)]
pub struct Cluster {
    index: Mutex<Index>,
    /// Kinds whose first list is not complete.
    unlisted: Mutex<BTreeSet<&'static str>>,
    /// Profiles that are due for a look.
    pub profiles: Trigger,
    /// Nodes that are due for a look.
    pub nodes: Trigger,
    /// The operator's metrics.
    pub metrics: Metrics,
}

impl Cluster {
    /// A cluster of which nothing is known; nothing is judged before each of `kinds` is [`Self::listed`].
    #[must_use]
    pub fn new(index: Index, kinds: impl IntoIterator<Item = &'static str>, metrics: Metrics) -> Self {
        Self {
            index: Mutex::new(index),
            unlisted: Mutex::new(kinds.into_iter().collect()),
            profiles: Trigger::default(),
            nodes: Trigger::default(),
            metrics,
        }
    }

    /// Changes the index and passes on what has become due.
    pub fn change<T>(&self, change: impl FnOnce(&mut Index) -> T) -> T {
        let mut index = self.lock();
        let result = change(&mut index);
        let dirty = index.take_dirty();
        drop(index);
        if !dirty.profiles.is_empty() {
            self.profiles.extend(dirty.profiles);
        }
        if !dirty.nodes.is_empty() {
            self.nodes.extend(dirty.nodes);
        }
        result
    }

    /// The first list of a kind is complete.
    pub fn listed(&self, kind: &'static str) {
        let mut unlisted = self.unlisted.lock().unwrap_or_else(PoisonError::into_inner);
        unlisted.remove(kind);
        if unlisted.is_empty() {
            drop(unlisted);
            self.change(Index::touch_all);
        }
    }

    /// Whether every kind has been listed. Before, an absent pod may be one that was not seen yet, and a verdict
    /// could let a file go that the pod needs.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.unlisted.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Index> {
        // A panic ends the whole process (`panic = "abort"`), so a poisoned index is met in tests only.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
