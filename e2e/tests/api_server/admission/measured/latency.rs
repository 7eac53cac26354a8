//! How long pods take to be created, in turn with those of a namespace whose webhook does nothing.

use std::sync::Arc;
use std::time::Instant;

use api::names::INCLUDED_NAMESPACE;

use super::super::super::pods::create_namespace;
use super::super::super::support::print_line;
use super::super::images::{SHOP, Shop, of};
use super::super::*;
use super::nothing;

/// The namespace whose webhook does nothing, and the label of such a namespace.
const BARE: &str = "bare";

/// How often a pod is created in each of the two: 50 a second.
const EVERY: Duration = Duration::from_millis(20);

/// How much longer than planned it may take to send the pods of a round. Fewer pods a second would be another measurement.
const LATE: f64 = 1.02;

/// The rounds, of which the median counts: other programs take the processors for moments.
const ROUNDS: usize = 5;

/// The pods of each in a round.
const PODS: usize = 1_000;

/// How many images they have.
const IMAGES: usize = 20;

/// The most that the hundredth part of them may take longer, in milliseconds.
const BAR: f64 = 5.0;

/// The images by their digests, each of which the webhook was asked about before.
async fn known(shop: &Shop) -> Vec<Value> {
    let mut images = Vec::new();
    for number in 0..IMAGES {
        let container = shop.container("main", &format!("many{number}"));
        let (pod, _) = shop.create(&Shop::pod(&format!("first{number}"), json!([container]))).await;
        assert!(of(&pod["spec"]["containers"][0]).starts_with("profiles/sha256-"), "{pod}");
        let image = pod["spec"]["containers"][0]["image"].clone();
        let container = json!({ "name": "main", "image": image });
        shop.create(&Shop::pod(&format!("again{number}"), json!([container]))).await;
        images.push(image);
    }
    images
}

/// Creates pods in both namespaces in turn, and returns the milliseconds that each took in ours and in the other one, and
/// how many were sent a second in each.
async fn round(shop: &Arc<Shop>, images: &[Value], name: &str) -> ([Vec<f64>; 2], f64) {
    let mut tasks = tokio::task::JoinSet::new();
    let mut ticks = tokio::time::interval(EVERY / 2);
    // A pod that could not be sent in time does not delay all that follow.
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    let begun = Instant::now();
    for number in 0..2 * PODS {
        ticks.tick().await;
        let namespace = [SHOP, BARE][number % 2];
        let container = json!({ "name": "main", "image": images[number / 2 % images.len()] });
        let (shop, pod) = (Arc::clone(shop), Shop::pod(&format!("{name}-{number}"), json!([container])));
        tasks.spawn(async move {
            let start = Instant::now();
            let (pod, _) = shop.create_in(namespace, &pod, "").await;
            let took = start.elapsed().as_secs_f64() * 1_000.0;
            assert_eq!(of(&pod["spec"]["containers"][0]) != "none", namespace == SHOP, "{pod}");
            (namespace == SHOP, took)
        });
    }
    // The first is sent at once.
    let (sending, planned) =
        (begun.elapsed().as_secs_f64(), (EVERY / 2 * (2 * PODS as u32 - 1)).as_secs_f64());
    assert!(sending <= planned * LATE, "the pods were sent in {sending:.2} s instead of {planned:.2} s");
    let rate = (2 * PODS - 1) as f64 / 2.0 / sending;
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    while let Some(done) = tasks.join_next().await {
        let (is_ours, took) = done.unwrap();
        if is_ours { &mut ours } else { &mut bare }.push(took);
    }
    ([ours, bare], rate)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: a program as it is released, and two minutes of pods"]
async fn a_pod_with_cached_digests_takes_at_most_five_milliseconds_more_than_with_a_webhook_that_does_nothing()
 {
    let shop = Arc::new(Shop::released(&["admission.images.secrets.everywhere=true"], &[], |_| {}).await);
    // As the other one: not through the balancer of these tests.
    Scene::call_about_pods(&shop.scene.environment, shop.scene.replicas[0].port).await;
    nothing::serve(&shop.scene.environment, BARE).await;
    let label = json!({ "labels": { BARE: "true", INCLUDED_NAMESPACE: "false" } });
    create_namespace(&shop.scene.environment.admin, BARE, &label).await;
    let images = known(&shop).await;
    round(&shop, &images, "first").await;
    let asked = shop.registry.asked().len();
    let mut more = Vec::new();
    for number in 0..ROUNDS {
        let (times, rate) = round(&shop, &images, &format!("round{number}")).await;
        let [ours, bare] = times.map(|mut times| parts(&mut times));
        print_line(&format!(
            "{PODS} pods of each, {rate:.1} of each a second: p50, p90, p99 {ours:.1?} ms; with a webhook that does nothing {bare:.1?} ms"
        ));
        // Negative where the other one was slower.
        more.push(ours[2] - bare[2]);
    }
    assert_eq!(shop.registry.asked().len(), asked, "the digests were not all in the cache");
    more.sort_unstable_by(f64::total_cmp);
    print_line(&format!("p99 above the other one: {more:+.1?} ms"));
    assert!(more[ROUNDS / 2] <= BAR, "{more:?}");
}

/// What 50, 90 and 99 of 100 do not exceed.
fn parts(times: &mut [f64]) -> [f64; 3] {
    times.sort_unstable_by(f64::total_cmp);
    [50, 90, 99].map(|part| times[times.len() * part / 100])
}
