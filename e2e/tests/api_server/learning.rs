//! `kubectl seccomp learn --workload` on a real API server, with the real operator and agent. There are no kubelets and no
//! controllers: the test replaces the pods of the Deployment, and writes what an observer would.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use bench::api_server::{Account, Agents, OperatorProcess, Options};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::time::sleep;
use xtask::build_program::build_plugin;
use xtask::workspace::repository;

use super::pods::{create_namespace, plain};
use super::support::{Environment, LIMIT, send, start_operator, until};

static PLUGIN: LazyLock<PathBuf> =
    LazyLock::new(|| build_plugin(repository()).unwrap_or_else(|error| panic!("{error}")));

const NODE: &str = "n1";
const OBSERVATIONS: &str = "/apis/seccomp.imjasonh.dev/v1alpha1/seccompobservations";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/shop/deployments";
const PODS: &str = "/api/v1/namespaces/shop/pods";
const SETS: &str = "/apis/apps/v1/namespaces/shop/replicasets";

/// The calls that the program makes in each generation of its pods; the last goes for all later ones.
const PROGRAM: [&[&str]; 3] = [&[], &["read", "openat"], &["read", "openat", "mmap"]];

/// A Deployment `web` with one pod, a node with an agent, and an operator.
struct Scene {
    /// First, so that they are dropped before the server's directory with their files.
    agents: Agents,
    environment: Environment,
    _operator: OperatorProcess,
    /// The template of the present pod, and how many pods there were.
    seen: (Value, usize),
    /// The generation of the Deployment of which its status is. The API server counts changed annotations, too.
    generation: i64,
    /// The observed containers.
    containers: Vec<Value>,
    lost: i64,
    /// The number of the pod before the learning.
    first: usize,
    /// The template's profile of each pod since.
    profiles: Vec<Value>,
}

impl Scene {
    async fn new() -> Self {
        let values = ["--set", "observer.enabled=true"].map(String::from).into();
        let environment = Environment::with(Options { values, ..Options::default() }).await;
        let operator = start_operator(&environment);
        let mut agents = environment.agents(None).await;
        agents.join(NODE).await.unwrap();
        create_namespace(&environment.admin, "shop", &json!({})).await;
        let mut scene = Self {
            agents,
            environment,
            _operator: operator,
            seen: (Value::Null, 0),
            generation: 0,
            containers: Vec::new(),
            lost: 0,
            first: 1,
            profiles: Vec::new(),
        };
        let observation = json!({
            "apiVersion": "seccomp.imjasonh.dev/v1alpha1", "kind": "SeccompObservation", "metadata": { "name": NODE }, "spec": {},
        });
        scene.send("POST", OBSERVATIONS, &observation).await;
        scene.add_observers_pod().await;
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" },
            "spec": { "replicas": 1, "selector": { "matchLabels": { "app": "web" } }, "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": {
                    "securityContext": { "seccompProfile": { "type": "RuntimeDefault" } },
                    "containers": [{ "name": "main", "image": "none" }],
                },
            } },
        });
        scene.send("POST", DEPLOYMENTS, &deployment).await;
        scene.step().await;
        scene
    }

    /// The pod of the node's observer, as its DaemonSet and kubelet would show it.
    async fn add_observers_pod(&self) {
        let namespace = "observers";
        create_namespace(&self.environment.admin, namespace, &json!({})).await;
        let labels = json!({
            "app.kubernetes.io/name": "seccomp-profile", "app.kubernetes.io/component": "observer",
        });
        let mut pod = plain("observer");
        pod["metadata"]["labels"] = labels;
        pod["spec"]["nodeName"] = json!(NODE);
        let pods = format!("/api/v1/namespaces/{namespace}/pods");
        self.send("POST", &pods, &pod).await;
        let status = json!({ "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] } });
        self.send("PATCH", &format!("{pods}/observer/status"), &status).await;
    }

    async fn send(&self, method: &str, path: &str, body: &Value) -> Value {
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let (code, answer) = send(&self.environment.admin, method, path, kind, body).await;
        assert!((200..300).contains(&code), "{method} {path}: {answer}");
        answer
    }

    async fn deployment(&self) -> Value {
        self.send("GET", &format!("{DEPLOYMENTS}/web"), &json!({})).await
    }

    /// What controllers, kubelets and the observer do meanwhile.
    async fn step(&mut self) {
        let deployment = self.deployment().await;
        let generation = deployment["metadata"]["generation"].as_i64().unwrap();
        if deployment["spec"]["template"] != self.seen.0 {
            self.replace_pod(&deployment).await;
            self.seen.0 = deployment["spec"]["template"].clone();
        }
        if generation != self.generation {
            self.generation = generation;
            let status = json!({ "status": {
                "observedGeneration": generation, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1,
                "availableReplicas": 1,
            } });
            self.send("PATCH", &format!("{DEPLOYMENTS}/web/status"), &status).await;
        }
        self.observe().await;
    }

    async fn replace_pod(&mut self, deployment: &Value) {
        let number = self.seen.1;
        let now = json!({ "gracePeriodSeconds": 0 });
        if number > 0 {
            self.send("DELETE", &format!("{PODS}/web-{number}-a"), &now).await;
        }
        let number = number + 1;
        let owner = |kind: &str, of: &Value| {
            let metadata = &of["metadata"];
            json!([{
                "apiVersion": "apps/v1", "kind": kind, "name": metadata["name"], "uid": metadata["uid"], "controller": true,
            }])
        };
        let set = json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": { "name": format!("web-{number}"), "ownerReferences": owner("Deployment", deployment) },
            "spec": {
                "replicas": 1, "selector": deployment["spec"]["selector"], "template": deployment["spec"]["template"],
            },
        });
        let set = self.send("POST", SETS, &set).await;
        let mut spec = deployment["spec"]["template"]["spec"].clone();
        spec["nodeName"] = json!(NODE);
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "spec": spec,
            "metadata": { "name": format!("web-{number}-a"), "ownerReferences": owner("ReplicaSet", &set) },
        });
        let pod = self.send("POST", PODS, &pod).await;
        let status = json!({ "status": { "phase": "Running" } });
        self.send("PATCH", &format!("{PODS}/web-{number}-a/status"), &status).await;
        self.seen.1 = number;
        let profile = spec["securityContext"]["seccompProfile"]["localhostProfile"].clone();
        self.containers.push(json!({
            "namespace": "shop", "pod": pod["metadata"]["name"], "podUid": pod["metadata"]["uid"], "container": "main",
            "containerId": format!("c{number}"), "calls": self.logged(&profile).await,
        }));
        self.profiles.push(profile);
    }

    /// The calls of the program that the file on the node's disk logs.
    async fn logged(&self, profile: &Value) -> Vec<Value> {
        let Some(file) = profile.as_str().and_then(|it| it.strip_prefix("profiles/")) else {
            return Vec::new();
        };
        let contents = std::fs::read(self.agents.directory(NODE).join(file)).unwrap();
        let contents: Value = serde_json::from_slice(&contents).unwrap();
        let names = |rule: &Value, call: &str| rule["names"].as_array().unwrap().iter().any(|it| it == call);
        let is_logged = |call: &str| {
            let mut rules = contents["syscalls"].as_array().unwrap().iter();
            rules.find(|rule| names(rule, call)).is_some_and(|rule| rule["action"] == "SCMP_ACT_LOG")
        };
        let made = PROGRAM[(self.seen.1 - self.first).min(PROGRAM.len() - 1)];
        let logged = made.iter().filter(|call| is_logged(call));
        let call = |name: &&str| {
            json!({
                "architecture": "x86_64", "number": 0, "name": name, "action": "SCMP_ACT_LOG", "count": 3,
                "first": "2026-01-01T00:00:00Z", "last": "2026-01-01T00:00:00Z", "program": "/bin/web",
            })
        };
        logged.map(call).collect()
    }

    async fn observe(&self) {
        let report = json!({
            "observerVersion": "0", "state": "Observing", "boot": "b", "outside": 0, "unknown": 0, "forgotten": 0,
            "lost": self.lost, "containers": self.containers,
        });
        let status = json!({ "status": { "report": report } });
        self.send("PATCH", &format!("{OBSERVATIONS}/{NODE}/status"), &status).await;
    }

    /// The command with these options.
    fn learn(&self, arguments: &[&str]) -> Command {
        let kubeconfig = self.environment.server.kubeconfig("learner", Account::Admin, None).unwrap();
        let mut command = Command::new(PLUGIN.join("kubectl-seccomp"));
        command
            .args(["learn", "web", "--workload", "deploy/web", "--namespace", "shop", "--runtime", "none"])
            .args(["--quiet", "1m", "--settle", "1s"])
            .args(arguments)
            .env("KUBECONFIG", kubeconfig)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs the command while the cluster lives, until it ends. `meanwhile` may change the scene. Returns the exit code, and
    /// what it said.
    async fn run(
        &mut self,
        arguments: &[&str],
        mut meanwhile: impl FnMut(&mut Self, Pid),
    ) -> (Option<i32>, String) {
        let mut child = self.learn(arguments).spawn().unwrap();
        let begun = Instant::now();
        let status = loop {
            meanwhile(self, Pid::from_child(&child));
            self.step().await;
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if begun.elapsed() > 10 * LIMIT {
                child.kill().unwrap();
            }
            sleep(Duration::from_millis(200)).await;
        };
        let output = child.wait_with_output().unwrap();
        let text = [output.stdout, output.stderr].map(|it| String::from_utf8(it).unwrap()).concat();
        (status.code(), text)
    }

    async fn is_gone(&self, profile: &str) {
        until("the learning profile being gone", LIMIT, async || {
            self.environment.get(profile).await.is_none().then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_learns_in_rounds_and_runs_under_the_result() {
    let mut scene = Scene::new().await;
    let before = scene.deployment().await["spec"]["template"].clone();

    // Nobody can say yes: nothing is changed.
    let (code, said) = scene.run(&[], |_, _| {}).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--yes"), "{said}");
    assert_eq!(scene.deployment().await["spec"]["template"], before);
    assert_eq!((scene.seen.1, &scene.profiles[..]), (1, &[Value::Null][..]));

    // With a yes it runs under the result. A record is lost while it is quiet, which begins the quiet time anew.
    let (mut third, mut is_lost) = (None, false);
    let started = Instant::now();
    let (code, said) = scene
        .run(&["--yes"], |scene, _| {
            if scene.seen.1 == 4 && third.is_none() {
                third = Some(started.elapsed());
            }
            if !is_lost && third.is_some_and(|third| started.elapsed() > third + Duration::from_secs(15)) {
                is_lost = true;
                scene.lost = 1;
            }
        })
        .await;
    let (third, end) = (third.unwrap(), started.elapsed());
    assert_eq!(code, Some(0), "{said}");
    assert!(end - third >= Duration::from_secs(75), "{third:?} {end:?}");
    for line in ["3 calls seen in 3 pods, in 3 rounds", "1 audit records lost", "runs under web"] {
        assert!(said.contains(line), "no {line} in\n{said}");
    }
    let (learning, web) = (json!("profiles/web-learning.json"), json!("profiles/web.json"));
    assert_eq!(scene.profiles, [&Value::Null, &learning, &learning, &learning, &web].map(Value::clone));
    let deployment = scene.deployment().await;
    assert_eq!(deployment["metadata"]["annotations"]["seccomp.imjasonh.dev/learning"], Value::Null);
    let result = scene.environment.get("web").await.unwrap();
    assert_eq!(result["metadata"]["labels"]["seccomp.imjasonh.dev/from"], "learned");
    let rules = &result["spec"]["contents"]["syscalls"];
    assert_eq!(
        rules[0],
        json!({ "names": ["mmap", "openat", "read"], "action": "SCMP_ACT_ALLOW" }),
        "{rules}"
    );
    scene.is_gone("web-learning").await;
    // Another run finds it.
    let (code, said) = scene.run(&["--yes"], |_, _| {}).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("already"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_is_as_before_after_an_interrupt_and_after_a_kill_and_undo() {
    let mut scene = Scene::new().await;
    let before = scene.deployment().await["spec"]["template"].clone();
    // Once the pods of the first round are there.
    let end_with = |signal: Signal, pods: usize| {
        let mut is_sent = false;
        move |scene: &mut Scene, child: Pid| {
            if scene.seen.1 >= pods && !is_sent {
                is_sent = true;
                kill_process(child, signal).unwrap();
            }
        }
    };
    let (code, said) = scene.run(&["--yes"], end_with(Signal::INT, 2)).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("it was stopped") && said.contains("former profile again"), "{said}");
    assert_eq!(scene.deployment().await["spec"]["template"], before);
    scene.is_gone("web-learning").await;

    scene.first = scene.seen.1;
    let pods = scene.seen.1 + 1;
    let (code, _) = scene.run(&["--yes"], end_with(Signal::KILL, pods)).await;
    assert_eq!(code, None);
    let learning = scene.deployment().await;
    assert_ne!(learning["spec"]["template"], before);
    let (code, said) = scene.run(&["--undo"], |_, _| {}).await;
    assert_eq!(code, Some(0), "{said}");
    let deployment = scene.deployment().await;
    assert_eq!(deployment["spec"]["template"], before);
    assert_eq!(deployment["metadata"]["annotations"]["seccomp.imjasonh.dev/learning"], Value::Null);
    scene.is_gone("web-learning").await;
}
