//! The simplest case: agents and an operator work here as they do on a cluster.

use std::fs;
use std::time::Instant;

use kube::api::DeleteParams;

use super::support::{Environment, LIMIT, bytes_of, contents, print_line, start_operator, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_reaches_every_simulated_node_and_is_removed_again() {
    profile_comes_and_goes(&Environment::new().await).await;
}

/// A profile is applied, reaches five nodes and is deleted.
pub(super) async fn profile_comes_and_goes(environment: &Environment) {
    let _operator = start_operator(environment);
    let mut agents = environment.agents(None).await;
    for number in 0..5 {
        agents.join(&format!("n{number}")).await.unwrap();
    }
    environment.apply("first", &contents(0)).await;
    until("first being Ready on five nodes", LIMIT, async || {
        let shown = environment.get("first").await.unwrap();
        (shown["status"]["ready"] == "5/5" && shown["status"]["state"] == "Ready").then_some(())
    })
    .await;
    let files: Vec<_> = agents.names().map(|node| agents.directory(node).join("first.json")).collect();
    for file in &files {
        assert_eq!(fs::read(file).unwrap(), bytes_of(&contents(0)));
    }

    environment.profiles.delete("first", &DeleteParams::default()).await.unwrap();
    let start = Instant::now();
    until("first being gone", LIMIT, async || environment.get("first").await.is_none().then_some(())).await;
    print_line(&format!("gone after {:.2} s", start.elapsed().as_secs_f64()));
    for file in &files {
        assert!(!file.exists(), "{}", file.display());
    }
    for number in 0..5 {
        agents.remove(&format!("n{number}")).await.unwrap();
    }
}
