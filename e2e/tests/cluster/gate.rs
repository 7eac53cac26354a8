//! The gate on a real cluster: a profile and its Deployment applied together, and what the gate's real token allows.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use cluster::NAMESPACE;
use e2e::rendered;
use e2e::rights::attempts::Answer;
use e2e::rights::gate::{self as rights, target};
use serde_json::{Value, json};
use xtask::workspace::repository;

use super::down::Down;
use super::rights::try_everything;
use super::stolen_token::{RawRequest, TokenHolder, token_of_program};
use super::support::{LIMIT, Session, allow_all, alone, expect_cleanup, object, print_line, sleeper, until};

/// The chart with the gate, and a namespace whose pods are gated; both are undone when this is dropped.
pub(crate) struct Gated<'a>(&'a Session);

/// The namespace.
pub(crate) const SHOP: &str = rights::NAMESPACE;

/// Pods of a Deployment.
pub(crate) const REPLICAS: usize = 5;

/// Installs the chart with or without the gate, and waits until it is rolled out.
pub(crate) fn install(cluster: &Session, enabled: bool) {
    let chart = repository().join("charts").join(NAMESPACE);
    let value = format!("--set=gate.enabled={enabled}");
    cluster.client().install_chart(&chart, &[&value]).unwrap_or_else(|error| panic!("{error}"));
    cluster.wait_rolled_out();
}

impl<'a> Gated<'a> {
    pub(crate) fn new(cluster: &'a Session) -> Self {
        let gated = Gated(cluster);
        install(cluster, true);
        // With its label from the start: the API server learns of one that is added a moment later.
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": { "name": SHOP, "labels": { api::names::GATED_NAMESPACE: "true" } },
        });
        cluster
            .kubectl_input(["create", "-f", "-"], &namespace.to_string())
            .unwrap_or_else(|e| panic!("{e}"));
        // The policies take effect a moment after they were created, and no pod is created before its account.
        until("a gated pod", LIMIT, || is_gated(cluster)?.then_some(()));
        gated
    }
}

/// Whether a new pod of the namespace would have a scheduling gate; none if it would not be created.
fn is_gated(cluster: &Session) -> Option<bool> {
    let mut pod = sleeper("tried", "tried");
    pod["metadata"]["namespace"] = SHOP.into();
    let create = ["create", "--dry-run=server", "-o", "json", "-f", "-"];
    let created = cluster.kubectl_input(create, &pod.to_string()).ok()?;
    let created: Value = serde_json::from_str(&created).unwrap();
    Some(!created["spec"]["schedulingGates"].is_null())
}

impl Drop for Gated<'_> {
    fn drop(&mut self) {
        let delete = ["delete", "namespace", SHOP, "--ignore-not-found", "--timeout=60s"];
        // Pods of the attempts have a finalizer that nobody else removes.
        let free = json!({ "metadata": { "finalizers": null } }).to_string();
        let _ = self.0.kubectl(["-n", SHOP, "patch", "pod", "web", "--type=merge", "--patch", &free]);
        expect_cleanup(self.0.kubectl(delete).map(drop));
        let chart = repository().join("charts").join(NAMESPACE);
        expect_cleanup(self.0.client().install_chart(&chart, &[]).map(drop));
    }
}

/// A Deployment under the profile of its name, and the profile, in the order in which they are applied.
fn both(name: &str, number: usize) -> String {
    together(&deployment(name), name, number)
}

/// Two objects for one `kubectl apply`: a Deployment, and then the profile of this name.
pub(crate) fn together(deployment: &Value, name: &str, number: usize) -> String {
    json!({ "apiVersion": "v1", "kind": "List", "items": [deployment, object(name, &allow_all(number))] })
        .to_string()
}

/// A Deployment under the profile of its name.
pub(crate) fn deployment(name: &str) -> Value {
    let labels = json!({ "app": name });
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name, "namespace": SHOP },
        "spec": {
            "replicas": REPLICAS, "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": {
                "terminationGracePeriodSeconds": 1,
                "securityContext": { "seccompProfile": {
                    "type": "Localhost", "localhostProfile": format!("profiles/{name}.json"),
                } },
                "containers": [{
                    "name": "main", "image": "docker.io/library/busybox:latest",
                    "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", "trap exit TERM; sleep infinity & wait"],
                }],
            } },
        },
    })
}

/// What went wrong with the start of containers in the namespace, from the Events.
pub(crate) fn failures(cluster: &Session) -> Vec<String> {
    let events = cluster.json(["-n", SHOP, "get", "events"]);
    let failed = events["items"].as_array().unwrap().iter().filter(|event| event["reason"] == "Failed");
    failed.map(|event| event["message"].to_string()).collect()
}

/// Applies a profile and its Deployment, and waits until all pods are available; how long that took.
fn apply(cluster: &Session, name: &str, objects: &str) -> Duration {
    let start = Instant::now();
    cluster.kubectl_input(["apply", "-f", "-"], objects).unwrap_or_else(|error| panic!("{error}"));
    wait_available(cluster, name);
    start.elapsed()
}

/// Waits until all pods of a Deployment are available.
fn wait_available(cluster: &Session, name: &str) {
    let named = format!("deployment/{name}");
    cluster.ok(["-n", SHOP, "wait", "--for=condition=Available", "--timeout=120s", &named]);
}

pub(crate) fn delete(cluster: &Session, name: &str) {
    let named = format!("deployment/{name}");
    cluster.ok(["-n", SHOP, "delete", &named, "--cascade=foreground", "--timeout=60s"]);
    cluster.ok(["delete", "seccompprofile", name, "--timeout=60s"]);
}

#[test]
fn a_profile_and_its_deployment_are_applied_in_one_go_and_no_container_fails() {
    let cluster = alone();
    let _gated = Gated::new(&cluster);
    for number in 0..3 {
        let name = format!("together-{number}");
        let took = apply(&cluster, &name, &both(&name, number));
        print_line(&format!("apply to available with the gate: {:.2} s", took.as_secs_f64()));
        delete(&cluster, &name);
    }
    assert_eq!(failures(&cluster), [""; 0]);
}

/// Whether each pod of a Deployment in the namespace has a scheduling gate; none if there are not all pods yet.
fn gates(cluster: &Session, name: &str) -> Option<Vec<bool>> {
    let pods = cluster.json(["-n", SHOP, "get", "pods", "-l", &format!("app={name}")]);
    let pods = pods["items"].as_array().unwrap();
    let gated = pods.iter().map(|pod| !pod["spec"]["schedulingGates"].is_null()).collect();
    (pods.len() == REPLICAS).then_some(gated)
}

#[test]
fn while_a_program_is_scaled_to_none_gated_pods_wait_others_start_and_all_go_on_when_it_returns() {
    let cluster = alone();
    let _gated = Gated::new(&cluster);
    for (number, program) in ["seccomp-profile-gate", "seccomp-profile-operator"].into_iter().enumerate() {
        let (waiting, other) = (format!("down-{number}"), format!("other-{number}"));
        let down = Down::new(&cluster, program);
        let objects = both(&waiting, number);
        cluster.kubectl_input(["apply", "-f", "-"], &objects).unwrap_or_else(|error| panic!("{error}"));
        let mut without_profile = deployment(&other);
        without_profile["spec"]["template"]["spec"]["securityContext"] = Value::Null;
        let took = apply(&cluster, &other, &without_profile.to_string());
        print_line(&format!(
            "without {program}, pods without a profile run after {:.2} s",
            took.as_secs_f64()
        ));
        let gated = until("all pods", LIMIT, || gates(&cluster, &waiting));
        assert!(gated.iter().all(|gated| *gated), "without {program}: {gated:?}");
        down.end();
        let returned = Instant::now();
        until("pods without a gate", LIMIT, || {
            gates(&cluster, &waiting).filter(|gated| !gated.contains(&true))
        });
        print_line(&format!(
            "{program} is ready: the pods go on {:.2} s later",
            returned.elapsed().as_secs_f64()
        ));
        wait_available(&cluster, &waiting);
        cluster.ok(["-n", SHOP, "delete", "deployment", &other, "--timeout=60s"]);
        delete(&cluster, &waiting);
    }
    assert_eq!(failures(&cluster), [""; 0]);
}

/// The quantile of sorted durations, in seconds.
fn quantile(sorted: &[Duration], of: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * of).round() as usize].as_secs_f64()
}

fn median(times: &[Duration]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    quantile(&sorted, 0.5)
}

#[test]
#[ignore = "long: two hundred Deployments with the gate, and as many with their profile there"]
fn two_hundred_times_no_container_fails_and_the_gate_costs_half_a_second() {
    const TIMES: usize = 200;
    let cluster = alone();
    let _gated = Gated::new(&cluster);
    let (mut with, mut before) = (Vec::new(), Vec::new());
    for number in 0..TIMES {
        let name = format!("together-{number}");
        with.push(apply(&cluster, &name, &both(&name, number)));
        // The same with the profile already there.
        let named = format!("deployment/{name}");
        cluster.ok(["-n", SHOP, "delete", &named, "--cascade=foreground", "--timeout=60s"]);
        before.push(apply(&cluster, &name, &both(&name, number)));
        delete(&cluster, &name);
        // A run takes an hour on a machine that does other things, too.
        if (number + 1) % 10 == 0 {
            assert_eq!(failures(&cluster), [""; 0]);
            let [with, before] = [&with, &before].map(|times| median(times));
            let times = number + 1;
            print_line(&format!("{times} times: p50 {with:.2} s, with the profile there {before:.2} s"));
        }
    }
    with.sort_unstable();
    before.sort_unstable();
    let [p50, p99] = [0.5, 0.99].map(|of| (quantile(&with, of), quantile(&before, of)));
    print_line(&format!(
        "apply to available: p50 {:.2} s, with the profile there {:.2} s; p99 {:.2} s, {:.2} s",
        p50.0, p50.1, p99.0, p99.1
    ));
    assert_eq!(failures(&cluster), [""; 0]);
    assert!(p50.0 - p50.1 <= 0.5 && p99.0 - p99.1 <= 1.0, "{p50:?} {p99:?}");
}

/// How many other objects are between a Deployment and its profile, as in the manifest of a large application.
const BETWEEN: usize = 40;

/// A Deployment, other objects, and the profile of the Deployment, for one `kubectl apply`.
fn far_apart(name: &str, number: usize) -> String {
    let mut items = vec![deployment(name)];
    items.extend((0..BETWEEN).map(|between| {
        let name = format!("between-{between}");
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name, "namespace": SHOP } })
    }));
    items.push(object(name, &allow_all(number)));
    json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string()
}

#[test]
fn containers_whose_profile_is_applied_seconds_after_them_fail_without_the_gate_and_not_with_it() {
    const TIMES: usize = 3;
    let cluster = alone();
    let _gated = Gated::new(&cluster);
    for number in 0..TIMES {
        let name = format!("gated-{number}");
        apply(&cluster, &name, &far_apart(&name, number));
        delete(&cluster, &name);
    }
    assert_eq!(failures(&cluster), [""; 0]);

    // The gate is what prevents them.
    cluster.ok(["label", "namespace", SHOP, &format!("{}-", api::names::GATED_NAMESPACE)]);
    until("a pod without a gate", LIMIT, || (!is_gated(&cluster)?).then_some(()));
    let deployment = deployment("ungated").to_string();
    cluster.kubectl_input(["apply", "-f", "-"], &deployment).unwrap_or_else(|error| panic!("{error}"));
    let failure = until("a container failing", LIMIT, || failures(&cluster).into_iter().next());
    print_line(&format!("without the gate: {failure}"));
    let profile = object("ungated", &allow_all(TIMES)).to_string();
    cluster.kubectl_input(["apply", "-f", "-"], &profile).unwrap_or_else(|error| panic!("{error}"));
    wait_available(&cluster, "ungated");
    delete(&cluster, "ungated");
}

#[test]
fn a_stolen_gate_lifts_its_own_gate_and_can_do_nothing_else() {
    let cluster = alone();
    let _gated = Gated::new(&cluster);
    let accounts = rendered::accounts(&rendered::objects(["--set=gate.enabled=true"]).unwrap());
    let account = accounts.into_iter().find(|held| held.name == "seccomp-profile-gate").unwrap();
    let holder = TokenHolder::new(&cluster, &token_of_program(&cluster, &["/operator", "gate"]));
    try_everything("the gate", &holder, &account.rights);
    cluster
        .kubectl_input(["-n", SHOP, "create", "-f", "-"], &target().to_string())
        .unwrap_or_else(|error| panic!("{error}"));
    let pod = || {
        let mut pod = cluster.json(["-n", SHOP, "get", "pod", "web"]);
        // The scheduler may write it meanwhile.
        pod.as_object_mut().unwrap().remove("status");
        for moving in ["resourceVersion", "managedFields"] {
            pod["metadata"].as_object_mut().unwrap().remove(moving);
        }
        pod
    };
    let before = pod();
    let mut refused = BTreeSet::new();
    for attempt in rights::attempts() {
        let answer = holder.send(RawRequest {
            method: attempt.method,
            content_type: attempt.content_type,
            body: attempt.body.to_string().into(),
            ..RawRequest::get(attempt.path)
        });
        let Answer::Refused(code, words) = attempt.answer else { panic!("{}", attempt.what) };
        assert!(answer.code == code && answer.message.contains(words), "{}: {answer}", attempt.what);
        refused.insert(attempt.what);
    }
    assert_eq!(pod(), before, "to the last field");
    print_line(&format!("{} requests refused by the policy or for lack of a right", refused.len()));
    let lift = Value::Array(vec![rights::lift()]);
    let answer = holder.send(RawRequest {
        method: "PATCH",
        content_type: "application/json-patch+json",
        body: lift.to_string().into(),
        ..RawRequest::get(&format!("/api/v1/namespaces/{SHOP}/pods/web"))
    });
    assert_eq!(answer.code, 200, "{answer}");
}
