//! Compares the programs' metrics with the docs, the alerts and the dashboard. This test needs no cluster.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy's `allow-unwrap-in-tests` does not cover helper functions of integration tests"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use api::names::FINALIZER;
use daemon::Readiness;
use daemon::lease::Lead;
use e2e::prometheus::promtool;
use e2e::rights::table;
use k8s_openapi::jiff::Timestamp;
use operator::facts::{ProfileFacts, UpdateSource};
use operator::findings::{Checked, Findings};
use operator::gate::metrics::GateMetrics;
use operator::gate::nodes::NodeGate;
use operator::gate::pods::PodGate;
use operator::gate::pods::decision::Settings;
use operator::gauges::Gauges;
use operator::index::Index;
use operator::options::Task;
use operator::shared::SharedState;
use prometheus::proto::{MetricFamily, MetricType};
use prometheus::{Registry, TextEncoder};
use serde_json::{Value, json};
use xtask::workspace::repository;

#[allow(dead_code, reason = "each test is a crate of its own and takes what it needs")]
mod sources;

/// Labels whose values are not listed: there is one for each profile or release.
const PODS_UNKNOWN_GRACE: [&str; 2] = ["profile", "version"];

/// What an operator serves that leads a cluster with one profile, which is not ready and is being deleted.
fn of_an_operator(beside_observers: bool) -> Vec<MetricFamily> {
    let registry = daemon::metrics::registry("operator", "0").unwrap();
    let metrics = operator::metrics::Metrics::new(&registry).unwrap();
    let index = Index::new("profiles").counting_denials(beside_observers);
    let cluster = Arc::new(SharedState::new(index, [], metrics));
    registry.register(Box::new(Gauges::new(Arc::downgrade(&cluster)).unwrap())).unwrap();
    let mut profile = json!({
        "metadata": {
            "name": "audit", "uid": "u", "resourceVersion": "1", "finalizers": [FINALIZER],
        },
        "spec": { "contents": { "defaultAction": "SCMP_ACT_LOG" } },
        "status": { "conditions": [{
            "type": "Ready", "status": "False", "reason": "RollingOut", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }] },
    });
    let facts = ProfileFacts::of(&serde_json::from_value(profile.clone()).unwrap());
    profile["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let deleted = ProfileFacts::of(&serde_json::from_value(profile).unwrap());
    cluster.change(|index| {
        index.apply_profile(facts, UpdateSource::List, Timestamp::now());
        let check = index.check("audit").unwrap();
        let findings = Findings::in_spec(check.spec.as_ref().unwrap(), &check.architectures);
        index.checked("audit", check, Checked::Findings(findings));
        index.apply_profile(deleted, UpdateSource::List, Timestamp::now());
    });
    registry.gather()
}

/// With the metrics that exist beside observers only.
fn of_the_operator() -> Vec<MetricFamily> {
    of_an_operator(true)
}

/// What an agent serves.
fn of_the_agent() -> Vec<MetricFamily> {
    let registry: Registry = daemon::metrics::registry("node-agent", "0").unwrap();
    node_agent::metrics::Metrics::new(&registry).unwrap();
    registry.gather()
}

/// What a gate serves.
fn of_the_gate() -> Vec<MetricFamily> {
    let registry = daemon::metrics::registry("gate", "0").unwrap();
    let settings = Settings { directory: "profiles".to_owned(), leave_out_after: Duration::from_mins(1) };
    let shared = GateMetrics::new(&registry).unwrap();
    let (lead, readiness) = (Arc::new(Lead::default()), Readiness::default());
    // Their gauges live as long as they do.
    let _pods = PodGate::new(settings, lead.clone(), shared.clone(), &registry).unwrap();
    let task = Task::of(["operator", "gate", "--namespace=ns", "--nodes"]);
    let Ok(Task::Gate(options)) = task else { panic!("{task:?}") };
    let settings = options.node_settings().unwrap();
    let _nodes = NodeGate::new(settings, lead, shared, &registry, &readiness).unwrap();
    registry.gather()
}

/// What an admission webhook serves.
fn of_the_admission() -> Vec<MetricFamily> {
    let registry = daemon::metrics::registry("admission", "0").unwrap();
    let _metrics =
        admission::metrics::Metrics::new(&registry, admission::metrics::Kind::watched(true, true)).unwrap();
    registry.gather()
}

/// What an observer serves.
fn of_the_observer() -> Vec<MetricFamily> {
    let registry = daemon::metrics::registry("observer", "0").unwrap();
    observer::metrics::Metrics::new(&registry).unwrap();
    registry.gather()
}

fn table_of(families: &[MetricFamily]) -> String {
    let mut text = String::from("| metric | type | labels | meaning |\n|---|---|---|---|\n");
    for family in families {
        let kind = match family.get_field_type() {
            MetricType::COUNTER => "counter",
            MetricType::GAUGE => "gauge",
            MetricType::HISTOGRAM => "histogram",
            other => panic!("{}: {other:?}", family.name()),
        };
        let mut labels = BTreeMap::<&str, Vec<&str>>::new();
        for label in family.get_metric().iter().flat_map(|metric| metric.get_label()) {
            let values = labels.entry(label.name()).or_default();
            if !PODS_UNKNOWN_GRACE.contains(&label.name()) && !values.contains(&label.value()) {
                values.push(label.value());
            }
        }
        let labels = labels.into_iter().map(|(label, values)| match values[..] {
            [] => format!("`{label}`"),
            _ => format!("`{label}`: {}", values.join(", ")),
        });
        let labels = labels.collect::<Vec<_>>().join("; ");
        let _ = writeln!(text, "| `{}` | {kind} | {labels} | {} |", family.name(), family.help());
    }
    text
}

/// With `UPDATE_DOCS=1` (`make generate`) it writes them.
#[test]
fn the_reference_in_the_docs_is_what_the_programs_serve() {
    let path = repository().join("docs/reference/metrics.md");
    let held = fs::read_to_string(&path).unwrap();
    let operator = of_an_operator(false);
    let always: BTreeSet<_> = operator.iter().map(|family| family.name().to_owned()).collect();
    let mut beside_observers = of_the_operator();
    beside_observers.retain(|family| !always.contains(family.name()));
    assert!(!beside_observers.is_empty());
    let tables = [
        ("metrics of the operator", table_of(&operator)),
        ("metrics of an operator beside observers", table_of(&beside_observers)),
        ("metrics of the agent", table_of(&of_the_agent())),
        ("metrics of the gate", table_of(&of_the_gate())),
        ("metrics of the admission webhook", table_of(&of_the_admission())),
        ("metrics of the observer", table_of(&of_the_observer())),
    ];
    let right = tables.iter().fold(held.clone(), |text, (mark, table)| {
        table::replace_marked(&text, mark, table)
            .unwrap_or_else(|mark| panic!("{}: no {mark}", path.display()))
    });
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &right).unwrap();
    } else {
        assert!(held == right, "docs/reference/metrics.md differs from the programs: run `make generate`");
    }
}

fn served() -> BTreeSet<String> {
    let all = of_the_operator().into_iter().chain(of_the_agent()).chain(of_the_gate());
    let all = all.chain(of_the_admission()).chain(of_the_observer());
    all.map(|family| family.name().to_owned()).collect()
}

/// A metric without any series would be missing from the reference, and from every dashboard until something happens.
#[test]
fn every_metric_that_is_named_in_the_code_has_series_from_the_start() {
    let mut named = BTreeSet::new();
    for program in ["crates/link", "crates/daemon", "operator", "node-agent", "admission", "observer"] {
        for source in sources::below(Path::new(program).join("src"), sources::all) {
            let text = &source.text;
            named.extend(words(text).filter(|word| text.contains(&format!("\"{word}\""))).map(str::to_owned));
        }
    }
    assert_eq!(named, served());
}

/// The names of our metrics in a text.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(move |c| !word(c)).filter(|word| word.starts_with("seccomp_profile_"))
}

#[test]
fn promtool_finds_no_fault_with_the_metrics() {
    for families in [of_the_operator(), of_the_agent(), of_the_gate(), of_the_admission(), of_the_observer()]
    {
        let text = TextEncoder::new().encode_to_string(&families).unwrap();
        let said = promtool(["check", "metrics"], &text).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(said, "");
    }
}

fn alerts() -> Vec<Value> {
    let text = fs::read_to_string(repository().join("charts/seccomp-profile/files/alerts.yaml")).unwrap();
    let file: Value = serde_saphyr::from_str(&text).unwrap();
    file["groups"][0]["rules"].as_array().unwrap().clone()
}

#[test]
fn promtool_finds_no_fault_with_the_alerts_and_they_fire_when_they_should() {
    let path = |path: &str| repository().join(path).display().to_string();
    let rules = path("charts/seccomp-profile/files/alerts.yaml");
    promtool(["check", "rules", "--lint-fatal", &rules], "").unwrap_or_else(|error| panic!("{error}"));
    let tests = path("e2e/tests/alerts_test.yaml");
    promtool(["test", "rules", &tests], "").unwrap_or_else(|error| panic!("{error}"));
    let text = fs::read_to_string(tests).unwrap();
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap();
        assert!(text.contains(&format!("alertname: {name}")), "{name} is not tested");
    }
}

#[test]
fn every_alert_has_a_page_that_says_what_to_do_and_every_page_an_alert() {
    let directory = repository().join("docs/runbooks");
    let contents = fs::read_to_string(directory.join("README.md")).unwrap();
    let mut pages = BTreeSet::from(["README.md".to_owned()]);
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap();
        let url = alert["annotations"]["runbook_url"].as_str().unwrap();
        let page =
            url.strip_prefix("https://github.com/imjasonh/seccomp-profile/blob/main/docs/runbooks/").unwrap();
        assert_eq!(page, format!("{name}.md"));
        let text = fs::read_to_string(directory.join(page)).unwrap();
        let headings: Vec<_> = text.lines().filter(|line| line.starts_with('#')).collect();
        let title = format!("# {name}");
        assert_eq!(headings, [&title, "## What it does to pods", "## Diagnose", "## What to do"]);
        let severity = alert["labels"]["severity"].as_str().unwrap();
        assert!(contents.contains(&format!("| [{name}]({page}) | {severity} |")), "{name} in the contents");
        pages.insert(page.to_owned());
    }
    let found =
        fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(found.collect::<BTreeSet<_>>(), pages);
}

/// Expressions of alerts and dashboard, and what the runbooks name.
#[test]
fn alerts_dashboard_and_runbooks_name_metrics_that_there_are() {
    let served = served();
    let mut files: Vec<_> =
        fs::read_dir(repository().join("docs/runbooks")).unwrap().map(|e| e.unwrap().path()).collect();
    let chart = repository().join("charts/seccomp-profile/files");
    files.extend([chart.join("alerts.yaml"), chart.join("dashboard.json")]);
    let mut named = BTreeSet::new();
    for file in files {
        for word in words(&fs::read_to_string(&file).unwrap()) {
            let base =
                ["_bucket", "_count", "_sum"].iter().find_map(|part| word.strip_suffix(part)).unwrap_or(word);
            assert!(served.contains(base), "{}: {word}", file.display());
            named.insert(base.to_owned());
        }
    }
    // A metric that no page uses is superfluous.
    assert_eq!(named, served);
}
