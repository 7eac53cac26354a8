//! What is counted about pods.

use std::time::Duration;

use daemon::metrics::{Counters, Label, register};
use prometheus::{Histogram, HistogramOpts, Opts, Registry};

use super::super::metrics::GateMetrics;

/// Why a gate was lifted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifted {
    /// Every profile that the pod names is ready.
    Ready,
    /// So it is on all nodes but some, which are left out.
    NodesLeftOut,
    /// The pod names no profile: somebody else has put the gate on it.
    NoProfile,
}

impl Label for Lifted {
    const ALL: &'static [Self] = &[Self::Ready, Self::NodesLeftOut, Self::NoProfile];

    fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::NodesLeftOut => "nodes-left-out",
            Self::NoProfile => "no-profile",
        }
    }
}

/// The metrics about pods.
#[derive(Debug, Clone)]
pub struct Metrics {
    lifted: Counters<Lifted>,
    wait_seconds: Histogram,
    /// Those of all parts.
    pub shared: GateMetrics,
}

impl Metrics {
    /// New metrics in `registry`, with series for all values of their labels.
    ///
    /// # Errors
    /// `registry` holds metrics of these names already.
    pub fn new(shared: GateMetrics, registry: &Registry) -> Result<Self, prometheus::Error> {
        let lifted = Opts::new(
            "seccomp_profile_gate_lifted_total",
            "Scheduling gates taken off pods, by why: all profiles were ready, or ready on all nodes but some that are left out, or the pod names none.",
        );
        let wait_seconds = HistogramOpts::new(
            "seccomp_profile_gate_wait_seconds",
            "Time from the creation of a pod, in whole seconds of the API server's clock, until its scheduling gate was taken off.",
        );
        let wait_seconds =
            wait_seconds.buckets(vec![0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0]);
        Ok(Self {
            lifted: Counters::new(registry, lifted, "why")?,
            wait_seconds: register(registry, Histogram::with_opts(wait_seconds)?)?,
            shared,
        })
    }

    /// Counts one gate that was lifted, of a pod that had waited so long.
    pub fn lifted(&self, why: Lifted, waited: Duration) {
        self.lifted.of(why).inc();
        self.wait_seconds.observe(waited.as_secs_f64());
    }
}
