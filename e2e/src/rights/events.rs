//! What a stolen operator or gate might try with its right to publish Events in every namespace, and how it is refused.

use api::names::{GATE_FIELD_MANAGER, OPERATOR_FIELD_MANAGER};
use serde_json::{Value, json};

use super::attempts::{Answer, Attempt};

/// The namespace of the pod `web` and of the Event [`OTHERS`], which exist.
pub const SPACE: &str = "shop";
/// An Event of the kubelet.
pub const OTHERS: &str = "of-the-kubelet";

const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/shop/events";

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

/// What the policy of one account says.
struct Policy {
    /// The reporting controller of its own Events, which its account's name contains, too.
    controller: &'static str,
    /// A reason of its Events about pods.
    reason: &'static str,
    as_itself: &'static str,
    about: &'static str,
    plain: &'static str,
}

impl Policy {
    fn own(&self, reason: &str, more: Value) -> Value {
        event("forged", self.controller, reason, more)
    }

    /// An Event with a reason of its own about the object `web` of this kind.
    fn about(&self, kind: &str, version: &str) -> Value {
        let regarding = json!({ "apiVersion": version, "kind": kind, "namespace": SPACE, "name": "web" });
        self.own(self.reason, json!({ "regarding": regarding }))
    }

    /// The attempts that both accounts are refused.
    fn attempts(&self) -> Vec<Attempt> {
        let as_itself = Answer::Refused(422, self.as_itself);
        let about = Answer::Refused(422, self.about);
        let plain = Answer::Refused(422, self.plain);
        let with = |key: &str, value: Value| {
            self.own(self.reason, json!({ "metadata": { "name": "forged", "namespace": SPACE, key: value } }))
        };
        let related = json!({ "related": { "apiVersion": "v1", "kind": "Node", "name": "n" } });
        let of_kubelet = json!({ "deprecatedSource": { "component": "kubelet" } });
        let owner = json!([{ "apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "u" }]);
        vec![
            post("an Event as the kubelet", event("forged", "kubelet", self.reason, json!({})), as_itself),
            post(
                "an Event with the kubelet as its source",
                self.own(self.reason, of_kubelet),
                Answer::Refused(422, "needs to be unset"),
            ),
            post("an Event of its own with a reason of the kubelet", self.own("Killing", json!({})), about),
            post("an Event about a Deployment", self.about("Deployment", "apps/v1"), about),
            post("an Event about a Service", self.about("Service", "v1"), about),
            post("an Event that names a second object", self.own(self.reason, related), about),
            post("an Event that a pod owns", with("ownerReferences", owner), plain),
            post("an Event that cannot be deleted", with("finalizers", json!(["example.org/other"])), plain),
            post("an Event with a label", with("labels", json!({ "a": "b" })), plain),
            Attempt {
                path: "/api/v1/namespaces/shop/events",
                ..post(
                    "an Event by the older group",
                    json!({ "metadata": { "name": "forged" } }),
                    Answer::Refused(403, "cannot create"),
                )
            },
            patch(
                "the series of the kubelet's Event",
                json!({ "series": { "count": 9, "lastObservedTime": "2026-01-01T00:00:00.000000Z" } }),
                as_itself,
            ),
            patch(
                "a label of the kubelet's Event",
                json!({ "metadata": { "labels": { "a": "b" } } }),
                as_itself,
            ),
            Attempt {
                what: "the kubelet's Event deleted",
                method: "DELETE",
                content_type: "application/json",
                ..patch("", json!({}), Answer::Refused(403, "cannot delete"))
            },
        ]
    }
}

fn post(what: &'static str, body: Value, answer: Answer) -> Attempt {
    Attempt { what, method: "POST", path: EVENTS, content_type: "application/json", body, answer }
}

/// A merge patch of the Event [`OTHERS`].
fn patch(what: &'static str, body: Value, answer: Answer) -> Attempt {
    const PATH: &str = "/apis/events.k8s.io/v1/namespaces/shop/events/of-the-kubelet";
    let content_type = "application/merge-patch+json";
    Attempt { what, method: "PATCH", path: PATH, content_type, body, answer }
}

/// With the token of the operator, where there are observers.
pub fn attempts() -> Vec<Attempt> {
    let policy = Policy {
        controller: OPERATOR_FIELD_MANAGER,
        reason: "SeccompRefused",
        as_itself: "the operator publishes Events as itself, and changes none of others",
        about: "the operator publishes Events about the objects of this project, and about refused system calls of pods",
        plain: "the operator's Events have no owner, finalizer, label or annotation",
    };
    policy.attempts()
}

/// With the token of the operator where there are no observers, and an Event [`OTHERS`] about a Node.
pub fn attempts_without_observers() -> Vec<Attempt> {
    const IN_DEFAULT: &str = "/apis/events.k8s.io/v1/namespaces/default/events";
    let as_itself =
        Answer::Refused(422, "the operator publishes Events as itself, and changes none of others");
    let about =
        |body, what| Attempt { path: IN_DEFAULT, ..post(what, body, Answer::Refused(422, OF_THE_PROJECT)) };
    let of_pod = event(
        "forged",
        OPERATOR_FIELD_MANAGER,
        "SeccompRefused",
        json!({
            "metadata": { "name": "forged", "namespace": "default" },
            "regarding": { "apiVersion": "v1", "kind": "Pod", "namespace": "default", "name": "web" },
        }),
    );
    vec![
        Attempt {
            path: IN_DEFAULT,
            ..post("an Event about a Node as the kubelet", of_node("kubelet", "NodeNotReady"), as_itself)
        },
        about(of_node(OPERATOR_FIELD_MANAGER, "NodeNotReady"), "an Event of its own about a Node"),
        about(of_pod, "an Event of its own about a pod"),
        Attempt {
            path: "/apis/events.k8s.io/v1/namespaces/default/events/of-the-kubelet",
            ..patch(
                "the series of the kubelet's Event about a Node",
                json!({ "series": { "count": 9, "lastObservedTime": "2026-01-01T00:00:00.000000Z" } }),
                as_itself,
            )
        },
        post(
            "an Event in another namespace",
            event("forged", OPERATOR_FIELD_MANAGER, "SeccompRefused", json!({})),
            Answer::Refused(403, "cannot create"),
        ),
    ]
}

/// What the policy says where there are no observers.
const OF_THE_PROJECT: &str = "the operator publishes Events about the objects of this project";

/// With the token of the gate.
pub fn attempts_of_gate() -> Vec<Attempt> {
    let policy = Policy {
        controller: GATE_FIELD_MANAGER,
        reason: "NoSuchProfile",
        as_itself: "the gate publishes Events as itself, and changes none of others",
        about: "the gate publishes Events about profiles that pods wait for or nodes lack",
        plain: "the gate's Events have no owner, finalizer, label or annotation",
    };
    let about = Answer::Refused(422, policy.about);
    let mut attempts = policy.attempts();
    attempts.extend([
        post(
            "an Event about a profile",
            policy.about("SeccompProfile", "seccomp.imjasonh.dev/v1alpha1"),
            about,
        ),
        post("an Event about a pod with a reason about Nodes", policy.own("ProfilesReady", json!({})), about),
        Attempt {
            path: "/apis/events.k8s.io/v1/namespaces/default/events",
            ..post(
                "an Event about a Node with a reason of the kubelet",
                of_node(GATE_FIELD_MANAGER, "NodeNotReady"),
                about,
            )
        },
    ]);
    attempts
}

/// An Event of `controller` about the Node `n1`.
pub fn of_node(controller: &str, reason: &str) -> Value {
    event(
        OTHERS,
        controller,
        reason,
        json!({
            "metadata": { "name": OTHERS, "namespace": "default" },
            "regarding": { "apiVersion": "v1", "kind": "Node", "name": "n1" },
        }),
    )
}
