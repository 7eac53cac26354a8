//! What the gate's account may do: take our gate off a pod, with required node affinity, and nothing else.

use e2e::rights::gate::{self, OTHERS, leave_out, lift, target};
use serde_json::{Value, json};

use super::*;
use crate::gate_support::{send, thief, try_attempt};

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
