//! What the tasks share that watch Nodes and write to them.

use std::sync::{Arc, Mutex};

use daemon::metrics::Label;

use super::super::metrics::{GateKind, GateMetrics};
use super::cluster::Cluster;
use crate::controller::Controller;
use crate::queue::Lanes;
use crate::unlisted::{Unlisted, lock};
use daemon::lease::Lead;

/// The name of a Node that must be reconciled.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeKey(pub String);

impl Lanes for NodeKey {
    const LANES: usize = 1;

    fn lane(&self) -> usize {
        0
    }
}

/// The cluster as the watches see it, and the work queue.
#[derive(Debug)]
pub struct NodeState {
    cluster: Mutex<Cluster>,
    unlisted: Unlisted,
    /// Whether this process leads.
    pub lead: Arc<Lead>,
    /// The work queue.
    pub controller: Controller<NodeKey>,
    /// The metrics that all parts share.
    pub metrics: GateMetrics,
}

impl NodeState {
    /// The kinds that are watched about Nodes.
    pub const KINDS: [GateKind; 4] =
        [GateKind::Node, GateKind::Report, GateKind::Profile, GateKind::AgentPod];

    /// The state around a `cluster` that lacks objects; nothing is decided before each kind is [`Self::listed`].
    #[must_use]
    pub fn new(cluster: Cluster, lead: Arc<Lead>, metrics: GateMetrics) -> Self {
        Self {
            cluster: Mutex::new(cluster),
            unlisted: Unlisted::new(Self::KINDS.map(Label::as_str)),
            lead,
            controller: Controller::default(),
            metrics,
        }
    }

    /// Whether decisions may be carried out: every kind has been listed, and this process leads and does not stop.
    #[must_use]
    pub fn may_write(&self) -> bool {
        self.lead.may_write() && self.unlisted.is_empty()
    }

    /// Queues every Node: this process has become the leader.
    pub fn queue_all(&self) {
        self.change(Cluster::queue_all);
    }

    /// Changes what is known, and queues the Nodes that must be reconciled because of it.
    pub fn change<T>(&self, change: impl FnOnce(&mut Cluster) -> T) -> T {
        let mut cluster = lock(&self.cluster);
        let result = change(&mut cluster);
        let dirty = cluster.take_dirty();
        drop(cluster);
        self.controller.add(dirty.into_iter().map(NodeKey));
        result
    }

    /// Asks without a change.
    pub fn read<T>(&self, ask: impl FnOnce(&Cluster) -> T) -> T {
        ask(&lock(&self.cluster))
    }

    /// The first list of a kind is complete.
    pub fn listed(&self, kind: GateKind) {
        if self.unlisted.listed(kind.as_str()) {
            self.queue_all();
        }
    }
}
