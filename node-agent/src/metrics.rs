//! What the agent counts. Units are seconds; every label has a bounded set of values.

use std::time::Duration;

use daemon::metrics::{Counters, Label, Watches, now, register};
use prometheus::{Gauge, Histogram, HistogramOpts, IntGaugeVec, Opts, Registry};

use crate::disk::{DiskReason, Drift};
use crate::keeper::FileCounts;

/// A kind that is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The profiles.
    Profile,
    /// The node's status object.
    NodeStatus,
}

impl Kind {
    /// The name of the kind in logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Profile => "SeccompProfile",
            Self::NodeStatus => "NodeProfileStatus",
        }
    }
}

impl Label for Kind {
    const ALL: &'static [Self] = &[Self::Profile, Self::NodeStatus];

    fn as_str(self) -> &'static str {
        self.as_str()
    }
}

impl Label for Drift {
    const ALL: &'static [Self] = &Self::ALL;

    fn as_str(self) -> &'static str {
        self.as_str()
    }
}

impl Label for DiskReason {
    const ALL: &'static [Self] = &Self::ALL;

    fn as_str(self) -> &'static str {
        self.as_str()
    }
}

/// The agent's metrics.
#[derive(Debug, Clone)]
pub struct Metrics {
    sync_duration: Histogram,
    files: IntGaugeVec,
    repairs: Counters<Drift>,
    failures: Counters<DiskReason>,
    reports: Counters<ReportOutcome>,
    last_full_check: Gauge,
    check_interval: Gauge,
    /// Watches.
    pub watches: Watches<Kind>,
}

/// What became of sending a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportOutcome {
    /// The API server took it.
    Applied,
    /// The node has no object to report to.
    NotFound,
    /// The API server refused it.
    Refused,
    /// The API server did not answer.
    Failed,
}

impl Label for ReportOutcome {
    const ALL: &'static [Self] = &[Self::Applied, Self::NotFound, Self::Refused, Self::Failed];

    fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "Applied",
            Self::NotFound => "NotFound",
            Self::Refused => "Refused",
            Self::Failed => "Failed",
        }
    }
}

impl Metrics {
    /// Registers them.
    ///
    /// # Errors
    /// None in practice: all names are fixed, valid and different.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let sync_duration = HistogramOpts::new(
            "seccomp_profile_agent_sync_duration_seconds",
            "Time from the event that changed a profile until its bytes were read back from the disk and the pass that wrote them was over.",
        );
        let sync_duration = sync_duration.buckets(vec![
            0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0,
        ]);
        let files =
            Opts::new("seccomp_profile_agent_files", "Profiles on this node by the state of their file.");
        let repairs = Opts::new(
            "seccomp_profile_agent_drift_repairs_total",
            "Files repaired after something else changed, removed or replaced them.",
        );
        let failures = Opts::new(
            "seccomp_profile_agent_failures_total",
            "Attempts at a file that did not succeed, by reason.",
        );
        let reports = Opts::new(
            "seccomp_profile_agent_report_writes_total",
            "Reports sent to the API server, by outcome.",
        );
        let last_full_check = Gauge::new(
            "seccomp_profile_agent_last_full_check_timestamp_seconds",
            "When every byte of every file was last read, in seconds since 1970; at the start, the time of the start.",
        );
        let check_interval = Gauge::new(
            "seccomp_profile_agent_check_interval_seconds",
            "How often every byte of every file is to be read.",
        );
        let metrics = Self {
            sync_duration: register(registry, Histogram::with_opts(sync_duration)?)?,
            files: register(registry, IntGaugeVec::new(files, &["state"])?)?,
            repairs: Counters::new(registry, repairs, "kind")?,
            failures: Counters::new(registry, failures, "reason")?,
            reports: Counters::new(registry, reports, "outcome")?,
            last_full_check: register(registry, last_full_check?)?,
            check_interval: register(registry, check_interval?)?,
            watches: Watches::new(registry)?,
        };
        metrics.set_files(FileCounts::default());
        metrics.checked();
        Ok(metrics)
    }

    /// A change is on the disk.
    pub fn synced(&self, took: Duration) {
        self.sync_duration.observe(took.as_secs_f64());
    }

    /// A file was repaired.
    pub fn repaired(&self, drift: Drift) {
        self.repairs.of(drift).inc();
    }

    /// Repairs so far.
    #[must_use]
    pub fn repairs(&self, drift: Drift) -> u64 {
        self.repairs.of(drift).get()
    }

    /// Something did not succeed.
    pub fn failed(&self, reason: DiskReason) {
        self.failures.of(reason).inc();
    }

    /// How many files there are in each state.
    pub fn set_files(&self, counts: FileCounts) {
        let FileCounts { ready, failed, conflict, rejected } = counts;
        for (state, count) in
            [("Ready", ready), ("Failed", failed), ("Conflict", conflict), ("Rejected", rejected)]
        {
            self.files.with_label_values(&[state]).set(count);
        }
    }

    /// A report was sent.
    pub fn reported(&self, outcome: ReportOutcome) {
        self.reports.of(outcome).inc();
    }

    /// How often every byte of every file is to be read.
    pub fn checks_every(&self, interval: Duration) {
        self.check_interval.set(interval.as_secs_f64());
    }

    /// Every byte of every file was just read.
    #[expect(clippy::disallowed_methods, reason = "for people; nothing reads it back")]
    pub fn checked(&self) {
        self.last_full_check.set(now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_is_there_before_anything_has_happened() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry).unwrap();
        let series = || -> Vec<(String, usize)> {
            let families = registry.gather();
            families.iter().map(|family| (family.name().to_owned(), family.get_metric().len())).collect()
        };
        let before = series();
        assert_eq!(before.len(), 9, "{before:?}");
        metrics.synced(Duration::ZERO);
        metrics.repaired(Drift::Replaced);
        DiskReason::ALL.iter().for_each(|reason| metrics.failed(*reason));
        ReportOutcome::ALL.iter().for_each(|outcome| metrics.reported(*outcome));
        metrics.checked();
        assert_eq!(series(), before);
    }
}
