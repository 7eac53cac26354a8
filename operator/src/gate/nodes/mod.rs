//! The start-up taint and the condition `ProfilesReady` of Nodes.
//!
//! A node that joins the cluster has the taint from its registration on, and no pod is scheduled there that does not
//! tolerate it. The gate takes the taint off when the node's report contains every accepted profile that is meant for the
//! node and is not being deleted. It never puts a taint on: a right that an attacker could use against every node.
//!
//! [`watch`] follows Nodes, their reports and the agents' pods. What is known, also of profiles, is plain, synchronous
//! state, the [`cluster`]: [`judgement`] judges what the index knows of a node
//! ([`NodeStanding`](crate::index::NodeStanding)), and [`decision`] compares the judgement with the Node
//! ([`startup_node`]); the result is one write at most, and [`notice`]s for Events. Pods that are on a node without the
//! file of a profile are [`misplaced`]. [`reconcile`] carries it out through the [`writer`]. [`gauges`] show the state,
//! [`state`] is what the tasks share.

pub mod cluster;
pub mod decision;
pub mod gauges;
pub mod judgement;
pub mod misplaced;
pub mod notice;
mod reconcile;
pub mod startup_node;
pub mod state;
pub mod taint_key;
mod watch;
mod writer;

use std::sync::Arc;

use api::Selection;
use daemon::metrics::Label;
use daemon::{Readiness, ReadyHandle};
use kube::Client;
use prometheus::Registry;

use self::cluster::Cluster;
use self::gauges::Gauges;
use self::judgement::Rules;
use self::reconcile::{Context, reconcile};
use self::state::NodeState;
use self::taint_key::TaintKey;
use self::watch::{Agents, Nodes, Reports, follow};
use self::writer::NodeWriter;
use super::metrics::{GateKind, GateMetrics};
use super::pod_events::PodEvents;
use crate::facts::AgentPods;
use crate::watch::PodWatch;
use daemon::lease::Lead;

/// How many Nodes are written at once.
const CONCURRENCY: usize = 16;

/// What the decisions depend on besides the objects.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where profiles are, below the kubelet's `seccomp/`.
    pub directory: String,
    /// Which nodes have an agent.
    pub selection: Selection,
    /// Which pods are agents.
    pub agents: AgentPods,
    /// The key of the start-up taint; without it no taint is taken off.
    pub taint_key: Option<TaintKey>,
    /// What the chart's values decide.
    pub rules: Rules,
}

/// The part of the gate that is about Nodes.
pub struct NodeGate {
    settings: Settings,
    state: Arc<NodeState>,
    ready: [ReadyHandle; 3],
}

impl NodeGate {
    /// The part, with its metrics and the parts of its readiness, before its first request.
    ///
    /// # Errors
    /// `registry` holds metrics of these names already.
    pub fn new(
        settings: Settings,
        lead: Arc<Lead>,
        shared: GateMetrics,
        registry: &Registry,
        readiness: &Readiness,
    ) -> Result<Self, prometheus::Error> {
        let cluster = Cluster::new(&settings.directory, settings.rules);
        let state = Arc::new(NodeState::new(cluster, lead, shared));
        registry.register(Box::new(Gauges::new(Arc::downgrade(&state))?))?;
        let kinds = [GateKind::Node, GateKind::Report, GateKind::AgentPod];
        let ready = kinds.map(|kind| readiness.part(kind.as_str()));
        Ok(Self { settings, state, ready })
    }

    /// What its tasks share.
    #[must_use]
    pub fn state(&self) -> Arc<NodeState> {
        self.state.clone()
    }

    /// Runs for ever.
    pub async fn run(self, client: Client) {
        let Self { settings, state, ready } = self;
        let [nodes_ready, reports_ready, agents_ready] = ready;
        let directory = settings.directory.clone();
        let nodes = Arc::new(Nodes { directory, selection: settings.selection, key: settings.taint_key });
        let agents = Agents(PodWatch { directory: settings.directory, agents: settings.agents });
        let watches = futures::future::join3(
            follow(nodes.clone(), client.clone(), state.clone(), nodes_ready),
            follow(Reports, client.clone(), state.clone(), reports_ready),
            follow(agents, client.clone(), state.clone(), agents_ready),
        );
        let count = state.metrics.writes.clone();
        let writer = NodeWriter::new(client.clone(), count.clone());
        let context = Context::new(state.clone(), writer, PodEvents::new(client, count), nodes);
        let work = state.controller.run(CONCURRENCY, async |key| reconcile(&key, &context).await);
        futures::future::join(watches, work).await;
    }
}
