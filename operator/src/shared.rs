//! The state that the operator's tasks share.

use std::sync::Mutex;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::controller::Controller;
use crate::index::{Index, WorkKey};
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::unlisted::{Unlisted, lock};
use daemon::lease::Lead;

/// The index, the work queue and the metrics. The watches change the index; reconciliations take decisions from it.
#[derive(Debug)]
pub struct SharedState {
    index: Mutex<Index>,
    unlisted: Unlisted,
    /// Every kind has been listed.
    complete: Notify,
    /// Whether this process may write.
    lead: Lead,
    /// The work queue.
    pub controller: Controller<WorkKey>,
    /// The Events about refused calls that are to be published.
    pub denied_calls: Outbox,
    /// The operator's metrics.
    pub metrics: Metrics,
}

impl SharedState {
    /// The state around an `index` that lacks objects; nothing is decided before each of `kinds` is [`Self::listed`].
    #[must_use]
    pub fn new(index: Index, kinds: impl IntoIterator<Item = &'static str>, metrics: Metrics) -> Self {
        Self {
            index: Mutex::new(index),
            unlisted: Unlisted::new(kinds),
            lead: Lead::default(),
            complete: Notify::new(),
            controller: Controller::default(),
            denied_calls: Outbox::default(),
            metrics,
        }
    }

    /// Lets this process write until `until`; not at all if that is `None`. On becoming leader, every object is queued:
    /// the previous leader may have stopped half-way.
    pub fn lead_until(&self, until: Option<Instant>) {
        if self.lead.until(until) {
            self.change(Index::queue_all);
        }
    }

    /// Begins no more writes, whether this process leads or not: it is about to end.
    pub fn stop_writing(&self) {
        self.lead.stop();
    }

    /// Whether this process leads now.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.lead.holds()
    }

    /// Whether decisions may be carried out: every kind has been listed, and this process leads and does not stop.
    #[must_use]
    pub fn may_write(&self) -> bool {
        self.lead.may_write() && self.is_complete()
    }

    /// Asks the index, which makes nothing due.
    pub fn read<T>(&self, ask: impl FnOnce(&Index) -> T) -> T {
        ask(&lock(&self.index))
    }

    /// Changes the index and queues the keys that must be reconciled because of it.
    pub fn change<T>(&self, change: impl FnOnce(&mut Index) -> T) -> T {
        let mut index = lock(&self.index);
        let result = change(&mut index);
        let (dirty, rollouts) = (index.take_dirty(), index.take_rollouts());
        let denied = index.take_denied_calls();
        drop(index);
        if self.leads() {
            self.denied_calls.add(denied);
            rollouts.into_iter().for_each(|took| self.metrics.rolled_out(took));
        }
        self.controller.add(dirty);
        result
    }

    /// The first list of a kind is complete.
    pub fn listed(&self, kind: &'static str) {
        if self.unlisted.listed(kind) {
            self.change(Index::queue_all);
            self.complete.notify_one();
        }
    }

    /// Waits until every kind has been listed. For one task only.
    pub async fn until_complete(&self) {
        while !self.is_complete() {
            self.complete.notified().await;
        }
    }

    /// Whether every kind has been listed. Before that, the index may lack a pod, and a decision could approve the
    /// removal of a file that the pod needs.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.unlisted.is_empty()
    }
}
