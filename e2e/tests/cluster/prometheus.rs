//! What an engineer on call gets: a real Prometheus scrapes both programs as the chart configures it, and the alerts
//! and the dashboard query it.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use cluster::NAMESPACE;
use e2e::prometheus::{operator_definitions, promtool};
use e2e::view::disk;
use serde_json::{Value, json};
use xtask::command::CommandError;
use xtask::workspace::repository;

use super::scraper::{Prometheus, Sample, pod_monitor};
use super::support::{
    LIMIT, Session, allow_all, alone, bytes_of, expect_cleanup, print_line, shared, sleeper, until,
    until_repaired,
};

/// Longer than every alert's `for`.
const LATER: Duration = Duration::from_secs(1000);

fn file(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap()
}

/// The names in the reference, without those that only an installation with further programs has.
fn documented() -> BTreeSet<String> {
    let mut text = file("docs/reference/metrics.md");
    for part in ["the gate", "the admission webhook", "the observer", "an operator beside observers"] {
        let (before, rest) = text.split_once(&format!("<!-- begin metrics of {part}")).unwrap();
        let (_, after) = rest.split_once(&format!("<!-- end metrics of {part} -->")).unwrap();
        text = [before, after].concat();
    }
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `seccomp_profile_")?.split('`').next());
    rows.map(|name| format!("seccomp_profile_{name}")).collect()
}

fn alerts() -> Vec<(String, String)> {
    let rules: Value = serde_saphyr::from_str(&file("charts/seccomp-profile/files/alerts.yaml")).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let rules = rules["groups"][0]["rules"].as_array().unwrap().clone();
    rules.iter().map(|rule| (text(&rule["alert"]), text(&rule["expr"]))).collect()
}

fn alert(name: &str) -> String {
    alerts().into_iter().find(|(alert, _)| alert == name).unwrap().1
}

/// Title and expression of each query of the dashboard.
fn panels() -> Vec<(String, String)> {
    let dashboard: Value =
        serde_json::from_str(&file("charts/seccomp-profile/files/dashboard.json")).unwrap();
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            queries.push((text(&panel["title"]), text(&target["expr"])));
        }
    }
    queries
}

fn of_profile<'a>(samples: &'a [Sample], name: &str) -> Option<&'a Sample> {
    samples.iter().find(|sample| sample.labels["profile"] == name)
}

#[test]
fn a_prometheus_that_follows_the_pod_monitor_sees_every_metric_and_what_the_alerts_are_about() {
    let cluster = shared();
    let prometheus = Prometheus::start(&cluster);

    // One profile fails on a node, another one is deleted while a pod uses it, and one names a call that does not exist.
    let path = disk::path(&cluster.node_list()[0], "scraped-conflict");
    fs::write(&path, "somebody's").unwrap();
    let conflict = cluster.profile("scraped-conflict", &allow_all(0));
    conflict.until("being Failed", LIMIT, |view| view.state() == "Failed");
    let held = cluster.profile("scraped-held", &allow_all(1));
    held.wait_ready();
    let mut unsound = allow_all(2);
    unsound["syscalls"][0]["names"] = json!(["no_such_call"]);
    let _unsound = cluster.profile("scraped-unsound", &unsound);
    let pod = cluster.pod(&sleeper("scraped", "scraped-held"));
    pod.wait_running();
    let deleted = Instant::now();
    cluster.ok(["delete", "seccompprofile", "scraped-held", "--wait=false"]);
    held.wait_condition("Deleting", "InUse");

    let names = documented();
    assert!(names.len() > 20, "{names:?}");
    for name in &names {
        let either = format!("{{__name__=~\"{name}(_count)?\"}}");
        until(name, LIMIT, || (!prometheus.query(&either).is_empty()).then_some(()));
    }
    let happened = "sum(seccomp_profile_rollout_duration_seconds_count) > 0 and \
                    sum(seccomp_profile_agent_sync_duration_seconds_count) > 0 and \
                    sum(seccomp_profile_watch_lag_seconds_count) > 0";
    until("measured durations", LIMIT, || (!prometheus.query(happened).is_empty()).then_some(()));
    for sample in prometheus.query("seccomp_profile_rollout_duration_seconds_sum > 0") {
        print_line(&format!("rollouts took {} s in all", sample.value));
    }
    for text in prometheus.scraped() {
        let said = promtool(["check", "metrics"], &text).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(said, "");
    }

    // The alert's query returns the failing node at once; the alert itself fires after five minutes.
    let failing = alert("SeccompProfileFailing");
    let sample = until("the failing node", LIMIT, || {
        of_profile(&prometheus.query(&failing), "scraped-conflict").cloned()
    });
    assert_eq!((sample.value, sample.labels.as_object().unwrap().len()), (1.0, 1), "{sample:?}");
    let pending = "ALERTS{alertname=\"SeccompProfileFailing\", alertstate=\"pending\"}";
    until("a pending alert", LIMIT, || of_profile(&prometheus.query(pending), "scraped-conflict").cloned());
    // The deletion, once it is old.
    let stuck = alert("SeccompProfileDeletionStuck");
    assert!(of_profile(&prometheus.query(&stuck), "scraped-held").is_none());
    let later = until("the stuck deletion", LIMIT, || {
        of_profile(&prometheus.query_in(&stuck, LATER), "scraped-held").cloned()
    });
    // The API server truncates the time of the deletion to the second.
    let oldest = LATER + deleted.elapsed() + Duration::from_secs(5);
    assert!((LATER.as_secs_f64()..oldest.as_secs_f64()).contains(&later.value), "{later:?}");
    // Neither of them counts as an unexplained rollout.
    let ours = |sample: &Sample| sample.labels["profile"].as_str().unwrap().starts_with("scraped-");
    until("no rollout of ours that is unexplained", LIMIT, || {
        let unexplained = prometheus.query_in(&alert("SeccompProfileRolloutStuck"), LATER);
        (!unexplained.iter().any(ours)).then_some(())
    });
    // A pod that was not scraped in time has no metrics until the next time.
    for quiet in
        ["SeccompProfileOperatorWithoutLeader", "SeccompProfileWatchStale", "SeccompProfileAgentMissing"]
    {
        until(&format!("{quiet} being quiet"), LIMIT, || {
            prometheus.query(&alert(quiet)).is_empty().then_some(())
        });
    }
    until("the pod that holds a profile, counted by the leader alone", LIMIT, || {
        let held_by = prometheus.query("seccomp_profile_pods{profile=\"scraped-held\"}");
        (held_by.iter().map(|sample| sample.value).collect::<Vec<_>>() == [1.0]).then_some(())
    });

    every_expression_is_taken(&prometheus);

    // After the end of a failure its series disappear, also from a query over hours.
    fs::remove_file(&path).unwrap();
    conflict.wait_ready();
    // The alert itself has a range of two minutes.
    let failed = "seccomp_profile_nodes{profile=\"scraped-conflict\", state=\"failed\"} > 0";
    until("no failing node", LIMIT, || prometheus.query(failed).is_empty().then_some(()));
    pod.remove();
    cluster.ok(["wait", "--for=delete", "seccompprofile/scraped-held", "--timeout=30s"]);
    let any = "count({profile=\"scraped-held\"})";
    until("no series of a profile that is gone", LIMIT, || prometheus.query(any).is_empty().then_some(()));
    let other = "count({profile=\"scraped-conflict\"})";
    until("the series of the other profile", LIMIT, || (!prometheus.query(other).is_empty()).then_some(()));
}

fn every_expression_is_taken(prometheus: &Prometheus) {
    let alerts = alerts();
    let rules = until("every rule evaluated", LIMIT, || {
        let rules = prometheus.rules();
        rules.iter().all(|rule| rule["health"] != "unknown").then_some(rules)
    });
    assert_eq!(rules.len(), alerts.len());
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
    for (name, expression) in alerts {
        print_line(&format!("{name}: {} now", prometheus.query(&expression).len()));
    }
    let panels = panels();
    assert!(panels.len() > 20);
    for (title, expression) in panels {
        let shown = until(&title, LIMIT, || {
            let samples = prometheus.query(&expression);
            (!samples.is_empty()).then_some(samples)
        });
        print_line(&format!("{title}: {} series", shown.len()));
    }
}

/// The definitions of Prometheus' operator. When this is dropped, they are removed and the chart is restored.
struct Defined<'a>(&'a Session, [String; 3]);

impl Drop for Defined<'_> {
    fn drop(&mut self) {
        // While the kinds exist, so that helm removes its objects of them.
        expect_cleanup(install(self.0, &[]));
        for definition in &self.1 {
            expect_cleanup(self.0.kubectl(["delete", "-f", definition, "--timeout=60s"]).map(drop));
        }
    }
}

fn install(cluster: &Session, values: &[&str]) -> Result<(), CommandError> {
    let chart = repository().join("charts").join(NAMESPACE);
    // Otherwise helm reuses the values of the last upgrade.
    let values: Vec<_> = ["--reset-values"].iter().chain(values).copied().collect();
    cluster.client().install_chart(&chart, &values).map(drop)
}

#[test]
fn with_the_definitions_of_prometheus_operator_every_object_of_the_chart_for_it_is_accepted() {
    const MONITORS: [&str; 4] = [
        "--set=metrics.podMonitor.enabled=true",
        "--set=metrics.podMonitor.interval=15s",
        "--set=metrics.prometheusRule.enabled=true",
        "--set=metrics.dashboard.enabled=true",
    ];
    let cluster = alone();
    cluster.wait_rolled_out();
    install(&cluster, &MONITORS).unwrap_or_else(|error| panic!("without the kinds: {error}"));
    let listed =
        |kinds: &str| cluster.ok(["-n", NAMESPACE, "get", kinds, "-o", "name", "--ignore-not-found"]);
    assert_eq!(listed("configmaps,services").lines().filter(|name| name.contains(NAMESPACE)).count(), 1);

    let plurals = ["podmonitors", "servicemonitors", "prometheusrules"];
    let files = operator_definitions(plurals).unwrap_or_else(|error| panic!("{error}"));
    let defined = Defined(&cluster, files.map(|file| file.display().to_string()));
    for (plural, file) in plurals.iter().zip(&defined.1) {
        cluster.ok(["apply", "--server-side", "-f", file]);
        let name = format!("{plural}.monitoring.coreos.com");
        cluster.client().wait_established(&[name]).unwrap_or_else(|error| panic!("{error}"));
    }
    let kinds = "podmonitors,servicemonitors,prometheusrules";
    install(&cluster, &MONITORS).unwrap_or_else(|error| panic!("{error}"));
    let monitored = "podmonitor.monitoring.coreos.com/seccomp-profile\n\
                     prometheusrule.monitoring.coreos.com/seccomp-profile\n";
    assert_eq!(listed(kinds), monitored);
    // The stored object equals the rendered one: the API server drops fields that a definition does not have.
    let rule = cluster.json(["-n", NAMESPACE, "get", "prometheusrule", NAMESPACE]);
    let alerts: Value = serde_saphyr::from_str(&file("charts/seccomp-profile/files/alerts.yaml")).unwrap();
    assert_eq!(rule["spec"], alerts);
    let monitor = cluster.json(["-n", NAMESPACE, "get", "podmonitor", NAMESPACE]);
    assert_eq!(monitor["spec"], pod_monitor(&["--set=metrics.podMonitor.interval=15s"])["spec"]);

    let services = ["--set=metrics.serviceMonitor.enabled=true"];
    install(&cluster, &services).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(listed(kinds), "servicemonitor.monitoring.coreos.com/seccomp-profile\n");
    for (component, pods) in [("operator", 2), ("node-agent", cluster.node_list().len())] {
        let label = format!("kubernetes.io/service-name=seccomp-profile-{component}-metrics");
        until(&label, LIMIT, || {
            let slices = cluster.json(["-n", NAMESPACE, "get", "endpointslices", "-l", &label]);
            let found = slices["items"].as_array().unwrap().iter();
            let found = found.flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten()).count();
            (found == pods).then_some(())
        });
    }
    drop(defined);
    assert_eq!(listed("configmaps,services").lines().filter(|name| name.contains(NAMESPACE)).count(), 0);
}

#[test]
fn a_file_that_is_removed_again_and_again_raises_the_alert_with_its_node() {
    let cluster = shared();
    let applied = cluster.profile("scraped-drift", &allow_all(0));
    applied.wait_ready();
    let prometheus = Prometheus::start(&cluster);
    let node = &cluster.node_list()[0];
    let expression = alert("SeccompProfileDriftRepeated");
    let on_node =
        || prometheus.query(&expression).into_iter().find(|sample| sample.labels["node"] == node.name());
    // Other tests cause drift, too, but not while this Prometheus scrapes.
    assert!(on_node().is_none());
    for _ in 0..7 {
        fs::remove_file(applied.path(node)).unwrap();
        until_repaired(node, "scraped-drift", &bytes_of(&allow_all(0)));
    }
    let sample = until("the alert", LIMIT, on_node);
    assert!(sample.labels["pod"].as_str().unwrap().starts_with("seccomp-profile-node-agent-"), "{sample:?}");
}
