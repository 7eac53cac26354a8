//! Authorities that follow each other while pods are created, and replicas that come and go meanwhile.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use k8s_openapi::api::coordination::v1::Lease;

use super::super::support::print_line;
use super::certificates::{bundle, certificates};
use super::images::{SHOP, Shop, of};
use super::requests::Requests;
use super::*;

/// How many authorities follow the first one.
const ROTATIONS: usize = 10;

/// How many images the pods have.
const IMAGES: usize = 20;

/// Certificates that live for a minute: a new authority every minute. A replica that was paused for a third of that time
/// still has one that is valid.
const SHORT: [&str; 4] =
    ["--authority-life=90s", "--certificate-life=60s", "--settle=2s", "--check-interval=500ms"];

/// The load: pods of twenty images, which get their profiles, or else fail.
fn pods(shop: &Arc<Shop>) -> Requests {
    let shop = shop.clone();
    Requests::sending(move |number| {
        let shop = shop.clone();
        async move {
            let container = shop.container("main", &format!("many{}", number % IMAGES));
            let pod = Shop::pod(&format!("p{number}"), json!([container]));
            let path = format!("/api/v1/namespaces/{SHOP}/pods");
            let (code, warnings, pod) = shop.scene.send("POST", &path, "application/json", &pod).await;
            let is_right = code == 201 && of(&pod["spec"]["containers"][0]).starts_with("profiles/sha256-");
            if is_right { Ok(()) } else { Err(format!("{code} {} {warnings:?}", pod["message"])) }
        }
    })
}

/// Who leads.
async fn leader(shop: &Shop) -> Option<String> {
    let leases: Api<Lease> = Api::namespaced(shop.scene.environment.admin.clone(), NAMESPACE);
    leases.get_opt(&format!("{NAMESPACE}-admission")).await.unwrap()?.spec?.holder_identity
}

/// Waits until the configuration has had so many authorities.
async fn authorities(shop: &Shop, seen: &mut BTreeSet<String>, count: usize) {
    until(&format!("{count} authorities"), count as u32 * Duration::from_mins(4), async || {
        seen.extend(certificates(&bundle(&shop.scene.environment).await));
        (seen.len() >= count).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: ten authorities, each for a minute"]
async fn no_pod_fails_while_ten_authorities_follow_each_other_but_for_those_on_their_way_to_a_leader_that_stands_still()
 {
    let values = ["admission.images.secrets.everywhere=true", "admission.images.failurePolicy=Fail"];
    let mut shop = Shop::new(&values, &SHORT).await;
    shop.start(1);
    shop.start(2);
    shop.until_ready(3).await;
    let replaced = shop.scene.replicas.remove(2);
    let shop = Arc::new(shop);
    let (requests, start, mut seen) = (pods(&shop), Instant::now(), BTreeSet::new());
    authorities(&shop, &mut seen, 3).await;
    // As a pod that is deleted; two are left.
    replaced.process.program.terminate().unwrap();
    shop.until_ready(2).await;
    replaced.process.program.stop().unwrap();
    authorities(&shop, &mut seen, 5).await;
    // Whoever leads now stands still until another one leads. Before its probe fails it is still given connections.
    let before = leader(&shop).await.unwrap();
    let number = (0..2).find(|number| before.starts_with(&format!("admission-{number}_"))).unwrap();
    let paused = &shop.scene.replicas[number];
    let sent = || requests.sent.load(Ordering::Relaxed);
    let first = sent().saturating_sub(1);
    paused.process.program.pause().unwrap();
    shop.until_ready(1).await;
    let last = sent();
    until("another leader", LIMIT, async || {
        leader(&shop).await.is_some_and(|now| now != before).then_some(())
    })
    .await;
    paused.process.program.resume().unwrap();
    shop.until_ready(2).await;
    authorities(&shop, &mut seen, ROTATIONS + 1).await;
    let used = sent();
    until("pods by the last one", LIMIT, async || (sent() > used + 100).then_some(())).await;
    let (sent, failures) = requests.end().await;
    print_line(&format!(
        "{sent} pods while {} authorities were used in {:.0?}; {} failed",
        seen.len(),
        start.elapsed(),
        failures.len()
    ));
    for (number, fault) in &failures {
        assert!((first..last).contains(number), "not of {first} to {last}: {failures:?}");
        assert!(fault.starts_with("500 ") && fault.contains("failed calling webhook"), "{fault}");
    }
    assert!(sent >= 500, "{sent} pods");
    assert_eq!(shop.profiles().await.len(), IMAGES);
}
