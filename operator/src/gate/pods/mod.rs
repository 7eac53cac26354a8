//! Lifts the scheduling gate of pods once the nodes have the profiles that they name.
//!
//! Pods that are not bound to a node, and profiles, are plain data here: [`pod`] and [`profile`]. The [`index`] keeps what
//! waits for what and returns which pods to reconcile; [`decision`] decides about one pod, [`narrowing`] which nodes it may
//! still run on; all are pure and take the time as an argument. [`reconcile`] carries a decision out through the
//! [`writer`], with at most one write for each pod. [`notice`] has the Events, [`metrics`] what is counted, [`gauges`] what
//! waits now, [`state`] what the tasks share.

pub mod decision;
pub mod gauges;
pub mod index;
pub mod metrics;
pub mod narrowing;
pub mod notice;
pub mod pod;
pub mod profile;
mod reconcile;
pub mod state;
mod writer;

use std::sync::Arc;

use kube::Client;
use prometheus::Registry;

use self::decision::Settings;
use self::gauges::Gauges;
use self::index::Index;
use self::metrics::Metrics;
use self::reconcile::{Context, reconcile};
use self::state::PodGateState;
use self::writer::Writer;
use super::metrics::GateMetrics;
use super::pod_events::PodEvents;
use daemon::lease::Lead;

/// How many scheduling gates are lifted at once, and how many Events are published at once.
const CONCURRENCY: usize = 16;

/// The part of the gate that is about pods.
#[derive(Debug)]
pub struct PodGate {
    state: Arc<PodGateState>,
}

impl PodGate {
    /// The part, with its metrics, before its first request.
    ///
    /// # Errors
    /// `registry` holds metrics of these names already.
    pub fn new(
        settings: Settings,
        lead: Arc<Lead>,
        shared: GateMetrics,
        registry: &Registry,
    ) -> Result<Self, prometheus::Error> {
        let metrics = Metrics::new(shared, registry)?;
        let state = Arc::new(PodGateState::new(Index::new(settings), lead, metrics));
        registry.register(Box::new(Gauges::new(Arc::downgrade(&state))?))?;
        Ok(Self { state })
    }

    /// Its state, which the election changes.
    #[must_use]
    pub fn state(&self) -> Arc<PodGateState> {
        self.state.clone()
    }

    /// Runs for ever.
    pub async fn run(self, client: Client) {
        let Self { state } = self;
        let count = state.metrics.shared.writes.clone();
        let writer = Writer::new(client.clone(), count.clone());
        let context = Context::new(state.clone(), writer, PodEvents::new(client, count));
        state.controller.run(CONCURRENCY, async |work| reconcile(work, &context).await).await;
    }
}
