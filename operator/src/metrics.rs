//! What the operator counts and measures. Every label has a bounded set of values, or is a profile's name.

use std::time::Duration;

use daemon::metrics::{Label, Watches, register};
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

use crate::labels::{KindLabel, Reconciled};
use crate::watch_lag::WatchLag;
use crate::writer::{Write, WriteError, WriteOutcome, Writes};

/// The operator's metrics.
#[derive(Debug, Clone)]
pub struct Metrics {
    reconciles: IntCounterVec,
    reconcile_seconds: HistogramVec,
    rollout_seconds: Histogram,
    /// Writes to the API server.
    pub writes: Writes<Write>,
    /// Watches.
    pub watches: Watches<KindLabel>,
    /// How late the watches deliver the operator's own writes.
    pub watch_lag: WatchLag,
}

impl Metrics {
    /// New metrics in `registry`, with series for all values of their labels, so that the first event is not lost to a
    /// rate.
    ///
    /// # Errors
    /// `registry` holds metrics of these names already.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let reconciles = Opts::new(
            "seccomp_profile_reconciles_total",
            "Reconciliations of a profile or a node, by outcome. Only the leader reconciles.",
        );
        let reconcile_seconds = HistogramOpts::new(
            "seccomp_profile_reconcile_duration_seconds",
            "Duration of a reconciliation, including its writes.",
        );
        let reconcile_seconds =
            reconcile_seconds.buckets(vec![0.0001, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0]);
        let rollout_seconds = HistogramOpts::new(
            "seccomp_profile_rollout_duration_seconds",
            "Time from when the leader saw new contents of a profile until its status was Ready for them.",
        );
        let rollout_seconds = rollout_seconds
            .buckets(vec![0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0]);
        let metrics = Self {
            reconciles: register(registry, IntCounterVec::new(reconciles, &["kind", "outcome"])?)?,
            reconcile_seconds: register(registry, HistogramVec::new(reconcile_seconds, &["kind"])?)?,
            rollout_seconds: register(registry, Histogram::with_opts(rollout_seconds)?)?,
            writes: Writes::new(registry)?,
            watches: Watches::of_kinds(registry, &KindLabel::JUDGED)?,
            watch_lag: WatchLag::new(registry)?,
        };
        for kind in Reconciled::ALL {
            metrics.reconcile_seconds.with_label_values(&[kind.as_str()]);
            for outcome in WriteOutcome::ALL {
                metrics.reconciles.with_label_values(&[kind.as_str(), outcome.as_str()]);
            }
        }
        Ok(metrics)
    }

    /// Counts one reconciliation.
    pub fn reconciled(&self, kind: Reconciled, result: Result<(), &WriteError>, took: Duration) {
        self.reconciles.with_label_values(&[kind.as_str(), WriteOutcome::of(result).as_str()]).inc();
        self.reconcile_seconds.with_label_values(&[kind.as_str()]).observe(took.as_secs_f64());
    }

    /// New contents of a profile have become Ready.
    pub fn rolled_out(&self, took: Duration) {
        self.rollout_seconds.observe(took.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(registry: &Registry, name: &str) -> usize {
        let families = registry.gather();
        families.iter().find(|family| family.name() == name).map_or(0, |family| family.get_metric().len())
    }

    #[test]
    fn every_series_with_bounded_labels_is_there_before_anything_has_happened() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry).unwrap();
        let expected = [
            ("seccomp_profile_reconciles_total", Reconciled::ALL.len() * WriteOutcome::ALL.len()),
            ("seccomp_profile_reconcile_duration_seconds", Reconciled::ALL.len()),
            ("seccomp_profile_rollout_duration_seconds", 1),
            ("seccomp_profile_api_writes_total", Write::ALL.len() * WriteOutcome::ALL.len()),
            ("seccomp_profile_watch_failures_total", KindLabel::ALL.len()),
            ("seccomp_profile_watch_last_answer_timestamp_seconds", KindLabel::JUDGED.len()),
            ("seccomp_profile_watch_lag_seconds", 2),
        ];
        let check = || {
            for (name, count) in expected {
                assert_eq!(series(&registry, name), count, "{name}");
            }
            assert_eq!(registry.gather().len(), expected.len());
        };
        check();
        let error = |code| {
            let status = kube::core::Status { code, ..kube::core::Status::failure("no", "No") };
            WriteError::from(kube::Error::Api(status.boxed()))
        };
        for error in [404, 409, 422, 500].map(error) {
            metrics.writes.count(Write::Event, Err(&error));
            metrics.reconciled(Reconciled::Node, Err(&error), Duration::ZERO);
        }
        metrics.rolled_out(Duration::ZERO);
        metrics.writes.count(Write::Finalizer, Ok(()));
        metrics.reconciled(Reconciled::Profile, Ok(()), Duration::ZERO);
        check();
    }
}
