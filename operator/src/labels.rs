//! The values of metric labels that more than one file names.

use daemon::metrics::Label;

/// A kind that is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KindLabel {
    /// The profiles.
    Profile,
    /// The nodes' reports.
    Report,
    /// The Nodes.
    Node,
    /// The Pods.
    Pod,
    /// The nodes' observations, where nodes have observers.
    Observation,
}

impl KindLabel {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Profile, Self::Report, Self::Node, Self::Pod, Self::Observation];
    /// Those that the status of profiles and nodes depends on.
    pub const JUDGED: [Self; 4] = [Self::Profile, Self::Report, Self::Node, Self::Pod];

    /// Its name in logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Profile => "SeccompProfile",
            Self::Report => "NodeProfileStatus",
            Self::Node => "Node",
            Self::Pod => "Pod",
            Self::Observation => "SeccompObservation",
        }
    }
}

impl Label for KindLabel {
    const ALL: &'static [Self] = &Self::ALL;

    fn as_str(self) -> &'static str {
        self.as_str()
    }
}

/// A kind that is watched and whose objects the operator writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WrittenKindLabel {
    /// The profiles.
    Profile,
    /// The nodes' reports.
    Report,
}

impl WrittenKindLabel {
    /// The label of `kind`, if the operator writes objects of it.
    #[must_use]
    pub fn of(kind: KindLabel) -> Option<Self> {
        match kind {
            KindLabel::Profile => Some(Self::Profile),
            KindLabel::Report => Some(Self::Report),
            KindLabel::Node | KindLabel::Pod | KindLabel::Observation => None,
        }
    }
}

impl Label for WrittenKindLabel {
    const ALL: &'static [Self] = &[Self::Profile, Self::Report];

    fn as_str(self) -> &'static str {
        match self {
            Self::Profile => KindLabel::Profile.as_str(),
            Self::Report => KindLabel::Report.as_str(),
        }
    }
}

/// What is reconciled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reconciled {
    /// A profile.
    Profile,
    /// A node with its report, or a report without a Node.
    Node,
}

impl Reconciled {
    /// One word for metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Profile => "profile",
            Self::Node => "node",
        }
    }
}

impl Label for Reconciled {
    const ALL: &'static [Self] = &[Self::Profile, Self::Node];

    fn as_str(self) -> &'static str {
        self.as_str()
    }
}
