//! When the gate's program takes the start-up taint off a Node, what its account may do to Nodes, and which new Nodes the
//! chart's policy taints.

use std::fs;
use std::path::PathBuf;

use bench::api_server::audit::Log;
use bench::api_server::{Agents, OperatorOptions, OperatorProcess, Options};
use cluster::NAMESPACE;
use e2e::rights::attempts::{Answer, Attempt};
use e2e::rights::gate_nodes::{self, TAINT, condition, remove_taint, status, target};
use k8s_openapi::api::core::v1::{Node, Pod, ServiceAccount};
use k8s_openapi::api::events::v1::Event;
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::stolen::{thief, try_attempt};
use super::support::{Environment, LIMIT, bytes_of, contents, operator, send, start_operator, until};

const READY: &str = "seccomp.imjasonh.dev/ProfilesReady";

fn object(node: &Value) -> DynamicObject {
    serde_json::from_value(node.clone()).unwrap()
}

fn stored(node: DynamicObject) -> Value {
    serde_json::to_value(node).unwrap()
}

/// Nodes without types, so that every field is seen as it is stored.
fn nodes(admin: &Client) -> Api<DynamicObject> {
    Api::all_with(admin.clone(), &ApiResource::erase::<Node>(&()))
}

pub(super) async fn get_node(admin: &Client, name: &str) -> Value {
    stored(nodes(admin).get(name).await.unwrap())
}

async fn create_node(admin: &Client, node: &Value) -> Value {
    stored(nodes(admin).create(&PostParams::default(), &object(node)).await.unwrap())
}

/// The keys of a Node's taints.
fn taints(node: &Value) -> Vec<&str> {
    node["spec"]["taints"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|taint| taint["key"].as_str())
        .collect()
}

pub(super) fn is_tainted(node: &Value) -> bool {
    taints(node).contains(&TAINT)
}

/// Status and reason of the condition.
fn shown(node: &Value) -> Option<(String, String)> {
    let mut conditions = node["status"]["conditions"].as_array()?.iter();
    let found = conditions.find(|condition| condition["type"] == READY)?;
    Some((found["status"].as_str()?.to_owned(), found["reason"].as_str()?.to_owned()))
}

pub(super) async fn wait_shown(admin: &Client, name: &str, status: &str, reason: &str) -> Value {
    until(&format!("{name} being {status} because of {reason}"), LIMIT, async || {
        let node = get_node(admin, name).await;
        (shown(&node) == Some((status.to_owned(), reason.to_owned()))).then_some(node)
    })
    .await
}

/// The environment with this value of `gate.nodes.taintNewNodes`; if it is true, once the policy is in force.
async fn environment_with(taint_new_nodes: bool) -> Environment {
    environment_of(taint_new_nodes, "true").await
}

/// The same with this value of `gate.nodes.removeTaint`.
async fn environment_of(taint_new_nodes: bool, remove_taint: &str) -> Environment {
    let value = format!("gate.nodes.taintNewNodes={taint_new_nodes},gate.nodes.removeTaint={remove_taint}");
    let values = ["--set", "gate.enabled=true", "--set", &value].map(String::from).to_vec();
    let environment = Environment::with(Options { values, ..Options::default() }).await;
    if taint_new_nodes {
        until("a tainted Node", LIMIT, async || {
            let params = PostParams { dry_run: true, ..PostParams::default() };
            let tried = json!({ "metadata": { "name": "tried" } });
            let created = stored(nodes(&environment.admin).create(&params, &object(&tried)).await.unwrap());
            is_tainted(&created).then_some(())
        })
        .await;
    }
    environment
}

/// The gate, about Nodes.
pub(super) fn start(environment: &Environment, arguments: &[&str]) -> OperatorProcess {
    let taint = format!("--startup-taint={TAINT}");
    start_without_taint(environment, &[&[taint.as_str()], arguments].concat())
}

/// The gate, about Nodes, as with `gate.nodes.removeTaint=false`.
fn start_without_taint(environment: &Environment, arguments: &[&str]) -> OperatorProcess {
    let arguments = [&["--nodes"], arguments].concat();
    let options = OperatorOptions { number: 0, url: None, lease: None };
    OperatorProcess::start_gate(&operator(), &environment.server, &options, &arguments).unwrap()
}

/// The accepted writes of the gate about a Node, in order.
fn writes(log: &Log, node: &str) -> Vec<String> {
    let requests = log.writes().unwrap().into_iter();
    let of_node = requests.filter(|request| {
        request.account().ends_with("-gate") && request.object_ref.name == node && request.was_accepted()
    });
    of_node.map(|request| request.resource()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_node_is_released_when_its_agent_has_reported_every_profile_and_written_no_more_than_needed() {
    let environment = environment_with(true).await;
    let admin = &environment.admin;
    let _operator = start_operator(&environment);
    let gate = start(&environment, &[]);
    for number in 0..3 {
        environment.apply(&format!("p{number}"), &contents(number)).await;
    }
    // An agent that joins writes all of them before its first report.
    for number in 0..3 {
        until("an accepted profile", LIMIT, async || {
            let profile = environment.get(&format!("p{number}")).await?;
            profile["status"]["contentHash"].is_string().then_some(())
        })
        .await;
    }
    let log = environment.server.audit();
    let mut agents = environment.agents(None).await;
    let names: Vec<_> = (0..5).map(|number| format!("n{number}")).collect();
    // The Node is there, and its agent's pod, but no agent.
    for name in &names {
        agents.register(name).await.unwrap();
        let node = wait_shown(admin, name, "Unknown", "NoReport").await;
        assert!(is_tainted(&node), "{node}");
    }
    for name in &names {
        agents.start(name).await.unwrap();
    }
    for (number, name) in names.iter().enumerate() {
        let node = wait_shown(admin, name, "True", "AllProfiles").await;
        assert!(!is_tainted(&node), "{node}");
        for profile in 0..3 {
            let file = agents.directory(name).join(format!("p{profile}.json"));
            assert_eq!(fs::read(file).unwrap(), bytes_of(&contents(profile)), "node {number}");
        }
    }
    // A later profile neither taints a node again nor changes its condition.
    environment.apply("later", &contents(9)).await;
    until("the later profile ready", LIMIT, async || {
        let profile = environment.get("later").await?;
        (profile["status"]["state"] == "Ready").then_some(())
    })
    .await;
    for name in &names {
        let written = writes(&log, name);
        let taints = written.iter().filter(|resource| *resource == "nodes").count();
        // One more if the agent's first report lacked a profile.
        let conditions = written.iter().filter(|resource| *resource == "nodes/status").count();
        assert!(taints == 1 && (2..=3).contains(&conditions), "{name}: {written:?}");
    }
    // A gate that starts again has nothing to write.
    drop(gate);
    let log = environment.server.audit();
    let _gate = start(&environment, &[]);
    agents.join("last").await.unwrap();
    wait_shown(admin, "last", "True", "AllProfiles").await;
    for name in &names {
        assert_eq!(writes(&log, name), [""; 0], "{name}");
    }
}

/// Waits until the operator has accepted a profile: before that no node is kept for it.
async fn wait_accepted(environment: &Environment, profile: &str) {
    until(&format!("{profile} being accepted"), LIMIT, async || {
        let profile = environment.get(profile).await?;
        let mut conditions = profile["status"]["conditions"].as_array()?.iter();
        conditions.any(|it| it["type"] == "Accepted" && it["status"] == "True").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_another_owner_keeps_the_taint_until_somebody_removes_it() {
    let environment = environment_with(true).await;
    let admin = &environment.admin;
    let _operator = start_operator(&environment);
    let _gate = start(&environment, &[]);
    environment.apply("a", &contents(0)).await;
    wait_accepted(&environment, "a").await;
    let mut agents = environment.agents(None).await;
    let file = put_others_file(&agents, "n0", "a");
    agents.join("n0").await.unwrap();
    let node = wait_shown(admin, "n0", "False", "Conflict").await;
    assert!(is_tainted(&node));
    wait_event(admin, "n0", "ProfileConflict").await;
    // Another profile changes nothing about it.
    environment.apply("b", &contents(1)).await;
    agents.join("n1").await.unwrap();
    wait_shown(admin, "n1", "True", "AllProfiles").await;
    assert!(is_tainted(&get_node(admin, "n0").await));
    fs::remove_file(&file).unwrap();
    assert!(!is_tainted(&wait_shown(admin, "n0", "True", "AllProfiles").await));
}

/// Gives a Node the start-up taint and no other.
pub(super) async fn put_taint(admin: &Client, node: &str) {
    let taint = json!({ "spec": { "taints": [{ "key": TAINT, "effect": "NoSchedule" }] } });
    nodes(admin).patch(node, &PatchParams::default(), &Patch::Merge(&taint)).await.unwrap();
}

/// Puts a file of another owner in the place of a profile.
fn put_others_file(agents: &Agents, node: &str, profile: &str) -> PathBuf {
    let file = agents.directory(node).join(format!("{profile}.json"));
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "{}").unwrap();
    file
}

/// Waits for an Event about a Node.
async fn wait_event(admin: &Client, node: &str, reason: &str) {
    let events: Api<Event> = Api::namespaced(admin.clone(), "default");
    until(&format!("an Event {reason} about {node}"), LIMIT, async || {
        let all = events.list(&ListParams::default()).await.unwrap();
        let about = |event: &Event| {
            event.reason.as_deref() == Some(reason)
                && event.regarding.as_ref().is_some_and(|about| about.name.as_deref() == Some(node))
        };
        all.items.iter().any(about).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_request_a_node_is_released_in_spite_of_a_file_of_another_owner_and_an_event_says_so() {
    let environment = environment_with(true).await;
    let admin = &environment.admin;
    let _operator = start_operator(&environment);
    let _gate = start(&environment, &["--release-nodes-with-problems"]);
    environment.apply("a", &contents(0)).await;
    wait_accepted(&environment, "a").await;
    let mut agents = environment.agents(None).await;
    put_others_file(&agents, "n0", "a");
    agents.join("n0").await.unwrap();
    wait_event(admin, "n0", "ReleasedWithoutProfiles").await;
    let node = wait_shown(admin, "n0", "False", "Conflict").await;
    assert!(!is_tainted(&node), "{node}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_another_program_takes_the_taint_off_the_gate_writes_the_condition_and_may_do_no_more() {
    let environment = environment_of(false, "false").await;
    let admin = &environment.admin;
    let _operator = start_operator(&environment);
    let log = environment.server.audit();
    let _gate = start_without_taint(&environment, &[]);
    environment.apply("a", &contents(0)).await;
    let mut agents = environment.agents(None).await;
    for name in ["n0", "n1"] {
        agents.register(name).await.unwrap();
        put_taint(admin, name).await;
        agents.start(name).await.unwrap();
        assert!(is_tainted(&wait_shown(admin, name, "True", "AllProfiles").await), "{name}");
    }
    assert!(writes(&log, "n0").iter().all(|resource| resource == "nodes/status"));
    assert!(is_tainted(&get_node(admin, "n0").await));
    let thief = thief(&environment, "gate").await;
    let json_patch = "application/json-patch+json";
    let (code, answer) = send(&thief, "PATCH", "/api/v1/nodes/n0", json_patch, &json!([])).await;
    assert!(code == 403 && answer["message"].as_str().unwrap().contains("cannot patch"), "{code} {answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_condition_is_unknown_when_no_agent_has_been_ready_for_the_stated_time_and_right_again_afterwards()
 {
    let environment = environment_with(false).await;
    let admin = &environment.admin;
    let _operator = start_operator(&environment);
    environment.apply("a", &contents(0)).await;
    let mut agents = environment.agents(None).await;
    agents.join("n0").await.unwrap();
    let gate = start(&environment, &["--nodes-unknown-after=2s"]);
    wait_shown(admin, "n0", "True", "AllProfiles").await;
    let pods: Api<Pod> = Api::namespaced(admin.clone(), NAMESPACE);
    let pod = pods.list(&ListParams::default()).await.unwrap().items.remove(0).metadata.name.unwrap();
    let ready = async |status: &str| {
        let conditions = json!([{ "type": "Ready", "status": status }]);
        let patch = Patch::Strategic(json!({ "status": { "conditions": conditions } }));
        pods.patch_status(&pod, &PatchParams::default(), &patch).await.unwrap();
    };
    ready("False").await;
    wait_shown(admin, "n0", "Unknown", "AgentDown").await;
    // A taint that somebody puts on now stays: nobody knows what is on the node.
    put_taint(admin, "n0").await;
    drop(gate);
    let _gate = start(&environment, &["--nodes-unknown-after=2s"]);
    agents.join("n1").await.unwrap();
    wait_shown(admin, "n1", "True", "AllProfiles").await;
    let node = get_node(admin, "n0").await;
    assert!(is_tainted(&node) && shown(&node).unwrap().1 == "AgentDown", "{node}");
    ready("True").await;
    assert!(!is_tainted(&wait_shown(admin, "n0", "True", "AllProfiles").await));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_gate_takes_the_start_up_taint_off_writes_the_condition_and_changes_nothing_else_of_a_node()
{
    let environment = environment_with(false).await;
    let (admin, thief) = (&environment.admin, thief(&environment, "gate").await);
    forbidden_requests_are_refused(admin, &thief, &[]).await;

    // What it is for.
    let json_patch = "application/json-patch+json";
    let (code, node) = send(&thief, "PATCH", "/api/v1/nodes/n1", json_patch, &remove_taint()).await;
    assert!(code == 200 && !is_tainted(&node), "{code} {node}");
    for status in ["False", "True"] {
        let patch = json!({ "status": { "conditions": [condition(status)] } });
        let strategic = "application/strategic-merge-patch+json";
        let (code, node) = send(&thief, "PATCH", "/api/v1/nodes/n1/status", strategic, &patch).await;
        assert_eq!(code, 200, "{node}");
        assert_eq!(shown(&node).unwrap().0, status);
        let kubelets =
            node["status"]["conditions"].as_array().unwrap().iter().find(|it| it["type"] == "Ready");
        assert_eq!(kubelets.unwrap()["status"], "True", "{node}");
    }
}

/// Sends each forbidden request about a Node that it creates, n1. Those in `without_effect` are about fields that the API
/// server does not have, and it drops them.
pub(super) async fn forbidden_requests_are_refused(admin: &Client, thief: &Client, without_effect: &[&str]) {
    create_node(admin, &target()).await;
    nodes(admin).patch_status("n1", &PatchParams::default(), &Patch::Merge(&status())).await.unwrap();
    let before = get_node(admin, "n1").await;
    assert_eq!(taints(&before)[1], TAINT);
    for attempt in gate_nodes::attempts() {
        let answer = if without_effect.contains(&attempt.what) { Answer::NoEffect } else { attempt.answer };
        try_attempt(thief, &Attempt { answer, ..attempt }, attempt.path).await;
    }
    assert_eq!(get_node(admin, "n1").await, before, "to the last field");
}

/// What a write of the gate rests on: nothing bound to a Node's version, which changes with each heartbeat.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_was_meant_for_a_node_that_was_replaced_is_refused() {
    let environment = environment_with(false).await;
    let (admin, thief) = (&environment.admin, thief(&environment, "gate").await);
    create_node(admin, &target()).await;
    let patch = json!({ "metadata": { "uid": "earlier" }, "status": { "conditions": [condition("True")] } });
    let strategic = "application/strategic-merge-patch+json";
    let (code, answer) = send(&thief, "PATCH", "/api/v1/nodes/n1/status", strategic, &patch).await;
    assert_eq!(code, 422, "{answer}");
    let test = json!({ "op": "test", "path": "/metadata/uid", "value": "earlier" });
    let operations = json!([test, { "op": "remove", "path": "/spec/taints/1" }]);
    let json_patch = "application/json-patch+json";
    let (code, answer) = send(&thief, "PATCH", "/api/v1/nodes/n1", json_patch, &operations).await;
    assert_eq!(code, 422, "{answer}");
    assert!(is_tainted(&get_node(admin, "n1").await));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_new_linux_node_is_tainted_once_on_request_and_none_without_the_gates_account() {
    let environment = environment_with(true).await;
    let admin = &environment.admin;
    let node = |name: &str, os: &str, taints: Value| json!({ "metadata": { "name": name, "labels": { "kubernetes.io/os": os } }, "spec": { "taints": taints } });
    let other = json!({ "key": "other", "effect": "NoExecute" });
    let ours = json!({ "key": TAINT, "value": "pending", "effect": "NoExecute" });
    for (what, new, times) in [
        ("no taint", node("plain", "linux", json!(null)), 1),
        ("another's", node("others", "linux", json!([other])), 1),
        ("ours with another effect", node("ours", "linux", json!([ours])), 1),
        ("another system", node("windows", "windows", json!(null)), 0),
    ] {
        let created = create_node(admin, &new).await;
        let found = taints(&created).into_iter().filter(|key| *key == TAINT).count();
        assert_eq!(found, times, "{what}: {created}");
    }
    let accounts: Api<ServiceAccount> = Api::namespaced(admin.clone(), NAMESPACE);
    accounts.delete(&format!("{NAMESPACE}-gate"), &DeleteParams::default()).await.unwrap();
    until("the policy having no effect", LIMIT, async || {
        let params = PostParams { dry_run: true, ..PostParams::default() };
        let tried = object(&node("tried", "linux", json!(null)));
        let created = stored(nodes(admin).create(&params, &tried).await.unwrap());
        (!is_tainted(&created)).then_some(())
    })
    .await;
}
