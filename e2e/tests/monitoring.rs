//! What the chart contains for Prometheus and Grafana, as it renders, without a cluster.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy's `allow-unwrap-in-tests` does not cover helper functions of integration tests"
)]

use std::fs;

use cluster::NAMESPACE;
use e2e::rendered::{self, RenderError, of_kind};
use serde_json::{Value, json};
use xtask::workspace::repository;

const KINDS: [&str; 3] = ["PodMonitor", "ServiceMonitor", "PrometheusRule"];
const EVERYTHING: [&str; 4] = ["podMonitor", "serviceMonitor", "prometheusRule", "dashboard"];

/// The chart for a cluster with Prometheus' operator, or without, with these values below `metrics`.
fn render(prometheus_operator: bool, values: &[&str]) -> Result<Vec<Value>, RenderError> {
    let kinds = KINDS.iter().filter(|_| prometheus_operator);
    let known = kinds.map(|kind| format!("--api-versions=monitoring.coreos.com/v1/{kind}"));
    rendered::objects(known.chain(values.iter().map(|value| format!("--set=metrics.{value}"))))
}

fn only<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    rendered::only(objects, kind).unwrap_or_else(|| panic!("not one {kind}"))
}

/// Whether labels are what a selector with equalities and one list of values wants.
fn selects(selector: &Value, labels: &Value) -> bool {
    let equal = selector["matchLabels"].as_object().unwrap().iter().all(|(key, value)| labels[key] == *value);
    let [listed] = &selector["matchExpressions"].as_array().unwrap()[..] else { panic!("{selector}") };
    assert_eq!(listed["operator"], "In");
    let value = &labels[listed["key"].as_str().unwrap()];
    equal && listed["values"].as_array().unwrap().contains(value)
}

/// Labels and container of each kind of pod of the chart.
fn pods(objects: &[Value]) -> Vec<(&Value, &Value)> {
    let workloads = ["Deployment", "DaemonSet", "Job"].map(|kind| only(objects, kind));
    workloads
        .into_iter()
        .map(|workload| {
            let template = &workload["spec"]["template"];
            (&template["metadata"]["labels"], &template["spec"]["containers"][0])
        })
        .collect()
}

fn named_port<'a>(container: &'a Value, name: &Value) -> &'a Value {
    let ports = container["ports"].as_array().unwrap();
    ports.iter().find(|port| port["name"] == *name).unwrap_or_else(|| panic!("no port {name} in {container}"))
}

#[test]
fn nothing_of_it_is_there_unless_asked_for_nor_where_the_cluster_does_not_know_the_kind() {
    let plain = render(false, &[]).unwrap();
    assert_eq!(render(true, &[]).unwrap(), plain);
    let asked = ["podMonitor.enabled=true", "prometheusRule.enabled=true"];
    assert_eq!(render(false, &asked).unwrap(), plain);
    assert_eq!(render(false, &["serviceMonitor.enabled=true"]).unwrap(), plain);
    let rendered = |part: &str| {
        let objects = render(true, &[&format!("{part}.enabled=true")]).unwrap();
        objects.into_iter().filter(|object| !plain.contains(object)).collect::<Vec<_>>()
    };
    let kinds = EVERYTHING.map(|part| {
        let kinds = rendered(part)
            .iter()
            .map(|object| object["kind"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>();
        kinds.join(" ")
    });
    assert_eq!(kinds, ["PodMonitor", "Service Service ServiceMonitor", "PrometheusRule", "ConfigMap"]);
    for object in EVERYTHING.iter().flat_map(|part| rendered(part)) {
        assert_eq!(object["metadata"]["namespace"], NAMESPACE, "{object}");
        assert_eq!(object["metadata"]["labels"]["app.kubernetes.io/instance"], NAMESPACE, "{object}");
    }
}

/// An endpoint of either monitor.
fn endpoint(endpoint: &Value) {
    let expected = json!({
        "port": "http", "path": "/metrics", "interval": "15s",
        "relabelings": [{ "action": "replace", "sourceLabels": ["__meta_kubernetes_pod_node_name"], "targetLabel": "node" }],
    });
    assert_eq!(*endpoint, expected);
}

#[test]
fn the_pod_monitor_selects_the_pods_of_both_programs_and_a_port_that_they_have() {
    let values = ["podMonitor.enabled=true", "podMonitor.interval=15s", "podMonitor.labels.release=mine"];
    let objects = render(true, &values).unwrap();
    let monitor = only(&objects, "PodMonitor");
    assert_eq!(monitor["metadata"]["labels"]["release"], "mine");
    let [scraped] = &monitor["spec"]["podMetricsEndpoints"].as_array().unwrap()[..] else {
        panic!("{monitor}")
    };
    endpoint(scraped);
    let [operator, agent, uninstallation] = pods(&objects)[..] else { panic!("other pods") };
    for (labels, container) in [operator, agent] {
        assert!(selects(&monitor["spec"]["selector"], labels), "{labels}");
        assert_eq!(named_port(container, &scraped["port"])["containerPort"], 8080);
    }
    assert!(!selects(&monitor["spec"]["selector"], uninstallation.0));
}

#[test]
fn the_service_monitor_selects_services_without_an_address_that_select_the_pods_of_both_programs() {
    let values = ["serviceMonitor.enabled=true", "serviceMonitor.interval=15s"];
    let objects = render(true, &values).unwrap();
    let monitor = only(&objects, "ServiceMonitor");
    let [scraped] = &monitor["spec"]["endpoints"].as_array().unwrap()[..] else { panic!("{monitor}") };
    endpoint(scraped);
    let services = of_kind(&objects, "Service");
    let mut found = Vec::new();
    for service in &services {
        assert!(selects(&monitor["spec"]["selector"], &service["metadata"]["labels"]), "{service}");
        let spec = &service["spec"];
        assert_eq!(spec["clusterIP"], "None");
        let [port] = &spec["ports"].as_array().unwrap()[..] else { panic!("{service}") };
        assert_eq!(port["name"], scraped["port"]);
        for (number, (labels, container)) in pods(&objects).into_iter().enumerate() {
            if spec["selector"].as_object().unwrap().iter().all(|(key, value)| labels[key] == *value) {
                assert_eq!(named_port(container, &port["targetPort"])["containerPort"], port["port"]);
                found.push(number);
            }
        }
    }
    assert_eq!((services.len(), found), (2, vec![0, 1]), "the operator and the agent, each once");
}

#[test]
fn nothing_is_scraped_twice() {
    let refusal =
        render(true, &["podMonitor.enabled=true", "serviceMonitor.enabled=true"]).unwrap_err().to_string();
    assert!(refusal.contains("enable only one of them"), "{refusal}");
}

#[test]
fn the_rule_holds_the_alerts_that_promtool_has_read() {
    let objects =
        render(true, &["prometheusRule.enabled=true", "prometheusRule.labels.role=alerts"]).unwrap();
    let rule = only(&objects, "PrometheusRule");
    let text = fs::read_to_string(repository().join("charts/seccomp-profile/files/alerts.yaml")).unwrap();
    let alerts: Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(rule["spec"], alerts);
    assert_eq!(rule["metadata"]["labels"]["role"], "alerts");
}

#[test]
fn the_dashboard_is_in_a_config_map_that_grafanas_sidecar_finds() {
    let values = ["dashboard.enabled=true", "dashboard.annotations.grafana_folder=Security"];
    let objects = render(false, &values).unwrap();
    let map = only(&objects, "ConfigMap");
    assert_eq!(map["metadata"]["labels"]["grafana_dashboard"], "1");
    assert_eq!(map["metadata"]["annotations"], json!({ "grafana_folder": "Security" }));
    let held = fs::read_to_string(repository().join("charts/seccomp-profile/files/dashboard.json")).unwrap();
    assert_eq!(map["data"], json!({ "seccomp-profile.json": held }));
}

#[test]
fn no_label_of_ours_is_taken_away_and_no_senseless_value_taken() {
    let taken = ["podMonitor.enabled=true", r"podMonitor.labels.app\.kubernetes\.io/name=other"];
    let objects = render(true, &taken).unwrap();
    assert_eq!(only(&objects, "PodMonitor")["metadata"]["labels"]["app.kubernetes.io/name"], NAMESPACE);
    for (value, named) in [
        ("podMonitor.interval=often", "interval"),
        ("podmonitor.enabled=true", "podmonitor"),
        ("prometheusRule.enabled=perhaps", "enabled"),
        ("dashboard.label=1", "label"),
    ] {
        let refusal = render(true, &[value]).unwrap_err().to_string();
        assert!(refusal.contains(named), "{value}: {refusal}");
    }
}
