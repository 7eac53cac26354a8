//! Our agents, many in one process: each with a node, an identity, a connection and a directory of its own.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use api::NodeName;
use cluster::NAMESPACE;
use daemon::Readiness;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{Node, NodeCondition, NodeStatus, Pod};
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client, Config};
use node_agent::goal::Listeners;
use node_agent::watches::MAX_WATCH;
use node_agent::{Agent, Fatal};
use prometheus::Registry;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{ApiServerError, Traffic, agent_of};

/// How often an agent checks all its files.
const CHECK_INTERVAL: Duration = Duration::from_mins(1);

/// How long an agent's thread may go on writing after the agent has ended.
const THREAD_END_LIMIT: Duration = Duration::from_secs(10);

/// How many nodes register at once.
const REGISTERING: usize = 16;

/// The name of the pod of a node's agent.
fn pod_of(node: &str) -> String {
    format!("node-agent-{node}")
}

/// A node as a kubelet registers it.
#[must_use]
pub fn node(name: &str) -> Node {
    let labels = BTreeMap::from([("kubernetes.io/os".to_owned(), "linux".to_owned())]);
    Node {
        metadata: ObjectMeta { name: Some(name.to_owned()), labels: Some(labels), ..ObjectMeta::default() },
        ..Node::default()
    }
}

/// Running agents.
#[derive(Debug)]
pub struct Agents {
    /// The admin's configuration; each agent uses its own identity.
    config: Config,
    nodes: Api<Node>,
    pods: Api<Pod>,
    root: PathBuf,
    traffic: Traffic,
    running: BTreeMap<String, Running>,
}

#[derive(Debug)]
struct Running {
    readiness: Readiness,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), Fatal>>,
}

impl Agents {
    /// No agents yet. They connect as `config` does, each with its identity; directories are below `root`.
    pub fn new(config: Config, admin: Client, root: &Path) -> Self {
        let pods = Api::namespaced(admin.clone(), NAMESPACE);
        let (traffic, running) = (Traffic::default(), BTreeMap::new());
        Self { config, nodes: Api::all(admin), pods, root: root.to_owned(), traffic, running }
    }

    /// Counts the bytes that all agents receive.
    #[must_use]
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Nodes whose agent has not yet written the first list of profiles.
    pub fn starting(&self) -> impl Iterator<Item = &str> {
        let now = Instant::now();
        let starting = self.running.iter().filter(move |(_, agent)| !agent.readiness.pending(now).is_empty());
        starting.map(|(node, _)| node.as_str())
    }

    /// The nodes whose agent runs.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.running.keys().map(String::as_str)
    }

    /// The directory of the agent on `node`.
    #[must_use]
    pub fn directory(&self, node: &str) -> PathBuf {
        self.root.join(node)
    }

    /// Registers the node `name`, which is Ready at once, with its agent's pod, and starts the agent.
    ///
    /// # Errors
    /// The API server refuses the node or the pod.
    pub async fn join(&mut self, name: &str) -> Result<(), ApiServerError> {
        self.register(name).await?;
        self.start(name).await
    }

    /// Like [`Self::join`], for many nodes at once.
    ///
    /// # Errors
    /// The API server refuses a node or a pod.
    pub async fn join_all(&mut self, names: &[String]) -> Result<(), ApiServerError> {
        futures::stream::iter(names)
            .map(|name| self.register(name))
            .buffer_unordered(REGISTERING)
            .try_collect::<()>()
            .await?;
        for name in names {
            self.start(name).await?;
        }
        Ok(())
    }

    /// Registers the node `name`, which is Ready at once, with its agent's pod.
    ///
    /// # Errors
    /// The API server refuses the node or the pod.
    pub async fn register(&self, name: &str) -> Result<(), ApiServerError> {
        self.nodes.create(&PostParams::default(), &node(name)).await?;
        self.set_ready(name, true).await?;
        self.create_pod(name).await
    }

    /// Creates the pod that the operator checks; the agent runs here, not in it.
    async fn create_pod(&self, node: &str) -> Result<(), ApiServerError> {
        let name = pod_of(node);
        let account = format!("{NAMESPACE}-node-agent");
        let pod = serde_json::from_value(serde_json::json!({
            "metadata": { "name": name, "labels": { "app.kubernetes.io/component": "node-agent" } },
            "spec": {
                "nodeName": node,
                "serviceAccountName": account,
                "automountServiceAccountToken": false,
                "containers": [{ "name": "node-agent", "image": "none" }],
            },
        }))
        .map_err(|error| ApiServerError::Config(error.to_string()))?;
        self.pods.create(&PostParams::default(), &pod).await?;
        let ready = serde_json::json!({ "status": {
            "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }],
        } });
        self.pods.patch_status(&name, &PatchParams::default(), &Patch::Strategic(ready)).await?;
        Ok(())
    }

    /// Sets the node's Ready condition.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn set_ready(&self, name: &str, ready: bool) -> Result<(), ApiServerError> {
        let condition = NodeCondition {
            type_: "Ready".to_owned(),
            status: if ready { "True" } else { "Unknown" }.to_owned(),
            ..NodeCondition::default()
        };
        let status = NodeStatus { conditions: Some(vec![condition]), ..NodeStatus::default() };
        let patch = Patch::Strategic(serde_json::json!({ "status": status }));
        self.nodes.patch_status(name, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Starts the agent of an existing node.
    ///
    /// # Errors
    /// No client can be made for it.
    pub async fn start(&mut self, name: &str) -> Result<(), ApiServerError> {
        let wrong = |error: String| ApiServerError::Config(error);
        let readiness = Readiness::default();
        let agent = Agent {
            node: name.parse::<NodeName>().map_err(|error| wrong(error.to_string()))?,
            path: self.directory(name),
            check_interval: CHECK_INTERVAL,
            listeners: Listeners::Refused,
            client: self.client(name)?,
            metrics: node_agent::metrics::Metrics::new(&Registry::new())
                .map_err(|error| wrong(error.to_string()))?,
            budget: node_agent::budget::Budget::default(),
            disk: readiness.pulse("disk"),
            opened: readiness.part("directory"),
            listed: readiness.part("profiles"),
        };
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(agent.run(async move {
            // A dropped sender also stops it.
            let _ = stopped.await;
        }));
        self.running.insert(name.to_owned(), Running { readiness, stop, task });
        Ok(())
    }

    /// A client with its own connections and the identity of the agent on `name`; `traffic` counts its bytes.
    ///
    /// # Errors
    /// None can be made.
    pub fn client(&self, name: &str) -> Result<Client, ApiServerError> {
        Ok(self
            .traffic
            .client(link::client::with_timeouts(agent_of(name, self.config.clone()), MAX_WATCH))?)
    }

    /// Stops all agents at once; the nodes stay.
    ///
    /// # Errors
    /// An agent had failed.
    pub async fn stop_all(&mut self) -> Result<(), ApiServerError> {
        let ending = std::mem::take(&mut self.running).into_values().map(Running::stop);
        futures::future::try_join_all(ending).await?;
        Ok(())
    }

    /// Stops the agent of a node, which stays.
    ///
    /// # Errors
    /// The agent had failed.
    pub async fn stop(&mut self, name: &str) -> Result<(), ApiServerError> {
        match self.running.remove(name) {
            Some(agent) => agent.stop().await,
            None => Ok(()),
        }
    }

    /// Fails if an agent has ended by itself.
    ///
    /// # Errors
    /// One has ended.
    pub fn expect_running(&self) -> Result<(), ApiServerError> {
        match self.running.iter().find(|(_, agent)| agent.task.is_finished()) {
            None => Ok(()),
            Some((node, _)) => {
                Err(ApiServerError::Ended { program: format!("the agent of {node}"), log: String::new() })
            }
        }
    }

    /// Aborts the node's agent, as a power failure does.
    pub fn power_off(&mut self, name: &str) {
        if let Some(Running { task, .. }) = self.running.remove(name) {
            task.abort();
        }
    }

    /// Removes a node: its agent, objects and directory.
    ///
    /// # Errors
    /// The API server refuses.
    pub async fn remove(&mut self, name: &str) -> Result<(), ApiServerError> {
        self.power_off(name);
        self.nodes.delete(name, &kube::api::DeleteParams::default()).await?;
        // No kubelet would confirm its end.
        self.pods.delete(&pod_of(name), &DeleteParams::default().grace_period(0)).await?;
        let start = Instant::now();
        loop {
            match xtask::files::or_absent(std::fs::remove_dir_all(self.directory(name))) {
                Ok(()) => return Ok(()),
                // The agent's thread may still be writing.
                Err(error)
                    if error.kind() == io::ErrorKind::DirectoryNotEmpty
                        && start.elapsed() < THREAD_END_LIMIT =>
                {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Err(source) => {
                    let program = format!("the disk of {name}");
                    return Err(ApiServerError::System { action: "remove", program, source });
                }
            }
        }
    }
}

/// Polls, at least once, until it is so or [`THREAD_END_LIMIT`] is over.
fn poll_until(is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() && start.elapsed() < THREAD_END_LIMIT {
        std::thread::sleep(Duration::from_millis(10));
    }
}

impl Drop for Agents {
    /// All agents end before their directories are removed, because an agent restores its files. Needs a runtime with a
    /// second thread.
    fn drop(&mut self) {
        let running = std::mem::take(&mut self.running);
        running.values().for_each(|agent| agent.task.abort());
        poll_until(|| running.values().all(|agent| agent.task.is_finished()));
        // Their threads end a moment later.
        poll_until(|| match std::fs::remove_dir_all(&self.root) {
            Ok(()) => true,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        });
    }
}

impl Running {
    async fn stop(self) -> Result<(), ApiServerError> {
        // It may have ended by itself; then the task has the error.
        let _ = self.stop.send(());
        self.task
            .await
            .map_err(|error| ApiServerError::Config(error.to_string()))?
            .map_err(|error| ApiServerError::Config(error.to_string()))
    }
}
