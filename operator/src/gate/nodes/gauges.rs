//! A gauge that is read from the state at each scrape.

use std::sync::Weak;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntGauge, Opts};

use super::state::NodeState;

/// The gauge, as long as the state exists.
#[derive(Debug)]
pub struct Gauges {
    state: Weak<NodeState>,
    tainted: IntGauge,
}

impl Gauges {
    /// The gauge of `state`.
    ///
    /// # Errors
    /// None in practice: the name is fixed and valid.
    pub fn new(state: Weak<NodeState>) -> Result<Self, prometheus::Error> {
        let tainted = Opts::new(
            "seccomp_profile_gate_tainted_nodes",
            "Nodes with the start-up taint, which new pods avoid: every gate exports them, so use max.",
        );
        Ok(Self { state, tainted: IntGauge::with_opts(tainted)? })
    }
}

impl Collector for Gauges {
    fn desc(&self) -> Vec<&Desc> {
        self.tainted.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let Some(state) = self.state.upgrade() else { return Vec::new() };
        let tainted = state.read(super::cluster::Cluster::tainted);
        self.tainted.set(i64::try_from(tainted).unwrap_or(i64::MAX));
        self.tainted.collect()
    }
}
