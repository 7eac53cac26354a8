//! The API server adds the operator's finalizer to new profiles, by the chart's policy, so that each agent receives two
//! events of one.

use std::time::{Duration, Instant};

use api::names::FINALIZER;
use api::{SeccompProfile, SeccompProfileSpec};
use bench::api_server::{OperatorOptions, OperatorProcess, Options};
use cluster::NAMESPACE;
use futures::StreamExt;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::support::{Environment, LIMIT, contents, operator, print_line, until};

/// For how long the operator waits with the first status of a profile.
const BEFORE_PROGRESS: Duration = Duration::from_secs(2);

/// A finalizer of somebody else.
const OTHERS: &str = "example.org/other";

fn profile(name: &str, finalizers: Option<&[&str]>) -> SeccompProfile {
    let mut profile = SeccompProfile::new(
        name,
        SeccompProfileSpec { contents: contents(0), node_selector: None, report: None },
    );
    profile.metadata.finalizers =
        finalizers.map(|finalizers| finalizers.iter().map(ToString::to_string).collect());
    profile
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_has_the_finalizer_from_its_creation_however_it_is_created() {
    let environment = Environment::new().await;
    let profiles: Api<SeccompProfile> = Api::all(environment.admin.clone());
    for (name, sent, stored) in [
        ("plain", None, &[FINALIZER][..]),
        ("empty", Some(&[][..]), &[FINALIZER]),
        ("others", Some(&[OTHERS]), &[OTHERS, FINALIZER]),
        ("both", Some(&[FINALIZER, OTHERS]), &[FINALIZER, OTHERS]),
    ] {
        let created = profiles.create(&PostParams::default(), &profile(name, sent)).await.unwrap();
        assert_eq!(created.finalizers(), stored, "{name}");
    }
    // The contents pass through the policy unchanged, with numbers that no floating point number holds.
    let mut numbers = profile("numbers", None);
    numbers.spec.contents["syscalls"][0]["args"] = json!([
        { "index": 0, "op": "SCMP_CMP_EQ", "value": i64::MAX, "valueTwo": (1_i64 << 53) + 1 },
        { "index": 1, "op": "SCMP_CMP_EQ", "value": u64::MAX.to_string() },
    ]);
    let created = profiles.create(&PostParams::default(), &numbers).await.unwrap();
    assert_eq!((&created.spec, created.finalizers()), (&numbers.spec, &[FINALIZER.to_owned()][..]));
    let apply = PatchParams::apply("test").force();
    for _ in 0..2 {
        let patch = Patch::Apply(profile("applied", None));
        let answer = profiles.patch("applied", &apply, &patch).await.unwrap();
        assert_eq!(answer.finalizers(), [FINALIZER]);
    }
    // Nobody adds it to an existing profile: that is left to the operator, and here no operator runs.
    let none = json!({ "metadata": { "finalizers": [] } });
    let answer = profiles.patch("plain", &PatchParams::default(), &Patch::Merge(&none)).await.unwrap();
    assert_eq!(answer.finalizers(), [""; 0]);
}

/// The events of the profile `name` that a watcher receives, until one says that it is Ready on so many nodes.
async fn events_until_ready(environment: &Environment, name: &str, nodes: usize) -> Vec<Value> {
    let params = WatchParams::default().fields(&format!("metadata.name={name}"));
    let mut events = environment.profiles.watch(&params, "0").await.unwrap().boxed();
    environment.apply(name, &contents(1)).await;
    let mut received = Vec::new();
    let until_ready = async {
        loop {
            let event = events.next().await.unwrap().unwrap();
            let (WatchEvent::Added(profile) | WatchEvent::Modified(profile)) = event else { continue };
            let profile = serde_json::to_value(profile).unwrap();
            let status = &profile["status"];
            let is_ready = status["state"] == "Ready" && status["ready"] == format!("{nodes}/{nodes}");
            received.push(profile);
            if is_ready {
                return;
            }
        }
    };
    timeout(LIMIT, until_ready).await.unwrap();
    received
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_profile_reaches_each_agent_in_two_events() {
    const NODES: usize = 5;
    let environment = Environment::new().await;
    let options = OperatorOptions { number: 0, url: None, lease: None };
    let _operator = OperatorProcess::start(&operator(), &environment.server, &options).unwrap();
    let mut agents = environment.agents(None).await;
    for number in 0..NODES {
        agents.join(&format!("n{number}")).await.unwrap();
    }
    // The first profile of a cluster has an early status, which shows the agents how many nodes there are.
    events_until_ready(&environment, "first", NODES).await;
    let mut round = 0;
    until("a profile that is Ready before the operator reports progress", 4 * LIMIT, async || {
        round += 1;
        let start = Instant::now();
        let events = events_until_ready(&environment, &format!("next-{round}"), NODES).await;
        let took = start.elapsed();
        for event in &events {
            assert_eq!(event["metadata"]["finalizers"], json!([FINALIZER]), "{event}");
        }
        // As applied it is not Ready, either.
        assert_eq!(events[0]["status"]["conditions"][0]["status"], "Unknown");
        let states: Vec<_> = events.iter().map(|event| &event["status"]["state"]).collect();
        if states == [&Value::Null, &json!("Ready")] {
            return Some(());
        }
        assert!(took >= BEFORE_PROGRESS, "{states:?} after {took:?}");
        None
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_operators_account_nobody_adds_a_finalizer_that_nobody_would_remove() {
    let environment = Environment::new().await;
    let accounts: Api<ServiceAccount> = Api::namespaced(environment.admin.clone(), NAMESPACE);
    let account = format!("{NAMESPACE}-operator");
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    let profiles: Api<SeccompProfile> = Api::all(environment.admin.clone());
    let create = async || {
        let created = profiles.create(&dry_run, &profile("tried", None)).await.unwrap();
        created.finalizers().join(",")
    };
    assert_eq!(create().await, FINALIZER);
    accounts.delete(&account, &DeleteParams::default()).await.unwrap();
    let start = Instant::now();
    until("the policy having no effect", LIMIT, async || create().await.is_empty().then_some(())).await;
    print_line(&format!("no effect {:.2} s after the account was deleted", start.elapsed().as_secs_f64()));

    let metadata = ObjectMeta { name: Some(account), ..ObjectMeta::default() };
    let again = ServiceAccount { metadata, ..ServiceAccount::default() };
    accounts.create(&PostParams::default(), &again).await.unwrap();
    until("the policy having an effect again", LIMIT, async || (create().await == FINALIZER).then_some(()))
        .await;
}

/// The API server reads the schema of a new kind up to five seconds late, and until then refuses every object that a
/// policy would change, whatever the policy's `failurePolicy` is.
#[tokio::test(flavor = "multi_thread")]
async fn no_profile_is_refused_after_the_installation_and_half_a_minute_later_they_have_the_finalizer() {
    let begun = Instant::now();
    let environment = Environment::with(Options { policy_as_installed: true, ..Options::default() }).await;
    let profiles: Api<SeccompProfile> = Api::all(environment.admin.clone());
    let before = begun.elapsed();
    let (start, mut without) = (Instant::now(), 0);
    until("a profile with the finalizer", 2 * LIMIT, async || {
        let new = profile(&format!("number-{without}"), None);
        let created = profiles.create(&PostParams::default(), &new).await.unwrap();
        without += usize::from(created.finalizers().is_empty());
        (created.finalizers() == [FINALIZER]).then_some(())
    })
    .await;
    print_line(&format!(
        "{without} profiles were created without the finalizer, in {:.1} s",
        start.elapsed().as_secs_f64()
    ));
    // Where everything before took longer than the half minute, it was over at once.
    assert!(without > 0 || before > Duration::from_secs(30), "{before:?}");
}
