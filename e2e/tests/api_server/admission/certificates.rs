//! The API server trusts some replica at every moment.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Secret;
use kube::api::DeleteParams;

use super::super::support::print_line;
use super::requests::Requests;
use super::*;

/// Certificates that live for seconds: a new authority every minute. A loaded machine has ten seconds to renew a
/// certificate, and five to tell the API server of an authority.
const SHORT: [&str; 4] =
    ["--authority-life=90s", "--certificate-life=30s", "--settle=5s", "--check-interval=500ms"];

/// The authorities that the configuration has, and how often it has had a new one.
pub(super) async fn bundle(environment: &Environment) -> Vec<u8> {
    let configurations: Api<ValidatingWebhookConfiguration> = Api::all(environment.admin.clone());
    let found = configurations.get(&format!("{NAMESPACE}-admission")).await.unwrap();
    let webhook = found.webhooks.unwrap().remove(0);
    webhook.client_config.ca_bundle.map(|bundle| bundle.0).unwrap_or_default()
}

pub(super) fn certificates(bundle: &[u8]) -> BTreeSet<String> {
    let text = String::from_utf8_lossy(bundle);
    text.split("-----END CERTIFICATE-----")
        .map(|part| part.trim().to_owned())
        .filter(|part| !part.is_empty())
        .collect()
}

async fn scene_of_two(arguments: &[&str]) -> Scene {
    let mut scene = Scene::new(&[]).await;
    scene.start(0, arguments);
    scene.start(1, arguments);
    until("two replicas that are ready", 4 * LIMIT, async || (scene.balancer.ready() == 2).then_some(()))
        .await;
    scene.until_answered().await;
    scene
}

#[tokio::test(flavor = "multi_thread")]
async fn while_authorities_are_renewed_and_the_secret_is_lost_no_request_fails() {
    let scene = Arc::new(scene_of_two(&SHORT).await);
    let requests = Requests::start(&scene);
    let (start, mut seen) = (Instant::now(), BTreeSet::new());
    // A replica says each certificate that it signs for itself, and by whose authority.
    let moved = |times: usize| {
        let logs = scene.replicas.iter().map(|replica| replica.process.program.log());
        logs.into_iter().all(|log| log.matches("a new certificate is in use").count() >= times)
    };
    let mut authorities = async |count: usize| {
        until(
            &format!("{count} authorities, and replicas that use the last one"),
            Duration::from_mins(4),
            async || {
                seen.extend(certificates(&bundle(&scene.environment).await));
                (seen.len() >= count && moved(count)).then_some(())
            },
        )
        .await;
    };
    // The first, and the one that replaces it in time.
    authorities(2).await;
    let secrets: Api<Secret> = Api::namespaced(scene.environment.admin.clone(), NAMESPACE);
    let name = format!("{NAMESPACE}-admission-authorities");
    secrets.delete(&name, &DeleteParams::default()).await.unwrap();
    authorities(3).await;
    let before = requests.sent.load(Ordering::Relaxed);
    until("requests by the last one", LIMIT, async || {
        (requests.sent.load(Ordering::Relaxed) > before + 20).then_some(())
    })
    .await;
    let (sent, failures) = requests.end().await;
    print_line(&format!(
        "{sent} requests while three authorities followed each other in {:?}",
        start.elapsed()
    ));
    assert_eq!(failures, Vec::new());
    // About as many a second as the machine is fast.
    assert!(sent >= 20, "{sent} requests");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_told_to_end_loses_no_request_and_the_other_one_takes_over() {
    let mut scene = scene_of_two(&["--drain=15s"]).await;
    let first = scene.replicas.remove(0);
    let scene = Arc::new(scene);
    let requests = Requests::start(&scene);
    until("some requests", LIMIT, async || (requests.sent.load(Ordering::Relaxed) > 20).then_some(())).await;
    first.process.program.terminate().unwrap();
    until("one replica", LIMIT, async || (scene.balancer.ready() == 1).then_some(())).await;
    let before = requests.sent.load(Ordering::Relaxed);
    first.process.program.stop().unwrap();
    until("more requests", LIMIT, async || {
        (requests.sent.load(Ordering::Relaxed) > before + 20).then_some(())
    })
    .await;
    let (_, failures) = requests.end().await;
    assert_eq!(failures, Vec::new());
    // Whoever led, the other one leads now, and mends a bundle that somebody has removed.
    let configurations: Api<ValidatingWebhookConfiguration> = Api::all(scene.environment.admin.clone());
    let change = json!([{ "op": "remove", "path": "/webhooks/0/clientConfig/caBundle" }]);
    let patch: Patch<()> = Patch::Json(serde_json::from_value(change).unwrap());
    configurations.patch(&format!("{NAMESPACE}-admission"), &PatchParams::default(), &patch).await.unwrap();
    until("the bundle", LIMIT, async || (!bundle(&scene.environment).await.is_empty()).then_some(())).await;
    scene.until_answered().await;
}
