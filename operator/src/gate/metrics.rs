//! What all parts of the gate count: their watches and their writes.

use daemon::metrics::{Label, Watches};
use prometheus::Registry;

use crate::writer::Writes;

/// A kind that the gate watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateKind {
    /// The profiles.
    Profile,
    /// The Pods that are not bound to a node.
    Pod,
}

impl Label for GateKind {
    const ALL: &'static [Self] = &[Self::Profile, Self::Pod];

    fn as_str(self) -> &'static str {
        match self {
            Self::Profile => "SeccompProfile",
            Self::Pod => "Pod",
        }
    }
}

/// What the gate writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateWrite {
    /// A scheduling gate taken off a pod.
    SchedulingGate,
    /// An Event.
    Event,
}

impl Label for GateWrite {
    const ALL: &'static [Self] = &[Self::SchedulingGate, Self::Event];

    fn as_str(self) -> &'static str {
        match self {
            Self::SchedulingGate => "scheduling-gate",
            Self::Event => "event",
        }
    }
}

/// The metrics that all parts share.
#[derive(Debug, Clone)]
pub struct GateMetrics {
    /// Watches.
    pub watches: Watches<GateKind>,
    /// Writes to the API server.
    pub writes: Writes<GateWrite>,
}

impl GateMetrics {
    /// New metrics in `registry`, with series for all values of their labels.
    ///
    /// # Errors
    /// `registry` holds metrics of these names already.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self { watches: Watches::new(registry)?, writes: Writes::new(registry)? })
    }
}
