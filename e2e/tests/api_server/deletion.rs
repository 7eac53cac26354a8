//! Deletions while some or all nodes are unreachable or deleted.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use api::conditions;
use bench::api_server::{Agents, OperatorOptions, OperatorProcess};
use kube::api::DeleteParams;
use serde_json::Value;

use super::support::{Environment, LIMIT, bytes_of, contents, operator, print_line, until};

/// Nodes with agents, an operator, and a profile that is Ready on all nodes.
struct Scene {
    /// First, so that they are dropped before the server's directory with their files.
    agents: Agents,
    environment: Environment,
    _operator: OperatorProcess,
}

const PROFILE: &str = "going";
const NODES: [&str; 3] = ["n0", "n1", "n2"];

impl Scene {
    async fn new() -> Self {
        let environment = Environment::new().await;
        let options = OperatorOptions { number: 0, url: None, lease: None };
        let operator = OperatorProcess::start(&operator(), &environment.server, &options).unwrap();
        let mut agents = environment.agents(None).await;
        for node in NODES {
            agents.join(node).await.unwrap();
        }
        let scene = Scene { environment, agents, _operator: operator };
        scene.environment.apply(PROFILE, &contents(0)).await;
        scene.until("being Ready on three nodes", |shown| shown["status"]["ready"] == "3/3").await;
        scene
    }

    fn file(&self, node: &str) -> PathBuf {
        self.agents.directory(node).join(format!("{PROFILE}.json"))
    }

    async fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        until(&format!("{PROFILE} {what}"), LIMIT, async || {
            self.environment.get(PROFILE).await.filter(&holds)
        })
        .await
    }

    async fn delete(&self) {
        self.environment.profiles.delete(PROFILE, &DeleteParams::default()).await.unwrap();
    }

    async fn wait_gone(&self) {
        until(&format!("{PROFILE} being gone"), LIMIT, async || {
            self.environment.get(PROFILE).await.is_none().then_some(())
        })
        .await;
    }
}

/// The reason of the condition `Deleting`.
fn deleting(shown: &Value) -> Option<&str> {
    let all = shown["status"]["conditions"].as_array()?;
    all.iter().find(|condition| condition["type"] == conditions::DELETING)?["message"].as_str()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_waits_for_a_node_without_an_agent_and_ends_with_the_node() {
    let mut scene = Scene::new().await;
    scene.agents.stop("n1").await.unwrap();
    scene.delete().await;
    let only = |shown: &Value| {
        deleting(shown).is_some_and(|message| message == "waiting for nodes to remove the file: n1")
    };
    scene.until("waiting for the node without an agent", only).await;
    assert_eq!(fs::read(scene.file("n1")).unwrap(), bytes_of(&contents(0)));
    assert!(!scene.file("n0").exists() && !scene.file("n2").exists());

    scene.agents.remove("n1").await.unwrap();
    let start = Instant::now();
    scene.wait_gone().await;
    print_line(&format!("gone {:.2} s after the node", start.elapsed().as_secs_f64()));
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_nodes_are_unreachable_a_deletion_ends_and_what_follows_is_not_ready_before_they_have_it() {
    let mut scene = Scene::new().await;
    for node in NODES {
        scene.agents.power_off(node);
        scene.agents.set_ready(node, false).await.unwrap();
    }
    scene.delete().await;
    scene.wait_gone().await;
    for node in NODES {
        assert_eq!(fs::read(scene.file(node)).unwrap(), bytes_of(&contents(0)), "{node}");
    }

    scene.environment.apply(PROFILE, &contents(1)).await;
    let shown = scene.until("being reconciled", |shown| shown["status"]["nodes"]["unreachable"] == 3).await;
    assert_eq!(
        (&shown["status"]["state"], &shown["status"]["ready"]),
        (&"Progressing".into(), &"0/3".into())
    );
    // The nodes are reachable again, with the reports and the files of the old profile.
    for node in NODES {
        scene.agents.set_ready(node, true).await.unwrap();
    }
    let shown =
        scene.until("waiting for three nodes", |shown| shown["status"]["nodes"]["pending"] == 3).await;
    assert_eq!(
        (&shown["status"]["state"], &shown["status"]["ready"]),
        (&"Progressing".into(), &"0/3".into())
    );
    for node in NODES {
        scene.agents.start(node).await.unwrap();
    }
    scene.until("being Ready again", |shown| shown["status"]["state"] == "Ready").await;
    for node in NODES {
        assert_eq!(fs::read(scene.file(node)).unwrap(), bytes_of(&contents(1)), "{node}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_nodes_are_gone_a_deletion_ends_whatever_it_was_waiting_for() {
    let mut scene = Scene::new().await;
    for node in NODES {
        scene.agents.stop(node).await.unwrap();
    }
    scene.delete().await;
    let all = |shown: &Value| deleting(shown).is_some_and(|message| message.ends_with(": n0, n1, n2"));
    scene.until("waiting for all nodes", all).await;
    for node in NODES {
        scene.agents.remove(node).await.unwrap();
    }
    scene.wait_gone().await;

    // A profile that never had a node.
    scene.environment.apply(PROFILE, &contents(1)).await;
    let no_nodes = |shown: &Value| shown["status"]["ready"] == "0/0";
    let shown = scene.until("being reconciled without nodes", no_nodes).await;
    assert_eq!(shown["status"]["state"], "Progressing");
    scene.delete().await;
    scene.wait_gone().await;
}
