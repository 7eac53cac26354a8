//! What a stolen operator might try with its right to publish Events about pods, and how it is refused.

use serde_json::{Value, json};

use super::attempts::{Answer, Attempt};

/// The namespace of the pod `web` and of the Event [`OTHERS`], which exist.
pub const SPACE: &str = "shop";
/// An Event of the kubelet.
pub const OTHERS: &str = "of-the-kubelet";

const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/shop/events";
const MERGE: &str = "application/merge-patch+json";

/// An Event of `controller` about the pod `web`, with other or more fields.
pub fn event(name: &str, controller: &str, reason: &str, more: Value) -> Value {
    let mut event = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event",
        "metadata": { "name": name, "namespace": SPACE },
        "eventTime": "2026-01-01T00:00:00.000000Z", "type": "Warning", "action": "ptrace", "reason": reason,
        "note": "forged", "reportingController": controller, "reportingInstance": "x",
        "regarding": { "apiVersion": "v1", "kind": "Pod", "namespace": SPACE, "name": "web" },
    });
    if let (Some(event), Value::Object(more)) = (event.as_object_mut(), more) {
        event.extend(more);
    }
    event
}

/// With the token of the operator, where there are observers.
pub fn attempts() -> Vec<Attempt> {
    const AS_ITSELF: Answer =
        Answer::Refused(422, "the operator publishes Events as itself, and changes none of others");
    const ABOUT: Answer = Answer::Refused(
        422,
        "the operator publishes Events about the objects of this project, and about refused system calls of pods",
    );
    const PLAIN: Answer =
        Answer::Refused(422, "the operator's Events have no owner, finalizer, label or annotation");
    let own = |reason: &str, more| event("forged", "seccomp-profile-operator", reason, more);
    let with = |key: &str, value: Value| {
        own("SeccompRefused", json!({ "metadata": { "name": "forged", "namespace": SPACE, key: value } }))
    };
    let post = |what, path, body, answer| Attempt {
        what,
        method: "POST",
        path,
        content_type: "application/json",
        body,
        answer,
    };
    let about = |kind: &str, version: &str| {
        let regarding = json!({ "apiVersion": version, "kind": kind, "namespace": SPACE, "name": "web" });
        own("SeccompRefused", json!({ "regarding": regarding }))
    };
    let owner = json!([{ "apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "u" }]);
    vec![
        post(
            "an Event as the kubelet",
            EVENTS,
            event("forged", "kubelet", "SeccompRefused", json!({})),
            AS_ITSELF,
        ),
        post("an Event of its own with a reason of the kubelet", EVENTS, own("Killing", json!({})), ABOUT),
        post("an Event about a Deployment", EVENTS, about("Deployment", "apps/v1"), ABOUT),
        post("an Event about a Service", EVENTS, about("Service", "v1"), ABOUT),
        post(
            "an Event that names a second object",
            EVENTS,
            own("SeccompRefused", json!({ "related": { "apiVersion": "v1", "kind": "Node", "name": "n" } })),
            ABOUT,
        ),
        post("an Event that a pod owns", EVENTS, with("ownerReferences", owner), PLAIN),
        post(
            "an Event that cannot be deleted",
            EVENTS,
            with("finalizers", json!(["example.org/other"])),
            PLAIN,
        ),
        post("an Event with a label", EVENTS, with("labels", json!({ "a": "b" })), PLAIN),
        post(
            "an Event by the older group",
            "/api/v1/namespaces/shop/events",
            json!({ "metadata": { "name": "forged" } }),
            Answer::Refused(403, "cannot create"),
        ),
        Attempt {
            what: "the series of the kubelet's Event",
            method: "PATCH",
            path: "/apis/events.k8s.io/v1/namespaces/shop/events/of-the-kubelet",
            content_type: MERGE,
            body: json!({ "series": { "count": 9, "lastObservedTime": "2026-01-01T00:00:00.000000Z" } }),
            answer: AS_ITSELF,
        },
        Attempt {
            what: "the kubelet's Event deleted",
            method: "DELETE",
            path: "/apis/events.k8s.io/v1/namespaces/shop/events/of-the-kubelet",
            content_type: "application/json",
            body: json!({}),
            answer: Answer::Refused(403, "cannot delete"),
        },
    ]
}
