//! Gauges that are read from the state at each scrape.

use std::sync::Weak;

use k8s_openapi::jiff::Timestamp;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, IntGauge, Opts};

use super::state::NodeState;

/// The gauges, as long as the state exists.
#[derive(Debug)]
pub struct Gauges {
    state: Weak<NodeState>,
    tainted: IntGauge,
    longest: Gauge,
}

impl Gauges {
    /// The gauges of `state`.
    ///
    /// # Errors
    /// None in practice: the names are fixed and valid.
    pub fn new(state: Weak<NodeState>) -> Result<Self, prometheus::Error> {
        let tainted = Opts::new(
            "seccomp_profile_gate_tainted_nodes",
            "Nodes with the start-up taint, which new pods avoid: every gate exports them, so use max.",
        );
        let longest = Gauge::new(
            "seccomp_profile_gate_longest_taint_seconds",
            "How long the Node has the start-up taint that has had it longest; 0 if no Node has it.",
        )?;
        Ok(Self { state, tainted: IntGauge::with_opts(tainted)?, longest })
    }
}

impl Collector for Gauges {
    fn desc(&self) -> Vec<&Desc> {
        self.tainted.desc().into_iter().chain(self.longest.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let Some(state) = self.state.upgrade() else { return Vec::new() };
        let (tainted, since) = state.read(|cluster| (cluster.tainted(), cluster.tainted_since()));
        self.tainted.set(i64::try_from(tainted).unwrap_or(i64::MAX));
        let longest =
            since.map_or(0.0, |since| Timestamp::now().duration_since(since).as_secs_f64().max(0.0));
        self.longest.set(longest);
        self.tainted.collect().into_iter().chain(self.longest.collect()).collect()
    }
}
