//! When the gate's program lifts the gate of a pod, and what it does to the pod.

use std::fs;
use std::time::{Duration, Instant};

use api::names::SCHEDULING_GATE;
use bench::api_server::audit::{Log, Request};
use bench::api_server::{Account, Agents, OperatorProcess};
use k8s_openapi::api::events::v1::Event;
use kube::api::ListParams;
use serde_json::{Value, json};

use super::super::support::{Environment, LIMIT, contents, hash_of, print_line, until};
use super::*;

/// An operator, agents and the API server, without a gate.
struct Scene {
    // First, so that the agents are dropped before the server's directory with their files.
    agents: Agents,
    environment: Environment,
    operator: Option<OperatorProcess>,
}

impl Scene {
    async fn new(nodes: &[&str]) -> Self {
        let environment = environment().await;
        let operator = start_operator(&environment);
        let mut agents = environment.agents(None).await;
        for node in nodes {
            agents.join(node).await.unwrap();
        }
        Self { agents, environment, operator: Some(operator) }
    }

    async fn create(&self, pod: &Value) {
        let created = create(&self.environment.admin, SHOP, pod).await;
        assert!(is_gated(&created));
    }

    async fn wait_lifted(&self, name: &str) -> Value {
        wait_lifted(&self.environment, name, LIMIT).await
    }

    async fn is_gated(&self, name: &str) -> bool {
        is_gated(&get(&self.environment.admin, name).await)
    }

    /// Waits until the profile's status is as wanted.
    async fn until_profile(&self, name: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        until(what, LIMIT, async || self.environment.get(name).await.filter(|profile| is(&profile["status"])))
            .await
    }

    /// Waits for an Event about a pod.
    async fn wait_event(&self, pod: &str, reason: &str, limit: Duration) -> String {
        let events: Api<Event> = Api::namespaced(self.environment.admin.clone(), SHOP);
        until(&format!("an Event {reason} about {pod}"), limit, async || {
            let all = events.list(&ListParams::default()).await.unwrap();
            all.items.into_iter().find_map(|event| {
                let about = event.regarding.as_ref()?.name.as_deref() == Some(pod);
                (about && event.reason.as_deref() == Some(reason)).then_some(event.note)?
            })
        })
        .await
    }
}

/// Waits until this gate leads.
async fn until_leader(gate: &OperatorProcess) {
    until("a leader", LIMIT, async || gate.program.log().contains("became the leader").then_some(())).await;
}

/// The patches of pods by the gate's account: pod and code.
fn patches(log: &Log) -> Vec<(String, u16)> {
    let requests = log.writes().unwrap().into_iter();
    let patches = requests.filter(|request| {
        request.account().ends_with("-gate") && request.verb == "patch" && request.resource() == "pods"
    });
    patches.map(|request| (request.object_ref.name.clone(), request.response_status.code)).collect()
}

/// The patches of pods by the gate's account once the log has those with which it lifted the gates of these pods: the API
/// server writes a line when it has answered, and the pod is without a gate a moment before.
async fn patches_with(log: &Log, lifted: &[&str]) -> Vec<(String, u16)> {
    until("the patches in the audit log", LIMIT, async || {
        let patches = patches(log);
        let has = |pod: &&str| patches.iter().any(|(name, code)| name == pod && *code == 200);
        lifted.iter().all(has).then_some(patches)
    })
    .await
}

/// Checks that the one write of the gate's account was the patch of this pod, at the first try: the lease of a gate that has
/// crashed is free after 15 s, which a pod is not to wait for, and what fails is tried again after a while. Leases are read
/// again where an answer takes too long, and what a gate that was killed had sent before may arrive.
async fn was_lifted_without_a_lease_and_at_the_first_try(log: &Log, pod: &str, by: Account) {
    patches_with(log, &[pod]).await;
    let mut requests = log.requests().unwrap();
    requests.retain(|request| request.user.uid == by.uid());
    requests.retain(|request| request.changes() || request.resource() != "leases");
    requests.sort_by_key(|request| request.request_received_timestamp);
    let is_patch = |request: &Request| request.changes() && request.object_ref.name == pod;
    let lifted = requests.iter().position(is_patch).unwrap();
    let before = &requests[..=lifted];
    assert!(before.iter().all(Request::was_accepted), "{before:#?}");
    let changes = before.iter().filter(|request| request.changes()).map(Request::resource);
    assert_eq!(changes.collect::<Vec<_>>(), ["pods"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_waits_until_every_profile_that_it_names_is_on_the_nodes_and_is_written_once() {
    let scene = Scene::new(&["n0", "n1"]).await;
    let log = scene.environment.server.audit();
    let mut pod = using("web", "profiles/a.json");
    pod["spec"]["containers"][0]["securityContext"] = localhost("profiles/b.json");
    scene.create(&pod).await;
    let gate = start_gate(&scene.environment, 0, false, &[]);
    scene.environment.apply("a", &contents(0)).await;
    scene.until_profile("a", "a ready", |status| status["readyHash"] == hash_of(&contents(0))).await;
    // Once the gate has looked at this pod, it has seen everything before.
    scene.create(&using("later", "profiles/a.json")).await;
    scene.wait_lifted("later").await;
    assert!(scene.is_gated("web").await, "it waits for b");
    scene.environment.apply("b", &contents(1)).await;
    let lifted = scene.wait_lifted("web").await;
    assert_eq!(lifted["spec"]["affinity"], Value::Null);
    for node in ["n0", "n1"] {
        for profile in ["a", "b"] {
            assert!(
                scene.agents.directory(node).join(format!("{profile}.json")).exists(),
                "{profile} on {node}"
            );
        }
    }
    // A program that starts again has nothing to do.
    drop(gate);
    let _gate = start_gate(&scene.environment, 0, false, &[]);
    scene.create(&using("last", "profiles/a.json")).await;
    scene.wait_lifted("last").await;
    let written = patches_with(&log, &["later", "web", "last"]).await;
    let written: Vec<_> = written.into_iter().map(|(pod, code)| format!("{pod} {code}")).collect();
    assert_eq!(written, ["later 200", "web 200", "last 200"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_that_was_ready_once_holds_no_pod_and_new_contents_do_until_they_are_ready() {
    let mut scene = Scene::new(&["n0", "n1"]).await;
    let _gate = start_gate(&scene.environment, 0, false, &[]);
    scene.environment.apply("a", &contents(0)).await;
    // Of both nodes: a node that joins is not waited for.
    scene.until_profile("a", "a ready on both nodes", |status| status["ready"] == "2/2").await;
    // A node loses the file, as far as its report shows.
    scene.agents.stop("n1").await.unwrap();
    let client = scene.environment.server.command_line().unwrap();
    let without = json!({ "status": { "report": { "files": { "a": null } } } }).to_string();
    client
        .kubectl([
            "patch",
            "nodeprofilestatus",
            "n1",
            "--subresource=status",
            "--type=merge",
            "--patch",
            &without,
        ])
        .unwrap();
    scene.until_profile("a", "a node without the file", |status| status["state"] == "Progressing").await;
    scene.create(&using("first", "profiles/a.json")).await;
    scene.wait_lifted("first").await;

    scene.environment.apply("a", &contents(1)).await;
    let hash = hash_of(&contents(1));
    let later = scene.until_profile("a", "new contents", |status| status["contentHash"] == hash).await;
    assert_eq!(later["status"]["readyHash"], hash_of(&contents(0)));
    scene.create(&using("second", "profiles/a.json")).await;
    scene.wait_event("second", "ProfileNotReady", LIMIT).await;
    assert!(scene.is_gated("second").await);
    scene.agents.start("n1").await.unwrap();
    scene.wait_lifted("second").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_misspelt_name_keeps_the_gate_and_an_event_says_so() {
    let scene = Scene::new(&["n0"]).await;
    let _gate = start_gate(&scene.environment, 0, false, &[]);
    scene.environment.apply("a", &contents(0)).await;
    scene.create(&using("misspelt", "profiles/aa.json")).await;
    scene.create(&using("impossible", "profiles/A.json")).await;
    let note = scene.wait_event("misspelt", "NoSuchProfile", 2 * LIMIT).await;
    assert_eq!(
        note,
        "There is no SeccompProfile of profiles/aa.json. The pod is scheduled when there is one."
    );
    scene.wait_event("impossible", "NoSuchProfile", LIMIT).await;
    for pod in ["misspelt", "impossible"] {
        assert!(scene.is_gated(pod).await, "{pod}");
    }
    scene.environment.apply("aa", &contents(1)).await;
    scene.wait_lifted("misspelt").await;
}

fn required(terms: &Value) -> Value {
    json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": terms } } })
}

fn named(operator: &str, node: &str) -> Value {
    json!({ "key": "metadata.name", "operator": operator, "values": [node] })
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_are_scheduled_beside_nodes_that_cannot_hold_the_profile_for_some_time() {
    let mut scene = Scene::new(&["n0", "n1"]).await;
    // Somebody else's file.
    fs::create_dir_all(scene.agents.directory("bad")).unwrap();
    fs::write(scene.agents.directory("bad").join("a.json"), "{}").unwrap();
    scene.agents.join("bad").await.unwrap();
    // A node that has not reported is not waited for, and the profile would be Ready without it.
    scene.environment.apply("first", &contents(1)).await;
    scene.until_profile("first", "three nodes that report", |status| status["ready"] == "3/3").await;
    scene.environment.apply("a", &contents(0)).await;
    scene.until_profile("a", "a node that fails", |status| status["state"] == "Failed").await;
    let log = scene.environment.server.audit();
    let disk = json!({ "key": "disk", "operator": "Exists" });
    let preferred = json!({ "nodeAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [
        { "weight": 1, "preference": { "matchExpressions": [disk] } },
    ] } });
    let no_pod = json!({ "podAntiAffinity": {} });
    let not_bad = named("NotIn", "bad");
    let of_daemon_set = |node: &str| required(&json!([{ "matchFields": [named("In", node)] }]));
    let only_not_bad = json!([{ "matchFields": [not_bad] }]);
    let terms = json!([{ "matchExpressions": [disk] }, {}, { "matchFields": [named("NotIn", "n7")] }]);
    let narrowed = json!([
        { "matchExpressions": [disk], "matchFields": [not_bad] }, {},
        { "matchFields": [named("NotIn", "n7"), not_bad] },
    ]);
    let lifted = [
        ("none", Value::Null, &only_not_bad),
        ("empty", json!({}), &only_not_bad),
        ("of-pods", no_pod, &only_not_bad),
        ("preferred", preferred, &only_not_bad),
        ("terms", required(&terms), &narrowed),
        // The API server refuses nothing to a pod of a DaemonSet, and there is nothing to leave out for this one.
        ("of-n0", of_daemon_set("n0"), &json!([{ "matchFields": [named("In", "n0")] }])),
    ];
    for (name, affinity) in lifted
        .iter()
        .map(|(name, affinity, _)| (*name, affinity.clone()))
        .chain([("of-bad", of_daemon_set("bad"))])
    {
        let mut pod = using(name, "profiles/a.json");
        pod["spec"]["affinity"] = affinity;
        scene.create(&pod).await;
    }
    let start = Instant::now();
    let _gate = start_gate(&scene.environment, 0, false, &["--leave-out-failed-nodes-after=2s"]);
    for (name, _, terms) in &lifted {
        let pod = scene.wait_lifted(name).await;
        assert!(start.elapsed() >= Duration::from_secs(2), "{name}");
        let path =
            "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
        assert_eq!(pod.pointer(path), Some(*terms), "{name}");
    }
    scene.wait_event("of-bad", "NodesWithoutProfile", LIMIT).await;
    assert!(scene.is_gated("of-bad").await);
    let note = scene.wait_event("none", "NodesLeftOut", LIMIT).await;
    assert_eq!(note, "The pod does not run on bad, which cannot hold its seccomp profiles.");
    let patches = patches_with(&log, &lifted.each_ref().map(|(name, ..)| *name)).await;
    assert!(patches.iter().all(|(_, code)| *code == 200), "{patches:?}");
    // The node recovers.
    fs::remove_file(scene.agents.directory("bad").join("a.json")).unwrap();
    scene.wait_lifted("of-bad").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_our_gate_is_lifted_whatever_the_order_of_gates_is_and_becomes() {
    let scene = Scene::new(&["n0"]).await;
    let mut pod = using("web", "profiles/a.json");
    pod["spec"]["schedulingGates"] =
        json!([{ "name": "example.org/first" }, { "name": "example.org/second" }]);
    scene.create(&pod).await;
    let gate = start_gate(&scene.environment, 0, false, &[]);
    scene.wait_event("web", "NoSuchProfile", 2 * LIMIT).await;
    // The program has seen our gate in the third place.
    let first = json!([{ "op": "remove", "path": "/spec/schedulingGates/0" }]);
    let patch: kube::api::Patch<()> = kube::api::Patch::Json(serde_json::from_value(first).unwrap());
    gate.program.pause().unwrap();
    pods(&scene.environment.admin, SHOP)
        .patch("web", &kube::api::PatchParams::default(), &patch)
        .await
        .unwrap();
    scene.environment.apply("a", &contents(0)).await;
    scene.until_profile("a", "a ready", |status| status["state"] == "Ready").await;
    gate.program.resume().unwrap();
    let lifted = scene.wait_lifted("web").await;
    assert_eq!(gates(&lifted), ["example.org/second"]);
    assert_ne!(gates(&lifted), [SCHEDULING_GATE]);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_program_is_down_gated_pods_wait_others_do_not_and_all_go_on_when_it_returns() {
    let mut scene = Scene::new(&["n0"]).await;
    scene.environment.apply("a", &contents(0)).await;
    scene.until_profile("a", "a ready", |status| status["state"] == "Ready").await;
    let mut gate = start_gate(&scene.environment, 0, true, &[]);
    until_leader(&gate).await;
    // It crashes with the lease, which nobody releases.
    gate.program.kill().unwrap();
    scene.create(&using("meanwhile", "profiles/a.json")).await;
    let created = create(&scene.environment.admin, SHOP, &plain("others")).await;
    assert_eq!(gates(&created), [""; 0]);
    let log = scene.environment.server.audit();
    let start = Instant::now();
    let _gate = start_gate(&scene.environment, 1, true, &[]);
    wait_lifted(&scene.environment, "meanwhile", LIMIT).await;
    was_lifted_without_a_lease_and_at_the_first_try(&log, "meanwhile", Account::Gate(1)).await;
    print_line(&format!("lifted {:.2} s after the gate was started", start.elapsed().as_secs_f64()));

    drop(scene.operator.take());
    scene.environment.apply("b", &contents(1)).await;
    scene.create(&using("waits", "profiles/b.json")).await;
    scene.create(&using("waits-not", "profiles/a.json")).await;
    scene.wait_lifted("waits-not").await;
    until("the file of b", LIMIT, async || {
        scene.agents.directory("n0").join("b.json").exists().then_some(())
    })
    .await;
    assert!(scene.is_gated("waits").await, "nobody has said that the nodes have it");
    let log = scene.environment.server.audit();
    let start = Instant::now();
    scene.operator = Some(start_operator(&scene.environment));
    scene.wait_lifted("waits").await;
    assert_eq!(patches_with(&log, &["waits"]).await, [("waits".to_owned(), 200)], "at the first try");
    print_line(&format!("lifted {:.2} s after the operator was started", start.elapsed().as_secs_f64()));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_gates_one_writes_and_the_other_takes_over_after_a_crash() {
    let scene = Scene::new(&["n0"]).await;
    scene.environment.apply("a", &contents(0)).await;
    scene.until_profile("a", "a ready", |status| status["state"] == "Ready").await;
    let mut leader = start_gate(&scene.environment, 0, true, &[]);
    scene.create(&using("first", "profiles/a.json")).await;
    scene.wait_lifted("first").await;
    until_leader(&leader).await;
    let _standby = start_gate(&scene.environment, 1, true, &[]);
    let log = scene.environment.server.audit();
    let mut names = Vec::new();
    for number in 0..50 {
        names.push(format!("pod-{number}"));
        scene.create(&using(&names[number], "profiles/a.json")).await;
    }
    for name in &names {
        scene.wait_lifted(name).await;
    }
    patches_with(&log, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let requests = log.writes().unwrap();
    let of_pods = requests.iter().filter(|it| it.account().ends_with("-gate") && it.resource() == "pods");
    let (accepted, refused): (Vec<_>, Vec<_>) = of_pods.partition(|request| request.was_accepted());
    let mut once: Vec<_> = accepted.iter().map(|request| &request.object_ref.name).collect();
    once.sort();
    names.sort();
    assert!(once.into_iter().eq(&names), "each by one request: {accepted:?}");
    // A gate that does not lead lifts what the leader seems to have left, which may be a moment too late.
    assert!(refused.iter().all(|request| request.user.uid == Account::Gate(1).uid()), "{refused:?}");
    leader.program.kill().unwrap();
    let log = scene.environment.server.audit();
    let start = Instant::now();
    scene.create(&using("last", "profiles/a.json")).await;
    scene.wait_lifted("last").await;
    was_lifted_without_a_lease_and_at_the_first_try(&log, "last", Account::Gate(1)).await;
    print_line(&format!("lifted {:.2} s after the leader was killed", start.elapsed().as_secs_f64()));
}
