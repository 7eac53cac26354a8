//! Pods that wait for their profiles: the policies of the chart, and `operator gate`, on a real API server.

mod account;
mod lifting;
mod many;
mod misplaced;
mod policy;
mod sandboxes;
mod traps;

use std::path::Path;
use std::time::Duration;

use api::names::GATED_NAMESPACE;
use bench::api_server::{OperatorOptions, OperatorProcess, Options};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};
use serde_json::{Value, json};

use super::pods::{create, dry_run, gates, is_gated, localhost, plain, pods, stored, using};
use super::support::{Environment, LIMIT, operator, start_operator, until};

/// The namespace whose pods are gated.
const SHOP: &str = "shop";

/// Creates a namespace with this value of the label.
async fn create_namespace(admin: &Client, name: &str, gate: Option<&str>) {
    let labels = gate.map(|value| json!({ GATED_NAMESPACE: value }));
    super::pods::create_namespace(admin, name, &json!({ "labels": labels })).await;
}

/// An API server with the chart's gate, and the namespace [`SHOP`].
async fn environment() -> Environment {
    environment_with(&[]).await
}

/// The same, with these controllers of Kubernetes.
async fn environment_with(controllers: &[&'static str]) -> Environment {
    let values = ["--set", "gate.enabled=true"].map(String::from).to_vec();
    let options = Options { values, controllers: controllers.to_vec(), ..Options::default() };
    let environment = Environment::with(options).await;
    create_namespace(&environment.admin, SHOP, Some("true")).await;
    // The policies take effect a moment after they were created.
    until("a gated pod", LIMIT, async || {
        let created = dry_run(&environment.admin, SHOP, &using("tried", "profiles/a.json")).await;
        is_gated(&created).then_some(())
    })
    .await;
    environment
}

async fn get(admin: &Client, name: &str) -> Value {
    stored(pods(admin, SHOP).get(name).await.unwrap())
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
