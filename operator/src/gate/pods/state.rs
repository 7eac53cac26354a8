//! The state that the tasks about pods share.

use std::sync::{Arc, Mutex};

use daemon::metrics::Label;

use super::super::metrics::GateKind;
use super::index::{Index, PodUid};
use super::metrics::Metrics;
use crate::controller::Controller;
use crate::queue::Lanes;
use crate::unlisted::{Unlisted, lock};
use daemon::lease::Lead;

/// What is worked on. Events have a lane of their own, so that ten thousand of them delay no pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PodWork {
    /// The gate of a pod.
    Gate(PodUid),
    /// The Events about a pod that are due.
    Events(PodUid),
}

impl Lanes for PodWork {
    const LANES: usize = 2;

    fn lane(&self) -> usize {
        match self {
            Self::Gate(_) => 0,
            Self::Events(_) => 1,
        }
    }
}

/// The index, the work queue and the metrics.
#[derive(Debug)]
pub struct PodGateState {
    index: Mutex<Index>,
    unlisted: Unlisted,
    /// Whether this process leads.
    pub lead: Arc<Lead>,
    /// The work queue.
    pub controller: Controller<PodWork>,
    /// The metrics.
    pub metrics: Metrics,
}

impl PodGateState {
    /// The state around an empty `index`; nothing is decided before both kinds are [`Self::listed`].
    #[must_use]
    pub fn new(index: Index, lead: Arc<Lead>, metrics: Metrics) -> Self {
        let kinds = [GateKind::Profile, GateKind::Pod].map(Label::as_str);
        Self {
            index: Mutex::new(index),
            unlisted: Unlisted::new(kinds),
            lead,
            controller: Controller::default(),
            metrics,
        }
    }

    /// Asks the index, which makes nothing due.
    pub fn read<T>(&self, ask: impl FnOnce(&Index) -> T) -> T {
        ask(&lock(&self.index))
    }

    /// Changes the index and queues the pods that must be reconciled because of it.
    pub fn change<T>(&self, change: impl FnOnce(&mut Index) -> T) -> T {
        let mut index = lock(&self.index);
        let result = change(&mut index);
        let dirty = index.take_dirty();
        drop(index);
        self.controller.add(dirty.into_iter().map(PodWork::Gate));
        result
    }

    /// Makes every pod due, as on becoming the leader.
    pub fn queue_all(&self) {
        self.change(Index::queue_all);
    }

    /// A list of a kind is complete.
    pub fn listed(&self, kind: GateKind) {
        if self.unlisted.listed(kind.as_str()) {
            self.queue_all();
        }
    }

    /// The watch of a kind has failed: until it is listed again, no gate is lifted on what may be out of date.
    pub fn may_miss(&self, kind: GateKind) {
        self.unlisted.interrupted(kind.as_str());
    }

    /// Whether both kinds have been listed. Before that, a profile that exists may be missing.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.unlisted.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus::Registry;

    use super::super::super::metrics::GateMetrics;
    use super::super::decision::Settings;
    use super::*;

    #[test]
    fn nothing_is_decided_while_what_is_known_of_profiles_may_be_out_of_date() {
        let registry = Registry::new();
        let metrics = Metrics::new(GateMetrics::new(&registry).unwrap(), &registry).unwrap();
        let settings = Settings { directory: "profiles".into(), leave_out_after: Duration::from_mins(1) };
        let state = PodGateState::new(Index::new(settings), Arc::new(Lead::default()), metrics);
        state.listed(GateKind::Pod);
        assert!(!state.is_complete());
        state.listed(GateKind::Profile);
        assert!(state.is_complete());
        state.may_miss(GateKind::Profile);
        assert!(!state.is_complete());
        state.listed(GateKind::Profile);
        assert!(state.is_complete());
    }
}
