//! The facts that the index needs about a `NodeProfileStatus`.
//!
//! In the operator, a *report* is the whole object. What the agent has written into it is its `status.report`.

use std::collections::BTreeMap;

use api::{
    FileProblem, MAX_FILES, MAX_PROBLEMS, NodeProfileStatus, ProfileName, StartFailure, Untrusted, conditions,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use profile::{ContentHash, ShortHash};

use super::ObjectVersion;
use crate::status::bounded;

/// The facts about a `NodeProfileStatus`.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportFacts {
    /// The node's name.
    pub node: String,
    /// The version from which these facts were taken.
    pub version: ObjectVersion,
    /// The uid of the Node that owns it: the report of a Node that was recreated under its name does not count.
    pub owner: Option<String>,
    /// The files on the disk that the agent reports; `None` before its first report. An entry that is not a hash is
    /// left out.
    pub files: Option<BTreeMap<String, ShortHash>>,
    /// The problems that the agent reports, by profile.
    pub problems: BTreeMap<String, FileProblem>,
    /// Whether there is a `status` at all: a JSON patch of a field below it fails without.
    pub has_status: bool,
    /// The stored `Ready` condition.
    pub ready: Option<Condition>,
    /// The stored `ContainersStart` condition.
    pub containers_start: Option<Condition>,
    /// The stored list of profiles under which containers do not start.
    pub start_failures: Vec<StartFailure>,
}

impl ReportFacts {
    /// The facts of a stored report. A report that does not fit its schema counts as none. No more entries are kept
    /// than the schema allows.
    #[must_use]
    pub fn of(mut object: Untrusted<NodeProfileStatus>) -> Self {
        let metadata = std::mem::take(&mut object.metadata);
        let has_status = object.status.is_object();
        let status = object.into_status().unwrap_or_default();
        let (files, problems) = match status.report {
            Some(report) => (Some(files(report.files)), problems(report.problems)),
            None => (None, BTreeMap::new()),
        };
        let version = ObjectVersion::of(&metadata);
        let mut conditions = status.conditions;
        let mut condition = |kind| {
            let at = conditions.iter().position(|condition| condition.type_ == kind)?;
            Some(conditions.swap_remove(at))
        };
        let mut owners = metadata.owner_references.into_iter().flatten();
        let owner = owners.find(|owner| owner.kind == "Node");
        Self {
            version,
            node: metadata.name.unwrap_or_default(),
            owner: owner.map(|owner| owner.uid),
            files,
            problems,
            has_status,
            ready: condition(conditions::READY),
            containers_start: condition(conditions::CONTAINERS_START),
            start_failures: status.start_failures,
        }
    }
}

fn is_profile(name: &str) -> bool {
    name.parse::<ProfileName>().is_ok()
}

/// A hash in the format of another release counts as a file with the bytes of no profile: no profile is ready by it,
/// and a deletion waits until the file is removed.
fn files(files: BTreeMap<String, String>) -> BTreeMap<String, ShortHash> {
    let unknown = |hash: &str| ContentHash::of(hash.as_bytes()).short();
    files
        .into_iter()
        .filter(|(name, _)| is_profile(name))
        .map(|(name, hash)| (name, hash.parse().unwrap_or_else(|_| unknown(&hash))))
        .take(MAX_FILES)
        .collect()
}

fn problems(problems: Vec<FileProblem>) -> BTreeMap<String, FileProblem> {
    problems
        .into_iter()
        .take(MAX_PROBLEMS)
        .filter(|problem| is_profile(&problem.name))
        .map(|problem| {
            let (reason, message) = (bounded(&problem.reason, 64), bounded(&problem.message, 512));
            (problem.name.clone(), FileProblem { reason, message, ..problem })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_hash_in_an_unknown_format_counts_as_a_file() {
        let object = json!({
            "metadata": { "name": "n1" },
            "status": { "report": {
                "agentVersion": "9", "directory": "d", "fileCount": 1, "files": { "a": "blake3:0123456789" }, "problems": [],
            } },
        });
        let files = ReportFacts::of(serde_json::from_value(object).unwrap()).files.unwrap();
        assert_eq!(files["a"], ContentHash::of(b"blake3:0123456789").short());
    }

    #[test]
    fn no_more_is_kept_of_a_report_than_its_schema_allows() {
        let hash = "44136fa355b3678a1146ad16f7e8649e";
        let files: BTreeMap<_, _> = (0..MAX_FILES + 7).map(|number| (format!("p{number}"), hash)).collect();
        let problem = |number: usize| {
            let long = "x".repeat(5000);
            json!({ "name": format!("p{number}"), "state": "Failed", "reason": long, "message": long })
        };
        let problems: Vec<_> = (0..MAX_PROBLEMS + 7).map(problem).collect();
        let object = json!({
            "metadata": { "name": "n1" },
            "status": { "report": {
                "agentVersion": "1", "directory": "d", "fileCount": files.len(), "files": files, "problems": problems,
            } },
        });
        let facts = ReportFacts::of(serde_json::from_value(object).unwrap());
        assert_eq!(facts.files.unwrap().len(), MAX_FILES);
        assert_eq!(facts.problems.len(), MAX_PROBLEMS);
        for problem in facts.problems.values() {
            assert!(problem.reason.chars().count() <= 64 && problem.message.chars().count() <= 512);
        }
    }
}
