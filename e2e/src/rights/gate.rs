//! What a stolen gate might try with its right to patch pods, and how it is refused.

use api::names::SCHEDULING_GATE;
use serde_json::{Value, json};

use super::attempts::{Answer, Attempt};

/// The pod that the attempts are about, as it is created: it has another's gate behind ours, and metadata of each kind.
pub fn target() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "web", "labels": { "app": "web" }, "annotations": { "note": "mine" },
            "finalizers": [OTHERS],
        },
        "spec": {
            "schedulingGates": [{ "name": SCHEDULING_GATE }, { "name": OTHERS }],
            "securityContext": { "seccompProfile": { "type": "Localhost", "localhostProfile": "profiles/a.json" } },
            "affinity": { "nodeAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [
                { "weight": 1, "preference": { "matchExpressions": [{ "key": "disk", "operator": "Exists" }] } },
            ] } },
            "containers": [{ "name": "main", "image": "none" }],
        },
    })
}

/// A gate, and a finalizer, of somebody else on the [`target`].
pub const OTHERS: &str = "example.org/other";

/// The namespace of the [`target`].
pub const NAMESPACE: &str = "shop";

/// Where the [`target`] is.
const POD: &str = "/api/v1/namespaces/shop/pods/web";

/// The operation that takes our gate off the [`target`].
pub fn lift() -> Value {
    json!({ "op": "remove", "path": "/spec/schedulingGates/0" })
}

/// The operation that excludes a node.
pub fn leave_out(node: &str) -> Value {
    let fields = json!([{ "key": "metadata.name", "operator": "NotIn", "values": [node] }]);
    json!({
        "op": "add",
        "path": "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution",
        "value": { "nodeSelectorTerms": [{ "matchFields": fields }] },
    })
}

fn patch(what: &'static str, operations: Value, words: &'static str) -> Attempt {
    Attempt {
        what,
        method: "PATCH",
        path: POD,
        content_type: "application/json-patch+json",
        body: operations,
        answer: Answer::Refused(422, words),
    }
}

fn request(what: &'static str, method: &'static str, path: &'static str, body: Value) -> Attempt {
    let content_type = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    Attempt { what, method, path, content_type, body, answer: Answer::Refused(403, "cannot") }
}

/// With the token of the gate, about the [`target`].
pub fn attempts() -> Vec<Attempt> {
    let gate = "the gate takes its own scheduling gate off a pod with each patch, and no other";
    let spec =
        "the gate changes nothing in a pod's spec but its scheduling gate and the required node affinity";
    let metadata = "the gate changes nothing in a pod's metadata";
    let add = |path: &str, value: Value| json!({ "op": "add", "path": path, "value": value });
    let remove = |path: &str| json!({ "op": "remove", "path": path });
    let with_lift = |operation: Value| json!([lift(), operation]);
    let owner = json!([{ "apiVersion": "v1", "kind": "Node", "name": "gone", "uid": "gone" }]);
    let preferred = "/spec/affinity/nodeAffinity/preferredDuringSchedulingIgnoredDuringExecution";
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding", "metadata": { "name": "web" },
        "target": { "kind": "Node", "name": "n1" },
    });
    let eviction = json!({
        "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": "web", "namespace": NAMESPACE },
    });
    vec![
        patch("the gate of somebody else", json!([remove("/spec/schedulingGates/1")]), gate),
        patch("both gates", json!([remove("/spec/schedulingGates")]), gate),
        patch("node affinity without lifting the gate", json!([leave_out("n1")]), gate),
        patch("a patch that changes nothing", json!([]), gate),
        patch("a label without lifting the gate", json!([add("/metadata/labels/app", json!("mine"))]), gate),
        patch("the gate with a label", with_lift(add("/metadata/labels/app", json!("mine"))), metadata),
        patch("the gate with a new label", with_lift(add("/metadata/labels/new", json!("mine"))), metadata),
        patch(
            "the gate with an annotation",
            with_lift(add("/metadata/annotations/note", json!("other"))),
            metadata,
        ),
        patch("the gate and all annotations removed", with_lift(remove("/metadata/annotations")), metadata),
        patch("the gate and a finalizer removed", with_lift(remove("/metadata/finalizers")), metadata),
        patch(
            "the gate with an owner that does not exist, for the garbage collector to delete the pod",
            with_lift(add("/metadata/ownerReferences", owner)),
            metadata,
        ),
        patch(
            "the gate with another image",
            with_lift(json!({ "op": "replace", "path": "/spec/containers/0/image", "value": "mine" })),
            spec,
        ),
        patch("the gate with a deadline", with_lift(add("/spec/activeDeadlineSeconds", json!(1))), spec),
        patch(
            "the gate with a toleration",
            with_lift(add("/spec/tolerations/-", json!({ "key": "any", "operator": "Exists" }))),
            spec,
        ),
        patch(
            "the gate with a node selector",
            with_lift(add("/spec/nodeSelector", json!({ "disk": "fast" }))),
            spec,
        ),
        patch("the gate and the preferred affinity removed", with_lift(remove(preferred)), spec),
        request("a pod created", "POST", "/api/v1/namespaces/shop/pods", json!({})),
        request("the pod replaced", "PUT", POD, json!({})),
        request("the pod deleted", "DELETE", POD, json!({})),
        request("the pod's status", "PATCH", "/api/v1/namespaces/shop/pods/web/status", json!({})),
        request(
            "a debug container",
            "PATCH",
            "/api/v1/namespaces/shop/pods/web/ephemeralcontainers",
            json!({}),
        ),
        request("other resources", "PATCH", "/api/v1/namespaces/shop/pods/web/resize", json!({})),
        request("the pod bound to a node", "POST", "/api/v1/namespaces/shop/pods/web/binding", binding),
        request("the pod evicted", "POST", "/api/v1/namespaces/shop/pods/web/eviction", eviction),
        request(
            "a command in the pod",
            "POST",
            "/api/v1/namespaces/shop/pods/web/exec?command=id",
            json!({}),
        ),
    ]
}
