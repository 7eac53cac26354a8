//! A real Prometheus on the host, which reaches pods as the API server does, and selects its targets by the chart's
//! PodMonitor.
//!
//! Debian builds it without Kubernetes' client library, so it cannot query the API server itself. The targets that its
//! own discovery would find, every container port in the cluster, are written into a file for it; it selects among them
//! and labels them itself.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fs, io};

use cluster::NAMESPACE;
use e2e::prometheus;
use e2e::rendered;
use serde_json::{Value, json};
use xtask::workspace::repository;

use super::support::{LIMIT, Session, until};

/// How long Prometheus may take until it serves.
const START: Duration = Duration::from_mins(2);
/// How often it is started, where another program takes its port before it does.
const STARTS: usize = 5;

/// A running Prometheus; it is stopped when this is dropped.
pub(crate) struct Prometheus {
    child: Child,
    address: String,
    _directory: tempfile::TempDir,
}

/// One sample of a query's result.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) labels: Value,
    pub(crate) value: f64,
}

impl Prometheus {
    /// Starts one that scrapes both programs every three seconds and evaluates the chart's alerts every second, and waits
    /// until it has scraped every pod of theirs. They run before it looks: it learns of no pod that comes later.
    pub(crate) fn start(cluster: &Session) -> Self {
        cluster.wait_rolled_out();
        let directory = tempfile::tempdir().unwrap();
        let (config, targets) =
            (directory.path().join("prometheus.json"), directory.path().join("targets.json"));
        fs::write(&targets, container_ports(cluster).to_string()).unwrap();
        fs::write(&config, config_of(&pod_monitor(&[]), &targets).to_string()).unwrap();
        let started = (0..STARTS).find_map(|_| Self::run(directory.path(), &config));
        let log = || fs::read_to_string(directory.path().join("log")).unwrap_or_default();
        let (child, address) = started.unwrap_or_else(|| panic!("{}", log()));
        let prometheus = Self { child, address, _directory: directory };
        prometheus.until_all_scraped(cluster);
        prometheus
    }

    /// Starts the program at a port that is free, and waits until it serves; none if it has ended instead.
    fn run(directory: &Path, config: &Path) -> Option<(Child, String)> {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let log = fs::File::create(directory.join("log")).unwrap();
        // The kernel kills it if this thread ends.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(prometheus::program("prometheus").unwrap());
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", directory.join("data").display()));
        command.arg(format!("--web.listen-address={address}"));
        // So that a query can evaluate an expression at a later time, if nothing changes until then.
        command.arg("--query.lookback-delta=2h");
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let serves = until("Prometheus serving, or its end", START, || match child.try_wait().unwrap() {
            Some(_) => Some(false),
            None => get(&address, "/-/ready").is_ok().then_some(true),
        });
        serves.then_some((child, address))
    }

    fn until_all_scraped(&self, cluster: &Session) {
        let selector = "app.kubernetes.io/component in (operator,node-agent)";
        let pods = cluster.json(["-n", NAMESPACE, "get", "pods", "-l", selector]);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let mut wanted: Vec<_> = pods["items"].as_array().unwrap().iter().collect();
        // A pod that is being deleted is not a target.
        wanted.retain(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        let wanted =
            wanted.into_iter().map(|pod| (text(&pod["metadata"]["name"]), text(&pod["spec"]["nodeName"])));
        let mut wanted: Vec<_> = wanted.collect();
        wanted.sort();
        until("every pod scraped", LIMIT, || {
            let up =
                self.query("up == 1").into_iter().map(|s| (text(&s.labels["pod"]), text(&s.labels["node"])));
            let mut up: Vec<_> = up.collect();
            up.sort();
            (up == wanted).then_some(())
        });
    }

    /// The present value of an expression.
    pub(crate) fn query(&self, expression: &str) -> Vec<Sample> {
        self.query_in(expression, Duration::ZERO)
    }

    /// The later value of an expression if every sample stays as it is until then.
    pub(crate) fn query_in(&self, expression: &str, ahead: Duration) -> Vec<Sample> {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + ahead;
        let path = format!("/api/v1/query?time={}&query={}", time.as_secs_f64(), encoded(expression));
        let data = self.api(&path).unwrap_or_else(|error| panic!("{expression}: {error}"));
        assert_eq!(data["resultType"], "vector", "{expression}");
        let sample = |result: &Value| Sample {
            labels: result["metric"].clone(),
            value: result["value"][1].as_str().unwrap().parse().unwrap(),
        };
        data["result"].as_array().unwrap().iter().map(sample).collect()
    }

    /// The rules, with their state.
    pub(crate) fn rules(&self) -> Vec<Value> {
        let groups = self.api("/api/v1/rules").unwrap_or_else(|error| panic!("{error}"));
        let groups = groups["groups"].as_array().unwrap();
        groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
    }

    /// The metrics of each target, as they are scraped.
    pub(crate) fn scraped(&self) -> Vec<String> {
        let targets = self.api("/api/v1/targets?state=active").unwrap_or_else(|error| panic!("{error}"));
        let urls =
            targets["activeTargets"].as_array().unwrap().iter().map(|target| target["scrapeUrl"].as_str());
        urls.map(|url| {
            let (address, path) = url.unwrap().strip_prefix("http://").unwrap().split_once('/').unwrap();
            get(address, &format!("/{path}")).unwrap()
        })
        .collect()
    }

    fn api(&self, path: &str) -> Result<Value, String> {
        let body = get(&self.address, path).map_err(|error| error.to_string())?;
        let mut answer: Value = serde_json::from_str(&body).map_err(|error| format!("{error}: {body}"))?;
        if answer["status"] == "success" { Ok(answer["data"].take()) } else { Err(answer.to_string()) }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // An error means that it has already ended; its files are removed with its directory.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The chart's PodMonitor, for the release that runs.
pub(crate) fn pod_monitor(values: &[&str]) -> Value {
    let asked =
        ["--api-versions=monitoring.coreos.com/v1/PodMonitor", "--set=metrics.podMonitor.enabled=true"];
    let objects = rendered::objects(asked.iter().chain(values)).unwrap_or_else(|error| panic!("{error}"));
    rendered::only(&objects, "PodMonitor").unwrap().clone()
}

/// The discovery's label for a label of a pod.
fn pod_label(kind: &str, key: &str) -> String {
    let plain: String = key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("__meta_kubernetes_pod_{kind}_{plain}")
}

/// The result of the role `pod` of Prometheus' Kubernetes discovery: one target for each port of each container of a
/// pod that has an address.
fn container_ports(cluster: &Session) -> Value {
    let pods = cluster.json(["get", "pods", "--all-namespaces"]);
    let mut targets = Vec::new();
    for pod in pods["items"].as_array().unwrap() {
        let (metadata, spec, status) = (&pod["metadata"], &pod["spec"], &pod["status"]);
        // A pod of another test that has no address yet.
        let Some(address) = status["podIP"].as_str() else { continue };
        let mut labels = json!({
            "__meta_kubernetes_namespace": metadata["namespace"],
            "__meta_kubernetes_pod_name": metadata["name"],
            "__meta_kubernetes_pod_node_name": spec["nodeName"],
            "__meta_kubernetes_pod_phase": status["phase"],
        });
        for (kind, of) in [("label", &metadata["labels"]), ("annotation", &metadata["annotations"])] {
            for (key, value) in of.as_object().into_iter().flatten() {
                labels[pod_label(kind, key)] = value.clone();
                labels[pod_label(&format!("{kind}present"), key)] = "true".into();
            }
        }
        for container in spec["containers"].as_array().unwrap() {
            labels["__meta_kubernetes_pod_container_name"] = container["name"].clone();
            for port in container["ports"].as_array().into_iter().flatten() {
                labels["__meta_kubernetes_pod_container_port_name"] = port["name"].clone();
                let target = format!("{address}:{}", port["containerPort"]);
                targets.push(json!({ "targets": [target], "labels": labels }));
            }
        }
    }
    targets.into()
}

/// The configuration that Prometheus' operator generates from a PodMonitor, for the fields that ours uses. JSON is
/// YAML.
fn config_of(monitor: &Value, targets: &Path) -> Value {
    let spec = &monitor["spec"];
    let [endpoint] = &spec["podMetricsEndpoints"].as_array().unwrap()[..] else { panic!("{monitor}") };
    let keep =
        |label: &str, regex: &str| json!({ "action": "keep", "source_labels": [label], "regex": regex });
    // Without a selector of namespaces it selects its own.
    let mut relabel =
        vec![keep("__meta_kubernetes_namespace", monitor["metadata"]["namespace"].as_str().unwrap())];
    for (key, value) in spec["selector"]["matchLabels"].as_object().unwrap() {
        relabel.push(keep(&pod_label("label", key), value.as_str().unwrap()));
    }
    for listed in spec["selector"]["matchExpressions"].as_array().unwrap() {
        assert_eq!(listed["operator"], "In");
        let values = listed["values"].as_array().unwrap().iter().map(|value| value.as_str().unwrap());
        relabel.push(keep(
            &pod_label("label", listed["key"].as_str().unwrap()),
            &values.collect::<Vec<_>>().join("|"),
        ));
    }
    relabel.push(keep("__meta_kubernetes_pod_container_port_name", endpoint["port"].as_str().unwrap()));
    for (from, to) in [("__meta_kubernetes_namespace", "namespace"), ("__meta_kubernetes_pod_name", "pod")] {
        relabel.push(json!({ "source_labels": [from], "target_label": to }));
    }
    for rule in endpoint["relabelings"].as_array().unwrap() {
        let (from, to) = (&rule["sourceLabels"], &rule["targetLabel"]);
        relabel.push(json!({ "action": rule["action"], "source_labels": from, "target_label": to }));
    }
    let (namespace, name) = (&monitor["metadata"]["namespace"], &monitor["metadata"]["name"]);
    json!({
        "global": { "scrape_interval": "3s", "scrape_timeout": "3s", "evaluation_interval": "1s" },
        "rule_files": [repository().join("charts/seccomp-profile/files/alerts.yaml")],
        "scrape_configs": [{
            "job_name": format!("{}/{}", namespace.as_str().unwrap(), name.as_str().unwrap()),
            "metrics_path": endpoint["path"],
            "file_sd_configs": [{ "files": [targets] }],
            "relabel_configs": relabel,
        }],
    })
}

/// The body of a response. HTTP/1.0, so that it ends with the connection and is not chunked.
fn get(address: &str, path: &str) -> io::Result<String> {
    let mut connection = TcpStream::connect(address)?;
    connection.set_read_timeout(Some(LIMIT))?;
    write!(connection, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
    // Prometheus answers an invalid expression with 400 and a body with the reason.
    match head.split(' ').nth(1) {
        Some("200" | "400" | "422") => Ok(body.to_owned()),
        _ => Err(io::Error::other(head.to_owned())),
    }
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
