//! A cluster with random changes: once they end, every object and file equals a naive recomputation.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use api::names::DELETE_IN_USE;
use bench::api_server::{Agents, Limits, OperatorOptions, OperatorProcess};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::Api;
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::time::sleep;

use super::naive::Objects;
use super::support::{Environment, contents, operator, print_line};

/// The size and the duration of a test.
#[derive(Debug, Clone, Copy)]
struct Size {
    nodes: usize,
    profiles: usize,
    duration: Duration,
    /// How soon after the last change everything must be right. At a thousand nodes an update of counts only may wait
    /// for a minute, and a profile that kept falling back becomes Ready a minute later.
    converge_limit: Duration,
}

/// For this long, nothing may be written once everything is right.
const QUIET_PERIOD: Duration = Duration::from_secs(5);

/// The state of a node that the test needs.
#[derive(Debug)]
struct NodeState {
    name: String,
    running: bool,
    ready: bool,
}

struct Churn {
    /// First, so that they are dropped before the server's directory with their files.
    agents: Agents,
    size: Size,
    random: Random,
    environment: Environment,
    node_states: Vec<NodeState>,
    pods: Api<Pod>,
    pod_names: Vec<String>,
    /// Numbers contents and pods.
    number: usize,
    done: [usize; KINDS.len()],
}

/// The kinds of changes, each with its relative frequency.
const KINDS: [(&str, usize); 10] = [
    ("nodes joined", 12),
    ("nodes left", 10),
    ("nodes lost or found", 10),
    ("agents stopped", 6),
    ("agents started", 8),
    ("profiles applied", 20),
    ("profiles deleted", 8),
    ("pods created", 14),
    ("pods ended", 8),
    ("pods deleted", 4),
];

impl Churn {
    async fn new(size: Size, seed: u64) -> Self {
        let environment = Environment::new().await;
        let agents = environment.agents(None).await;
        // In a cluster a controller creates it; without it no pod is admitted.
        let accounts = Api::<ServiceAccount>::namespaced(environment.admin.clone(), "default");
        let metadata = ObjectMeta { name: Some("default".to_owned()), ..ObjectMeta::default() };
        let account = ServiceAccount { metadata, ..ServiceAccount::default() };
        accounts.create(&PostParams::default(), &account).await.unwrap();
        Self {
            size,
            random: Random(seed),
            pods: Api::namespaced(environment.admin.clone(), "default"),
            environment,
            agents,
            node_states: Vec::new(),
            pod_names: Vec::new(),
            number: 0,
            done: [0; KINDS.len()],
        }
    }

    /// Makes one random change, if it is possible.
    async fn step(&mut self) {
        let mut left = self.random.below(KINDS.iter().map(|(_, weight)| weight).sum());
        let kind = KINDS.iter().position(|(_, weight)| {
            let chosen = left < *weight;
            left = left.saturating_sub(*weight);
            chosen
        });
        let kind = kind.unwrap();
        let happened = match KINDS[kind].0 {
            "nodes joined" => self.join().await,
            "nodes left" => self.remove_node().await,
            "nodes lost or found" => self.toggle_reachability().await,
            "agents stopped" => self.stop().await,
            "agents started" => self.start().await,
            "profiles applied" => self.apply().await,
            "profiles deleted" => self.delete().await,
            "pods created" => self.create_pod().await,
            "pods ended" => self.end_pod().await,
            _ => self.delete_pod().await,
        };
        self.done[kind] += usize::from(happened);
    }

    async fn join(&mut self) -> bool {
        let there: BTreeSet<_> = self.node_states.iter().map(|place| place.name.as_str()).collect();
        let mut absent: Vec<_> = (0..self.size.nodes).map(|number| format!("n{number}")).collect();
        absent.retain(|name| !there.contains(name.as_str()));
        if absent.is_empty() {
            return false;
        }
        let name = absent.swap_remove(self.random.below(absent.len()));
        self.agents.join(&name).await.unwrap();
        self.node_states.push(NodeState { name, running: true, ready: true });
        true
    }

    async fn remove_node(&mut self) -> bool {
        if self.node_states.len() <= self.size.nodes * 4 / 5 {
            return false;
        }
        let place = self.node_states.swap_remove(self.random.below(self.node_states.len()));
        self.agents.remove(&place.name).await.unwrap();
        true
    }

    async fn toggle_reachability(&mut self) -> bool {
        let at = self.random.below(self.node_states.len());
        let place = &mut self.node_states[at];
        // More nodes come back than are lost.
        if place.ready && self.random.below(2) == 0 {
            return false;
        }
        place.ready = !place.ready;
        self.agents.set_ready(&place.name, place.ready).await.unwrap();
        true
    }

    async fn stop(&mut self) -> bool {
        let at = self.random.below(self.node_states.len());
        let place = &mut self.node_states[at];
        if !std::mem::take(&mut place.running) {
            return false;
        }
        match self.random.below(2) {
            0 => self.agents.stop(&place.name).await.unwrap(),
            _ => self.agents.power_off(&place.name),
        }
        true
    }

    async fn start(&mut self) -> bool {
        let stopped: Vec<_> =
            (0..self.node_states.len()).filter(|at| !self.node_states[*at].running).collect();
        if stopped.is_empty() {
            return false;
        }
        let place = &mut self.node_states[stopped[self.random.below(stopped.len())]];
        place.running = true;
        self.agents.start(&place.name).await.unwrap();
        true
    }

    fn profile(&mut self) -> String {
        format!("p{}", self.random.below(self.size.profiles))
    }

    /// Creates a profile, or changes an existing one, also while it is being deleted; sometimes to earlier contents.
    async fn apply(&mut self) -> bool {
        self.number += 1;
        let number = if self.random.below(4) == 0 { 0 } else { self.number };
        let name = self.profile();
        self.environment.apply(&name, &contents(number)).await;
        true
    }

    async fn delete(&mut self) -> bool {
        let name = self.profile();
        if self.random.below(4) == 0 {
            let annotation = json!({ "metadata": { "annotations": { DELETE_IN_USE: "true" } } });
            let patched = self
                .environment
                .profiles
                .patch(&name, &PatchParams::default(), &Patch::Merge(annotation))
                .await;
            unless_absent(patched);
        }
        unless_absent(self.environment.profiles.delete(&name, &DeleteParams::default()).await)
    }

    /// Creates a pod that uses a profile, on some node or not yet scheduled.
    async fn create_pod(&mut self) -> bool {
        if self.pod_names.len() > 3 * self.size.profiles {
            return false;
        }
        self.number += 1;
        let name = format!("pod-{}", self.number);
        let path = format!("profiles/{}.json", self.profile());
        let node = match self.random.below(8) {
            0 => None,
            _ => Some(self.node_states[self.random.below(self.node_states.len())].name.clone()),
        };
        let pod = serde_json::from_value(json!({
            "metadata": { "name": name },
            "spec": {
                "nodeName": node,
                "automountServiceAccountToken": false,
                "securityContext": { "seccompProfile": { "type": "Localhost", "localhostProfile": path } },
                "containers": [{ "name": "user", "image": "none" }],
            },
        }));
        self.pods.create(&PostParams::default(), &pod.unwrap()).await.unwrap();
        if node.is_some() {
            self.phase(&name, "Running").await;
        }
        self.pod_names.push(name);
        true
    }

    /// Removes a pod that has not ended from the test's list.
    fn take_pod(&mut self) -> Option<String> {
        match self.pod_names.len() {
            0 => None,
            pods => Some(self.pod_names.swap_remove(self.random.below(pods))),
        }
    }

    async fn end_pod(&mut self) -> bool {
        let Some(name) = self.take_pod() else { return false };
        let phase = ["Succeeded", "Failed"][self.random.below(2)];
        self.phase(&name, phase).await;
        true
    }

    async fn delete_pod(&mut self) -> bool {
        let Some(name) = self.take_pod() else { return false };
        self.pods.delete(&name, &DeleteParams::default().grace_period(0)).await.unwrap();
        true
    }

    async fn phase(&self, name: &str, phase: &str) {
        let status = Patch::Merge(json!({ "status": { "phase": phase } }));
        self.pods.patch_status(name, &PatchParams::default(), &status).await.unwrap();
    }

    /// Starts every stopped agent.
    async fn start_all(&mut self) {
        for place in self.node_states.iter().filter(|place| !place.running) {
            self.agents.start(&place.name).await.unwrap();
        }
    }

    /// Waits until everything equals a naive recomputation, and checks that it stays so without a write.
    async fn wait_converged(&self, operator: &OperatorProcess) {
        let start = Instant::now();
        let objects = loop {
            let objects = Objects::read(&self.environment.admin).await;
            match objects.check(&self.agents) {
                Ok(()) => break objects,
                Err(wrong) if start.elapsed() > self.size.converge_limit => {
                    panic!("after {:?}: {wrong}\nthe operator:\n{}", start.elapsed(), operator.program.tail())
                }
                Err(_) => sleep(Duration::from_millis(500)).await,
            }
        };
        let (profiles, nodes) = objects.count();
        let (deleting, unreachable) = objects.waiting_and_unreachable();
        print_line(&format!(
            "  right after {:.1} s: {profiles} profiles, {deleting} of them waiting for pods; {nodes} nodes, {unreachable} of them lost",
            start.elapsed().as_secs_f64()
        ));
        // Events and messages follow what was waited for.
        loop {
            let log = self.environment.server.audit();
            sleep(QUIET_PERIOD).await;
            let writes = log.writes().unwrap();
            let Some(first) = writes.first() else { break };
            let is_late = start.elapsed() > self.size.converge_limit;
            assert!(!is_late, "{} writes at rest, such as {first:?}", writes.len());
        }
        Objects::read(&self.environment.admin).await.check(&self.agents).unwrap();
        self.agents.expect_running().unwrap();
    }
}

/// Whether the object existed; panics on any other error.
fn unless_absent<T>(answer: Result<T, kube::Error>) -> bool {
    match answer {
        Ok(_) => true,
        Err(kube::Error::Api(status)) if status.code == 404 => false,
        Err(error) => panic!("{error}"),
    }
}

async fn churn(size: Size) {
    let seed = std::env::var("SEED").map_or_else(|_| Random::seed(), |seed| seed.parse().unwrap());
    print_line(&format!("SEED={seed} {size:?}"));
    let _limits = Limits::raise(size.nodes).unwrap();
    let mut churn = Churn::new(size, seed).await;
    let options = OperatorOptions { number: 0, url: None, lease: None };
    let mut operator_process =
        OperatorProcess::start(&operator(), &churn.environment.server, &options).unwrap();
    while churn.node_states.len() < size.nodes {
        churn.join().await;
    }
    let log = churn.environment.server.audit();
    let start = Instant::now();
    let mut restarted = false;
    // On a slow machine the time may end before everything has happened once.
    while start.elapsed() < size.duration || churn.done.contains(&0) {
        churn.step().await;
        operator_process.program.expect_running().unwrap();
        if !restarted && start.elapsed() > size.duration / 2 {
            restarted = true;
            operator_process.program.kill().unwrap();
            operator_process =
                OperatorProcess::start(&operator(), &churn.environment.server, &options).unwrap();
        }
    }
    churn.start_all().await;
    for ((kind, _), done) in KINDS.iter().zip(churn.done) {
        print_line(&format!("  {done} {kind}"));
    }
    let writes = log.writes().unwrap().len();
    print_line(&format!(
        "  {writes} writes by our accounts, {:.1} a second",
        writes as f64 / start.elapsed().as_secs_f64()
    ));
    churn.wait_converged(&operator_process).await;
    operator_process.program.expect_running().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn after_nodes_profiles_and_pods_came_and_went_every_status_is_what_all_objects_give() {
    churn(Size {
        nodes: 60,
        profiles: 10,
        duration: Duration::from_secs(12),
        converge_limit: Duration::from_secs(90),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "long: five minutes of 500 nodes and 50 profiles"]
async fn after_five_minutes_of_five_hundred_nodes_every_status_is_what_all_objects_give() {
    churn(Size {
        nodes: 500,
        profiles: 50,
        duration: Duration::from_mins(5),
        converge_limit: Duration::from_secs(150),
    })
    .await;
}

/// Pseudo-random numbers, the same for the same seed: splitmix64, <https://prng.di.unimi.it/splitmix64.c>.
struct Random(u64);

impl Random {
    fn seed() -> u64 {
        use std::hash::{BuildHasher, RandomState};
        RandomState::new().hash_one(())
    }

    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % most as u64) as usize
    }
}
