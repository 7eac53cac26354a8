//! The node's status object, as far as the reporter needs it.

use api::{NodeProfileStatus, Untrusted};
use profile::ContentHash;
use serde_json::Value;

/// The node's status object, as far as the API server has returned it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatusObjectState {
    /// Nothing yet.
    Unknown,
    /// It does not exist: the operator has not created it yet.
    Absent,
    /// A list contained it.
    Listed(StatusObject),
    /// A watch event contained it, which may be older than the answer to the latest write.
    Watched(StatusObject),
}

impl StatusObjectState {
    /// Records that the object of this uid does not exist any more, which does not concern an object that was created
    /// after it. False if that changes nothing.
    pub fn gone(&mut self, uid: &str) -> bool {
        let is_gone = matches!(self, Self::Listed(object) | Self::Watched(object) if *object.uid == *uid);
        if is_gone {
            *self = Self::Absent;
        }
        is_gone
    }

    /// Records that a list is complete: an object that no list has contained does not exist. False if that changes
    /// nothing.
    pub fn list_complete(&mut self) -> bool {
        let is_absent = *self == Self::Unknown;
        if is_absent {
            *self = Self::Absent;
        }
        is_absent
    }
}

/// The object, without what only the operator reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusObject {
    /// Tells the object from its successor of the same name.
    pub uid: Box<str>,
    /// Grows with each write of the object; `None` if it is not a number.
    pub version: Option<u64>,
    /// The report in it.
    pub report: Option<ReportHash>,
}

/// Identifies a report: equal hashes are of equal reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportHash(ContentHash);

impl ReportHash {
    /// The hash of a report as a JSON value, whose keys are always in order.
    #[must_use]
    pub fn of(report: &Value) -> Self {
        Self(ContentHash::of(report.to_string().as_bytes()))
    }
}

impl From<Untrusted<NodeProfileStatus>> for StatusObject {
    fn from(object: Untrusted<NodeProfileStatus>) -> Self {
        Self {
            uid: object.metadata.uid.unwrap_or_default().into(),
            version: object.metadata.resource_version.and_then(|version| version.parse().ok()),
            report: object.status.get("report").filter(|report| !report.is_null()).map(ReportHash::of),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recreated_object_is_not_absent_because_its_predecessor_is_gone() {
        let object = |uid: &str| StatusObject { uid: uid.into(), version: None, report: None };
        let mut state = StatusObjectState::Listed(object("2"));
        assert!(!state.gone("1") && !state.list_complete());
        assert_eq!(state, StatusObjectState::Listed(object("2")));
        assert!(state.gone("2") && !state.gone("2"));
        assert_eq!(state, StatusObjectState::Absent);
    }

    #[test]
    fn only_a_complete_list_shows_that_there_is_no_object() {
        let mut state = StatusObjectState::Unknown;
        assert!(!state.gone("1"));
        assert_eq!(state, StatusObjectState::Unknown);
        assert!(state.list_complete() && !state.list_complete());
        assert_eq!(state, StatusObjectState::Absent);
    }
}
