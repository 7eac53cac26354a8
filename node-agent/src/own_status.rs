//! What the node's own status object holds, as far as the reporter needs to know.

use api::{NodeProfileStatus, Untrusted};
use profile::ContentHash;
use serde_json::Value;

/// What the API server last said of the node's own status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnState {
    /// Nothing yet.
    Unknown,
    /// It does not exist: the operator has not made it yet.
    Absent,
    /// It stood in a list.
    Listed(OwnStatus),
    /// It came as an event, which may be older than the answer to the latest write.
    Watched(OwnStatus),
}

/// The object, without what only the operator needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnStatus {
    /// Tells the object from its successor of the same name.
    pub uid: Box<str>,
    /// Grows with each write of the object; `None` if it is not a number.
    pub version: Option<u64>,
    /// The report that it holds.
    pub report: Option<ReportHash>,
}

/// Stands for a report: two that are equal have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportHash(ContentHash);

impl ReportHash {
    /// The hash of a report as a JSON value, whose keys are always in order.
    #[must_use]
    pub fn of(report: &Value) -> Self {
        Self(ContentHash::of(report.to_string().as_bytes()))
    }
}

impl From<Untrusted<NodeProfileStatus>> for OwnStatus {
    fn from(object: Untrusted<NodeProfileStatus>) -> Self {
        Self {
            uid: object.metadata.uid.unwrap_or_default().into(),
            version: object.metadata.resource_version.and_then(|version| version.parse().ok()),
            report: object.status.get("report").filter(|report| !report.is_null()).map(ReportHash::of),
        }
    }
}
