//! The observer's part on a real API server: its report, and what its account may do beside it.

use api::{ObservationReport, ObserverState, SeccompObservation};
use bench::api_server::Options;
use cluster::NAMESPACE;
use e2e::rights::observer::{attempts, observation};
use kube::{Api, Client};
use observer::metrics::Metrics;
use observer::reporter::{Reporter, SendError};
use prometheus::Registry;
use serde_json::{Value, json};

use super::stolen::{thief, thief_of_pod, try_attempt};
use super::support::{Environment, send};

const KINDS: &str = "/apis/seccomp.imjasonh.dev/v1alpha1";

/// An API server with the observer's account, and the pods of observers on two nodes.
async fn environment() -> Environment {
    let values = ["--set", "observer.enabled=true"].map(String::from).into();
    let environment = Environment::with(Options { values, ..Options::default() }).await;
    for node in ["node-1", "node-2"] {
        let made = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": node } });
        created(&environment.admin, "/api/v1/nodes", &made).await;
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": format!("observer-{node}") },
            "spec": {
                "nodeName": node,
                "serviceAccountName": format!("{NAMESPACE}-observer"),
                "automountServiceAccountToken": false,
                "containers": [{ "name": "observer", "image": "none" }],
            },
        });
        created(&environment.admin, &format!("/api/v1/namespaces/{NAMESPACE}/pods"), &pod).await;
    }
    environment
}

async fn created(client: &Client, path: &str, object: &Value) -> Value {
    let (code, answer) = send(client, "POST", path, "application/json", object).await;
    assert_eq!(code, 201, "{answer}");
    answer
}

/// The status object of a node, as the operator creates it.
async fn status_of(environment: &Environment, node: &str) {
    let path = format!("/api/v1/nodes/{node}");
    let (_, found) = send(&environment.admin, "GET", &path, "application/json", &json!({})).await;
    let uid = &found["metadata"]["uid"];
    let status = json!({
        "apiVersion": "seccomp.imjasonh.dev/v1alpha1", "kind": "NodeProfileStatus", "spec": {},
        "metadata": { "name": node, "ownerReferences": [
            { "apiVersion": "v1", "kind": "Node", "name": node, "uid": uid, "blockOwnerDeletion": false },
        ] },
    });
    created(&environment.admin, &format!("{KINDS}/nodeprofilestatuses"), &status).await;
}

/// A client with the token of the observer's pod on a node, as the kubelet gets it.
async fn observer_on(environment: &Environment, node: &str) -> Client {
    thief_of_pod(environment, "observer", &format!("observer-{node}")).await
}

fn reporter(client: &Client, node: &str) -> Reporter {
    Reporter::new(client.clone(), node.parse().unwrap(), Metrics::new(&Registry::new()).unwrap())
}

fn report(lost: i64) -> ObservationReport {
    ObservationReport {
        state: ObserverState::Observing.into(),
        boot: "b".to_owned(),
        lost,
        ..ObservationReport::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_observer_creates_its_nodes_object_once_it_knows_the_owner_and_reads_its_report_back() {
    let environment = environment().await;
    let client = observer_on(&environment, "node-1").await;
    let reporter = reporter(&client, "node-1");
    assert_eq!(reporter.load().await, None);
    assert!(matches!(reporter.send(&report(1)).await, Err(SendError::NoOwner)));
    status_of(&environment, "node-1").await;
    for lost in [1, 2] {
        reporter.send(&report(lost)).await.unwrap();
        assert_eq!(reporter.load().await, Some(report(lost)));
    }
    let observations = Api::<SeccompObservation>::all(environment.admin.clone());
    let object = observations.get("node-1").await.unwrap();
    let owners = object.metadata.owner_references.unwrap();
    assert_eq!((owners.len(), owners[0].kind.as_str(), owners[0].name.as_str()), (1, "Node", "node-1"));
    // Somebody removes the object, as the garbage collector does when the node goes and comes back.
    observations.delete("node-1", &kube::api::DeleteParams::default()).await.unwrap();
    reporter.send(&report(3)).await.unwrap();
    assert_eq!(reporter.load().await, Some(report(3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_observer_forges_the_observation_of_its_own_node_and_does_nothing_else() {
    let environment = environment().await;
    for node in ["node-1", "node-2"] {
        status_of(&environment, node).await;
        created(&environment.admin, &format!("{KINDS}/seccompobservations"), &observation(node, json!({})))
            .await;
    }
    let other = async || {
        let path = format!("{KINDS}/seccompobservations/node-2");
        send(&environment.admin, "GET", &path, "application/json", &json!({})).await.1
    };
    let before = other().await;
    let thief = observer_on(&environment, "node-1").await;
    for attempt in attempts() {
        try_attempt(&thief, &attempt, attempt.path).await;
    }
    assert_eq!(other().await, before, "to the last field");
    // What it is for.
    reporter(&thief, "node-1").send(&report(1)).await.unwrap();
    let own = Api::<SeccompObservation>::all(environment.admin.clone()).get("node-1").await.unwrap();
    assert_eq!((own.metadata.labels, own.metadata.finalizers), (None, None));

    // A token that is bound to no pod has no node.
    let unbound = self::thief(&environment, "observer").await;
    let path = format!("{KINDS}/seccompobservations/node-1/status");
    let (code, answer) =
        send(&unbound, "PATCH", &path, "application/merge-patch+json", &json!({ "status": null })).await;
    assert_eq!(code, 422, "{answer}");
    assert!(answer["message"].as_str().unwrap().contains("the token is bound to no node"), "{answer}");
}
