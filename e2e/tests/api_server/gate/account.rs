//! What the gate's account may do: take our gate off a pod, with required node affinity, publish Events of its own, and
//! nothing else.

use api::names::GATE_FIELD_MANAGER;
use e2e::rights::events::{attempts_of_gate, event, of_node};
use e2e::rights::gate::{self, OTHERS, leave_out, lift, target};
use serde_json::{Value, json};

use super::*;
use crate::stolen::{of_kubelet, thief, try_attempt, try_events};
use crate::support::send;

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_gate_lifts_its_own_gate_with_node_affinity_and_changes_nothing_else_of_a_pod() {
    let environment = environment().await;
    let (admin, thief) = (&environment.admin, thief(&environment, "gate").await);
    create(admin, SHOP, &target()).await;
    let before = get(admin, "web").await;
    for attempt in gate::attempts() {
        try_attempt(&thief, &attempt, attempt.path).await;
    }
    assert_eq!(get(admin, "web").await, before, "to the last field");

    // What it is for, and then nothing more.
    let patch = async |operations: Value| {
        let path = format!("/api/v1/namespaces/{SHOP}/pods/web");
        send(&thief, "PATCH", &path, "application/json-patch+json", &operations).await
    };
    let (code, lifted) = patch(json!([lift(), leave_out("n1")])).await;
    assert_eq!((code, gates(&lifted)), (200, vec![OTHERS]), "{lifted}");
    let required =
        &lifted["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    assert_eq!(*required, leave_out("n1")["value"]);
    for operations in [json!([]), json!([{ "op": "remove", "path": "/spec/schedulingGates/0" }])] {
        let (code, answer) = patch(operations).await;
        assert_eq!(code, 422, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_gate_publishes_its_own_events_and_neither_forges_nor_changes_those_of_others() {
    let environment = environment().await;
    let thief = thief(&environment, "gate").await;
    try_events(&environment, &thief, &of_kubelet(), &attempts_of_gate()).await;

    // What it is for.
    let events = |namespace: &str| format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events");
    let of_pod = event("own", GATE_FIELD_MANAGER, "NoSuchProfile", json!({}));
    for (path, event) in
        [(events(SHOP), of_pod), (events("default"), of_node(GATE_FIELD_MANAGER, "ProfileConflict"))]
    {
        let (code, answer) = send(&thief, "POST", &path, "application/json", &event).await;
        assert_eq!(code, 201, "{answer}");
    }
    let path = format!("{}/own", events(SHOP));
    let series = json!({ "series": { "count": 2, "lastObservedTime": "2026-01-01T00:00:00.000000Z" } });
    let (code, answer) = send(&thief, "PATCH", &path, "application/merge-patch+json", &series).await;
    assert_eq!(code, 200, "{answer}");
    let other = json!({ "reason": "NodesLeftOut" });
    let (code, answer) = send(&thief, "PATCH", &path, "application/merge-patch+json", &other).await;
    assert_eq!(code, 422, "{answer}");
}
