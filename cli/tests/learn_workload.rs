//! `learn --workload` against an API server that answers as a cluster does: what it changes round by round, and what is as
//! before in the end.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy allows panics in tests, but not in the helpers of an integration test"
)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use clap::Parser;
use cli::error::CliError;
use cli::learn::workload::{Console, learn_from_workload};
use cli::options::{Options, Task};
use cli::show::Paint;
use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::time::Instant;
use tower_test::mock::Handle;

const WORKLOAD: &str = "/apis/apps/v1/namespaces/shop/deployments/web";

/// A cluster with the Deployment `web`, whose program makes more calls in each of its generations, and an observer.
struct Server {
    workload: Value,
    /// As it was in the beginning.
    before: Value,
    profiles: BTreeMap<String, Value>,
    /// The calls that the program makes, by the number of the template's generation; the last goes for all later ones.
    program: Vec<Vec<&'static str>>,
    /// The generation of the template.
    template: usize,
    /// What was logged so far, by pod.
    logged: BTreeMap<String, Vec<String>>,
    /// How many records were lost, by the time since the beginning.
    lost: fn(Duration) -> i64,
    begun: Instant,
    observer: bool,
    /// Whether a webhook adds a container to each pod.
    injected: bool,
    /// Whether pods under this file become ready.
    ready: fn(&str) -> bool,
    /// What somebody else does after each rollout.
    meddled: Meddled,
    /// The phase of its pod, by the time since the beginning; `None` for no pod.
    phase: fn(Duration) -> Option<&'static str>,
    /// Whether the observer's pod is ready, by the time since the beginning.
    is_observing: fn(Duration) -> bool,
    /// What happens once, after these seconds.
    later: Option<Later>,
    /// After how many further changes it answers no more.
    cut: Option<usize>,
    /// How many requests that change something fail for the moment.
    failing: usize,
    /// What was changed.
    changes: Vec<String>,
}

/// What happens after some seconds.
type Later = (u64, fn(&mut Server));

/// What somebody else does to the workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meddled {
    Nothing,
    /// The whole template is replaced.
    Template,
    /// The profile in the template is put back; what the manifest does not name stays.
    Profile,
}

impl Server {
    fn new() -> Self {
        let default = json!({ "seccompProfile": { "type": "RuntimeDefault" } });
        let workload = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "name": "web", "namespace": "shop", "uid": "u", "generation": 1, "resourceVersion": "1" },
            "spec": { "replicas": 1, "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": { "securityContext": default, "containers": [{ "name": "main" }, { "name": "helper" }] },
            } },
        });
        Self {
            before: workload["spec"].clone(),
            workload,
            profiles: BTreeMap::new(),
            program: vec![vec![], vec!["read", "openat"], vec!["read", "openat", "mmap"]],
            template: 0,
            logged: BTreeMap::new(),
            lost: |_| 0,
            begun: Instant::now(),
            observer: true,
            injected: false,
            ready: |_| true,
            meddled: Meddled::Nothing,
            phase: |_| Some("Running"),
            is_observing: |_| true,
            later: None,
            cut: None,
            failing: 0,
            changes: Vec::new(),
        }
    }

    fn file(&self) -> String {
        let profile = &self.workload["spec"]["template"]["spec"]["securityContext"]["seccompProfile"];
        profile["localhostProfile"].as_str().unwrap_or_default().to_owned()
    }

    /// What the profile of the pods does with a call.
    fn action(&self, call: &str) -> Option<String> {
        let file = self.file();
        let name = file.strip_prefix("profiles/")?.strip_suffix(".json")?;
        let contents = &self.profiles.get(name)?["spec"]["contents"];
        let mut rules = contents["syscalls"].as_array().unwrap().iter();
        let rule = rules.find(|rule| rule["names"].as_array().unwrap().iter().any(|it| it == call));
        rule.map(|rule| rule["action"].as_str().unwrap().to_owned())
    }

    fn pod(&self) -> Option<Value> {
        let name = format!("web-{}", self.template);
        let phase = (self.phase)(self.begun.elapsed())?;
        Some(json!({
            "metadata": { "name": name, "namespace": "shop", "uid": format!("uid-{name}"), "ownerReferences": [
                { "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-rs", "uid": "u", "controller": true },
            ] },
            "spec": {
                "nodeName": "node-1", "securityContext": self.workload["spec"]["template"]["spec"]["securityContext"],
                "containers": [{ "name": "main" }, { "name": "helper" }, { "name": "injected" }],
            },
            "status": { "phase": phase },
        }))
    }

    fn observers_pod(&self) -> Value {
        let status = if (self.is_observing)(self.begun.elapsed()) { "True" } else { "False" };
        json!({
            "metadata": { "name": "observer-1", "namespace": "seccomp-profile" },
            "spec": { "nodeName": "node-1", "containers": [] },
            "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": status }] },
        })
    }

    /// The report of the node; the pod's program goes on.
    fn observation(&mut self) -> Value {
        let pod = format!("web-{}", self.template);
        let calls = self.program[self.template.min(self.program.len() - 1)].clone();
        for call in calls {
            let is_logged = self.action(call).as_deref() == Some("SCMP_ACT_LOG");
            let logged = self.logged.entry(pod.clone()).or_default();
            if is_logged && !logged.iter().any(|it| it == call) {
                logged.push(call.to_owned());
            }
        }
        let container = if self.injected { "injected" } else { "main" };
        let containers =
            self.logged.iter().map(|(pod, calls)| {
                let calls = calls.iter().map(|call| json!({
                "architecture": "x86_64", "number": 1, "name": call, "action": "SCMP_ACT_LOG", "count": 7,
                "first": "2026-01-01T00:00:00Z", "last": "2026-01-01T00:01:00Z", "program": "/bin/web",
            }));
                json!({
                    "namespace": "shop", "pod": pod, "podUid": format!("uid-{pod}"), "container": container,
                    "containerId": format!("c-{pod}"), "calls": calls.collect::<Vec<_>>(),
                })
            });
        json!({ "metadata": { "name": "node-1" }, "spec": {}, "status": { "report": {
            "observerVersion": "0.1.0", "state": "Observing", "containers": containers.collect::<Vec<_>>(),
            "outside": 0, "unknown": 0, "forgotten": 0, "lost": (self.lost)(self.begun.elapsed()), "boot": "b",
        } } })
    }

    fn profile(&self, name: &str) -> Option<Value> {
        let mut profile = self.profiles.get(name)?.clone();
        profile["status"] = json!({
            "observedGeneration": profile["metadata"]["generation"], "state": "Ready",
            "localhostProfile": format!("profiles/{name}.json"),
            "conditions": [{
                "type": "Ready", "status": "True", "reason": "R", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
            }],
        });
        Some(profile)
    }

    fn answer(&mut self, method: &Method, path: &str, query: &str, body: &[u8]) -> (u16, Value) {
        let list = |items: Vec<Value>| {
            (200, json!({ "kind": "List", "apiVersion": "v1", "metadata": {}, "items": items }))
        };
        let name = path.rsplit_once('/').unwrap().1;
        if let Some((seconds, later)) = self.later
            && self.begun.elapsed().as_secs() >= seconds
        {
            self.later = None;
            later(self);
        }
        if *method != Method::GET {
            if self.failing > 0 {
                self.failing -= 1;
                return failure(503, name);
            }
            self.cut = self.cut.map(|cut| cut - 1);
            return self.change(method, path, serde_json::from_slice(body).unwrap_or_default());
        }
        match name {
            _ if path.contains("/seccompprofiles/") => match self.profile(name) {
                Some(profile) => (200, profile),
                None => failure(404, name),
            },
            "web" => {
                let is_ready = (self.ready)(&self.file());
                let mut workload = self.workload.clone();
                workload["status"] = json!({
                    "observedGeneration": workload["metadata"]["generation"], "replicas": 1, "updatedReplicas": 1,
                    "availableReplicas": i32::from(is_ready),
                });
                (200, workload)
            }
            "seccompprofiles" => list(self.profiles.keys().filter_map(|name| self.profile(name)).collect()),
            "nodeprofilestatuses" => list(Vec::new()),
            "seccompobservations" => {
                let observation = self.observation();
                list(Vec::from_iter(self.observer.then_some(observation)))
            }
            "pods" if query.contains("observer") => list(vec![self.observers_pod()]),
            "pods" if query.contains("labelSelector") => list(Vec::new()),
            "pods" => list(Vec::from_iter(self.pod())),
            "replicasets" => {
                list(vec![json!({ "metadata": { "name": "web-rs", "namespace": "shop", "ownerReferences": [
                { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "u", "controller": true },
            ] } })])
            }
            other => panic!("{method} {other}"),
        }
    }

    fn change(&mut self, method: &Method, path: &str, mut object: Value) -> (u16, Value) {
        let name = path.rsplit_once('/').unwrap().1;
        if path == WORKLOAD {
            assert_eq!(object["metadata"]["resourceVersion"], self.workload["metadata"]["resourceVersion"]);
            let generation = self.workload["metadata"]["generation"].as_i64().unwrap() + 1;
            if object["spec"]["template"] != self.workload["spec"]["template"] {
                self.template += 1;
                self.changes.push("rollout".to_owned());
            }
            object["metadata"]["generation"] = json!(generation);
            object["metadata"]["resourceVersion"] = json!(generation.to_string());
            object.as_object_mut().unwrap().remove("status");
            self.workload = object.clone();
            match self.meddled {
                Meddled::Nothing => {}
                Meddled::Template => self.workload["spec"] = self.before.clone(),
                Meddled::Profile => {
                    self.workload["spec"]["template"]["spec"] = self.before["template"]["spec"].clone();
                }
            }
            return (200, object);
        }
        match *method {
            Method::POST => {
                let name = object["metadata"]["name"].as_str().unwrap().to_owned();
                object["metadata"]["generation"] = json!(1);
                object["metadata"]["resourceVersion"] = json!("1");
                self.changes.push(format!("create {name}"));
                self.profiles.insert(name, object.clone());
                (201, object)
            }
            Method::PUT => {
                let generation = self.profiles[name]["metadata"]["generation"].as_i64().unwrap() + 1;
                object["metadata"]["generation"] = json!(generation);
                object.as_object_mut().unwrap().remove("status");
                self.changes.push(format!("update {name}"));
                self.profiles.insert(name.to_owned(), object.clone());
                (200, object)
            }
            Method::DELETE => {
                self.changes.push(format!("delete {name}"));
                let deleted = self.profiles.remove(name);
                (200, deleted.unwrap())
            }
            _ => panic!("{method} {path}"),
        }
    }
}

fn failure(code: u16, name: &str) -> (u16, Value) {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "not found", "code": code,
        "reason": "NotFound", "details": { "name": name },
    });
    (code, status)
}

/// The answers to whether it may learn, and whether the result is to be applied; `None` if nobody can answer.
type Answers = [Option<bool>; 2];
const NOBODY: Answers = [None; 2];
const YES: Answers = [Some(true); 2];

/// Answers questions, and keeps what is said.
#[derive(Default)]
struct Script {
    answers: Answers,
    said: String,
    asked: Vec<String>,
    progress: Vec<String>,
}

impl Console for Script {
    fn say(&mut self, text: &str) -> Result<(), CliError> {
        self.said += text;
        Ok(())
    }

    fn progress(&mut self, line: &str) -> Result<(), CliError> {
        self.progress.push(line.to_owned());
        Ok(())
    }

    async fn ask(&mut self, question: &str) -> Result<Option<bool>, CliError> {
        self.asked.push(question.to_owned());
        Ok(self.answers[usize::from(question.starts_with("Apply"))])
    }
}

/// Runs the command; time passes whenever nothing else happens. It is stopped after this time.
async fn run(
    server: &RefCell<Server>,
    arguments: &[&str],
    answers: Answers,
    stop_after: Duration,
) -> (Result<bool, CliError>, Script) {
    let (service, mut handle): (_, Handle<Request<Body>, Response<Body>>) = tower_test::mock::pair();
    let client = Client::new(service, "shop");
    let begin = ["kubectl-seccomp", "learn", "web", "--workload", "deploy/web", "--runtime", "none"];
    let Task::Learn(args) = Options::try_parse_from(begin.iter().chain(arguments)).unwrap().task else {
        panic!("it is another command")
    };
    let mut script = Script { answers, ..Script::default() };
    let serve = async {
        while let Some((request, send)) = handle.next_request().await {
            let (parts, body) = request.into_parts();
            let body = body.collect_bytes().await.unwrap();
            let query = parts.uri.query().unwrap_or_default();
            if server.borrow().cut == Some(0) {
                return std::future::pending().await;
            }
            let (status, answer) = server.borrow_mut().answer(&parts.method, parts.uri.path(), query, &body);
            let answer = Body::from(answer.to_string().into_bytes());
            send.send_response(Response::builder().status(status).body(answer).unwrap());
        }
    };
    let begun = Instant::now();
    let stopped = async || tokio::time::sleep_until(begun + stop_after).await;
    // A second interrupt would end the wait for the pods; here there is one.
    let first = std::cell::Cell::new(true);
    let stopped = async || if first.replace(false) { stopped().await } else { std::future::pending().await };
    let result = tokio::select! {
        () = serve => panic!("nobody asks any more"),
        result = learn_from_workload(&client, &args, Paint::Plain, &mut script, stopped) => result,
    };
    (result, script)
}

const NEVER: Duration = Duration::from_secs(1_000_000);

async fn learn(
    set: impl FnOnce(&mut Server),
    arguments: &[&str],
    answers: Answers,
) -> (Result<bool, CliError>, Script, Server) {
    let mut server = Server::new();
    set(&mut server);
    let server = RefCell::new(server);
    let (result, script) = run(&server, arguments, answers, NEVER).await;
    (result, script, server.into_inner())
}

fn is_as_before(server: &Server) -> bool {
    server.workload["spec"] == server.before && !server.workload.to_string().contains("learning")
}

#[tokio::test(start_paused = true)]
async fn it_learns_rollout_by_rollout_until_it_is_quiet_and_applies_the_result_on_yes() {
    let begun = Instant::now();
    let (result, script, server) = learn(|_| {}, &[], YES).await;
    assert!(result.unwrap());
    let expected = [
        "create web-learning",
        "rollout",
        "update web-learning",
        "rollout",
        "update web-learning",
        "rollout",
        "update web-learning",
        "create web",
        "rollout",
        "delete web-learning",
    ];
    assert_eq!(server.changes, expected);
    assert!((600..900).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert_eq!(server.file(), "profiles/web.json");
    assert!(!server.workload.to_string().contains("learning"), "{}", server.workload);
    let result = &server.profiles["web"];
    assert_eq!(result["metadata"]["labels"]["seccomp.imjasonh.dev/from"], "learned");
    let contents = &result["spec"]["contents"];
    assert_eq!(contents["defaultAction"], "SCMP_ACT_ERRNO");
    // As in containerd's default, from which it began, clone3 is refused with ENOSYS.
    let rules = json!([
        { "names": ["mmap", "openat", "read"], "action": "SCMP_ACT_ALLOW" },
        { "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38 },
    ]);
    assert_eq!(contents["syscalls"], rules);
    for line in [
        "Refused stays what is refused by RuntimeDefault, taken to be that of containerd",
        "CALL     COUNT   PODS   CONTAINERS",
        "mmap     7       1      main",
        "3 calls seen in 3 pods, in 3 rounds",
        "lint finds",
        "Deployment shop/web runs under web\n",
    ] {
        assert!(script.said.contains(line), "no {line} in\n{}", script.said);
    }
    assert_eq!(
        script.asked,
        ["Let Deployment shop/web learn?", "Apply web, and let Deployment shop/web run under it?"]
    );
    assert!(
        script.progress.iter().any(|it| it.contains("round 3: 3 calls known; quiet for 5m")),
        "{:?}",
        script.progress
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_yes_to_the_result_the_workload_has_its_former_profile_again() {
    for answer in [None, Some(false)] {
        let (result, script, server) = learn(|_| {}, &[], [Some(true), answer]).await;
        assert!(!result.unwrap());
        assert!(is_as_before(&server), "{}", server.workload);
        assert!(server.profiles.is_empty());
        assert_eq!(script.asked.len(), 2);
        assert!(script.said.contains("names: [mmap, openat, read]"), "{}", script.said);
        assert!(script.said.contains("has its former profile again"), "{}", script.said);
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_yes_nothing_is_changed_even_where_an_earlier_run_is_continued() {
    for (answer, reason) in [(None, "NobodyToAsk"), (Some(false), "NotConfirmed")] {
        let server = killed(Server::new(), "--runtime=none", 120).await;
        for server in [RefCell::new(Server::new()), server] {
            let before = server.borrow().workload.clone();
            let (result, script) = run(&server, &[], [answer; 2], NEVER).await;
            let error = result.unwrap_err();
            assert_eq!(error.reason(), reason, "{error}");
            assert_eq!(script.asked.len(), 1);
            assert_eq!(server.borrow().changes, [""; 0]);
            assert_eq!(server.borrow().workload, before);
        }
    }
}

/// A run on this server with `--yes` and this option that was killed after some seconds.
async fn killed(server: Server, option: &str, seconds: u64) -> RefCell<Server> {
    let (server, arguments) = (RefCell::new(server), ["--yes", option]);
    tokio::select! {
        _ = run(&server, &arguments, NOBODY, NEVER) => panic!("it ended"),
        () = tokio::time::sleep(Duration::from_secs(seconds)) => {}
    }
    server.borrow_mut().changes.clear();
    server
}

#[tokio::test(start_paused = true)]
async fn without_a_running_pod_or_a_living_observer_it_is_not_quiet() {
    let none = |server: &mut Server| server.phase = |it| (it.as_secs() < 300).then_some("Running");
    let (result, script, server) = learn(none, &["--yes"], NOBODY).await;
    assert!(!result.unwrap() && is_as_before(&server));
    assert!(script.said.contains("it never got quiet") && script.said.contains("none of its pods ran"));
    let dead = |server: &mut Server| server.is_observing = |it| it.as_secs() < 300;
    let (result, script, server) = learn(dead, &["--yes"], NOBODY).await;
    assert!(!result.unwrap() && is_as_before(&server));
    assert!(
        script.said.contains("it never got quiet") && script.said.contains("observer's pod is not ready")
    );
    // Back again, it is.
    let away = |server: &mut Server| server.is_observing = |it| !(300..1000).contains(&it.as_secs());
    let begun = Instant::now();
    let (result, ..) = learn(away, &["--yes"], NOBODY).await;
    assert!(result.unwrap());
    assert!((1590..1700).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_quiet_time_that_shows_nothing_is_refused() {
    for times in [["--quiet", "59s"], ["--quiet", "2h"]] {
        let (result, _, server) = learn(|_| {}, &times, YES).await;
        assert_eq!(result.unwrap_err().reason(), "Times");
        assert_eq!(server.changes, [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn lost_records_reset_the_quiet_time() {
    let begun = Instant::now();
    let lost = |since: Duration| i64::from(since.as_secs() > 500);
    let (result, script, _) = learn(|server| server.lost = lost, &["--yes"], NOBODY).await;
    assert!(result.unwrap());
    assert!(begun.elapsed().as_secs() > 1100, "{:?}", begun.elapsed());
    assert!(script.said.contains("calls may be missing: node-1: 1 audit records lost"), "{}", script.said);
}

#[tokio::test(start_paused = true)]
async fn a_container_that_a_webhook_adds_to_the_pods_learns_as_well() {
    let (result, script, _) = learn(|server| server.injected = true, &["--yes"], NOBODY).await;
    assert!(result.unwrap(), "{}", script.said);
    assert!(script.said.contains("1      injected"), "{}", script.said);
}

#[tokio::test(start_paused = true)]
async fn where_no_call_is_logged_at_all_nothing_is_applied() {
    let (result, _, server) = learn(|server| server.program = vec![vec![]], &["--yes"], NOBODY).await;
    let error = result.unwrap_err();
    assert_eq!(error.reason(), "NothingSeen", "{error}");
    assert!(is_as_before(&server) && server.profiles.is_empty());
    // What a killed run has left does not count as seen, nor do the calls that a runtime makes itself.
    let silent = Server { program: vec![vec![]], ..Server::new() };
    let server = killed(silent, "--runtime=runc", 30).await;
    let (result, script) = run(&server, &["--yes", "--runtime=runc"], NOBODY, NEVER).await;
    let error = result.unwrap_err();
    assert_eq!(error.reason(), "NothingSeen", "{error}");
    assert!(!script.said.contains("earlier runs have learned"), "{}", script.said);
    assert!(is_as_before(&server.borrow()) && server.borrow().profiles.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_run_that_sees_nothing_applies_what_earlier_ones_have_learned_only_after_another_yes() {
    for (answers, applies) in [(NOBODY, false), (YES, true)] {
        let server = killed(Server::new(), "--runtime=none", 120).await;
        server.borrow_mut().program = vec![vec![]];
        server.borrow_mut().logged.clear();
        let (result, script) = run(&server, &["--yes"], answers, NEVER).await;
        assert_eq!(result.unwrap(), applies);
        assert!(script.said.contains("nothing was seen in this run"), "{}", script.said);
        assert_eq!(script.asked.len(), 1);
        assert_eq!(server.borrow().profiles.contains_key("web"), applies);
    }
}

#[tokio::test(start_paused = true)]
async fn a_workload_that_never_gets_quiet_is_said_so_and_the_yes_in_advance_does_not_count() {
    let lost = |since: Duration| i64::try_from(since.as_secs()).unwrap();
    let (result, script, server) = learn(|server| server.lost = lost, &["--yes"], NOBODY).await;
    assert!(!result.unwrap());
    assert!(script.said.contains("it never got quiet"), "{}", script.said);
    assert!(script.said.contains("names: [mmap, openat, read]"), "{}", script.said);
    assert!(is_as_before(&server) && server.profiles.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_stop_at_any_time_gives_the_workload_its_former_profile_again() {
    for seconds in [0, 1, 2, 3, 5, 20, 40, 70, 300, 600] {
        let server = RefCell::new(Server::new());
        let (result, script) = run(&server, &["--yes"], NOBODY, Duration::from_secs(seconds)).await;
        let server = server.into_inner();
        assert!(!result.unwrap(), "after {seconds} s");
        assert!(is_as_before(&server) && server.profiles.is_empty(), "{}", server.workload);
        assert!(script.said.contains("it was stopped"), "{}", script.said);
    }
}

#[tokio::test(start_paused = true)]
async fn a_result_under_which_the_workload_does_not_become_ready_is_taken_back() {
    let ready = |file: &str| file != "profiles/web.json";
    let (result, _, server) = learn(|server| server.ready = ready, &["--yes"], NOBODY).await;
    let error = result.unwrap_err();
    assert_eq!(error.reason(), "NotReady", "{error}");
    assert!(is_as_before(&server) && server.profiles.is_empty(), "{:?}", server.changes);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_changed_where_no_observer_reports_or_no_filter_is_in_force() {
    let (result, _, server) = learn(|server| server.observer = false, &["--yes"], NOBODY).await;
    let error = result.unwrap_err().to_string();
    assert!(error.contains("node-1") && error.contains("observer.enabled"), "{error}");
    assert_eq!(server.changes, [""; 0]);
    let unconfined = |server: &mut Server| {
        server.workload["spec"]["template"]["spec"]["securityContext"] = json!({});
        server.before = server.workload["spec"].clone();
    };
    let (result, _, server) = learn(unconfined, &["--yes"], NOBODY).await;
    let error = result.unwrap_err().to_string();
    assert!(error.contains("--from-unconfined"), "{error}");
    assert_eq!(server.changes, [""; 0]);
    let foreign = |server: &mut Server| {
        server
            .profiles
            .insert("web-learning".to_owned(), json!({ "metadata": { "name": "web-learning" }, "spec": {} }));
    };
    let (result, _, server) = learn(foreign, &["--yes"], NOBODY).await;
    assert_eq!(result.unwrap_err().reason(), "Foreign");
    assert_eq!(server.changes, [""; 0]);
    // Its present profile, which somebody has written.
    let own = |server: &mut Server| {
        server.profiles.insert("web".to_owned(), json!({ "metadata": { "name": "web" }, "spec": {} }));
        let path = json!({ "type": "Localhost", "localhostProfile": "profiles/web.json" });
        server.workload["spec"]["template"]["spec"]["securityContext"]["seccompProfile"] = path;
    };
    let (result, _, server) = learn(own, &["--yes"], NOBODY).await;
    assert_eq!(result.unwrap_err().reason(), "Foreign");
    assert_eq!(server.changes, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_has_changed_stays_and_the_error_says_so() {
    for meddled in [Meddled::Template, Meddled::Profile] {
        let (result, _, server) = learn(|server| server.meddled = meddled, &["--yes"], NOBODY).await;
        let error = result.unwrap_err();
        assert_eq!(error.reason(), "Changed", "{meddled:?}: {error}");
        assert_eq!(server.changes, ["create web-learning", "rollout"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_killed_is_continued_or_undone_and_what_was_learned_before_counts() {
    // Its state after the second rollout.
    let killed = async || killed(Server::new(), "--runtime=none", 60).await;
    let server = killed().await;
    let (result, script) = run(&server, &["--undo"], NOBODY, NEVER).await;
    assert!(result.unwrap() && is_as_before(&server.borrow()), "{}", script.said);
    assert_eq!(server.borrow().changes, ["rollout", "delete web-learning"]);
    let (result, _) = run(&server, &["--undo"], NOBODY, NEVER).await;
    assert_eq!(result.unwrap_err().reason(), "NothingToUndo");

    let server = killed().await;
    server.borrow_mut().logged.clear();
    let (result, script) = run(&server, &["--yes"], NOBODY, NEVER).await;
    assert!(result.unwrap(), "{}", script.said);
    assert!(script.said.contains("An earlier run was not ended"), "{}", script.said);
    // The pods had the filter of the second round.
    assert!(script.said.contains("round 3: it runs under web-learning; 2 calls known"), "{}", script.said);
    let names = server.borrow().profiles["web"]["spec"]["contents"]["syscalls"][0]["names"].clone();
    assert_eq!(names, json!(["mmap", "openat", "read"]));

    // Another run finds that it has the result.
    let (result, _) = run(&server, &["--yes"], NOBODY, NEVER).await;
    assert_eq!(result.unwrap_err().reason(), "AlreadyLearned");
    // With the earlier profile again, what the result permits is known.
    let before = server.borrow().before.clone();
    server.borrow_mut().workload["spec"] = before;
    server.borrow_mut().program = vec![vec!["write"]];
    let (result, script) = run(&server, &["--yes"], NOBODY, NEVER).await;
    assert!(result.unwrap(), "{}", script.said);
    let names = server.borrow().profiles["web"]["spec"]["contents"]["syscalls"][0]["names"].clone();
    assert_eq!(names, json!(["mmap", "openat", "read", "write"]));
}

/// A result of an earlier run, for another workload.
fn earlier_result() -> Value {
    let rules = json!([{ "names": ["read"], "action": "SCMP_ACT_ALLOW" }]);
    json!({
        "metadata": {
            "name": "web", "generation": 1, "labels": { "seccomp.imjasonh.dev/from": "learned" },
            "annotations": { "seccomp.imjasonh.dev/workload": "Deployment shop/other" },
        },
        "spec": { "contents": { "defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules } },
    })
}

#[tokio::test(start_paused = true)]
async fn a_kill_after_any_change_can_be_undone_or_continued() {
    // The last two changes of a run end it; what is before is not in force.
    let (all, ends) = (11, 10);
    for existing in [None, Some(earlier_result())] {
        // What had the result's name matters once the result is applied.
        for changes in (if existing.is_some() { 6 } else { 1 })..=all {
            let killed = async || {
                let mut server = Server { cut: Some(changes), ..Server::new() };
                server.profiles.extend(existing.clone().map(|it| ("web".to_owned(), it)));
                let server = RefCell::new(server);
                tokio::select! {
                    _ = run(&server, &["--yes"], NOBODY, NEVER) => {}
                    () = tokio::time::sleep(Duration::from_mins(50)) => {}
                }
                let mut killed = server.into_inner();
                assert_eq!(killed.cut, Some(0));
                killed.cut = None;
                RefCell::new(killed)
            };
            let server = killed().await;
            let (result, script) = run(&server, &["--undo"], NOBODY, NEVER).await;
            if changes == all {
                assert_eq!(result.unwrap_err().reason(), "NothingToUndo");
            } else if changes == ends {
                assert!(script.said.contains("was not under web-learning"), "{}", script.said);
            } else {
                assert!(
                    result.unwrap() && is_as_before(&server.borrow()),
                    "after {changes}: {}",
                    script.said
                );
            }
            let server = server.into_inner();
            assert_eq!(server.file() == "profiles/web.json", changes >= ends);
            if changes < ends {
                let spec = |it: &Value| (it["spec"].clone(), it["metadata"]["annotations"].clone());
                assert_eq!(
                    server.profiles.get("web").map(spec),
                    existing.as_ref().map(spec),
                    "after {changes}"
                );
                assert_eq!(server.profiles.len(), usize::from(existing.is_some()));
            }
            if existing.is_some() {
                continue;
            }
            let server = killed().await;
            let (result, _) = run(&server, &["--yes"], YES, NEVER).await;
            if changes >= ends {
                assert_eq!(result.unwrap_err().reason(), "AlreadyLearned");
            } else {
                assert!(result.unwrap(), "after {changes}");
                assert_eq!(server.borrow().file(), "profiles/web.json");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_does_to_the_profiles_meanwhile_is_not_overwritten() {
    let somebodys = |server: &mut Server| {
        let theirs = json!({ "metadata": { "name": "web", "generation": 1 }, "spec": { "contents": {} } });
        server.profiles.insert("web".to_owned(), theirs);
    };
    let (result, script, server) =
        learn(|server| server.later = Some((300, somebodys)), &["--yes"], NOBODY).await;
    assert_eq!(result.unwrap_err().reason(), "ProfileChanged");
    assert!(is_as_before(&server) && server.profiles.len() == 1, "{:?}", server.changes);
    assert_eq!(server.profiles["web"]["spec"], json!({ "contents": {} }));
    assert!(script.said.contains("names: [mmap, openat, read]"), "{}", script.said);
    // The present profile, from which the result follows.
    let under_base = |server: &mut Server| {
        let rules = json!([{ "names": ["read", "openat", "mmap", "write"], "action": "SCMP_ACT_ALLOW" }]);
        let contents = json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules });
        let base =
            json!({ "metadata": { "name": "base", "generation": 1 }, "spec": { "contents": contents } });
        server.profiles.insert("base".to_owned(), base);
        let path = json!({ "type": "Localhost", "localhostProfile": "profiles/base.json" });
        server.workload["spec"]["template"]["spec"]["securityContext"]["seccompProfile"] = path;
        server.before = server.workload["spec"].clone();
    };
    let narrower = |server: &mut Server| {
        server.profiles.get_mut("base").unwrap()["metadata"]["generation"] = json!(2);
    };
    let set = |server: &mut Server| {
        under_base(server);
        server.later = Some((300, narrower));
    };
    let (result, _, server) = learn(set, &["--yes"], NOBODY).await;
    assert_eq!(result.unwrap_err().reason(), "ProfileChanged");
    assert!(is_as_before(&server) && server.profiles.len() == 1, "{:?}", server.changes);
    let (result, _, server) = learn(under_base, &["--yes"], NOBODY).await;
    assert!(result.unwrap() && server.file() == "profiles/web.json");
}

#[tokio::test(start_paused = true)]
async fn undo_leaves_a_profile_that_somebody_else_has_given_the_workload_since() {
    let server = killed(Server::new(), "--runtime=none", 60).await;
    let path = json!({ "type": "Localhost", "localhostProfile": "profiles/newer.json" });
    server.borrow_mut().workload["spec"]["template"]["spec"]["securityContext"]["seccompProfile"] = path;
    let (result, script) = run(&server, &["--undo"], NOBODY, NEVER).await;
    assert!(result.unwrap());
    assert!(script.said.contains("somebody else has given its pods another profile, which stays"));
    let server = server.into_inner();
    assert_eq!(server.file(), "profiles/newer.json");
    assert!(!server.workload.to_string().contains("learning") && server.profiles.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_fails_for_the_moment_is_made_again_and_after_an_error_what_was_learned_is_shown() {
    let busy = |server: &mut Server| server.failing = 2;
    let (result, script, _) = learn(|server| server.later = Some((20, busy)), &["--yes"], NOBODY).await;
    assert!(result.unwrap(), "{}", script.said);
    let broken = |server: &mut Server| server.ready = |file| file != "profiles/web-learning.json";
    let (result, script, server) =
        learn(|server| server.later = Some((20, broken)), &["--yes"], NOBODY).await;
    assert_eq!(result.unwrap_err().reason(), "NotReady");
    assert!(script.said.contains("names: [openat, read]"), "{}", script.said);
    assert!(script.said.contains("it has failed"), "{}", script.said);
    assert!(is_as_before(&server) && server.profiles.is_empty());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_changed_where_the_evidence_cannot_be_written() {
    let (result, _, server) = learn(|_| {}, &["--yes", "--evidence", "/nowhere/seen.json"], NOBODY).await;
    assert_eq!(result.unwrap_err().reason(), "Write");
    assert_eq!(server.changes, [""; 0]);
}
