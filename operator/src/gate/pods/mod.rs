//! Lifts the scheduling gate of pods once the nodes have the profiles that they name.
//!
//! [`watch`] follows pods that are not bound to a node, and profiles, and reduces both to plain data: [`pod`] and
//! [`profile`]. The [`index`] keeps what waits for what and returns which pods to reconcile; [`decision`] decides about
//! one pod, [`narrowing`] which nodes it may still run on; all are pure and take the time as an argument. [`reconcile`]
//! carries a decision out through the [`writer`], with at most one write for each pod. [`notice`] has the Events,
//! [`metrics`] what is counted, [`gauges`] what waits now, [`state`] what the tasks share.

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
mod watch;
mod writer;

use std::sync::Arc;

use daemon::metrics::Label;
use daemon::{Readiness, ReadyHandle};
use kube::Client;
use prometheus::Registry;

use self::decision::Settings;
use self::gauges::Gauges;
use self::index::Index;
use self::metrics::Metrics;
use self::reconcile::{Context, reconcile};
use self::state::PodGateState;
use self::writer::Writer;
use super::metrics::{GateKind, GateMetrics};
use daemon::lease::Lead;

/// How many scheduling gates are lifted at once, and how many Events are published at once.
const CONCURRENCY: usize = 16;

/// The part of the gate that is about pods.
#[derive(Debug)]
pub struct PodGate {
    state: Arc<PodGateState>,
    /// Which of the kinds has not been listed yet.
    profiles_ready: ReadyHandle,
    pods_ready: ReadyHandle,
}

impl PodGate {
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
        let metrics = Metrics::new(shared, registry)?;
        let state = Arc::new(PodGateState::new(Index::new(settings), lead, metrics));
        registry.register(Box::new(Gauges::new(Arc::downgrade(&state))?))?;
        Ok(Self {
            state,
            profiles_ready: readiness.part(GateKind::Profile.as_str()),
            pods_ready: readiness.part(GateKind::Pod.as_str()),
        })
    }

    /// Its state, which the election changes.
    #[must_use]
    pub fn state(&self) -> Arc<PodGateState> {
        self.state.clone()
    }

    /// Runs for ever.
    pub async fn run(self, client: Client) {
        let Self { state, profiles_ready, pods_ready } = self;
        let writer = Writer::new(client.clone(), state.metrics.shared.writes.clone());
        let context = Context::new(state.clone(), writer);
        let watches = futures::future::join(
            watch::profiles(client.clone(), &state, profiles_ready),
            watch::pods(client, &state, pods_ready),
        );
        let work = state.controller.run(CONCURRENCY, async |work| reconcile(work, &context).await);
        futures::future::join(watches, work).await;
    }
}
