//! Counts and logs what happened in the directory.

use api::NodeName;
use tracing::field::display;
use tracing::{error, info, warn};

use crate::keeper::{DiskEvent, FileOutcome};
use crate::metrics::Metrics;
use crate::report::Problem;

/// The log and the metrics of one node's agent.
#[derive(Debug, Clone)]
pub struct Journal {
    node: NodeName,
    metrics: Metrics,
}

impl Journal {
    /// A journal of what happens on `node`.
    #[must_use]
    pub fn new(node: NodeName, metrics: Metrics) -> Self {
        Self { node, metrics }
    }

    /// Counts and logs what happened, in this order.
    pub fn record(&self, events: &[DiskEvent]) {
        events.iter().for_each(|event| self.record_event(event));
    }

    fn record_event(&self, event: &DiskEvent) {
        let node = &self.node;
        match event {
            DiskEvent::NotSwept(error) => {
                warn!(%node, %error, "temporary files of an earlier run may be left");
            }
            DiskEvent::LedgerUnusable(error) => {
                self.metrics.failed(error.reason());
                error!(%node, %error, "no file is written or removed until the ledger can be used");
            }
            DiskEvent::LedgerReplaced(error) => {
                self.metrics.failed(error.reason());
                error!(%node, %error, "no file is written or removed while the ledger of a newer agent is there");
            }
            DiskEvent::LedgerUsable => info!(%node, "the ledger can be used again"),
            DiskEvent::LedgerNotWritten(error) => {
                self.metrics.failed(error.reason());
                warn!(%node, %error, "the ledger cannot be written");
            }
            DiskEvent::Failed(reason) => self.metrics.failed(*reason),
            DiskEvent::Checked => self.metrics.checked(),
            DiskEvent::Counted(counts) => self.metrics.set_files(*counts),
            DiskEvent::Completed { profile, hash, outcome, since } => {
                let hash = hash.map(display);
                match outcome {
                    FileOutcome::Repaired(drift) => {
                        warn!(%node, %profile, hash, drift = drift.as_str(), "file repaired");
                        self.metrics.repaired(*drift);
                    }
                    FileOutcome::Written => info!(%node, %profile, hash, "file written"),
                    FileOutcome::Adopted => info!(%node, %profile, hash, "file adopted"),
                    FileOutcome::AdoptedAndRewritten => {
                        info!(%node, %profile, hash, "file adopted and written");
                    }
                    FileOutcome::Removed => info!(%node, %profile, hash, "file removed"),
                    FileOutcome::Forgotten => {
                        info!(%node, %profile, hash, "file was already gone or is not the agent's");
                    }
                }
                if let (
                    Some(since),
                    FileOutcome::Written | FileOutcome::Repaired(_) | FileOutcome::AdoptedAndRewritten,
                ) = (since, outcome)
                {
                    self.metrics.synced(since.elapsed());
                }
            }
            DiskEvent::Problem { profile, hash, problem } => {
                let hash = hash.map(display);
                match problem {
                    Some(Problem { reason, message, .. }) => {
                        // The field is not named `message`, because every line has one already: the text.
                        warn!(%node, %profile, hash, reason, why = &**message, "file is not as it should be");
                    }
                    // Also when the profile is gone, and the file that was in its way stays.
                    None => info!(%node, %profile, hash, "the problem with the file is resolved"),
                }
            }
        }
    }
}
