//! Profiles that select nodes: agents on other nodes remove the file when the operator says so, and only then.

use std::time::Instant;

use api::{NodeProfileStatus, Untrusted};
use bench::api_server::Agents;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::pods::{create, create_namespace, object, pods, using};
use super::releases::accounts_are_held_to_their_parts;
use super::support::{Environment, LIMIT, bytes_of, contents, hash_of, print_line, start_operator, until};

const NAMESPACE: &str = "shop";

/// Applies a profile for the nodes of a pool; its uid.
pub(super) async fn apply_for(environment: &Environment, name: &str, pool: &str) -> String {
    let object = json!({
        "apiVersion": "seccomp.imjasonh.dev/v1alpha1", "kind": "SeccompProfile", "metadata": { "name": name },
        "spec": { "nodeSelector": { "matchLabels": { "pool": pool } }, "contents": contents(1) },
    });
    let params = PatchParams::apply("test").force();
    let applied = environment.profiles.patch(name, &params, &Patch::Apply(&object)).await.unwrap();
    applied.metadata.uid.unwrap()
}

pub(super) async fn label(environment: &Environment, node: &str, pool: &str) {
    let nodes: Api<Node> = Api::all(environment.admin.clone());
    let patch = json!({ "metadata": { "labels": { "pool": pool } } });
    nodes.patch(node, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
}

async fn report(environment: &Environment, node: &str) -> Value {
    let reports: Api<Untrusted<NodeProfileStatus>> = Api::all(environment.admin.clone());
    let found = reports.get_opt(node).await.unwrap();
    found.map(|report| serde_json::to_value(report).unwrap()).unwrap_or_default()
}

/// Waits until the object of a node has these exclusions.
pub(super) async fn excluded(environment: &Environment, node: &str, wanted: Value) -> Value {
    until(&format!("{node} being told {wanted}"), LIMIT, async || {
        let report = report(environment, node).await;
        let excluded = report["spec"].get("excludedProfiles").cloned().unwrap_or_else(|| json!({}));
        (excluded == wanted).then_some(report)
    })
    .await
}

/// Waits until the files in a node's directory and in its report are those of these profiles.
async fn holds(environment: &Environment, agents: &Agents, node: &str, profiles: &[&str]) {
    until(&format!("{node} holding {profiles:?}"), LIMIT, async || {
        let files = std::fs::read_dir(agents.directory(node)).ok()?;
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        let mut on_disk: Vec<_> =
            names.filter_map(|name| Some(name.strip_suffix(".json")?.to_owned())).collect();
        on_disk.sort();
        let report = report(environment, node).await;
        let reported = report["status"]["report"]["files"].as_object().cloned().unwrap_or_default();
        let reported: Vec<_> = reported.into_iter().map(|(name, _)| name).collect();
        (on_disk == profiles && reported == profiles).then_some(())
    })
    .await;
}

async fn ready(environment: &Environment, profile: &str, nodes: &str) {
    until(&format!("{profile} being Ready on {nodes}"), LIMIT, async || {
        let shown = environment.get(profile).await.unwrap();
        (shown["status"]["ready"] == nodes && shown["status"]["state"] == "Ready").then_some(())
    })
    .await;
}

/// Two nodes of different pools, with their agents.
pub(super) async fn two_pools(environment: &Environment) -> Agents {
    let mut agents = environment.agents(None).await;
    for (node, pool) in [("node-1", "web"), ("node-2", "db")] {
        agents.join(node).await.unwrap();
        label(environment, node, pool).await;
    }
    environment.apply("all", &contents(0)).await;
    agents
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_follows_the_labels_of_the_nodes_and_stays_where_a_pod_needs_it() {
    file_follows_labels(&Environment::new().await).await;
}

/// A profile for one of two pools, whose nodes change places; nothing is left of it in the end.
pub(super) async fn file_follows_labels(environment: &Environment) {
    let _operator = start_operator(environment);
    let mut agents = two_pools(environment).await;
    ready(environment, "all", "2/2").await;
    let start = Instant::now();
    let some = apply_for(environment, "some", "web").await;
    excluded(environment, "node-2", json!({ "some": some })).await;
    let told = start.elapsed();
    holds(environment, &agents, "node-2", &["all"]).await;
    print_line(&format!(
        "excluded after {:.2} s, gone and reported after {:.2} s",
        told.as_secs_f64(),
        start.elapsed().as_secs_f64()
    ));
    ready(environment, "some", "1/1").await;
    holds(environment, &agents, "node-1", &["all", "some"]).await;
    let other = report(environment, "node-2").await;
    assert_eq!(other["status"]["report"]["fileCount"], 1);
    assert_eq!(other["status"]["report"].get("problems"), None);

    // The labels change, and a pod on node-1 still needs the file there.
    create_namespace(&environment.admin, NAMESPACE, &json!({})).await;
    let mut pod = using("web", "profiles/some.json");
    pod["spec"]["nodeName"] = "node-1".into();
    create(&environment.admin, NAMESPACE, &pod).await;
    label(environment, "node-1", "db").await;
    label(environment, "node-2", "web").await;
    excluded(environment, "node-2", json!({})).await;
    holds(environment, &agents, "node-2", &["all", "some"]).await;
    // Whoever applies another one sees that the operator has decided about node-1 since.
    let marker = apply_for(environment, "marker", "web").await;
    excluded(environment, "node-1", json!({ "marker": marker })).await;
    holds(environment, &agents, "node-1", &["all", "some"]).await;
    // New contents reach it there, too.
    let held = agents.directory("node-1").join("some.json");
    assert_eq!(std::fs::read(&held).unwrap(), bytes_of(&contents(1)));
    pods(&environment.admin, NAMESPACE)
        .delete("web", &DeleteParams::default().grace_period(0))
        .await
        .unwrap();
    excluded(environment, "node-1", json!({ "marker": marker, "some": some })).await;
    holds(environment, &agents, "node-1", &["all"]).await;
    ready(environment, "some", "1/1").await;

    // A deletion removes it from the nodes that have it, and waits for no other.
    environment.profiles.delete("some", &DeleteParams::default()).await.unwrap();
    until("some being gone", LIMIT, async || environment.get("some").await.is_none().then_some(())).await;
    holds(environment, &agents, "node-2", &["all", "marker"]).await;
    for profile in ["all", "marker"] {
        environment.profiles.delete(profile, &DeleteParams::default()).await.unwrap();
        until("it being gone", LIMIT, async || environment.get(profile).await.is_none().then_some(())).await;
    }
    for node in ["node-1", "node-2"] {
        agents.remove(node).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_and_agents_that_restart_write_nothing_and_an_older_agent_keeps_the_file() {
    let environment = Environment::new().await;
    let operator = start_operator(&environment);
    let mut agents = two_pools(&environment).await;
    // An agent of an earlier release heeds no word.
    agents.register("node-3").await.unwrap();
    label(&environment, "node-3", "db").await;
    let some = apply_for(&environment, "some", "web").await;
    let told = excluded(&environment, "node-3", json!({ "some": some })).await;
    let short = |number| hash_of(&contents(number)).strip_prefix("sha256:").unwrap()[..32].to_owned();
    let files = json!({ "all": short(0), "some": short(1) });
    let status = json!({ "status": { "report": {
        "agentVersion": "0.0.1", "directory": "/", "files": files, "fileCount": 2,
    } } });
    let reports: Api<Untrusted<NodeProfileStatus>> = Api::all(environment.admin.clone());
    reports.patch_status("node-3", &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    assert_eq!(told["spec"]["excludedProfiles"]["some"], some);
    ready(&environment, "all", "3/3").await;
    ready(&environment, "some", "1/1").await;
    excluded(&environment, "node-2", json!({ "some": some })).await;
    holds(&environment, &agents, "node-2", &["all"]).await;
    let settled = async || {
        until("every node's condition", LIMIT, async || {
            let mut versions = Vec::new();
            for node in ["node-1", "node-2", "node-3"] {
                let report = report(&environment, node).await;
                if report["status"]["conditions"][0]["status"] != "True" {
                    return None;
                }
                versions.push(report["metadata"]["resourceVersion"].clone());
            }
            Some(versions)
        })
        .await
    };
    let before = settled().await;
    drop(operator);
    agents.stop("node-2").await.unwrap();
    let _operator = start_operator(&environment);
    agents.start("node-2").await.unwrap();
    environment.apply("later", &contents(2)).await;
    let updated = until("node-2 reporting the later profile", LIMIT, async || {
        let report = report(&environment, "node-2").await;
        report["status"]["report"]["files"].get("later").is_some().then_some(report)
    })
    .await;
    // The word stands as it was, and the agent that restarted has not written the file.
    assert_eq!(updated["spec"], json!({ "excludedProfiles": { "some": some } }));
    assert_eq!(updated["status"]["report"]["files"].get("some"), None);
    assert!(!agents.directory("node-2").join("some.json").exists());
    // Nobody has written the object of the node whose agent did not.
    assert_eq!(report(&environment, "node-3").await["metadata"]["resourceVersion"], before[2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_agent_does_not_say_what_its_node_holds_and_a_stolen_operator_nothing_else_of_the_object() {
    accounts_are_held_to_their_parts(&Environment::new().await).await;
}

/// Pods get a profile's requirements as node affinity. A key that only the profile could have would keep them gated for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_profile_can_have_the_keys_that_the_affinity_of_a_pod_can_have_and_no_others() {
    let environment = Environment::new().await;
    let admin = &environment.admin;
    create_namespace(admin, NAMESPACE, &json!({})).await;
    let params = PostParams { dry_run: true, ..PostParams::default() };
    let long = |length: usize| format!("{}/x", "a".repeat(length));
    let keys = [
        "pool",
        "a.b/x",
        "a-b.c-d/x_y.z",
        "A/x",
        "a..b/x",
        "a.-b/x",
        "a-.b/x",
        ".a/x",
        "a./x",
        "/x",
        "a/",
        "a/b/c",
        "",
    ];
    let mut taken = Vec::new();
    for key in keys.map(str::to_owned).into_iter().chain([long(253), long(254)]) {
        let requirement = json!({ "key": key, "operator": "DoesNotExist" });
        let mut pod = using("tried", "profiles/tried.json");
        pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] =
            json!({ "nodeSelectorTerms": [{ "matchExpressions": [requirement] }] });
        let by_pod = pods(admin, NAMESPACE).create(&params, &object(&pod)).await.is_ok();
        for selector in
            [json!({ "matchExpressions": [requirement] }), json!({ "matchLabels": { key.clone(): "web" } })]
        {
            let profile = json!({
                "apiVersion": "seccomp.imjasonh.dev/v1alpha1", "kind": "SeccompProfile",
                "metadata": { "name": "tried" },
                "spec": { "nodeSelector": selector, "contents": contents(1) },
            });
            let applied = PatchParams { dry_run: true, ..PatchParams::apply("test") };
            let created = environment.profiles.patch("tried", &applied, &Patch::Apply(&profile)).await;
            assert_eq!(created.is_ok(), by_pod, "{selector}: {created:?}");
        }
        taken.extend(by_pod.then_some(key));
    }
    assert_eq!(taken, ["pool", "a.b/x", "a-b.c-d/x_y.z", &*long(253)]);
}
