//! What a stolen observer might try with its rights to create an observation and to write its status, and how it is
//! refused.

use serde_json::{Value, json};

use super::attempts::{Answer, Attempt};

const ALL: &str = "/apis/seccomp.imjasonh.dev/v1alpha1/seccompobservations";
const OWN: &str = "/apis/seccomp.imjasonh.dev/v1alpha1/seccompobservations/node-1";
const OWN_STATUS: &str = "/apis/seccomp.imjasonh.dev/v1alpha1/seccompobservations/node-1/status";
const OTHER_STATUS: &str = "/apis/seccomp.imjasonh.dev/v1alpha1/seccompobservations/node-2/status";
const OTHER_APPLIED: &str = "/apis/seccomp.imjasonh.dev/v1alpha1/seccompobservations/node-2/status?fieldManager=seccomp-profile-observer&force=true";

const MERGE: &str = "application/merge-patch+json";

/// An observation of this name, with more metadata.
pub fn observation(name: &str, more: Value) -> Value {
    let mut object = json!({
        "apiVersion": "seccomp.imjasonh.dev/v1alpha1", "kind": "SeccompObservation",
        "metadata": { "name": name }, "spec": {},
    });
    if let (Some(metadata), Value::Object(more)) = (object["metadata"].as_object_mut(), more) {
        metadata.extend(more);
    }
    object
}

/// A report that the schema accepts.
fn forged() -> Value {
    json!({ "report": {
        "observerVersion": "stolen", "state": "Observing", "boot": "", "outside": 0, "unknown": 0, "forgotten": 0,
        "lost": 0,
    } })
}

fn attempt(
    what: &'static str,
    method: &'static str,
    path: &'static str,
    content_type: &'static str,
    body: Value,
    answer: Answer,
) -> Attempt {
    Attempt { what, method, path, content_type, body, answer }
}

/// With the token of the observer of node-1. The observations of node-1 and node-2 exist.
pub fn attempts() -> Vec<Attempt> {
    let elsewhere = Answer::Refused(
        422,
        "the observer of node \"node-1\" reports for its own node only, not for \"node-2\"",
    );
    let plain = Answer::Refused(
        422,
        "an observer's report belongs to its Node, and has no finalizer, label or annotation",
    );
    let cannot = Answer::Refused(403, "cannot");
    let owner = |kind: &str, name: &str| json!({ "ownerReferences": [{ "apiVersion": "v1", "kind": kind, "name": name, "uid": "u" }] });
    let mut applied = observation("node-2", json!({}));
    applied["status"] = forged();
    let json_type = "application/json";
    let create =
        |what, name, more, answer| attempt(what, "POST", ALL, json_type, observation(name, more), answer);
    vec![
        attempt(
            "another node's report, by merge patch",
            "PATCH",
            OTHER_STATUS,
            MERGE,
            json!({ "status": forged() }),
            elsewhere,
        ),
        attempt(
            "another node's report removed",
            "PATCH",
            OTHER_STATUS,
            MERGE,
            json!({ "status": null }),
            elsewhere,
        ),
        attempt(
            "another node's report, by server-side apply as the observers do",
            "PATCH",
            OTHER_APPLIED,
            "application/apply-patch+yaml",
            applied,
            elsewhere,
        ),
        create("an observation for another node", "node-2", json!({}), elsewhere),
        attempt(
            "an observation with a generated name",
            "POST",
            ALL,
            json_type,
            json!({
                "apiVersion": "seccomp.imjasonh.dev/v1alpha1", "kind": "SeccompObservation",
                "metadata": { "generateName": "node-" }, "spec": {},
            }),
            Answer::Refused(422, "reports for its own node only"),
        ),
        create("its own with another owner", "node-1", owner("ConfigMap", "node-1"), plain),
        create("its own, owned by another Node", "node-1", owner("Node", "node-2"), plain),
        create("its own with a finalizer", "node-1", json!({ "finalizers": ["example.org/stuck"] }), plain),
        create("its own with a label", "node-1", json!({ "labels": { "a": "b" } }), plain),
        attempt(
            "labels and a finalizer through the status",
            "PATCH",
            OWN_STATUS,
            MERGE,
            json!({ "metadata": { "labels": { "a": "b" }, "finalizers": ["example.org/stuck"] } }),
            Answer::NoEffect,
        ),
        attempt("its own object but the status", "PATCH", OWN, MERGE, json!({ "spec": {} }), cannot),
        attempt("its own observation deleted", "DELETE", OWN, json_type, json!({}), cannot),
        attempt("all observations deleted", "DELETE", ALL, json_type, json!({}), cannot),
        attempt("a list of observations", "GET", ALL, json_type, json!({}), cannot),
        attempt(
            "its node's profiles' status",
            "PATCH",
            "/apis/seccomp.imjasonh.dev/v1alpha1/nodeprofilestatuses/node-1/status",
            MERGE,
            json!({ "status": null }),
            cannot,
        ),
        attempt(
            "a profile",
            "GET",
            "/apis/seccomp.imjasonh.dev/v1alpha1/seccompprofiles",
            json_type,
            json!({}),
            cannot,
        ),
        attempt("pods", "GET", "/api/v1/pods", json_type, json!({}), cannot),
        attempt("its Node", "GET", "/api/v1/nodes/node-1", json_type, json!({}), cannot),
    ]
}
