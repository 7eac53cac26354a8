//! What all parts of the gate count: their watches and their writes.

use daemon::metrics::{Label, Watches};
use prometheus::Registry;

use crate::writer::Writes;

/// A kind that the gate watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateKind {
    /// The profiles.
    Profile,
    /// The Pods that have not started.
    Pod,
    /// The Nodes.
    Node,
    /// The nodes' reports.
    Report,
    /// The agents' Pods.
    AgentPod,
    /// The `RuntimeClasses`.
    RuntimeClass,
}

impl Label for GateKind {
    const ALL: &'static [Self] =
        &[Self::Profile, Self::Pod, Self::Node, Self::Report, Self::AgentPod, Self::RuntimeClass];

    fn as_str(self) -> &'static str {
        match self {
            Self::Profile => "SeccompProfile",
            Self::Pod => "Pod",
            Self::Node => "Node",
            Self::Report => "NodeProfileStatus",
            Self::AgentPod => "AgentPod",
            Self::RuntimeClass => "RuntimeClass",
        }
    }
}

/// What the gate writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateWrite {
    /// A scheduling gate taken off a pod.
    SchedulingGate,
    /// A start-up taint taken off a Node.
    StartupTaint,
    /// The condition of a Node.
    NodeCondition,
    /// An Event.
    Event,
}

impl Label for GateWrite {
    const ALL: &'static [Self] =
        &[Self::SchedulingGate, Self::StartupTaint, Self::NodeCondition, Self::Event];

    fn as_str(self) -> &'static str {
        match self {
            Self::SchedulingGate => "scheduling-gate",
            Self::StartupTaint => "startup-taint",
            Self::NodeCondition => "node-condition",
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
