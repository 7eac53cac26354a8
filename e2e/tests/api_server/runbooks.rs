//! The runbooks' commands that look for pods and nodes of the gate, on objects that others have marked, too.

use std::process::Command;

use bench::api_server::Options;
use e2e::rights::gate_nodes::TAINT;
use serde_json::{Value, json};

use super::pages::Page;
use super::pods::{create, create_namespace, plain};
use super::support::{Environment, send};

const SHOP: &str = "shop";

/// What the first command of a page prints.
fn printed(environment: &Environment, page: &str) -> String {
    let page = Page::read(page);
    let script = page.blocks().remove(0).script;
    let client = environment.server.command_line().unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", &script]).env("KUBECONFIG", client.kubeconfig());
    shell.env("PATH", format!("{}:{path}", client.programs().directory().display()));
    let output = shell.output().unwrap();
    assert!(output.status.success(), "{script}{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_with_the_start_up_taint_and_gated_pods_are_listed_whatever_other_taints_and_gates_they_have() {
    let environment = Environment::with(Options::default()).await;
    let admin = &environment.admin;
    let put = async |method: &str, path: &str, object: &Value| {
        let kind = if method == "POST" { "application/json" } else { "application/merge-patch+json" };
        let (code, answer) = send(admin, method, path, kind, object).await;
        assert!(code < 300, "{answer}");
    };
    let taint = |key: &str| json!({ "key": key, "effect": "NoSchedule" });
    for (name, keys) in
        [("none", vec![]), ("others", vec!["a", "b"]), ("ours", vec![TAINT]), ("both", vec!["a", TAINT, "b"])]
    {
        let taints: Vec<_> = keys.into_iter().map(taint).collect();
        put("POST", "/api/v1/nodes", &json!({ "metadata": { "name": name }, "spec": { "taints": taints } }))
            .await;
    }
    let ready = json!({ "type": "Ready", "status": "True" });
    let ours = json!({
        "type": "seccomp.imjasonh.dev/ProfilesReady", "status": "False", "reason": "Conflict", "message": "why",
    });
    put("PATCH", "/api/v1/nodes/both/status", &json!({ "status": { "conditions": [ready, ours] } })).await;
    let page = "docs/runbooks/SeccompProfileNodeTainted.md";
    assert_eq!(printed(&environment, page), "both: Conflict: why\nours: \n");

    create_namespace(admin, SHOP, &json!({})).await;
    let ours = api::names::SCHEDULING_GATE;
    for (name, gates) in
        [("none", vec![]), ("others", vec!["a", "b"]), ("ours", vec![ours]), ("both", vec!["a", ours, "b"])]
    {
        let mut pod = plain(name);
        pod["spec"]["schedulingGates"] = gates.into_iter().map(|name| json!({ "name": name })).collect();
        create(admin, SHOP, &pod).await;
    }
    let page = "docs/runbooks/SeccompProfilePodsGated.md";
    assert_eq!(printed(&environment, page), "shop/both\nshop/ours\n");
}
