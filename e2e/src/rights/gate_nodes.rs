//! What a stolen gate might try with its rights to patch Nodes and their status, and how it is refused.

use serde_json::{Value, json};

use super::attempts::{Answer, Attempt};

/// The key of the start-up taint.
pub const TAINT: &str = "readiness.k8s.io/seccomp-profiles";

/// The Node that the attempts are about, as it is created: it has another taint before ours, and metadata of each kind.
/// The API server adds a taint behind ours, because the Node is not ready.
pub fn target() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {
            "name": "n1", "labels": { "pool": "small" }, "annotations": { "note": "mine" },
            "finalizers": ["example.org/other"],
        },
        "spec": {
            "taints": [
                { "key": "example.org/other", "effect": "NoSchedule" },
                { "key": TAINT, "effect": "NoSchedule" },
            ],
        },
    })
}

/// The status of the [`target`], which another request sets.
pub fn status() -> Value {
    json!({ "status": {
        "capacity": { "cpu": "4" },
        "addresses": [{ "type": "InternalIP", "address": "10.0.0.1" }],
        "conditions": [{ "type": "Ready", "status": "True", "reason": "KubeletReady" }],
    } })
}

const NODE: &str = "/api/v1/nodes/n1";
const STATUS: &str = "/api/v1/nodes/n1/status";

/// The operations that take the start-up taint off the [`target`].
pub fn remove_taint() -> Value {
    json!([
        { "op": "test", "path": "/spec/taints/1/key", "value": TAINT },
        { "op": "remove", "path": "/spec/taints/1" },
    ])
}

/// A change of the condition alone.
pub fn condition(status: &str) -> Value {
    json!({ "type": "seccomp.imjasonh.dev/ProfilesReady", "status": status, "reason": "Tried" })
}

fn node(what: &'static str, operations: Value, words: &'static str) -> Attempt {
    Attempt {
        what,
        method: "PATCH",
        path: NODE,
        content_type: "application/json-patch+json",
        body: operations,
        answer: Answer::Refused(422, words),
    }
}

fn of_status(what: &'static str, patch: Value, words: &'static str) -> Attempt {
    Attempt {
        what,
        method: "PATCH",
        path: STATUS,
        content_type: "application/strategic-merge-patch+json",
        body: patch,
        answer: Answer::Refused(422, words),
    }
}

fn request(what: &'static str, method: &'static str, path: &'static str) -> Attempt {
    let content_type = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    Attempt { what, method, path, content_type, body: json!({}), answer: Answer::Refused(403, "cannot") }
}

/// With the token of the gate, about the [`target`].
pub fn attempts() -> Vec<Attempt> {
    let taints = "the gate takes the start-up taint off a Node; it changes no other taint, and adds none";
    let spec = "the gate changes nothing in a Node's spec but the taints";
    let metadata = "the gate changes nothing in a Node's metadata";
    let other = "the gate changes nothing in a Node's status but the condition";
    let add = |path: &str, value: Value| json!({ "op": "add", "path": path, "value": value });
    let remove = |path: &str| json!({ "op": "remove", "path": path });
    let owner = json!([{ "apiVersion": "v1", "kind": "Node", "name": "gone", "uid": "gone" }]);
    let with_removal = |operation: Value| json!([remove("/spec/taints/1"), operation]);
    let with_condition =
        |field: &str, value: Value| json!({ field: value, "status": { "conditions": [condition("True")] } });
    let ready = json!([{ "type": "Ready", "status": "False", "reason": "Stolen" }]);
    vec![
        node("the taint of somebody else", json!([remove("/spec/taints/0")]), taints),
        node("all taints", json!([remove("/spec/taints")]), taints),
        node(
            "a taint that drains the node",
            json!([add("/spec/taints/-", json!({ "key": "stolen", "effect": "NoExecute" }))]),
            taints,
        ),
        node(
            "the start-up taint with another effect",
            json!([add("/spec/taints/-", json!({ "key": TAINT, "effect": "NoExecute" }))]),
            taints,
        ),
        node(
            "the effect of the start-up taint",
            json!([{ "op": "replace", "path": "/spec/taints/1/effect", "value": "NoExecute" }]),
            taints,
        ),
        node("the node cordoned", json!([add("/spec/unschedulable", json!(true))]), spec),
        node(
            "the taint and an address range for pods",
            with_removal(add("/spec/podCIDR", json!("10.0.0.0/24"))),
            spec,
        ),
        node("the taint and a provider's id", with_removal(add("/spec/providerID", json!("mine"))), spec),
        node("a label that attracts pods", json!([add("/metadata/labels/pool", json!("big"))]), metadata),
        node("the taint and a new label", with_removal(add("/metadata/labels/new", json!("mine"))), metadata),
        node("the taint and all labels removed", with_removal(remove("/metadata/labels")), metadata),
        node("an annotation", json!([add("/metadata/annotations/note", json!("yours"))]), metadata),
        node("a finalizer removed", json!([remove("/metadata/finalizers")]), metadata),
        node(
            "an owner that does not exist, for the garbage collector to delete the Node",
            json!([add("/metadata/ownerReferences", owner.clone())]),
            metadata,
        ),
        of_status(
            "the condition with a label",
            with_condition("metadata", json!({ "labels": { "pool": "big" } })),
            metadata,
        ),
        of_status(
            "the condition with an annotation",
            with_condition("metadata", json!({ "annotations": { "note": "yours" } })),
            metadata,
        ),
        of_status(
            "the condition with an owner that does not exist",
            with_condition("metadata", json!({ "ownerReferences": owner })),
            metadata,
        ),
        of_status(
            "the node not ready, for its pods to be evicted",
            json!({ "status": { "conditions": ready } }),
            other,
        ),
        of_status(
            "the condition of a kubelet removed",
            json!({ "status": { "conditions": [{ "type": "Ready", "$patch": "delete" }] } }),
            other,
        ),
        of_status(
            "a condition that nobody has written",
            json!({ "status": { "conditions": [{ "type": "New", "status": "True" }] } }),
            other,
        ),
        of_status("more capacity", json!({ "status": { "capacity": { "cpu": "400" } } }), other),
        of_status(
            "other resources to allocate",
            json!({ "status": { "allocatable": { "cpu": "400" } } }),
            other,
        ),
        of_status(
            "another address, to which the API server sends exec and logs",
            json!({ "status": { "addresses": [{ "type": "InternalIP", "address": "10.6.6.6" }] } }),
            other,
        ),
        of_status(
            "another port of the kubelet",
            json!({ "status": { "daemonEndpoints": { "kubeletEndpoint": { "Port": 6666 } } } }),
            other,
        ),
        of_status(
            "features that the kubelet does not have",
            json!({ "status": { "declaredFeatures": ["Stolen"] } }),
            other,
        ),
        request("a Node created", "POST", "/api/v1/nodes"),
        request("the Node replaced", "PUT", NODE),
        request("the Node deleted", "DELETE", NODE),
        request("the status replaced", "PUT", STATUS),
        request("a request to the kubelet", "GET", "/api/v1/nodes/n1/proxy/pods"),
    ]
}
