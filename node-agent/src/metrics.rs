//! What the agent counts. Units are seconds; every label has a bounded set of values.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::{
    Gauge, Histogram, HistogramOpts, IntCounterVec, IntGaugeVec, Opts, Registry, core::Collector,
};

use crate::disk::Drift;

/// The agent's metrics.
#[derive(Debug, Clone)]
pub struct Metrics {
    sync_duration: Histogram,
    files: IntGaugeVec,
    repairs: IntCounterVec,
    failures: IntCounterVec,
    reports: IntCounterVec,
    last_full_check: Gauge,
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

/// The states of files that the gauge tells apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FileCounts {
    /// As they should be.
    pub ready: i64,
    /// Not written, read or removed.
    pub failed: i64,
    /// Something else has the name.
    pub conflict: i64,
    /// The profile is invalid.
    pub rejected: i64,
}

impl Metrics {
    /// Registers them.
    ///
    /// # Errors
    /// None in practice: all names are fixed, valid and different.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let sync_duration = Histogram::with_opts(
            HistogramOpts::new(
                "seccomp_profile_agent_sync_duration_seconds",
                "Time from the event that changed a profile until its bytes were read back from the disk.",
            )
            .buckets(vec![
                0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0,
            ]),
        )?;
        let files = gauges(
            "seccomp_profile_agent_files",
            "Profiles on this node by the state of their file.",
            "state",
        )?;
        let repairs = counters(
            "seccomp_profile_agent_drift_repairs_total",
            "Files mended after something else changed, removed or replaced them.",
            "kind",
        )?;
        let failures = counters(
            "seccomp_profile_agent_failures_total",
            "Attempts at a file that did not succeed, by reason.",
            "reason",
        )?;
        let reports = counters(
            "seccomp_profile_agent_report_writes_total",
            "Reports sent to the API server, by outcome.",
            "outcome",
        )?;
        let last_full_check = Gauge::new(
            "seccomp_profile_agent_last_full_check_timestamp_seconds",
            "When every byte of every file was last read, in seconds since 1970.",
        )?;
        let metrics = Self { sync_duration, files, repairs, failures, reports, last_full_check };
        let all: [Box<dyn Collector>; 6] = [
            Box::new(metrics.sync_duration.clone()),
            Box::new(metrics.files.clone()),
            Box::new(metrics.repairs.clone()),
            Box::new(metrics.failures.clone()),
            Box::new(metrics.reports.clone()),
            Box::new(metrics.last_full_check.clone()),
        ];
        for collector in all {
            registry.register(collector)?;
        }
        // Series that exist from the start, so that a rate over the first repair is not lost.
        for drift in [Drift::Changed, Drift::Removed, Drift::Replaced] {
            metrics.repairs.with_label_values(&[drift.as_str()]);
        }
        metrics.set_files(FileCounts::default());
        Ok(metrics)
    }

    /// A change is on the disk.
    pub fn synced(&self, took: Duration) {
        self.sync_duration.observe(took.as_secs_f64());
    }

    /// A file was mended.
    pub fn repaired(&self, drift: Drift) {
        self.repairs.with_label_values(&[drift.as_str()]).inc();
    }

    /// Repairs so far.
    #[must_use]
    pub fn repairs(&self, drift: Drift) -> u64 {
        self.repairs.with_label_values(&[drift.as_str()]).get()
    }

    /// Something did not succeed.
    pub fn failed(&self, reason: &'static str) {
        self.failures.with_label_values(&[reason]).inc();
    }

    /// How many files there are in each state.
    pub fn set_files(&self, counts: FileCounts) {
        for (state, count) in [
            ("Ready", counts.ready),
            ("Failed", counts.failed),
            ("Conflict", counts.conflict),
            ("Rejected", counts.rejected),
        ] {
            self.files.with_label_values(&[state]).set(count);
        }
    }

    /// A report was sent.
    pub fn reported(&self, outcome: ReportOutcome) {
        let outcome = match outcome {
            ReportOutcome::Applied => "Applied",
            ReportOutcome::NotFound => "NotFound",
            ReportOutcome::Refused => "Refused",
            ReportOutcome::Failed => "Failed",
        };
        self.reports.with_label_values(&[outcome]).inc();
    }

    /// Every byte of every file was just read.
    #[expect(clippy::disallowed_methods, reason = "for people; nothing reads it back")]
    pub fn checked(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last_full_check.set(now.as_secs_f64());
    }
}

fn counters(name: &str, help: &str, label: &str) -> Result<IntCounterVec, prometheus::Error> {
    IntCounterVec::new(Opts::new(name, help), &[label])
}

fn gauges(name: &str, help: &str, label: &str) -> Result<IntGaugeVec, prometheus::Error> {
    IntGaugeVec::new(Opts::new(name, help), &[label])
}
