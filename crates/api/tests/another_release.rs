//! Objects of another release: each program reads what it knows, and unknown values do not affect it.

#![allow(
    clippy::unwrap_used,
    reason = "clippy allows panics in tests, but not in the helpers of an integration test"
)]

use std::collections::BTreeMap;

use api::{
    NodeProfileStatus, OpenEnum, ProblemKind, Removal, Report, SeccompProfile, SeccompProfileStatus, State,
    Untrusted, Vocabulary,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::CustomResourceExt;
use proptest::prelude::*;
use serde_json::{Value, json};

/// The report in a stored object.
fn read(report: &Value) -> Option<Report> {
    let object = json!({ "metadata": {}, "status": { "report": report } });
    // From text, as a watch decodes it.
    let object: Untrusted<NodeProfileStatus> = serde_json::from_str(&object.to_string()).unwrap();
    object.into_status().unwrap().report
}

fn status(status: &Value) -> SeccompProfileStatus {
    let object = json!({ "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z" }, "status": status });
    let object: Untrusted<SeccompProfile> = serde_json::from_str(&object.to_string()).unwrap();
    object.status().unwrap()
}

#[test]
fn an_unknown_value_in_a_report_is_kept_unchanged() {
    let report = read(&json!({
        "agentVersion": "99", "directory": "/d", "files": { "a": "44136fa355b3678a1146ad16f7e8649e" }, "fileCount": 1,
        "problems": [{ "name": "a", "state": "Quarantined", "reason": "R", "message": "m" }],
    }));
    let problem = &report.unwrap().problems[0];
    assert_eq!((problem.state.known(), problem.state.as_str()), (None, "Quarantined"));
    assert_eq!(serde_json::to_value(problem).unwrap()["state"], "Quarantined");
}

#[test]
fn a_malformed_problem_affects_no_other() {
    let good = json!({ "name": "a", "state": "Failed", "reason": "R", "message": "m", "new": {} });
    let report = read(&json!({
        "agentVersion": "1", "directory": "/d", "fileCount": 0,
        "problems": [7, null, { "name": "b" }, { "name": "c", "state": 7, "reason": "R", "message": "m" }, good],
    }));
    let problems = report.unwrap().problems;
    assert_eq!(problems.iter().map(|problem| &*problem.name).collect::<Vec<_>>(), ["a"]);
    assert_eq!(problems[0].state, ProblemKind::Failed);
}

#[test]
fn a_report_with_unreadable_files_counts_as_no_report_and_not_as_an_empty_disk() {
    for files in [json!(7), json!([]), json!("a"), Value::Null] {
        let report = json!({ "agentVersion": "1", "directory": "/d", "fileCount": 0, "files": files });
        assert_eq!(read(&report), None);
    }
    for report in [json!([]), json!(["1", "/d", {}, [], 0]), json!(7), Value::Null] {
        assert_eq!(read(&report), None, "{report}");
    }
}

#[test]
fn a_value_that_is_longer_than_the_schema_permits_is_cut() {
    let word: OpenEnum<State> = serde_json::from_value(json!("é".repeat(5000))).unwrap();
    assert_eq!(word.as_str().chars().count(), 64);
}

#[test]
fn an_unknown_value_or_a_wrong_field_in_a_status_affects_no_other() {
    let ready = json!({
        "type": "Ready", "status": "True", "reason": "R", "message": "", "lastTransitionTime": "2026-01-02T03:04:05Z"
    });
    let late = json!({ "type": "Accepted", "status": "True", "lastTransitionTime": "9999-12-31T23:59:59Z" });
    let read = status(&json!({
        "observedGeneration": 3, "state": "Paused", "ready": 7, "nodes": { "desired": 2 }, "inUse": true,
        "removal": "Postponed", "failures": [{ "node": "n" }, { "node": "n", "reason": "R", "message": "m" }],
        "warnings": [7, { "rule": "r" }, { "rule": "r", "severity": "fatal", "path": "p", "message": "m", "new": {} }],
        "conditions": [late, ready, 7], "contentHash": "sha256:0", "new": [],
    }));
    assert_eq!(read.observed_generation, Some(3));
    assert_eq!(read.state.as_ref().map(OpenEnum::as_str), Some("Paused"));
    assert_eq!((read.ready, read.nodes, read.in_use), (None, None, Some(true)));
    assert_eq!((read.failures.len(), read.conditions.len()), (1, 1));
    assert_eq!(read.warnings.iter().map(|warning| warning.severity.as_str()).collect::<Vec<_>>(), ["fatal"]);
    assert_eq!(read.content_hash.as_deref(), Some("sha256:0"));
}

#[test]
fn only_the_value_approved_permits_the_removal_of_a_file() {
    for removal in [
        json!("Postponed"),
        json!("approved"),
        json!("ApprovedLater"),
        json!("Approved "),
        json!(""),
        json!(true),
        json!(["Approved"]),
        json!({ "Approved": {} }),
    ] {
        let object = json!({
            "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z" }, "status": { "removal": removal }
        });
        let object: Untrusted<SeccompProfile> = serde_json::from_str(&object.to_string()).unwrap();
        assert!(!object.removal_approved(), "{removal}");
        assert_ne!(object.status().unwrap().removal, Some(Removal::Approved.into()), "{removal}");
    }
}

/// Every schema of a definition at or below `schema`, with its path.
fn schemas(path: &str, schema: &Value, found: &mut Vec<(String, Value)>) {
    found.push((path.to_owned(), schema.clone()));
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        schemas(&format!("{path}.{name}"), field, found);
    }
    if schema["items"].is_object() {
        schemas(&format!("{path}[]"), &schema["items"], found);
    }
}

#[test]
fn no_definition_rejects_a_value_that_only_a_newer_program_knows() {
    let definitions = [SeccompProfile::crd(), NodeProfileStatus::crd()];
    let mut open = Vec::new();
    for definition in definitions.map(|crd| serde_json::to_value(crd).unwrap()) {
        let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"];
        let mut found = Vec::new();
        schemas("status", schema, &mut found);
        for (path, schema) in found {
            // Kubernetes defines the values of a condition's status.
            assert!(schema["enum"].is_null() || path == "status.conditions[].status", "{path}: {schema}");
            if schema["pattern"] == "^[A-Za-z][A-Za-z0-9]*$" {
                assert_eq!(schema["maxLength"], 64.0, "{path}");
                let description = schema["description"].as_str().unwrap_or_default().to_owned();
                open.push((path, description));
            }
        }
    }
    open.sort();
    let [(removal, leave), (problem, problems), (state, states)] = &*open else { panic!("{open:?}") };
    assert_eq!(
        [removal, problem, state],
        ["status.removal", "status.report.problems[].state", "status.state"]
    );
    // The schema does not list the values, so the description must.
    assert_eq!(quoted(leave), words::<Removal>());
    assert_eq!(quoted(problems), words::<ProblemKind>());
    assert_eq!(quoted(states), words::<State>());
}

fn words<T: Vocabulary>() -> Vec<&'static str> {
    T::ALL.iter().map(|word| word.as_str()).collect()
}

/// The text between backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn the_definitions_admit_every_value_of_this_release() {
    fn admitted<T: Vocabulary>() -> bool {
        T::ALL.iter().all(|word| {
            let text = word.as_str();
            OpenEnum::<T>::of(text) == *word
                && text.len() <= 64
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
        })
    }
    assert!(admitted::<ProblemKind>() && admitted::<State>() && admitted::<Removal>());
}

fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[A-Za-z]{0,9}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,5}", inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_hash_of_a_report_with_unknown_values_and_fields_is_read(
        files in prop::collection::btree_map("[a-z]{1,5}", "[0-9a-f]{32}", 0..5),
        beside in prop::collection::btree_map("[0-9]{1,3}", anything(), 0..3),
        fields in prop::collection::btree_map(
            prop::sample::select(vec!["agentVersion", "directory", "problems", "fileCount", "new", "state"]),
            anything(),
            0..6,
        ),
        states in prop::collection::vec(anything(), 0..3),
    ) {
        let strange = beside.into_iter().filter(|(_, value)| !value.is_string());
        let all = files.iter().map(|(name, hash)| (name.clone(), json!(hash))).chain(strange);
        let problem = |state| json!({ "name": "a", "state": state, "reason": "R", "message": "m" });
        let mut report = json!({
            "agentVersion": "1", "directory": "/d", "fileCount": 0,
            "problems": states.into_iter().map(problem).collect::<Vec<_>>(),
        });
        let entries = report.as_object_mut().unwrap();
        entries.extend(fields.into_iter().map(|(name, value)| (name.to_owned(), value)));
        entries.insert("files".to_owned(), Value::Object(all.collect()));
        let read: BTreeMap<_, _> = read(&report).unwrap().files;
        prop_assert_eq!(read, files);
    }

    #[test]
    fn a_report_of_this_release_is_read_as_it_was_written(
        files in prop::collection::btree_map("[a-z]{1,5}", "[0-9a-f]{32}", 0..5),
        state in prop::sample::select(ProblemKind::ALL),
        file_count in any::<i32>(),
        changed in prop::option::of(prop::collection::btree_map("[a-z]{1,5}", 0_i64..4_000_000_000, 0..5)),
    ) {
        let time = |second| Time(Timestamp::from_second(second).unwrap());
        let changed = changed.map(|all| all.into_iter().map(|(name, second)| (name, time(second))).collect());
        let problem = api::FileProblem {
            name: "a".to_owned(), state: state.into(), reason: "R".to_owned(), message: "m".to_owned()
        };
        let report = Report {
            agent_version: "1".to_owned(), directory: "/d".to_owned(), files, changed, problems: vec![problem],
            file_count,
        };
        prop_assert_eq!(read(&serde_json::to_value(&report).unwrap()), Some(report));
    }
}
