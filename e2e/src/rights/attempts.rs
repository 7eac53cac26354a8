//! Requests that a role allows and admission must refuse: a role cannot distinguish nodes or fields.

use serde_json::{Value, json};

/// A request that must not change anything beyond the account's part.
#[derive(Debug)]
pub struct Attempt {
    /// What an attacker would gain, for a reader.
    pub what: &'static str,
    /// The HTTP method.
    pub method: &'static str,
    /// The path below the group and version of ours, with its query.
    pub path: &'static str,
    /// The content type.
    pub content_type: &'static str,
    /// The body.
    pub body: Value,
    /// The expected answer.
    pub answer: Answer,
}

/// The answer of the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The status code, and words of the message.
    Refused(u16, &'static str),
    /// It accepts the request and stores none of the attempted changes.
    NoEffect,
}

const MERGE: &str = "application/merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// The profile that the operator's attempts are about. It has the finalizer [`FOREIGN_FINALIZER`] too.
pub const PROFILE: &str = "entrusted";
/// Another program's finalizer on [`PROFILE`].
pub const FOREIGN_FINALIZER: &str = "example.org/other";

fn patch(
    what: &'static str,
    path: &'static str,
    content_type: &'static str,
    body: Value,
    answer: Answer,
) -> Attempt {
    Attempt { what, method: "PATCH", path, content_type, body, answer }
}

/// A report that the schema accepts.
pub fn forged_report() -> Value {
    json!({
        "agentVersion": "stolen", "directory": "/", "fileCount": 1,
        "files": { "forged": "00000000000000000000000000000000" },
    })
}

fn applied(name: &str, status: Value) -> Value {
    json!({
        "apiVersion": "seccomp.imjasonh.dev/v1alpha1", "kind": "NodeProfileStatus",
        "metadata": { "name": name }, "status": status,
    })
}

fn condition(kind: &str) -> Value {
    json!({
        "type": kind, "status": "False", "reason": "Lie", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    })
}

/// With the token of the agent of node-1, about the report of node-2.
pub fn on_another_node(refusal: Answer) -> Vec<Attempt> {
    const OTHER: &str = "/nodeprofilestatuses/node-2/status";
    const APPLIED: &str = "/nodeprofilestatuses/node-2/status?fieldManager=seccomp-profile-agent&force=true";
    let report = || json!({ "report": forged_report() });
    let json_patch = |operation: Value| Value::Array(vec![operation]);
    let unknown = Answer::Refused(415, "the body of the request was in an unknown format");
    vec![
        patch("another node's report, by merge patch", OTHER, MERGE, json!({ "status": report() }), refusal),
        patch(
            "the same as a dry run",
            "/nodeprofilestatuses/node-2/status?dryRun=All",
            MERGE,
            json!({ "status": report() }),
            refusal,
        ),
        patch(
            "the same with a letter of the name escaped",
            "/nodeprofilestatuses/node%2D2/status",
            MERGE,
            json!({ "status": report() }),
            refusal,
        ),
        patch(
            "another node's report removed",
            OTHER,
            MERGE,
            json!({ "status": { "report": null } }),
            refusal,
        ),
        patch("another node's whole status removed", OTHER, MERGE, json!({ "status": null }), refusal),
        patch("a patch of another node's report that changes nothing", OTHER, MERGE, json!({}), refusal),
        patch(
            "another node's report, by JSON patch",
            OTHER,
            JSON_PATCH,
            json_patch(json!({ "op": "add", "path": "/status/report", "value": forged_report() })),
            refusal,
        ),
        patch(
            "another node's status removed by JSON patch",
            OTHER,
            JSON_PATCH,
            json_patch(json!({ "op": "remove", "path": "/status" })),
            refusal,
        ),
        patch(
            "another node's report, by server-side apply as the agents do",
            APPLIED,
            APPLY,
            applied("node-2", report()),
            refusal,
        ),
        patch(
            "the same as a field manager of another name, by force",
            "/nodeprofilestatuses/node-2/status?fieldManager=thief&force=true",
            APPLY,
            applied("node-2", report()),
            refusal,
        ),
        patch(
            "the same as the operator's field manager, by force",
            "/nodeprofilestatuses/node-2/status?fieldManager=seccomp-profile-operator&force=true",
            APPLY,
            applied("node-2", report()),
            refusal,
        ),
        patch("the same with all fields given up", APPLIED, APPLY, applied("node-2", Value::Null), refusal),
        patch(
            "another node's conditions",
            OTHER,
            MERGE,
            json!({ "status": { "conditions": [condition("Ready")] } }),
            refusal,
        ),
        patch(
            "another node's metadata through the status",
            OTHER,
            MERGE,
            json!({ "metadata": { "ownerReferences": null, "finalizers": ["example.org/stuck"] } }),
            refusal,
        ),
        patch(
            "another node's report by strategic merge patch",
            OTHER,
            "application/strategic-merge-patch+json",
            json!({ "status": report() }),
            unknown,
        ),
        patch(
            "another node's report by apply in CBOR",
            OTHER,
            "application/apply-patch+cbor",
            json!({}),
            unknown,
        ),
        patch("another node's report by a patch of no kind", OTHER, "application/json", json!({}), unknown),
        Attempt {
            method: "PUT",
            ..patch(
                "another node's status replaced",
                OTHER,
                "application/json",
                applied("node-2", report()),
                Answer::Refused(403, "cannot update resource \"nodeprofilestatuses/status\""),
            )
        },
        patch(
            "a node's name in capitals",
            "/nodeprofilestatuses/NODE-2/status",
            MERGE,
            json!({ "status": report() }),
            Answer::Refused(404, "not found"),
        ),
        patch(
            "the report of a node that does not exist",
            "/nodeprofilestatuses/node-99/status?fieldManager=seccomp-profile-agent&force=true",
            APPLY,
            applied("node-99", report()),
            Answer::Refused(404, "not found"),
        ),
    ]
}

/// With the token of the agent of node-1, about that node's own object.
pub fn on_its_own_node() -> Vec<Attempt> {
    const OWN: &str = "/nodeprofilestatuses/node-1/status";
    const APPLIED: &str = "/nodeprofilestatuses/node-1/status?fieldManager=seccomp-profile-agent&force=true";
    const REFUSED: Answer =
        Answer::Refused(422, "only the operator writes the conditions of a NodeProfileStatus");
    let json_patch = |operation: Value| Value::Array(vec![operation]);
    vec![
        patch(
            "its own condition",
            OWN,
            MERGE,
            json!({ "status": { "conditions": [condition("Ready")] } }),
            REFUSED,
        ),
        patch(
            "a condition of another type beside it",
            APPLIED,
            APPLY,
            applied("node-1", json!({ "conditions": [condition("Lie")] })),
            REFUSED,
        ),
        patch(
            "its own condition together with its report",
            OWN,
            MERGE,
            json!({ "status": { "report": forged_report(), "conditions": [condition("Ready")] } }),
            REFUSED,
        ),
        patch(
            "the same by server-side apply, by force",
            APPLIED,
            APPLY,
            applied("node-1", json!({ "report": forged_report(), "conditions": [condition("Ready")] })),
            REFUSED,
        ),
        patch(
            "one field of its own condition",
            OWN,
            JSON_PATCH,
            json_patch(
                json!({ "op": "replace", "path": "/status/conditions/0/message", "value": "all is well" }),
            ),
            REFUSED,
        ),
        patch(
            "its own condition removed",
            OWN,
            JSON_PATCH,
            json_patch(json!({ "op": "remove", "path": "/status/conditions/0" })),
            REFUSED,
        ),
        patch("its own conditions emptied", OWN, MERGE, json!({ "status": { "conditions": [] } }), REFUSED),
        patch("its own status removed", OWN, MERGE, json!({ "status": null }), REFUSED),
        patch(
            "a start failure of its own",
            OWN,
            MERGE,
            json!({ "status": { "startFailures": [{ "profile": "p", "reason": "Lie", "message": "m" }] } }),
            Answer::Refused(422, "only the operator writes the start failures of a NodeProfileStatus"),
        ),
        patch(
            "another node's name in the body",
            OWN,
            MERGE,
            json!({ "metadata": { "name": "node-2" }, "status": { "report": forged_report() } }),
            Answer::Refused(400, "does not match the name on the URL"),
        ),
        patch(
            "another node's name in what is applied",
            APPLIED,
            APPLY,
            applied("node-2", json!({ "report": forged_report() })),
            Answer::Refused(400, "does not match the name on the URL"),
        ),
        patch("another kind in the body", OWN, MERGE, json!({ "kind": "SeccompProfile" }), Answer::NoEffect),
        patch(
            "labels and annotations through the status",
            OWN,
            MERGE,
            json!({ "metadata": { "labels": { "a": "b" }, "annotations": { "a": "b" } } }),
            Answer::NoEffect,
        ),
        patch(
            "owner references through the status",
            OWN,
            MERGE,
            json!({ "metadata": { "ownerReferences": null } }),
            Answer::NoEffect,
        ),
        patch(
            "finalizers through the status",
            OWN,
            MERGE,
            json!({ "metadata": { "finalizers": ["example.org/stuck"] } }),
            Answer::NoEffect,
        ),
        patch("spec through the status", OWN, MERGE, json!({ "spec": { "a": "b" } }), Answer::NoEffect),
        patch(
            "the profiles that the operator says it does not hold, through the status",
            OWN,
            MERGE,
            json!({ "spec": { "excludedProfiles": { "a": "b" } } }),
            Answer::NoEffect,
        ),
        patch(
            "the same where they are",
            "/nodeprofilestatuses/node-1",
            MERGE,
            json!({ "spec": { "excludedProfiles": { "a": "b" } } }),
            Answer::Refused(403, "cannot patch resource \"nodeprofilestatuses\""),
        ),
    ]
}

/// With the operator's token, about the profile [`PROFILE`].
pub fn of_the_operator() -> Vec<Attempt> {
    const WHOLE: &str = "/seccompprofiles/entrusted";
    const STATUS: &str = "/seccompprofiles/entrusted/status";
    const SPEC: Answer = Answer::Refused(422, "the operator does not change the spec of a profile");
    const METADATA: Answer =
        Answer::Refused(422, "the operator changes nothing in a profile's metadata but its own finalizer");
    let loose = || json!({ "contents": { "defaultAction": "SCMP_ACT_LOG" } });
    let apply = |name: &str, rest: Value| {
        let mut object = json!({
            "apiVersion": "seccomp.imjasonh.dev/v1alpha1", "kind": "SeccompProfile", "metadata": { "name": name },
        });
        if let (Some(object), Some(rest)) = (object.as_object_mut(), rest.as_object()) {
            object.extend(rest.clone());
        }
        object
    };
    let metadata = |what, fields: Value| patch(what, WHOLE, MERGE, json!({ "metadata": fields }), METADATA);
    let of_node = |what, fields: Value| {
        let refused = "the operator changes nothing in the metadata of a NodeProfileStatus";
        let fields = json!({ "metadata": fields });
        patch(what, "/nodeprofilestatuses/node-1", MERGE, fields, Answer::Refused(422, refused))
    };
    vec![
        patch("a profile's contents, by merge patch", WHOLE, MERGE, json!({ "spec": loose() }), SPEC),
        patch(
            "the same as a dry run",
            "/seccompprofiles/entrusted?dryRun=All",
            MERGE,
            json!({ "spec": loose() }),
            SPEC,
        ),
        patch(
            "one action of a rule, by JSON patch",
            WHOLE,
            JSON_PATCH,
            json!([{ "op": "replace", "path": "/spec/contents/defaultAction", "value": "SCMP_ACT_LOG" }]),
            SPEC,
        ),
        patch(
            "a profile's contents, by server-side apply, by force",
            "/seccompprofiles/entrusted?fieldManager=kubectl&force=true",
            APPLY,
            apply(PROFILE, json!({ "spec": loose() })),
            SPEC,
        ),
        patch(
            "contents and its own finalizer at once",
            WHOLE,
            MERGE,
            json!({ "metadata": { "finalizers": [FOREIGN_FINALIZER] }, "spec": loose() }),
            SPEC,
        ),
        patch(
            "a profile that does not exist, by server-side apply",
            "/seccompprofiles/new?fieldManager=kubectl&force=true",
            APPLY,
            apply("new", json!({ "spec": loose() })),
            Answer::Refused(403, "cannot create resource \"seccompprofiles\""),
        ),
        metadata("a profile's labels", json!({ "labels": { "a": "b" } })),
        metadata(
            "the annotation that permits to delete a profile in use",
            json!({ "annotations": { api::names::DELETE_IN_USE: "true" } }),
        ),
        metadata(
            "an owner that does not exist, for the garbage collector to delete the profile",
            json!({ "ownerReferences": [{ "apiVersion": "v1", "kind": "Node", "name": "gone", "uid": "0" }] }),
        ),
        metadata(
            "a finalizer of another name",
            json!({ "finalizers": [api::names::FINALIZER, FOREIGN_FINALIZER, "example.org/stuck"] }),
        ),
        metadata("somebody else's finalizer removed", json!({ "finalizers": [api::names::FINALIZER] })),
        metadata("every finalizer removed", json!({ "finalizers": null })),
        of_node("labels of a node's object", json!({ "labels": { "a": "b" } })),
        of_node(
            "an owner that does not exist, for the garbage collector to delete a node's object",
            json!({ "ownerReferences": [{ "apiVersion": "v1", "kind": "Node", "name": "gone", "uid": "0" }] }),
        ),
        of_node("a finalizer of a node's object", json!({ "finalizers": ["example.org/stuck"] })),
        Attempt {
            method: "PUT",
            ..patch(
                "a profile replaced",
                WHOLE,
                "application/json",
                apply(PROFILE, json!({ "spec": loose() })),
                Answer::Refused(403, "cannot update resource \"seccompprofiles\""),
            )
        },
        Attempt {
            method: "DELETE",
            ..patch(
                "a profile deleted",
                WHOLE,
                "application/json",
                json!({}),
                Answer::Refused(403, "cannot delete resource \"seccompprofiles\""),
            )
        },
        patch("contents through the status", STATUS, MERGE, json!({ "spec": loose() }), Answer::NoEffect),
        patch(
            "labels and finalizers through the status",
            STATUS,
            MERGE,
            json!({ "metadata": { "labels": { "a": "b" }, "finalizers": null } }),
            Answer::NoEffect,
        ),
        patch(
            "a time of deletion",
            WHOLE,
            MERGE,
            json!({ "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z" } }),
            Answer::Refused(422, "field is immutable"),
        ),
    ]
}
