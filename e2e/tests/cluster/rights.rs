//! What a stolen token of one of our programs is good for.

use serde_json::{Value, json};

use super::support::{LIMIT, Session, harmless, shared, until};
use super::thief::Thief;

const AGENT: &str = "seccomp-profile-node-agent";
const OPERATOR: &str = "seccomp-profile-operator";
const PROFILE: &str = "SeccompProfile";
const REPORT: &str = "NodeProfileStatus";

/// A token of the pod of ours that runs on a node, or of any.
fn token_of_pod(cluster: &Session, account: &str, node: Option<&str>) -> String {
    let component = account.trim_start_matches("seccomp-profile-");
    let selector = format!("--selector=app.kubernetes.io/component={component}");
    let pods = cluster.json(["-n", "seccomp-profile", "get", "pods", &selector]);
    let pods = pods["items"].as_array().unwrap();
    let pod = pods.iter().find(|pod| node.is_none_or(|node| pod["spec"]["nodeName"] == node)).unwrap();
    let text = |field: &str| pod["metadata"][field].as_str().unwrap();
    let (name, uid) =
        (format!("--bound-object-name={}", text("name")), format!("--bound-object-uid={}", text("uid")));
    let kind = "--bound-object-kind=Pod";
    cluster.ok(["-n", "seccomp-profile", "create", "token", account, kind, &name, &uid])
}

/// Refused, with these words.
#[track_caller]
fn refused(result: Result<(), String>, words: &str) {
    let Err(message) = result else { panic!("not refused; it should say: {words}") };
    assert!(message.contains(words), "{message}\nshould contain: {words}");
}

fn report(cluster: &Session, node: &str) -> Value {
    cluster.json(["get", "nodeprofilestatus", node])["status"]["report"].take()
}

fn lie() -> Value {
    json!({ "status": { "report": { "agentVersion": "stolen" } } })
}

#[test]
fn a_stolen_agent_can_lie_about_its_own_node_and_nothing_else() {
    let cluster = shared();
    let profile = cluster.profile("coveted", &harmless(0));
    profile.ready();
    let thief = Thief::new(&cluster, &token_of_pod(&cluster, AGENT, Some("node-1")));

    let truth = report(&cluster, "node-1");
    thief.patch_status(REPORT, "node-1", &lie()).unwrap_or_else(|error| panic!("{error}"));
    // Its true agent says so at once.
    until("the true report of node-1", LIMIT, || {
        (report(&cluster, "node-1")["agentVersion"] == truth["agentVersion"]).then_some(())
    });

    refused(
        thief.patch_status(REPORT, "node-2", &lie()),
        r#"the agent of node "node-1" reports for its own node only, not for "node-2""#,
    );
    let condition = json!({
        "type": "Ready", "status": "True", "reason": "Lie", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    refused(
        thief.patch_status(REPORT, "node-1", &json!({ "status": { "conditions": [condition] } })),
        "the conditions of a NodeProfileStatus are the operator's",
    );

    let label = json!({ "metadata": { "labels": { "a": "b" } } });
    refused(thief.patch(REPORT, "node-1", &label), "is forbidden");
    refused(thief.delete(REPORT, "node-1"), "is forbidden");
    refused(thief.patch(PROFILE, "coveted", &json!({ "spec": { "contents": harmless(1) } })), "is forbidden");
    let removal = json!({ "status": { "removal": "Approved" } });
    refused(thief.patch_status(PROFILE, "coveted", &removal), "is forbidden");
    refused(thief.delete(PROFILE, "coveted"), "is forbidden");
    for kind in ["Pod", "Node", "Secret", "ConfigMap", "ServiceAccount", "Event"] {
        refused(thief.list(kind), "is forbidden");
    }
    thief.list(PROFILE).unwrap();
    profile.ready();
}

#[test]
fn an_agents_token_that_is_bound_to_no_pod_writes_nothing() {
    let cluster = shared();
    let token = cluster.ok(["-n", "seccomp-profile", "create", "token", AGENT]);
    let thief = Thief::new(&cluster, &token);
    refused(thief.patch_status(REPORT, "node-1", &lie()), "the token is bound to no node");
}

#[test]
fn a_stolen_operator_cannot_change_what_a_profile_says() {
    let cluster = shared();
    let profile = cluster.profile("entrusted", &harmless(0));
    let before = profile.ready();
    let thief = Thief::new(&cluster, &token_of_pod(&cluster, OPERATOR, None));

    let spec = json!({ "spec": { "contents": { "defaultAction": "SCMP_ACT_LOG" } } });
    refused(thief.patch(PROFILE, "entrusted", &spec), "the operator does not change what a profile says");
    for metadata in [
        json!({ "labels": { "a": "b" } }),
        json!({ "annotations": { "seccomp.imjasonh.dev/delete-in-use": "true" } }),
        json!({ "ownerReferences": [{ "apiVersion": "v1", "kind": "Node", "name": "gone", "uid": "0" }] }),
        json!({ "finalizers": [api::names::FINALIZER, "example.org/other"] }),
    ] {
        refused(
            thief.patch(PROFILE, "entrusted", &json!({ "metadata": metadata })),
            "of a profile's metadata the operator changes its own finalizer only",
        );
    }
    refused(thief.delete(PROFILE, "entrusted"), "is forbidden");
    for kind in ["Secret", "ConfigMap", "ServiceAccount"] {
        refused(thief.list(kind), "is forbidden");
    }
    let after = profile.ready();
    assert_eq!(after.json()["spec"], before.json()["spec"]);
    assert_eq!(after.json()["metadata"]["finalizers"], before.json()["metadata"]["finalizers"]);
}
