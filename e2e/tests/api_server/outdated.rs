//! Containers that were created before their node's file got its present bytes, as the operator counts them.

use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::pods::{create, create_namespace, pods, using};
use super::support::{Environment, LIMIT, contents, start_operator, until};

const NAMESPACE: &str = "dated";
const PROFILE: &str = "dated";

#[tokio::test(flavor = "multi_thread")]
async fn a_container_is_outdated_from_the_change_of_its_profile_until_it_has_started_again() {
    old_containers_are_counted(&Environment::new().await).await;
}

/// A profile changes while a container runs, which then starts again.
pub(super) async fn old_containers_are_counted(environment: &Environment) {
    let admin = &environment.admin;
    let _operator = start_operator(environment);
    let mut agents = environment.agents(None).await;
    agents.join("node-1").await.unwrap();
    environment.apply(PROFILE, &contents(0)).await;
    wait_for(environment, |status| status["ready"] == "1/1").await;
    create_namespace(admin, NAMESPACE, &json!({})).await;
    let mut pod = using("web", &format!("profiles/{PROFILE}.json"));
    pod["spec"]["nodeName"] = "node-1".into();
    create(admin, NAMESPACE, &pod).await;
    let started = async |at: &str| {
        let status = json!({ "status": {
            "phase": "Running", "startTime": at,
            "containerStatuses": [{
                "name": "main", "image": "none", "imageID": "", "ready": true, "restartCount": 0,
                "state": { "running": { "startedAt": at } },
            }],
        } });
        let params = PatchParams::default();
        pods(admin, NAMESPACE).patch_status("web", &params, &Patch::Merge(&status)).await.unwrap();
    };
    started("2020-01-01T00:00:00Z").await;
    environment.apply(PROFILE, &contents(1)).await;
    wait_for(environment, |status| status["pods"] == json!({ "using": 1, "outdated": 1 })).await;
    started("2100-01-01T00:00:00Z").await;
    wait_for(environment, |status| status["pods"] == json!({ "using": 1, "outdated": 0 })).await;
    pods(admin, NAMESPACE).delete("web", &DeleteParams::default().grace_period(0)).await.unwrap();
    environment.profiles.delete(PROFILE, &DeleteParams::default()).await.unwrap();
    until("the profile being gone", LIMIT, async || environment.get(PROFILE).await.is_none().then_some(()))
        .await;
    agents.remove("node-1").await.unwrap();
}

async fn wait_for(environment: &Environment, is: impl Fn(&Value) -> bool) {
    until("the status of the profile", LIMIT, async || {
        environment.get(PROFILE).await.filter(|profile| is(&profile["status"])).map(drop)
    })
    .await;
}
