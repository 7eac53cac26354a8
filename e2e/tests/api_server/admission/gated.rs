//! A profile that a mutating webhook adds to a pod: the API server evaluates the gate's policy again, and the pod waits.

use api::names::GATED_NAMESPACE;
use bench::api_server::{OperatorOptions, OperatorProcess};
use k8s_openapi::api::core::v1::Namespace;

use super::super::pods::{is_gated, pods, stored};
use super::super::support::{operator, start_operator};
use super::images::{SHOP, Shop, of};
use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_waits_for_the_profile_that_the_webhook_brings_from_its_image() {
    let shop = Shop::new(&["gate.enabled=true", "admission.images.secrets.everywhere=true"], &[]).await;
    let environment = &shop.scene.environment;
    let namespaces: Api<Namespace> = Api::all(environment.admin.clone());
    let label = Patch::Merge(json!({ "metadata": { "labels": { GATED_NAMESPACE: "true" } } }));
    namespaces.patch(SHOP, &PatchParams::default(), &label).await.unwrap();
    let pod = Shop::pod("web", json!([shop.container("main", "reads")]));
    // The policy takes effect a moment after the installation.
    until("a gated pod", LIMIT, async || {
        let (tried, _) = shop.create_in(SHOP, &pod, "?dryRun=All").await;
        is_gated(&tried).then_some(())
    })
    .await;
    let (created, _) = shop.create(&pod).await;
    assert!(is_gated(&created), "{created}");
    let path = of(&created["spec"]["containers"][0]).to_owned();
    assert!(path.starts_with("profiles/"), "{path}");
    // One whose image brings nothing waits for nothing.
    let (plain, _) = shop.create(&Shop::pod("plain", json!([shop.container("main", "plain")]))).await;
    assert!(!is_gated(&plain), "{plain}");

    let mut agents = environment.agents(None).await;
    agents.join("n0").await.unwrap();
    let _operator = start_operator(environment);
    let options = OperatorOptions { number: 0, url: None, lease: None };
    let _gate = OperatorProcess::start_gate(&operator(), &environment.server, &options, &[]).unwrap();
    until("the pod going on", LIMIT, async || {
        let pod = stored(pods(&environment.admin, SHOP).get("web").await.unwrap());
        (!is_gated(&pod)).then_some(())
    })
    .await;
    assert!(agents.directory("n0").join(path.strip_prefix("profiles/").unwrap()).exists());
}
