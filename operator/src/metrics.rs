//! What the operator counts and measures.

use std::sync::Weak;
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use crate::cluster::Cluster;
use crate::index::Index;

/// The operator's metrics.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Looks at a profile or a node, by what and outcome.
    pub reconciles: IntCounterVec,
    /// How long they took.
    pub reconcile_seconds: HistogramVec,
    /// Writes to the API server, by kind and outcome.
    pub writes: IntCounterVec,
    /// Watches that failed and were started again.
    pub watch_failures: IntCounterVec,
    /// Whether this process leads.
    pub leader: IntGauge,
}

impl Metrics {
    /// New metrics in `registry`.
    ///
    /// # Errors
    /// `registry` holds metrics of these names already.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        fn keep<C: Collector + Clone + 'static>(
            registry: &Registry,
            metric: C,
        ) -> Result<C, prometheus::Error> {
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        }
        let counter = |name: &str, help: &str, labels: &[&str]| {
            keep(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
        };
        Ok(Self {
            reconciles: counter(
                "seccomp_profile_reconciles_total",
                "Looks at a profile or a node, by outcome.",
                &["kind", "outcome"],
            )?,
            reconcile_seconds: keep(
                registry,
                HistogramVec::new(
                    HistogramOpts::new(
                        "seccomp_profile_reconcile_duration_seconds",
                        "How long a look took, writes included.",
                    )
                    .buckets(vec![0.0001, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0]),
                    &["kind"],
                )?,
            )?,
            writes: counter(
                "seccomp_profile_api_writes_total",
                "Writes to the API server, by what was written and outcome.",
                &["write", "outcome"],
            )?,
            watch_failures: counter(
                "seccomp_profile_watch_failures_total",
                "Watches that failed and were started again, by kind.",
                &["kind"],
            )?,
            leader: keep(
                registry,
                IntGauge::new("seccomp_profile_leader", "1 where this operator is the one that writes.")?,
            )?,
        })
    }

    /// Counts one look.
    pub fn reconciled(&self, kind: &str, outcome: &str, took: Duration) {
        self.reconciles.with_label_values(&[kind, outcome]).inc();
        self.reconcile_seconds.with_label_values(&[kind]).observe(took.as_secs_f64());
    }
}

/// Gauges that are taken from the index whenever somebody asks: a profile that is gone leaves no label behind, and
/// nothing is counted while nobody does.
#[derive(Debug)]
pub struct ClusterMetrics {
    cluster: Weak<Cluster>,
    profiles: IntGaugeVec,
    nodes: IntGaugeVec,
}

impl ClusterMetrics {
    /// Gauges of `cluster`, as long as it is there.
    ///
    /// # Errors
    /// None in practice: the names are fixed and valid.
    pub fn new(cluster: Weak<Cluster>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            cluster,
            profiles: IntGaugeVec::new(
                Opts::new("seccomp_profile_profiles", "Profiles, by state."),
                &["state"],
            )?,
            nodes: IntGaugeVec::new(
                Opts::new(
                    "seccomp_profile_nodes",
                    "Nodes that should hold a profile, by how they stand with it.",
                ),
                &["profile", "state"],
            )?,
        })
    }

    fn observe(&self, index: &Index) {
        self.profiles.reset();
        self.nodes.reset();
        for (name, tally, facts) in index.profiles() {
            let state = facts.status.as_ref().and_then(|status| status.state);
            self.profiles.with_label_values(&[state.map_or("Unknown", api::State::as_str)]).inc();
            for (state, count) in [
                ("ready", tally.ready),
                ("pending", tally.pending),
                ("failed", tally.failed),
                ("joining", tally.joining),
                ("unreachable", tally.unreachable),
            ] {
                self.nodes.with_label_values(&[name, state]).set(i64::from(count));
            }
        }
    }
}

impl Collector for ClusterMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.profiles.desc().into_iter().chain(self.nodes.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        if let Some(cluster) = self.cluster.upgrade() {
            cluster.change(|index| self.observe(index));
        }
        self.profiles.collect().into_iter().chain(self.nodes.collect()).collect()
    }
}
