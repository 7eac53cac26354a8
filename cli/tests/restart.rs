//! `restart` against an API server that answers as a cluster does: what it asks, changes and leaves.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy allows panics in tests, but not in the helpers of an integration test"
)]

use clap::Parser;
use cli::error::CliError;
use cli::options::{Options, Task};
use cli::restart::{Dialogue, restart};
use cli::show::Paint;
use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tower_test::mock::Handle;

const HASH: &str = "ada4d9a50895dd58cd1fd2a2deb4d6c9";
/// The file of the profile was replaced at this time.
const CHANGED: &str = "2026-01-01T10:00:00Z";

/// A cluster with two Deployments under `audit`, and a pod without a controller.
#[expect(clippy::struct_excessive_bools, reason = "each is a circumstance of its own")]
struct Server {
    handle: Handle<Request<Body>, Response<Body>>,
    /// For how many reads the profile is Ready.
    ready: u32,
    /// Whether a restarted workload becomes ready.
    becomes_ready: bool,
    /// Whether there is the pod without a controller.
    alone: bool,
    /// How many requests have no answer after the first restart.
    silent: u32,
    /// Whether the user may not restart anything.
    forbidden: bool,
    /// Whether there is a pod of another product's `StatefulSet`.
    foreign: bool,
    /// The workload whose pods somebody replaces after the first list of the pods.
    replaced: Option<&'static str>,
    /// For how many more lists of the pods the old pod of `web` is still there after its deletion.
    ending: u32,
    /// Whether there is a pod on a node that has not reported.
    unknown: bool,
    /// The Deployments that were restarted, with the patch.
    restarted: Vec<(String, Value)>,
}

impl Server {
    /// All its pods were made after the change of the file.
    fn without_old_pods(&mut self) {
        self.alone = false;
        self.restarted = ["web", "api"].map(|name| (format!("/{name}"), Value::Null)).into();
    }

    fn is_restarted(&self, name: &str) -> bool {
        self.restarted.iter().any(|(path, _)| path.ends_with(name))
    }

    fn pod(&self, name: &str, owner: Option<&str>) -> Value {
        let is_new = owner.is_some_and(|owner| self.is_restarted(owner));
        let accepted = if is_new { "2026-01-01T11:00:00Z" } else { "2026-01-01T09:00:00Z" };
        let owners: Vec<_> = owner
            .map(|owner| json!({ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("{owner}-1"), "uid": "u", "controller": true }))
            .into_iter()
            .collect();
        json!({
            "metadata": { "name": name, "namespace": "shop", "ownerReferences": owners },
            "spec": {
                "nodeName": "node-1", "containers": [{ "name": "main", "securityContext": { "seccompProfile": {
                    "type": "Localhost", "localhostProfile": "profiles/audit.json",
                } } }],
            },
            "status": { "phase": "Running", "startTime": accepted, "containerStatuses": [
                { "name": "main", "state": { "running": { "startedAt": accepted } } },
            ] },
        })
    }

    fn answer(&mut self, method: &Method, path: &str, query: &str, body: &[u8]) -> (u16, Value) {
        let list = |items: Vec<Value>| {
            (200, json!({ "kind": "List", "apiVersion": "v1", "metadata": {}, "items": items }))
        };
        let name = path.rsplit_once('/').unwrap().1;
        if *method == Method::PATCH && self.forbidden {
            return failure(403, "user cannot patch deployments");
        }
        if *method != Method::PATCH && !self.restarted.is_empty() && self.silent > 0 {
            self.silent -= 1;
            return failure(503, "the server is currently unable to handle the request");
        }
        let ready = if self.ready > 0 { "True" } else { "False" };
        self.ready = self.ready.saturating_sub(u32::from(name == "audit"));
        if *method == Method::PATCH {
            self.restarted.push((path.to_owned(), serde_json::from_slice(body).unwrap()));
        }
        match name {
            "audit" => (200, json!({
                "metadata": { "name": "audit", "generation": 1 },
                "spec": { "contents": { "defaultAction": "SCMP_ACT_LOG" } },
                "status": { "observedGeneration": 1, "state": "Ready", "localhostProfile": "profiles/audit.json", "conditions": [{
                    "type": "Ready", "status": ready, "reason": "R", "message": "", "lastTransitionTime": CHANGED,
                }] },
            })),
            "nodeprofilestatuses" => list(vec![json!({
                "metadata": { "name": "node-1" },
                "status": { "report": {
                    "agentVersion": "1", "directory": "/d", "fileCount": 1, "files": { "audit": HASH },
                    "changed": { "audit": CHANGED },
                } },
            })]),
            "pods" if query.contains("labelSelector") => list(Vec::new()),
            "pods" => {
                let mut pods = vec![self.pod("web-1-a", Some("web")), self.pod("api-1-a", Some("api"))];
                if let Some(name) = self.replaced.take() {
                    self.restarted.push((format!("/{name}"), Value::Null));
                }
                pods.extend(self.alone.then(|| self.pod("alone", None)));
                if self.foreign {
                    let mut foreign = self.pod("clone-0", None);
                    foreign["metadata"]["ownerReferences"] = json!([{
                        "apiVersion": "apps.kruise.io/v1beta1", "kind": "StatefulSet", "name": "clone", "uid": "u", "controller": true,
                    }]);
                    pods.push(foreign);
                }
                if self.ending > 0 {
                    self.ending -= 1;
                    let mut old = self.pod("web-0-a", None);
                    old["metadata"]["ownerReferences"] = pods[0]["metadata"]["ownerReferences"].clone();
                    old["metadata"]["deletionTimestamp"] = json!("2026-01-01T12:00:00Z");
                    pods.push(old);
                }
                if self.unknown {
                    let mut unknown = self.pod("unknown", None);
                    unknown["spec"]["nodeName"] = json!("node-2");
                    pods.push(unknown);
                }
                list(pods)
            }
            "replicasets" => list(
                ["web", "api"]
                    .map(|name| json!({ "metadata": { "name": format!("{name}-1"), "namespace": "shop", "ownerReferences": [
                        { "apiVersion": "apps/v1", "kind": "Deployment", "name": name, "uid": "u", "controller": true },
                    ] } }))
                    .into(),
            ),
            "web" | "api" => {
                let available = i32::from(self.becomes_ready || !self.is_restarted(name));
                (200, json!({
                    "metadata": { "name": name, "namespace": "shop", "uid": format!("uid-{name}"), "generation": 2 },
                    "spec": { "replicas": 1 },
                    "status": {
                        "observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "availableReplicas": available,
                    },
                }))
            }
            other => panic!("{method} {other}"),
        }
    }

    async fn serve(&mut self) {
        while let Some((request, send)) = self.handle.next_request().await {
            let (parts, body) = request.into_parts();
            let body = body.collect_bytes().await.unwrap();
            let query = parts.uri.query().unwrap_or_default();
            let (status, answer) = self.answer(&parts.method, parts.uri.path(), query, &body);
            let answer = Body::from(answer.to_string().into_bytes());
            send.send_response(Response::builder().status(status).body(answer).unwrap());
        }
    }
}

fn failure(code: u16, message: &str) -> (u16, Value) {
    let status = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code });
    (code, status)
}

/// Answers every question with the same word, and keeps what is said.
struct Script {
    answer: bool,
    said: String,
    asked: Vec<String>,
}

impl Dialogue for Script {
    fn say(&mut self, text: &str) -> Result<(), CliError> {
        self.said += text;
        Ok(())
    }

    fn ask(&mut self, question: &str) -> Result<bool, CliError> {
        self.asked.push(question.to_owned());
        Ok(self.answer)
    }
}

/// Runs the command against a cluster; time passes whenever nothing else happens.
async fn run(
    arguments: &[&str],
    answer: bool,
    set: impl FnOnce(&mut Server),
) -> (Result<bool, CliError>, Script, Server) {
    let (service, handle) = tower_test::mock::pair();
    let client = Client::new(service, "default");
    let mut server = Server {
        handle,
        ready: u32::MAX,
        becomes_ready: true,
        alone: true,
        silent: 0,
        forbidden: false,
        foreign: false,
        replaced: None,
        ending: 0,
        unknown: false,
        restarted: Vec::new(),
    };
    set(&mut server);
    let arguments = ["kubectl-seccomp", "restart", "audit"].iter().chain(arguments);
    let Task::Restart(args) = Options::try_parse_from(arguments).unwrap().task else {
        panic!("it is a restart")
    };
    let mut script = Script { answer, said: String::new(), asked: Vec::new() };
    let result = tokio::select! {
        () = server.serve() => panic!("nobody asks any more"),
        result = restart(&client, &args, Paint::Plain, &mut script) => result,
    };
    (result, script, server)
}

#[tokio::test(start_paused = true)]
async fn workloads_are_restarted_one_after_the_other_after_a_yes_and_a_bare_pod_is_left() {
    let (result, script, server) = run(&[], true, |_| {}).await;
    assert!(!result.unwrap(), "the bare pod is left");
    assert_eq!(script.asked, ["Restart 2 workloads?"]);
    let patched: Vec<_> = server.restarted.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(
        patched,
        ["/apis/apps/v1/namespaces/shop/deployments/api", "/apis/apps/v1/namespaces/shop/deployments/web"]
    );
    let patch = &server.restarted[0].1;
    assert_eq!(patch["metadata"], json!({ "uid": "uid-api" }));
    let annotations = &patch["spec"]["template"]["metadata"]["annotations"];
    assert!(annotations["kubectl.kubernetes.io/restartedAt"].as_str().unwrap().ends_with('Z'), "{patch}");
    for line in ["no controller makes it again", "Deployment shop/api: ready", "1 workload left"] {
        assert!(script.said.contains(line), "no {line} in\n{}", script.said);
    }
}

#[tokio::test(start_paused = true)]
async fn it_succeeds_where_nothing_is_left() {
    let (result, script, server) = run(&["--yes"], false, |server| server.alone = false).await;
    assert!(result.unwrap());
    assert_eq!((script.asked.len(), server.restarted.len()), (0, 2));
    let all = "No container that could be checked is older than the file of audit.\n";
    assert!(script.said.ends_with(all), "{}", script.said);
}

#[tokio::test(start_paused = true)]
async fn it_speaks_of_no_namespace_but_the_one_that_it_looked_at() {
    let arguments = ["--yes", "--namespace", "shop"];
    let (result, script, _) = run(&arguments, false, |server| server.alone = false).await;
    assert!(result.unwrap());
    let shop = "No container in the namespace shop that could be checked is older than the file of audit.\n";
    assert!(script.said.ends_with(shop), "{}", script.said);
    let (result, script, _) = run(&arguments, false, Server::without_old_pods).await;
    assert!(result.unwrap());
    assert_eq!(script.said, shop);
}

#[tokio::test(start_paused = true)]
async fn a_workload_whose_old_pods_are_ending_is_not_restarted_again_but_awaited() {
    let ending = |lists| {
        move |server: &mut Server| {
            server.without_old_pods();
            server.ending = lists;
        }
    };
    let (result, script, server) = run(&[], false, ending(5)).await;
    assert!(result.unwrap(), "{}", script.said);
    assert_eq!((server.restarted.len(), server.ending, script.asked.len()), (2, 0, 0), "as before");
    assert!(script.said.contains("because their old pods are ending:\n"), "{}", script.said);
    let (result, script, server) = run(&["--timeout", "5s"], false, ending(u32::MAX)).await;
    assert!(!result.unwrap());
    assert_eq!(server.restarted.len(), 2);
    assert!(
        script.said.contains("Deployment shop/web: 1 of 2 pods still under an earlier"),
        "{}",
        script.said
    );
}

#[tokio::test(start_paused = true)]
async fn it_does_not_succeed_where_nobody_can_tell_under_which_filter_a_pod_is() {
    let remark = "not known: 1 pod under audit on node-2";
    let (result, script, server) = run(&["--yes"], false, |server| {
        server.alone = false;
        server.unknown = true;
    })
    .await;
    assert!(!result.unwrap());
    assert_eq!(server.restarted.len(), 2);
    let end = script.said.rsplit_once("No container that could be checked").unwrap().1;
    assert!(end.contains(remark), "{}", script.said);
    let without_old = |server: &mut Server| {
        server.without_old_pods();
        server.unknown = true;
    };
    let (result, script, _) = run(&["--yes"], false, without_old).await;
    assert!(!result.unwrap() && script.said.contains(remark), "{}", script.said);
    assert!(run(&["--dry-run"], false, without_old).await.0.unwrap(), "it made its plan");
}

#[tokio::test(start_paused = true)]
async fn the_first_workload_that_does_not_become_ready_ends_it() {
    let (result, script, server) = run(&["--yes"], false, |server| server.becomes_ready = false).await;
    assert!(!result.unwrap());
    assert_eq!(server.restarted.len(), 1);
    assert!(script.said.contains("Deployment shop/api: not ready: 0 of 1 pods are ready"), "{}", script.said);
    assert!(script.said.ends_with("1 more workload not restarted\n"), "{}", script.said);
}

#[tokio::test(start_paused = true)]
async fn a_workload_that_somebody_restarted_since_the_plan_was_made_is_skipped() {
    let (result, script, server) = run(&["--yes"], false, |server| {
        server.alone = false;
        server.replaced = Some("api");
    })
    .await;
    assert!(result.unwrap());
    let patched: Vec<_> = server.restarted.iter().filter(|(_, patch)| !patch.is_null()).collect();
    assert_eq!(patched.len(), 1);
    assert!(patched[0].0.ends_with("/web"));
    let skipped = "Deployment shop/api: skipped: no outdated container of it is found any more\n";
    assert!(script.said.contains(skipped), "{}", script.said);
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_the_profile_is_not_ready_any_more() {
    for (ready, restarted, name, end) in
        [(1, 0, "api", "1 more workload not restarted\n"), (2, 1, "web", "0 more workloads not restarted\n")]
    {
        let (result, script, server) = run(&["--yes"], false, |server| server.ready = ready).await;
        assert!(!result.unwrap());
        assert_eq!(server.restarted.len(), restarted);
        let why = format!("Deployment shop/{name}: not restarted: audit is not Ready any more");
        assert!(script.said.contains(&why) && script.said.ends_with(end), "{}", script.said);
    }
}

#[tokio::test(start_paused = true)]
async fn it_waits_for_an_api_server_that_does_not_answer_for_as_long_as_a_workload_may_take() {
    let (result, script, server) = run(&["--yes"], false, |server| {
        server.alone = false;
        server.silent = 9;
    })
    .await;
    assert!(result.unwrap(), "{}", script.said);
    assert_eq!((server.restarted.len(), server.silent), (2, 0));
    let (result, script, server) = run(&["--yes"], false, |server| server.silent = u32::MAX).await;
    assert!(!result.unwrap());
    assert_eq!(server.restarted.len(), 1);
    assert!(script.said.contains("Deployment shop/api: not ready: no answer: "), "{}", script.said);
    assert!(script.said.ends_with("1 more workload not restarted\n"), "{}", script.said);
}

#[tokio::test(start_paused = true)]
async fn a_kind_of_another_product_is_listed_and_left_although_kubernetes_has_one_of_that_name() {
    // A request for Kubernetes' StatefulSet `clone` would end the test.
    let (result, script, server) = run(&["--yes"], false, |server| server.foreign = true).await;
    assert!(!result.unwrap());
    assert_eq!(server.restarted.len(), 2);
    let why = "a StatefulSet.apps.kruise.io has no restart of its own that this program knows";
    assert!(script.said.contains(why), "{}", script.said);
}

#[tokio::test(start_paused = true)]
async fn an_error_does_not_hide_how_many_workloads_are_left() {
    let (result, script, _) = run(&["--yes"], false, |server| server.forbidden = true).await;
    assert!(matches!(result, Err(CliError::Forbidden { .. })));
    assert!(script.said.ends_with("1 more workload not restarted\n"), "{}", script.said);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_changed_without_a_yes_by_a_dry_run_or_before_the_profile_is_ready() {
    let (result, script, server) = run(&[], false, |_| {}).await;
    assert!(matches!(result, Err(CliError::NotConfirmed)) && script.asked.len() == 1);
    assert_eq!(server.restarted, []);
    let (result, script, server) = run(&["--dry-run"], true, |_| {}).await;
    assert!(result.unwrap() && script.asked.is_empty());
    assert_eq!(server.restarted, []);
    let (result, _, server) = run(&["--yes"], true, |server| server.ready = 0).await;
    assert!(matches!(result, Err(CliError::NotReady(_))));
    assert_eq!(server.restarted, []);
}
