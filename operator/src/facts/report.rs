//! What the index needs to know of a `NodeProfileStatus`.

use std::collections::BTreeMap;

use api::{FileProblem, NodeProfileStatus, Untrusted, conditions};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use profile::ShortHash;

use super::Version;

/// A `NodeProfileStatus`.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportFacts {
    /// The node's name.
    pub node: String,
    /// The version that these facts are of.
    pub version: Version,
    /// The uid of the Node that owns it: a report about a node that was recreated under its name is void.
    pub owner: Option<String>,
    /// What the agent says lies on the disk; `None` before its first report. An entry that is no hash is left out.
    pub files: Option<BTreeMap<String, ShortHash>>,
    /// What the agent says is wrong, by profile.
    pub problems: BTreeMap<String, FileProblem>,
    /// Whether there is a `status` at all: a JSON patch below it fails without.
    pub has_status: bool,
    /// The `Ready` condition that is stored.
    pub ready: Option<Condition>,
}

impl ReportFacts {
    /// What a stored report says. A report that does not fit its schema reads as none.
    #[must_use]
    pub fn of(object: &Untrusted<NodeProfileStatus>) -> Self {
        let owner = object.metadata.owner_references.iter().flatten().find(|owner| owner.kind == "Node");
        let status = object.status().unwrap_or_default();
        let (files, problems) = match status.report {
            Some(report) => (
                Some(
                    report
                        .files
                        .into_iter()
                        .filter_map(|(name, hash)| Some((name, hash.parse().ok()?)))
                        .collect(),
                ),
                report.problems.into_iter().map(|problem| (problem.name.clone(), problem)).collect(),
            ),
            None => (None, BTreeMap::new()),
        };
        Self {
            node: object.metadata.name.clone().unwrap_or_default(),
            version: Version::of(&object.metadata),
            owner: owner.map(|owner| owner.uid.clone()),
            files,
            problems,
            has_status: object.status.is_object(),
            ready: status.conditions.into_iter().find(|condition| condition.type_ == conditions::READY),
        }
    }
}
