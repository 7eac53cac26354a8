//! Pods that wait for their profiles: the policies of the chart, and `operator gate`, on a real API server.

mod account;
mod lifting;
mod many;
mod policy;

use std::path::Path;
use std::time::Duration;

use api::names::SCHEDULING_GATE;
use bench::api_server::{OperatorOptions, OperatorProcess, Options};
use k8s_openapi::api::core::v1::{Namespace, Pod, ServiceAccount};
use kube::api::{ApiResource, DynamicObject, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::gate_support::start_operator;
use super::support::{Environment, LIMIT, operator, until};

/// The namespace whose pods are gated.
const SHOP: &str = "shop";

/// An API server with the chart's gate, and the namespace [`SHOP`].
async fn environment() -> Environment {
    let values = ["--set", "gate.enabled=true"].map(String::from).to_vec();
    let environment = Environment::with(Options { values, ..Options::default() }).await;
    create_namespace(&environment.admin, SHOP, Some("true")).await;
    // The policies take effect a moment after they were created.
    until("a gated pod", LIMIT, async || {
        let created = dry_run(&environment.admin, SHOP, &using("tried", "profiles/a.json")).await;
        is_gated(&created).then_some(())
    })
    .await;
    environment
}

/// Creates a namespace with this value of the label, and the account that its pods have.
async fn create_namespace(admin: &Client, name: &str, gate: Option<&str>) {
    let labels = gate.map(|value| json!({ "seccomp.imjasonh.dev/gate": value }));
    let namespace = json!({ "metadata": { "name": name, "labels": labels } });
    let namespaces: Api<Namespace> = Api::all(admin.clone());
    namespaces.create(&PostParams::default(), &serde_json::from_value(namespace).unwrap()).await.unwrap();
    let account = json!({ "metadata": { "name": "default" }, "automountServiceAccountToken": false });
    let accounts: Api<ServiceAccount> = Api::namespaced(admin.clone(), name);
    accounts.create(&PostParams::default(), &serde_json::from_value(account).unwrap()).await.unwrap();
}

/// Pods without types, so that every field is seen as it is stored.
fn pods(admin: &Client, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(admin.clone(), namespace, &ApiResource::erase::<Pod>(&()))
}

fn object(pod: &Value) -> DynamicObject {
    serde_json::from_value(pod.clone()).unwrap()
}

fn stored(pod: DynamicObject) -> Value {
    serde_json::to_value(pod).unwrap()
}

async fn create(admin: &Client, namespace: &str, pod: &Value) -> Value {
    stored(pods(admin, namespace).create(&PostParams::default(), &object(pod)).await.unwrap())
}

async fn dry_run(admin: &Client, namespace: &str, pod: &Value) -> Value {
    let params = PostParams { dry_run: true, ..PostParams::default() };
    stored(pods(admin, namespace).create(&params, &object(pod)).await.unwrap())
}

async fn get(admin: &Client, name: &str) -> Value {
    stored(pods(admin, SHOP).get(name).await.unwrap())
}

fn localhost(path: &str) -> Value {
    json!({ "seccompProfile": { "type": "Localhost", "localhostProfile": path } })
}

/// A pod of one container without a profile.
fn plain(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
        "spec": { "containers": [{ "name": "main", "image": "none" }] },
    })
}

/// A pod under the profile at this path.
fn using(name: &str, path: &str) -> Value {
    let mut pod = plain(name);
    pod["spec"]["securityContext"] = localhost(path);
    pod
}

/// The scheduling gates of a pod.
fn gates(pod: &Value) -> Vec<&str> {
    let gates = pod["spec"]["schedulingGates"].as_array();
    gates.into_iter().flatten().filter_map(|gate| gate["name"].as_str()).collect()
}

fn is_gated(pod: &Value) -> bool {
    gates(pod).contains(&SCHEDULING_GATE)
}

/// Waits until a pod has no gate of ours.
async fn wait_lifted(environment: &Environment, name: &str, limit: Duration) -> Value {
    until(&format!("the gate of {name} lifted"), limit, async || {
        let pod = get(&environment.admin, name).await;
        (!is_gated(&pod)).then_some(pod)
    })
    .await
}

/// Starts the gate of this number. With a lease, it shares one with the others.
fn start_gate(environment: &Environment, number: usize, lease: bool, arguments: &[&str]) -> OperatorProcess {
    start_gate_of(&operator(), environment, number, lease, arguments)
}

fn start_gate_of(
    binary: &Path,
    environment: &Environment,
    number: usize,
    lease: bool,
    arguments: &[&str],
) -> OperatorProcess {
    let lease = lease.then(|| [15_000, 10_000, 500].map(Duration::from_millis));
    let options = OperatorOptions { number, url: None, lease };
    OperatorProcess::start_gate(binary, &environment.server, &options, arguments).unwrap()
}
