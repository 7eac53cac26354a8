//! The requests that the gate sends about a Node, and how it handles the answers.

use std::collections::BTreeMap;

use api::Selection;
use futures::FutureExt;
use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use prometheus::Registry;
use serde_json::{Value, json};
use tower_test::mock::Handle;

use super::super::super::metrics::GateMetrics;
use super::super::super::pod_id::PodId;
use super::super::cluster::Cluster;
use super::super::judgement::Rules;
use super::super::misplaced::BoundPod;
use super::super::notice::NOT_FOR_NODE;
use super::super::startup_node::PROFILES_READY;
use super::*;
use crate::facts::{ObjectVersion, ProfileFacts, ReportFacts, uid_hash};
use daemon::lease::Lead;

const NODE: &str = "/api/v1/nodes/n1";
const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/default/events";
const TAINT: &str = "readiness.k8s.io/seccomp-profiles";

/// The API server's side of the conversation.
struct Server(Handle<Request<Body>, Response<Body>>);

impl Server {
    /// Takes the next request, checks its method and path, and answers; returns its body.
    async fn expect(&mut self, method: Method, path: &str, status: u16, answer: Value) -> Value {
        let (request, send) = self.0.next_request().await.expect("the gate sends nothing more");
        assert_eq!((request.method(), request.uri().path()), (&method, path));
        let body = request.into_body().collect_bytes().await.unwrap();
        let answer = Body::from(serde_json::to_vec(&answer).unwrap());
        send.send_response(Response::builder().status(status).body(answer).unwrap());
        serde_json::from_slice(&body).unwrap()
    }
}

/// The Node `n1` with these taints and conditions.
fn node(version: &str, taints: &Value, conditions: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": { "name": "n1", "uid": "u1", "resourceVersion": version, "creationTimestamp": "2026-01-01T00:00:00Z" },
        "spec": { "taints": taints },
        "status": { "conditions": conditions },
    })
}

fn tainted(version: &str) -> Value {
    let taints =
        json!([{ "key": "other", "effect": "NoSchedule" }, { "key": TAINT, "effect": "NoSchedule" }]);
    node(version, &taints, &json!([]))
}

/// The report of the Node's agent, without a file.
fn empty_report() -> ReportFacts {
    ReportFacts {
        node: "n1".to_owned(),
        version: ObjectVersion::default(),
        owner: Some("u1".to_owned()),
        files: Some(BTreeMap::new()),
        changed: None,
        problems: BTreeMap::new(),
        excluded: BTreeMap::new(),
        has_status: true,
        ready: None,
        containers_start: None,
        start_failures: Vec::new(),
    }
}

/// A gate that knows the Node, and its agent's report without a file.
fn start(object: &Value) -> (Context, Server) {
    let (service, handle) = tower_test::mock::pair();
    let client = Client::new(service, "default");
    let rules = Rules { release_with_problems: false, unknown_after: Duration::from_mins(5) };
    let metrics = GateMetrics::new(&Registry::new()).unwrap();
    let state = NodeState::new(Cluster::new("profiles", rules), Arc::new(Lead::default()), metrics.clone());
    for kind in NodeState::KINDS {
        state.listed(kind);
    }
    let directory = "profiles".to_owned();
    let nodes = Arc::new(Nodes { directory, selection: Selection::default(), key: TAINT.parse().ok() });
    let now = Timestamp::now();
    state.change(|cluster| {
        let object = serde_json::from_value(object.clone()).unwrap();
        nodes.apply(cluster, &object, UpdateSource::List, now);
        cluster.apply_report(empty_report(), UpdateSource::List, now);
    });
    let writer = NodeWriter::new(client.clone(), metrics.writes.clone());
    let events = PodEvents::new(client, metrics.writes);
    (Context::new(Arc::new(state), writer, events, nodes), Server(handle))
}

fn key() -> NodeKey {
    NodeKey("n1".to_owned())
}

/// A failure in the format of the API server.
fn failure(code: u16) -> Value {
    json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": "R", "message": "m" })
}

#[tokio::test]
async fn the_taint_goes_first_then_an_event_comes_and_then_the_condition() {
    let (context, mut server) = start(&tainted("10"));
    let rest = json!([{ "key": "other", "effect": "NoSchedule" }]);
    let conversation = async {
        let patch = server.expect(Method::PATCH, NODE, 200, node("11", &rest, &json!([]))).await;
        let expected = json!([
            { "op": "test", "path": "/metadata/uid", "value": "u1" },
            { "op": "test", "path": "/spec/taints/1", "value": { "key": TAINT, "effect": "NoSchedule" } },
            { "op": "remove", "path": "/spec/taints/1" },
        ]);
        assert_eq!(patch, expected);
        let event = server.expect(Method::POST, EVENTS, 201, json!({ "metadata": { "name": "e" } })).await;
        assert_eq!((&event["reason"], &event["regarding"]["uid"]), (&json!("ProfilesReady"), &json!("u1")));
        let condition = json!({ "type": PROFILES_READY, "status": "True", "reason": "AllProfiles", "message": "the node has every profile" });
        let answer = node("12", &rest, &json!([condition]));
        let patch = server.expect(Method::PATCH, &format!("{NODE}/status"), 200, answer).await;
        assert_eq!(patch["metadata"], json!({ "uid": "u1" }));
        let written = &patch["status"]["conditions"][0];
        assert_eq!((&written["type"], &written["status"]), (&json!(PROFILES_READY), &json!("True")));
        assert_eq!(written["lastTransitionTime"], written["lastHeartbeatTime"]);
    };
    let reconciliations = async {
        // The third one finds nothing to do: a request would have no answer.
        for _ in 0..3 {
            reconcile(&key(), &context).await;
        }
    };
    tokio::join!(reconciliations, conversation);
}

#[tokio::test]
async fn a_taint_that_has_moved_is_tried_again_once_the_watch_has_delivered_the_node() {
    let (context, mut server) = start(&tainted("10"));
    let node = key();
    let refusal = server.expect(Method::PATCH, NODE, 422, failure(422));
    let (delay, _) = tokio::join!(reconcile(&node, &context), refusal);
    assert!(delay.is_some());
    // During the cooldown nothing is sent.
    assert!(reconcile(&node, &context).await.is_some());
    assert!(server.0.next_request().now_or_never().is_none());
}

#[tokio::test]
async fn a_gate_that_does_not_lead_sends_nothing() {
    let (context, mut server) = start(&tainted("10"));
    context.state.lead.until(None);
    assert_eq!(reconcile(&key(), &context).await, None);
    assert!(server.0.next_request().now_or_never().is_none());
}

#[tokio::test]
async fn a_pod_on_a_node_that_is_told_not_to_hold_its_profile_gets_one_event() {
    let (context, mut server) = start(&node("10", &json!([]), &json!([])));
    let now = Timestamp::now();
    let earlier = now.checked_sub(Duration::from_secs(6)).unwrap();
    let profile = json!({
        "metadata": { "name": "a", "uid": "p1", "resourceVersion": "3", "generation": 1 },
        "spec": {
            "nodeSelector": { "matchLabels": { "pool": "web" } },
            "contents": { "defaultAction": "SCMP_ACT_ALLOW" },
        },
    });
    let pod = BoundPod {
        id: PodId { namespace: "shop".to_owned(), name: "web".to_owned(), uid: "w1".to_owned() },
        node: "n1".to_owned(),
        profiles: ["a", "b"].map(|name| name.parse().unwrap()).into(),
    };
    context.state.change(|cluster| {
        let profile = ProfileFacts::given(None, &serde_json::from_value(profile).unwrap());
        cluster.apply_profile(profile, UpdateSource::List, now);
        let excluded = BTreeMap::from([("a".to_owned(), uid_hash("p1"))]);
        cluster.apply_report(ReportFacts { excluded, ..empty_report() }, UpdateSource::List, now);
        cluster.apply_bound_pod(pod, earlier);
    });
    let conversation = async {
        let condition = json!({ "type": PROFILES_READY, "status": "True", "reason": "AllProfiles", "message": "the node has every profile" });
        let answer = node("11", &json!([]), &json!([condition]));
        server.expect(Method::PATCH, &format!("{NODE}/status"), 200, answer).await;
        let events = "/apis/events.k8s.io/v1/namespaces/shop/events";
        let event = server.expect(Method::POST, events, 201, json!({ "metadata": { "name": "e" } })).await;
        assert_eq!((&event["reason"], &event["type"]), (&json!(NOT_FOR_NODE), &json!("Warning")));
        assert_eq!((&event["regarding"]["kind"], &event["regarding"]["uid"]), (&json!("Pod"), &json!("w1")));
        let note = event["note"].as_str().unwrap();
        assert!(note.starts_with("The node n1 does not hold profiles/a.json: "), "{note}");
    };
    let reconciliations = async {
        // The later ones find nothing to do: a request would have no answer.
        for _ in 0..3 {
            reconcile(&key(), &context).await;
        }
    };
    tokio::join!(reconciliations, conversation);
}
