//! Counts and logs what happened in the directory.

use api::NodeName;
use tracing::field::display;
use tracing::{error, info, warn};

use crate::keeper::{Deed, Event};
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
    pub fn record(&self, events: &[Event]) {
        events.iter().for_each(|event| self.record_event(event));
    }

    fn record_event(&self, event: &Event) {
        let node = &self.node;
        match event {
            Event::NotSwept(error) => warn!(%node, %error, "temporary files of an earlier run may be left"),
            Event::LedgerUnusable(error) => {
                self.metrics.failed(error.reason());
                error!(%node, %error, "no file is written or removed until the ledger can be used");
            }
            Event::LedgerReplaced(error) => {
                self.metrics.failed(error.reason());
                error!(%node, %error, "no file is written or removed until it is gone");
            }
            Event::LedgerUsable => info!(%node, "the ledger can be used again"),
            Event::LedgerNotWritten(error) => {
                self.metrics.failed(error.reason());
                warn!(%node, %error, "the ledger cannot be written");
            }
            Event::Failed(reason) => self.metrics.failed(*reason),
            Event::Checked => self.metrics.checked(),
            Event::Counted(counts) => self.metrics.set_files(*counts),
            Event::Done { profile, hash, deed, since } => {
                let hash = hash.map(display);
                match deed {
                    Deed::Mended(drift) => {
                        warn!(%node, %profile, hash, drift = drift.as_str(), "file mended");
                        self.metrics.repaired(*drift);
                    }
                    Deed::Written => info!(%node, %profile, hash, "file written"),
                    Deed::Adopted => info!(%node, %profile, hash, "file adopted"),
                    Deed::AdoptedAndWritten => info!(%node, %profile, hash, "file adopted and written"),
                    Deed::Removed => info!(%node, %profile, hash, "file removed"),
                    Deed::Forgotten => info!(%node, %profile, hash, "file is gone already or not ours"),
                }
                if let (Some(since), Deed::Written | Deed::Mended(_) | Deed::AdoptedAndWritten) =
                    (since, deed)
                {
                    self.metrics.synced(since.elapsed());
                }
            }
            Event::Problem { profile, hash, problem } => {
                let hash = hash.map(display);
                match problem {
                    Some(Problem { reason, message, .. }) => {
                        // Not named `message`: a line has one, which is what stands behind the fields.
                        warn!(%node, %profile, hash, reason, why = &**message, "file is not as it should be");
                    }
                    // Also when the profile is gone, and what was in its way stays.
                    None => info!(%node, %profile, hash, "the problem with the file is over"),
                }
            }
        }
    }
}
