//! Profiles of images that no pod names any more: the operator removes them, with its own account and nothing else.

use bench::api_server::{Account, OperatorOptions, OperatorProcess};
use e2e::rights::{admission, removal};
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};

use super::super::pods::pods;
use super::super::stolen::{thief_of, try_attempt};
use super::super::support::{contents, operator, send};
use super::images::{SHOP, Shop, of};
use super::*;

/// Starts an operator that removes profiles of images which no pod has named for this time.
fn start_operator(shop: &Shop, number: usize, after: &str) -> OperatorProcess {
    let options = OperatorOptions { number, url: None, lease: None };
    let after = format!("--remove-unused-image-profiles-after={after}");
    OperatorProcess::start_with(&operator(), &shop.scene.environment.server, &options, &[&after]).unwrap()
}

/// The only profile of an image, if it fulfils the condition.
async fn only(shop: &Shop, holds: impl Fn(&Value) -> bool) -> Option<Value> {
    let mut profiles = shop.profiles().await;
    assert!(profiles.len() <= 1, "{profiles:?}");
    profiles.pop().filter(holds)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_of_an_image_goes_when_no_pod_names_it_any_more_and_comes_back_with_the_next_pod() {
    let shop = Shop::new(&["admission.images.secrets.everywhere=true"], &[]).await;
    let environment = &shop.scene.environment;
    let first = start_operator(&shop, 0, "1h");
    let mut agents = environment.agents(None).await;
    agents.join("n0").await.unwrap();
    environment.apply("entrusted", &contents(0)).await;

    let pod = Shop::pod("web", json!([shop.container("main", "reads")]));
    let (created, _) = shop.create(&pod).await;
    let wired = of(&created["spec"]["containers"][0]).to_owned();
    let used = until("a profile that a pod names", LIMIT, async || {
        only(&shop, |profile| {
            let status = &profile["status"];
            status["pods"]["using"] == 1 && status["unusedSince"].is_null() && status["ready"] == "1/1"
        })
        .await
    })
    .await;
    let file = agents.directory("n0").join(wired.strip_prefix("profiles/").unwrap());
    assert!(file.exists());

    // It is stored since when no pod names it, so that another operator does not begin again.
    let all: Api<_> = pods(&environment.admin, SHOP);
    all.delete("web", &DeleteParams::default().grace_period(0)).await.unwrap();
    let unused = until("a profile that no pod names", LIMIT, async || {
        only(&shop, |profile| !profile["status"]["unusedSince"].is_null()).await
    })
    .await;
    drop(first);
    let _second = start_operator(&shop, 1, "3s");
    let deleting = until("the deletion", LIMIT, async || {
        only(&shop, |profile| !profile["metadata"]["deletionTimestamp"].is_null()).await
    })
    .await;
    let since = |profile: &Value| profile["status"]["unusedSince"].clone();
    assert_eq!(since(&deleting), since(&unused));
    assert_eq!(deleting["metadata"]["uid"], used["metadata"]["uid"]);
    until("the profile being gone", LIMIT, async || shop.profiles().await.is_empty().then_some(())).await;
    assert!(!file.exists());
    assert!(environment.get("entrusted").await.unwrap()["metadata"]["deletionTimestamp"].is_null());

    let mut number = 0;
    let again = until("the profile of the next pod", LIMIT, async || {
        // The webhook may not have seen yet that the profile is gone.
        number += 1;
        let name = format!("web{number}");
        let (pod, _) = shop.create(&Shop::pod(&name, json!([shop.container("main", "reads")]))).await;
        (of(&pod["spec"]["containers"][0]) == wired).then_some(())?;
        only(&shop, |profile| profile["status"]["ready"] == "1/1").await
    })
    .await;
    assert_ne!(again["metadata"]["uid"], used["metadata"]["uid"]);
    assert!(file.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_operator_deletes_profiles_of_images_and_no_others() {
    let mut scene = Scene::new(&["admission.images.enabled=true"]).await;
    scene.start(0, &[]);
    scene.until_answered().await;
    let environment = &scene.environment;
    let thief = thief_of(environment, Account::Operator(0)).await;
    environment.apply("entrusted", &contents(0)).await;
    let path = "/apis/seccomp.imjasonh.dev/v1alpha1/seccompprofiles";
    for (name, labels) in [
        (removal::WITH_LABEL, json!({ "seccomp.imjasonh.dev/from": "image" })),
        (removal::WITHOUT_LABEL, json!({})),
        (removal::OF_IMAGE.rsplit('/').next().unwrap(), json!({ "seccomp.imjasonh.dev/from": "image" })),
    ] {
        let profile = admission::profile_of_image(&json!({ "name": name, "labels": labels }), &json!({}));
        let (code, _, answer) = scene.send("POST", path, "application/json", &profile).await;
        assert_eq!(code, 201, "{answer}");
    }
    for attempt in removal::attempts() {
        try_attempt(&thief, &attempt, attempt.path).await;
    }
    let left = environment.profiles.list(&ListParams::default()).await.unwrap();
    assert!(left.items.iter().all(|it| it.metadata.deletion_timestamp.is_none()));
    assert_eq!(left.items.len(), 4);
    // What the right is for.
    let (code, answer) = send(&thief, "DELETE", removal::OF_IMAGE, "application/json", &json!({})).await;
    assert_eq!(code, 200, "{answer}");
    assert!(left.items.iter().any(|it| removal::OF_IMAGE.ends_with(&it.name_any())));
}
