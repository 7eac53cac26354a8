//! The facts that the index needs about a `NodeProfileStatus`.
//!
//! In the operator, a *report* is the whole object. What the agent has written into it is its `status.report`.

use std::collections::BTreeMap;

use api::{FileProblem, MAX_PROBLEMS, NodeProfileStatus, StartFailure, conditions};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use profile::ShortHash;
use serde::Deserialize;

use super::ObjectVersion;
use super::report_status::{WatchedSpec, WatchedStatus};

/// A `NodeProfileStatus` in a watch or in an answer, of which only what the operator needs is decoded.
#[derive(Debug, Clone, Deserialize)]
pub struct WatchedReport {
    #[serde(deserialize_with = "api::metadata::lenient")]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: WatchedSpec,
    #[serde(default)]
    status: WatchedStatus,
}

api::watched_as!(WatchedReport, NodeProfileStatus);

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
    /// Since when files have replaced other bytes, by profile and by the node's clock; `None` if the agent does not state
    /// it.
    pub changed: Option<BTreeMap<String, Timestamp>>,
    /// The problems that the agent reports, by profile.
    pub problems: BTreeMap<String, FileProblem>,
    /// The profiles that the node's agent is told not to hold, each with the hash of its uid.
    pub excluded: BTreeMap<String, ShortHash>,
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
    /// Whether it has room for all problems of its node: if not, it says nothing of the others.
    #[must_use]
    pub fn lists_all_problems(&self) -> bool {
        self.problems.len() < MAX_PROBLEMS
    }

    /// The facts of a stored report. A report that does not fit its schema counts as none. No more entries are kept
    /// than the schema allows.
    #[must_use]
    pub fn of(WatchedReport { metadata, spec, status }: WatchedReport) -> Self {
        let (files, changed, problems) = match status.report {
            Some(report) => (Some(report.files), report.changed, report.problems),
            None => (None, None, BTreeMap::new()),
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
            changed,
            problems,
            excluded: spec.excluded,
            has_status: status.is_object,
            ready: condition(conditions::READY),
            containers_start: condition(conditions::CONTAINERS_START),
            start_failures: status.start_failures,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use api::{MAX_FILES, MAX_PROBLEMS, ProfileName, Untrusted};
    use profile::ContentHash;
    use serde_json::json;

    use super::*;
    use crate::status::bounded;

    /// The same facts, from the tree that every other program decodes the object into.
    pub(crate) fn by_tree(mut object: Untrusted<NodeProfileStatus>) -> ReportFacts {
        let metadata = std::mem::take(&mut object.metadata);
        let is_object = object.status.is_object();
        let excluded = api::NodeProfileStatusSpec::excluded_in(&object.spec).into_iter();
        let excluded = excluded.filter(|(name, _)| ProfileName::is_valid(name));
        let excluded = excluded.map(|(name, uid)| (name, ContentHash::of(uid.as_bytes()).short())).collect();
        let status = object.into_status().unwrap_or_default();
        let is_profile = |name: &str| name.parse::<ProfileName>().is_ok();
        let hash = |text: &str| text.parse().unwrap_or_else(|_| ContentHash::of(text.as_bytes()).short());
        let of_report = status.report.map(|report| {
            let files = report.files.into_iter().filter(|(name, _)| is_profile(name)).take(MAX_FILES);
            let problems = report.problems.into_iter().take(MAX_PROBLEMS);
            let problems = problems.filter(|problem| is_profile(&problem.name)).map(|problem| {
                let (reason, message) = (bounded(&problem.reason, 64), bounded(&problem.message, 512));
                (problem.name.clone(), FileProblem { reason, message, ..problem })
            });
            let changed = report.changed.map(|changed| {
                let changed = changed.into_iter().filter(|(name, _)| is_profile(name)).take(MAX_FILES);
                changed.map(|(name, time)| (name, time.0)).collect()
            });
            (files.map(|(name, text)| (name, hash(&text))).collect(), changed, problems.collect())
        });
        let (files, changed, problems) = of_report
            .map_or((None, None, BTreeMap::new()), |(files, changed, problems)| {
                (Some(files), changed, problems)
            });
        let condition = |kind| status.conditions.iter().find(|condition| condition.type_ == kind).cloned();
        let owner = metadata.owner_references.iter().flatten().find(|owner| owner.kind == "Node");
        ReportFacts {
            node: metadata.name.clone().unwrap_or_default(),
            version: ObjectVersion::of(&metadata),
            owner: owner.map(|owner| owner.uid.clone()),
            files,
            changed,
            problems,
            excluded,
            has_status: is_object,
            ready: condition(conditions::READY),
            containers_start: condition(conditions::CONTAINERS_START),
            start_failures: status.start_failures,
        }
    }

    #[test]
    fn whatever_a_status_holds_is_read_as_every_other_program_reads_it() {
        let hash = "44136fa355b3678a1146ad16f7e8649e";
        let ready = json!({
            "type": "Ready", "status": "True", "reason": "R", "message": "", "lastTransitionTime": "2026-01-02T03:04:05Z"
        });
        let failure = json!({ "profile": "a", "reason": "R", "message": "m" });
        let problem = json!({ "name": "a", "state": "Failed", "reason": "R", "message": "m" });
        let reports = [
            json!(null),
            json!(7),
            json!([]),
            json!("report"),
            json!({}),
            json!({ "files": null }),
            json!({ "files": [] }),
            json!({ "files": { "a": hash, "B": hash, "c": 7, "d": null, "e": { "f": [hash] }, "g": "short" } }),
            json!({ "problems": [problem, 7, { "name": "b" }], "files": {}, "fileCount": "many" }),
            json!({ "problems": { "a": problem } }),
            json!({ "changed": null }),
            json!({ "changed": ["2026-01-02T03:04:05Z"] }),
            json!({ "changed": {
                "a": "2026-01-02T03:04:05Z", "B": "2026-01-02T03:04:05Z", "c": 7, "d": "yesterday", "e": null,
                "f": "2026-01-02T03:04:05.678+01:00", "g": "2026-01-02", "h": "",
            } }),
        ];
        let fields =
            [json!(null), json!([ready, 7, { "type": "Ready" }]), json!({ "a": 1 }), json!([failure, {}])];
        let mut statuses =
            vec![json!(null), json!(7), json!([1, { "report": {} }]), json!("status"), json!({})];
        for report in &reports {
            for field in &fields {
                statuses.push(json!({
                    "report": report, "conditions": field, "startFailures": field, "other": { "report": {} },
                }));
            }
        }
        for status in statuses {
            let text = json!({ "metadata": { "name": "n1" }, "status": status }).to_string();
            let facts = ReportFacts::of(serde_json::from_str(&text).unwrap());
            assert_eq!(facts, by_tree(serde_json::from_str(&text).unwrap()), "{text}");
            // As in an event whose object comes before its type.
            let value = serde_json::from_str::<serde_json::Value>(&text).unwrap();
            assert_eq!(ReportFacts::of(serde_json::from_value(value).unwrap()), facts);
        }
        assert_eq!(ReportFacts::of(serde_json::from_str(r#"{"metadata":{}}"#).unwrap()).files, None);
    }

    #[test]
    fn whatever_a_spec_holds_is_read_as_the_agent_reads_it() {
        let excluded = json!({ "a": "7c1e", "B": "7c1e", "c": 7, "d": null, "e": {}, "f": "" });
        for spec in [
            json!(null),
            json!(7),
            json!([]),
            json!({}),
            json!({ "excludedProfiles": null }),
            json!({ "excludedProfiles": ["a"] }),
            json!({ "other": 1, "excludedProfiles": excluded }),
        ] {
            let text = json!({ "metadata": { "name": "n1" }, "spec": spec }).to_string();
            let facts = ReportFacts::of(serde_json::from_str(&text).unwrap());
            assert_eq!(facts, by_tree(serde_json::from_str(&text).unwrap()), "{text}");
        }
    }

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
