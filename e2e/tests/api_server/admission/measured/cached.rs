//! The memory with ten thousand images in the cache, and how many of them stay in it.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Instant;

use filter::RuntimeDefault;
use futures::StreamExt;
use profile::Architecture;
use registry::Digest;
use registry::testing::MANIFEST;

use super::super::super::support::print_line;
use super::super::images::{SHOP, Shop, of};
use super::super::*;
use super::resident;

/// The images.
const IMAGES: usize = 10_000;

/// The images of a pod.
const OF_POD: usize = 50;

/// How many pods are under way at once.
const AT_ONCE: usize = 4;

/// The most memory, in MiB.
const BAR: f64 = 20.0;

/// A profile that permits two hundred of the calls that runtimes permit by default, chosen by a number.
fn profile(number: usize) -> String {
    let whole = RuntimeDefault::CONTAINERD.profile(Architecture::X86_64).unwrap();
    let whole = serde_json::to_value(whole).unwrap();
    let rules = whole["syscalls"].as_array().unwrap();
    let longest = rules.iter().map(|rule| rule["names"].as_array().unwrap()).max_by_key(|it| it.len());
    let mut names = longest.unwrap().clone();
    fastrand::Rng::with_seed(number as u64).shuffle(&mut names);
    names.truncate(200);
    let rule = json!({ "names": names, "action": "SCMP_ACT_ALLOW" });
    json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule] }).to_string()
}

/// Asks for all images, in pods that are not stored, so that no profile is created: there may be five hundred of them.
async fn ask(shop: &Shop, images: impl DoubleEndedIterator<Item = (usize, Digest)>) {
    let images: Vec<_> = images.collect();
    let pods = images.chunks(OF_POD).map(|images| async move {
        let containers = images.iter().enumerate().map(|(at, (_, digest))| {
            let name = shop.image("1");
            let (repository, _) = name.rsplit_once(':').unwrap();
            json!({ "name": format!("c{at}"), "image": format!("{repository}@{digest}") })
        });
        let pod = Shop::pod(&format!("p{}", images[0].0), containers.collect());
        let (pod, warnings) = shop.create_in(SHOP, &pod, "?dryRun=All").await;
        let all = pod["spec"]["containers"].as_array().unwrap();
        assert!(all.iter().all(|it| of(it).starts_with("profiles/sha256-")), "{warnings:?} {pod}");
    });
    futures::stream::iter(pods).buffer_unordered(AT_ONCE).collect::<Vec<_>>().await;
}

/// Has the webhook look at ten thousand images that carry so many profiles, and returns its memory in MiB, and how many of the
/// images it does not ask the registry about when they are named again.
async fn measure(profiles: usize) -> (f64, usize) {
    let digests = Mutex::new(Vec::new());
    let shop = Shop::released(&["admission.images.secrets.everywhere=true"], &[], |registry| {
        let profiles: Vec<_> = (0..profiles).map(profile).collect();
        let add = |at| {
            let number = format!(r#""number":"{at}""#);
            let profile: &String = &profiles[at % profiles.len()];
            let image = registry.image("amd64", Some(profile), &number);
            let digest = Digest::of(image.as_bytes());
            registry.manifest(MANIFEST, image);
            digest
        };
        *digests.lock().unwrap() = (0..IMAGES).map(add).collect();
    })
    .await;
    let digests = digests.into_inner().unwrap();
    let mut images: Vec<_> = digests.into_iter().enumerate().collect();
    let (before, _) = resident(&shop);
    let start = Instant::now();
    ask(&shop, images.iter().cloned()).await;
    let (now, most) = resident(&shop);
    let took = start.elapsed().as_secs_f64();
    let asked = shop.registry.asked().len();
    // The newest first: the oldest leave the cache when others come. Each has the same name of the container as before.
    images.chunks_mut(OF_POD).for_each(<[_]>::reverse);
    images.reverse();
    ask(&shop, images.into_iter()).await;
    let all = shop.registry.asked();
    let again: BTreeSet<_> = all[asked..]
        .iter()
        .filter(|it| it.starts_with("200 ") && it.contains("/manifests/sha256:"))
        .collect();
    let kept = IMAGES - again.len();
    print_line(&format!(
        "{IMAGES} images with {profiles} profiles in {took:.0} s: {now:.1} MiB, at most {most:.1} MiB, {before:.1} MiB \
         before; {kept} stayed in the cache"
    ));
    (now, kept)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: a program as it is released, and ten thousand images"]
async fn ten_thousand_images_that_share_twenty_profiles_stay_in_the_cache_within_twenty_mebibytes() {
    let (now, kept) = measure(20).await;
    assert!(now <= BAR, "{now:.1} MiB");
    assert_eq!(kept, IMAGES);
}
