//! Whether the profiles that a node is told not to hold must be decided again.

use k8s_openapi::jiff::Timestamp;

/// Why and when a node's exclusions must be decided again.
#[derive(Debug, Default)]
pub(super) struct ExclusionState {
    /// Since when a reason for another list may have existed; `None` while the stored list is right.
    pub(super) changed: Option<Timestamp>,
    /// When a list of all pods last contained no pod on the node that the index lacks.
    pub(super) pods_listed: Option<Timestamp>,
    /// Until when nothing is written, because the API server does not store it.
    pub(super) dropped_until: Option<Timestamp>,
}

impl ExclusionState {
    /// Something has changed on which the list depends. Returns true, so that the caller queues the node.
    pub(super) fn mark(&mut self, now: Timestamp) -> bool {
        self.changed.get_or_insert(now);
        true
    }

    /// Whether the list must be decided again.
    pub(super) fn is_marked(&self) -> bool {
        self.changed.is_some()
    }
}
