//! What the observer counts about itself. Pods and calls are no labels: their number has no bound.

use daemon::metrics::{Counters, Label, register};
use prometheus::{IntCounter, IntGauge, Opts, Registry};

use crate::process::Caller;

/// Who made the call of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallerKind {
    /// A process of a pod's container.
    Container,
    /// A process outside of all pods.
    Outside,
    /// A process that had ended, or a record that cannot be read.
    Unknown,
}

impl From<Caller> for CallerKind {
    fn from(caller: Caller) -> Self {
        match caller {
            Caller::Container(_) => Self::Container,
            Caller::Outside => Self::Outside,
            Caller::Unknown => Self::Unknown,
        }
    }
}

impl Label for CallerKind {
    const ALL: &'static [Self] = &[Self::Container, Self::Outside, Self::Unknown];

    fn as_str(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Outside => "outside",
            Self::Unknown => "unknown",
        }
    }
}

/// What became of sending a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportOutcome {
    /// The API server took it.
    Written,
    /// The API server refused it, or did not answer.
    Failed,
}

impl Label for ReportOutcome {
    const ALL: &'static [Self] = &[Self::Written, Self::Failed];

    fn as_str(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Failed => "failed",
        }
    }
}

/// The observer's metrics.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Records about calls, by who made the call.
    pub records: Counters<CallerKind>,
    /// Reports, by what became of sending them.
    pub reports: Counters<ReportOutcome>,
    lost: IntCounter,
    blind: IntGauge,
    process_events_missing: IntGauge,
    process_event_overruns: IntCounter,
}

impl Metrics {
    /// Registers them.
    ///
    /// # Errors
    /// None in practice: all names are fixed, valid and different.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let records = Opts::new(
            "seccomp_profile_observer_records_total",
            "Audit records about system calls that a filter refused or logged, by who made the call.",
        );
        let reports = Opts::new(
            "seccomp_profile_observer_report_writes_total",
            "Reports sent to the API server, by outcome.",
        );
        let lost = IntCounter::new(
            "seccomp_profile_observer_lost_records_total",
            "Audit records of any kind that did not reach the observer, by gaps in their serial numbers.",
        )?;
        let blind = IntGauge::new(
            "seccomp_profile_observer_blind",
            "1 if no audit record can reach the observer; the node's SeccompObservation has the reason.",
        )?;
        let process_events_missing = IntGauge::new(
            "seccomp_profile_observer_process_events_missing",
            "1 if the kernel does not tell of processes that start: calls of processes that live for a few milliseconds may \
             then be of unknown containers.",
        )?;
        let process_event_overruns = IntCounter::new(
            "seccomp_profile_observer_process_event_overruns_total",
            "How often the kernel has dropped process events because the observer had not read earlier ones: what was known of \
             processes is then forgotten, and calls of processes that are gone may be of unknown containers.",
        )?;
        Ok(Self {
            records: Counters::new(registry, records, "caller")?,
            reports: Counters::new(registry, reports, "outcome")?,
            lost: register(registry, lost)?,
            blind: register(registry, blind)?,
            process_events_missing: register(registry, process_events_missing)?,
            process_event_overruns: register(registry, process_event_overruns)?,
        })
    }

    /// `more` records were lost.
    pub fn lost(&self, more: u64) {
        self.lost.inc_by(more);
    }

    /// Whether the observer receives nothing.
    pub fn blind(&self, blind: bool) {
        self.blind.set(blind.into());
    }

    /// Whether the kernel does not tell of processes, or no longer does.
    pub fn process_events_missing(&self, missing: bool) {
        self.process_events_missing.set(missing.into());
    }

    /// The kernel has dropped process events.
    pub fn process_event_overrun(&self) {
        self.process_event_overruns.inc();
    }
}
