//! Other releases of Kubernetes: the chart as helm installs it on their API servers, and our programs with them. They do
//! not serve `MutatingAdmissionPolicy` as v1, so that no profile gets its finalizer at creation, no pod a scheduling gate
//! and no new Node a taint.

use bench::api_server::{Account, Options};
use e2e::rights::attempts::{self, Answer, Attempt};
use kube::Client;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use xtask::programs::OtherRelease;

use super::gate_nodes::{
    forbidden_requests_are_refused, get_node, is_tainted, put_taint, start as start_gate, wait_shown,
};
use super::outdated::old_containers_are_counted;
use super::pods::{create, create_namespace, is_gated, pods, stored, using};
use super::rollout::profile_comes_and_goes;
use super::some_nodes::file_follows_labels;
use super::stolen::{thief, thief_of, try_attempt};
use super::support::{Environment, LIMIT, contents, start_operator, until};
use super::values;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: builds another API server"]
async fn on_kubernetes_1_33_all_works_that_needs_no_mutating_policy() {
    all_works_on(OtherRelease::V1_33).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: builds another API server"]
async fn on_kubernetes_1_35_all_works_that_needs_no_mutating_policy() {
    all_works_on(OtherRelease::V1_35).await;
}

async fn all_works_on(release: OtherRelease) {
    let values = ["--set", "gate.enabled=true", "--set", "gate.nodes.taintNewNodes=true"].map(String::from);
    let options = Options { values: values.to_vec(), release: Some(release), ..Options::default() };
    let environment = Environment::with(options).await;
    let version = environment.admin.apiserver_version().await.unwrap();
    assert_eq!(version.git_version, format!("v{}", release.version()));
    notes_tell_what_is_missing(&environment);
    values::hold_to_the_parser(&environment).await;
    profile_comes_and_goes(&environment).await;
    file_follows_labels(&environment).await;
    old_containers_are_counted(&environment).await;
    accounts_are_held_to_their_parts(&environment).await;
    // Nodes have `status.declaredFeatures` since Kubernetes 1.35.
    let without_effect: &[&str] = match release {
        OtherRelease::V1_33 => &["features that the kubelet does not have"],
        OtherRelease::V1_35 => &[],
    };
    let thief = thief(&environment, "gate").await;
    forbidden_requests_are_refused(&environment.admin, &thief, without_effect).await;
    start_up_taint_is_removed(&environment).await;
    gate_that_somebody_set_is_lifted(&environment).await;
}

/// What `helm install` showed.
fn notes_tell_what_is_missing(environment: &Environment) {
    let client = environment.server.command_line().unwrap();
    let notes = client.helm(["get", "notes", cluster::NAMESPACE, "--namespace", cluster::NAMESPACE]).unwrap();
    assert!(notes.contains("does not serve MutatingAdmissionPolicy"), "{notes}");
    assert!(
        notes.contains(
            "no pod waits for its profiles or is kept on the nodes that they select, and no new Node"
        ),
        "{notes}"
    );
    assert!(!notes.contains("seccomp.imjasonh.dev/gate=true"), "{notes}");
    let installed =
        client.helm(["get", "manifest", cluster::NAMESPACE, "--namespace", cluster::NAMESPACE]).unwrap();
    assert!(!installed.contains("kind: MutatingAdmissionPolicy"));
    assert!(installed.contains("kind: ValidatingAdmissionPolicy"));
}

/// Sends each attempt below the group and version of ours.
async fn refused(client: &Client, attempts: Vec<Attempt>) {
    for attempt in attempts {
        let path = format!("/apis/{}/v1alpha1{}", api::names::GROUP, attempt.path);
        try_attempt(client, &attempt, &path).await;
    }
}

pub(super) async fn accounts_are_held_to_their_parts(environment: &Environment) {
    let _operator = start_operator(environment);
    let mut agents = environment.agents(None).await;
    agents.join("node-1").await.unwrap();
    agents.join("node-2").await.unwrap();
    environment.apply(attempts::PROFILE, &contents(1)).await;
    let entrusted = until("the profile of the operator's attempts", LIMIT, async || {
        let profile = environment.get(attempts::PROFILE).await.unwrap();
        (profile["status"]["ready"] == "2/2" && profile["status"]["state"] == "Ready").then_some(profile)
    })
    .await;
    let finalizers = json!([api::names::FINALIZER, attempts::FOREIGN_FINALIZER]);
    set_finalizers(environment, &finalizers).await;

    let stolen = thief_of(environment, Account::Operator(0)).await;
    let agent = agents.client("node-1").unwrap();
    let refusal = r#"the agent of node "node-1" reports for its own node only, not for "node-2""#;
    refused(&agent, attempts::on_another_node(Answer::Refused(422, refusal))).await;
    refused(&agent, attempts::on_its_own_node()).await;
    refused(&stolen, attempts::of_the_operator()).await;

    let after = environment.get(attempts::PROFILE).await.unwrap();
    assert_eq!(after["spec"], entrusted["spec"]);
    assert_eq!(after["metadata"]["finalizers"], finalizers);
    set_finalizers(environment, &json!([api::names::FINALIZER])).await;
    for node in ["node-1", "node-2"] {
        agents.remove(node).await.unwrap();
    }
}

async fn set_finalizers(environment: &Environment, finalizers: &Value) {
    let patch = Patch::Merge(json!({ "metadata": { "finalizers": finalizers } }));
    environment.profiles.patch(attempts::PROFILE, &PatchParams::default(), &patch).await.unwrap();
}

/// The taint comes from the Node's own registration, as no policy puts it on.
async fn start_up_taint_is_removed(environment: &Environment) {
    let admin = &environment.admin;
    let _operator = start_operator(environment);
    let _gate = start_gate(environment, &[]);
    let mut agents = environment.agents(None).await;
    agents.register("new").await.unwrap();
    assert!(!is_tainted(&get_node(admin, "new").await), "no policy taints it");
    put_taint(admin, "new").await;
    assert!(is_tainted(&wait_shown(admin, "new", "Unknown", "NoReport").await));
    agents.start("new").await.unwrap();
    assert!(!is_tainted(&wait_shown(admin, "new", "True", "AllProfiles").await));
}

/// No policy puts a scheduling gate on pods, but their authors may.
async fn gate_that_somebody_set_is_lifted(environment: &Environment) {
    const NAMESPACE: &str = "by-hand";
    let admin = &environment.admin;
    create_namespace(admin, NAMESPACE, &json!({ "labels": { api::names::GATED_NAMESPACE: "true" } })).await;
    let path = format!("profiles/{}.json", attempts::PROFILE);
    assert!(!is_gated(&create(admin, NAMESPACE, &using("plain", &path)).await), "no policy gates it");
    let mut pod = using("web", &path);
    pod["spec"]["schedulingGates"] = json!([{ "name": api::names::SCHEDULING_GATE }]);
    assert!(is_gated(&create(admin, NAMESPACE, &pod).await));
    let _gate = start_gate(environment, &[]);
    until("the gate lifted", LIMIT, async || {
        let pod = stored(pods(admin, NAMESPACE).get("web").await.unwrap());
        (!is_gated(&pod)).then_some(())
    })
    .await;
}
