//! A malicious agent: whatever it reports, it can only change the counts of its own node.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::*;
use crate::facts::by_tree;
use crate::index::profile::Profile;

/// The most bytes that one report may take in the index: as much as the schema allows, including names.
const MAX_REPORT_BYTES: usize = 10_000 * 256 + 100 * (256 + 4 * (64 + 512));
/// The most bytes that a profile's status may take, whatever the reports contain: ten failures and some texts.
const MAX_STATUS_BYTES: usize = 16 * 1024;

/// Names of profiles and of nodes, and invalid ones.
fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => select(vec!["p0", "p1", "p2"]).prop_map(str::to_owned),
        1 => select(vec!["n0", "n1", "", "../p0", "P0", "p0\u{0}", "ünï", "unknown"]).prop_map(str::to_owned),
        1 => (1..4000usize).prop_map(|length| "x".repeat(length)),
    ]
}

fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        6 => Just(Value::Null),
        6 => any::<bool>().prop_map(Value::from),
        6 => any::<i64>().prop_map(Value::from),
        6 => any::<f64>().prop_map(Value::from),
        6 => ".{0,10}".prop_map(Value::from),
        1 => (1..50_000usize).prop_map(|length| "é".repeat(length).into()),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::from),
            btree_map(any_name(), inner, 0..3).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Hashes that nodes have, hashes that they do not have, and values that are not hashes.
fn any_file() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => (0..3u8).prop_map(|content| hash(content).short().to_string().into()),
        1 => (0..3u8).prop_map(|content| hash(content).to_string().into()),
        1 => anything(),
    ]
}

fn any_problem() -> impl Strategy<Value = Value> {
    let state = prop_oneof![4 => select(vec![json!("Failed"), json!("Conflict"), json!("Rejected")]), 1 => anything()];
    let text = prop_oneof![5 => ".{0,10}".prop_map(Value::from), 1 => (1..9_000usize).prop_map(|n| "ß".repeat(n).into()), 1 => anything()];
    (any_name(), state, text.clone(), text).prop_map(
        |(name, state, reason, message)| json!({ "name": name, "state": state, "reason": reason, "message": message }),
    )
}

fn any_report() -> impl Strategy<Value = Value> {
    let files = prop_oneof![
        30 => btree_map(any_name(), any_file(), 0..8).prop_map(|map| Value::Object(map.into_iter().collect())),
        1 => (0..12_000usize).prop_map(|count| {
            let same = json!(hash(1).short().to_string());
            Value::Object((0..count).map(|number| (format!("p{number}"), same.clone())).collect())
        }),
        1 => anything(),
    ];
    let problems = prop_oneof![20 => vec(any_problem(), 0..4).prop_map(Value::from), 1 => vec(any_problem(), 100..120).prop_map(Value::from), 1 => anything()];
    let count = prop_oneof![any::<i32>().prop_map(Value::from), Just(json!(4_000_000_000_u64)), anything()];
    (files, problems, count, 0..40u8).prop_map(|(files, problems, count, missing)| {
        let mut report = json!({
            "agentVersion": "1", "directory": "d", "files": files, "problems": problems, "fileCount": 3, "more": 1
        });
        match missing {
            0..4 => report["fileCount"] = count,
            4 => drop(report.as_object_mut().unwrap().remove("agentVersion")),
            5 => drop(report.as_object_mut().unwrap().remove("problems")),
            6 => report["directory"] = problems_as_text(&report),
            _ => {}
        }
        report
    })
}

fn problems_as_text(report: &Value) -> Value {
    report["problems"].to_string().into()
}

/// A status that the malicious agent writes. On a cluster, the admission policy keeps it from writing conditions; here
/// it may write any.
fn forged_status() -> impl Strategy<Value = Value> {
    prop_oneof![
        8 => any_report().prop_map(|report| json!({ "report": report })),
        1 => (any_report(), anything()).prop_map(|(report, it)| json!({ "report": report, "conditions": it })),
        1 => (any_report(), anything()).prop_map(|(report, it)| json!({ "report": report, "conditions": [it] })),
        1 => anything().prop_map(|it| json!({ "report": it })),
        1 => anything(),
    ]
}

/// Three nodes and three profiles. The agent on `n0` is malicious; every node has every profile but one.
fn cluster() -> Index {
    let mut index = Index::new("profiles");
    for number in 0..3u32 {
        let name = format!("n{number}");
        index.apply_node(node(&name), at(0));
        index.apply_pod(agent(&name, true), at(0));
        index.apply_report(super::report(&name, &[("p0", 0), ("p1", 1)]), UpdateSource::Watch, at(0));
        let version = version(number + 1, number + 1);
        let content = u8::try_from(number).unwrap();
        let name = format!("p{number}");
        index.apply_profile(ProfileFacts { version, ..profile(&name, content) }, UpdateSource::Watch, at(0));
    }
    index
}

/// Everything that the malicious agent must not change: the counts without its node, and the decisions about the other
/// nodes.
fn unaffected(index: &Index) -> (Vec<Tally>, Vec<Option<NodeOperation>>) {
    let others = |(name, profile): (&String, &Profile)| {
        let mut others = profile.tally;
        others.add(index.nodes["n0"].contribution(name, profile), super::super::Sign::Minus);
        others
    };
    let operation = |node| index.decide_node(node, at(1)).map(|decision| decision.operation);
    (index.profiles.iter().map(others).collect(), ["n1", "n2"].map(operation).into())
}

/// The bytes that the index keeps of the malicious agent's report.
fn kept(index: &Index) -> usize {
    let report = index.nodes["n0"].report.as_ref().unwrap();
    // The name is kept twice: as the key and in the problem.
    let problems = report.problems.values().map(|it| 2 * it.name.len() + it.reason.len() + it.message.len());
    let files = report.files.iter().flatten().map(|(name, _)| name.len() + size_of::<profile::ShortHash>());
    files.sum::<usize>() + problems.sum::<usize>()
}

proptest! {
    // Each case is ten reports.
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_malicious_agent_changes_the_counts_of_its_own_node_only(forged in vec(forged_status(), 10)) {
        let mut index = cluster();
        let before = unaffected(&index);
        for (number, status) in (2..).zip(forged) {
            let metadata = json!({
                "name": "n0", "uid": "uid-7", "resourceVersion": number.to_string(),
                "ownerReferences": [{ "apiVersion": "v1", "kind": "Node", "name": "n0", "uid": "n0-1" }]
            });
            // Parsed from text, as a watch does: no status may end the watch.
            let text = json!({ "metadata": metadata, "status": status }).to_string();
            let facts = ReportFacts::of(serde_json::from_str(&text).unwrap());
            prop_assert_eq!(&facts, &by_tree(serde_json::from_str(&text).unwrap()));
            index.take_dirty();
            index.apply_report(facts, UpdateSource::Watch, at(1));
            prop_assert_eq!(&unaffected(&index), &before);
            prop_assert!(kept(&index) <= MAX_REPORT_BYTES, "{} bytes kept", kept(&index));
            prop_assert!(index.nodes.len() == 3 && index.profiles.len() == 3);
            let due = index.take_dirty();
            prop_assert!(due.nodes.iter().all(|node| node == "n0"), "{:?}", due.nodes);
            for name in ["p0", "p1", "p2"] {
                let ProfileOperation::WriteStatus { status, .. } = index.profile_decision(name, at(2)).unwrap().operation else {
                    panic!("a status that was never written must be due");
                };
                let failures_elsewhere: Vec<_> = status.failures.iter().filter(|failure| failure.node != "n0").collect();
                prop_assert!(failures_elsewhere.is_empty(), "{:?}", failures_elsewhere);
                let size = serde_json::to_string(&status).unwrap().len();
                prop_assert!(size <= MAX_STATUS_BYTES, "{size} bytes");
            }
        }
    }
}
