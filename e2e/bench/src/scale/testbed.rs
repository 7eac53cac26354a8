//! The system that is measured: the API server, the agents, the operator, the profiles.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client, Config};
use profile::{Profile, ShortHash};
use serde_json::{Value, json};
use tempfile::TempDir;
use xtask::step::note;

use super::observed::{Observed, Profiles, Reports};
use super::proc;
use crate::BenchError;
use crate::api_server::{
    Account, Agents, ApiServer, Limits, OperatorOptions, OperatorProcess, Options as ServerOptions,
};
use crate::session::{Session, sized};

/// How long a wait may take before the measurement fails.
const LIMIT: Duration = Duration::from_mins(10);

/// How many requests of the admin are sent at once.
const AT_ONCE: usize = 16;

/// An API server with many nodes, until this is dropped.
pub struct Testbed {
    // First: it would log errors about a server that has ended.
    seen: Observed<Profiles>,
    server: ApiServer,
    session: Session,
    agents: Agents,
    operator: Option<OperatorProcess>,
    binary: PathBuf,
    nodes: Vec<String>,
    profiles: usize,
    bytes: usize,
    /// The number of the last contents, so that all differ.
    version: usize,
    /// The contents that are applied now.
    contents: Vec<(String, Arc<Value>)>,
    /// CPU seconds of operators that have ended.
    pub(super) operator_before: f64,
    // Last: the agents need them until they end.
    _limits: Limits,
    _disks: TempDir,
}

/// The size of a testbed.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Nodes.
    pub nodes: usize,
    /// Profiles.
    pub profiles: usize,
    /// Bytes of each profile's contents.
    pub bytes: usize,
    /// Pods that use some profile.
    pub pods: usize,
}

impl Testbed {
    /// Starts all of it, the operator `binary` included, and waits until every agent has reported.
    ///
    /// # Errors
    /// A part does not start.
    pub async fn start(size: Size, binary: PathBuf) -> Result<Self, BenchError> {
        // A second call finds the provider installed, which is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // A tenth more join later.
        let limits = Limits::raise(size.nodes + size.nodes / 10 + 1)?;
        let server = ApiServer::start(ServerOptions { etcd_fsync: true, ..ServerOptions::default() })?;
        let admin = server.admin().await?;
        let disks = tempfile::Builder::new()
            .prefix("seccomp-profile-nodes-")
            .tempdir_in("/dev/shm")
            .map_err(BenchError::io("/dev/shm"))?;
        let agents = Agents::new(server.config(Account::Admin, None).await?, admin.clone(), disks.path());
        let mut testbed = Self {
            session: Session::of(admin.clone()),
            agents,
            operator: None,
            binary,
            seen: Profiles::follow(server.admin().await?),
            nodes: (0..size.nodes).map(|number| format!("node-{number:05}")).collect(),
            profiles: size.profiles,
            bytes: size.bytes,
            version: 0,
            contents: Vec::new(),
            operator_before: 0.0,
            server,
            _limits: limits,
            _disks: disks,
        };
        note(format_args!("{} nodes register", size.nodes));
        testbed.agents.join_all(&testbed.nodes).await?;
        if size.pods > 0 {
            note(format_args!("{} pods", size.pods));
            testbed.create_pods(size.pods).await?;
        }
        testbed.start_operator()?;
        testbed.operator_ready().await?;
        let reports = Reports::follow(admin);
        let known = reports.until(|reports| reports.all_have_condition(testbed.nodes.iter(), "True"));
        Testbed::within("every node's first report", known).await?;
        Ok(testbed)
    }

    pub(super) fn server(&self) -> &ApiServer {
        &self.server
    }

    /// The agents.
    pub(super) fn agents(&self) -> &Agents {
        &self.agents
    }

    pub(super) fn agents_mut(&mut self) -> &mut Agents {
        &mut self.agents
    }

    /// The observed profiles.
    pub(super) fn profiles(&self) -> &Observed<Profiles> {
        &self.seen
    }

    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// The names of the nodes.
    pub(super) fn nodes(&self) -> &[String] {
        &self.nodes
    }

    /// How many profiles are applied.
    pub(super) fn profile_count(&self) -> usize {
        self.profiles
    }

    pub(super) fn operator_id(&self) -> Option<u32> {
        self.operator.as_ref().map(|operator| operator.program.id())
    }

    pub(super) fn start_operator(&mut self) -> Result<(), BenchError> {
        let options = OperatorOptions { number: 0, url: None, lease: None };
        self.operator = Some(OperatorProcess::start(&self.binary, &self.server, &options)?);
        Ok(())
    }

    /// Stops the operator, and returns when it has ended.
    pub(super) fn stop_operator(&mut self) -> Result<(), BenchError> {
        if let Some(operator) = self.operator.take() {
            self.operator_before += proc::cpu_seconds(operator.program.id())?;
            operator.program.stop()?;
        }
        Ok(())
    }

    /// Waits until the operator's caches are complete.
    pub(super) async fn operator_ready(&mut self) -> Result<(), BenchError> {
        let Some(operator) = &mut self.operator else { return Ok(()) };
        let url = format!("http://{}", operator.endpoint).parse();
        let url = url.map_err(|error| BenchError::Unexpected(format!("the operator's address: {error}")))?;
        let mut config = Config::new(url);
        config.default_retry = false;
        let probe = Client::try_from(config)?;
        let start = Instant::now();
        loop {
            operator.program.expect_running()?;
            let request = http::Request::get("/readyz").body(Vec::new()).map_err(kube::Error::HttpError)?;
            if probe.request_text(request).await.is_ok() {
                return Ok(());
            }
            if start.elapsed() > LIMIT {
                return Err(BenchError::TooLate("the operator's readiness".to_owned()));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Makes new contents of every profile, different each time.
    pub(super) fn renew_contents(&mut self) {
        self.contents = self.new_contents();
    }

    /// Applies the contents.
    pub(super) async fn apply_all(&self) -> Result<(), BenchError> {
        self.session.apply_all(self.contents.clone()).await
    }

    /// New contents of every profile, different each time.
    pub(super) fn new_contents(&mut self) -> Vec<(String, Arc<Value>)> {
        self.version += 1;
        let first = self.version * self.profiles;
        let contents = |number| Arc::new(sized(first + number, self.bytes));
        (0..self.profiles).map(|number| (format!("bench-{number:04}"), contents(number))).collect()
    }

    /// Deletes every profile.
    pub(super) async fn delete_all(&mut self) -> Result<(), BenchError> {
        let profiles = &self.session.profiles;
        futures::stream::iter(&self.contents)
            .map(|(name, _)| async move {
                profiles.delete(name, &kube::api::DeleteParams::default()).await.map(|_| ())
            })
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await?;
        self.contents.clear();
        Ok(())
    }

    /// Deletes every profile while no operator runs that would remove the finalizers.
    pub(super) async fn delete_all_without_operator(&mut self) -> Result<(), BenchError> {
        self.contents.clear();
        self.session.remove_finalizers().await?;
        self.session.clear().await
    }

    /// The hashes of what is applied, as a status shows them.
    pub(super) fn hashes(&self) -> Result<BTreeMap<String, String>, BenchError> {
        self.canonical().map(|all| all.into_iter().map(|(name, it)| (name, it.hash().to_string())).collect())
    }

    /// The same as a report shows them.
    pub(super) fn short_hashes(&self) -> Result<BTreeMap<String, ShortHash>, BenchError> {
        self.canonical().map(|all| all.into_iter().map(|(name, it)| (name, it.hash().short())).collect())
    }

    /// Fails unless each of `nodes` has exactly the files of the profiles, with the right bytes.
    pub(super) fn expect_files(&self, nodes: &[String]) -> Result<(), BenchError> {
        let wanted = self.canonical()?;
        for node in nodes {
            let directory = self.agents.directory(node);
            let listed = files_of(&directory).map_err(BenchError::io(directory.display().to_string()))?;
            let names: Vec<_> = wanted.keys().map(|name| format!("{name}.json")).collect();
            if listed != names {
                return Err(BenchError::Bar(format!("{} holds {listed:?}", directory.display())));
            }
            for (name, canonical) in &wanted {
                let path = directory.join(format!("{name}.json"));
                let found = std::fs::read(&path).map_err(BenchError::io(path.display().to_string()))?;
                if found != canonical.bytes() {
                    return Err(BenchError::Bar(format!("{} holds other bytes", path.display())));
                }
            }
        }
        Ok(())
    }

    /// The size of the profiles in etcd, in bytes.
    pub(super) async fn stored(&self) -> Result<u64, BenchError> {
        let mut bytes = 0;
        for (name, _) in &self.contents {
            let path = format!("/apis/{}/v1alpha1/seccompprofiles/{name}", api::names::GROUP);
            let request = http::Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)?;
            bytes += self.session.client.request_text(request).await?.len() as u64;
        }
        Ok(bytes)
    }

    /// Waits for `what`, for ten minutes at most.
    pub(super) async fn within<T>(what: &str, wait: impl Future<Output = T>) -> Result<T, BenchError> {
        tokio::time::timeout(LIMIT, wait).await.map_err(|_| BenchError::TooLate(what.to_owned()))
    }

    fn canonical(&self) -> Result<BTreeMap<String, profile::Canonical>, BenchError> {
        let canonical = |(name, contents): &(String, Arc<Value>)| {
            let profile = Profile::from_value(contents)
                .map_err(|error| BenchError::Bar(format!("the measurement's own profile: {error}")))?;
            Ok((name.clone(), profile.canonical()))
        };
        self.contents.iter().map(canonical).collect()
    }

    /// Pods that run on all nodes in turn and use profiles; not the measured ones, whose deletion must not wait.
    async fn create_pods(&self, count: usize) -> Result<(), BenchError> {
        // In a cluster a controller creates it; without it no pod is admitted.
        let metadata = ObjectMeta { name: Some("default".to_owned()), ..ObjectMeta::default() };
        let account = ServiceAccount { metadata, ..ServiceAccount::default() };
        let client = &self.session.client;
        Api::namespaced(client.clone(), "default").create(&PostParams::default(), &account).await?;
        let pods = Api::<Pod>::namespaced(client.clone(), "default");
        futures::stream::iter(0..count)
            .map(|number| {
                let path = format!("profiles/of-pods-{:04}.json", number % self.profiles.max(1));
                let pod = json!({
                    "metadata": { "name": format!("pod-{number:06}") },
                    "spec": {
                        "nodeName": self.nodes[number % self.nodes.len()],
                        "automountServiceAccountToken": false,
                        "securityContext": {
                            "seccompProfile": { "type": "Localhost", "localhostProfile": path },
                        },
                        "containers": [{ "name": "user", "image": "none" }],
                    },
                });
                let pods = &pods;
                async move {
                    let pod = serde_json::from_value(pod).map_err(kube::Error::SerdeError)?;
                    pods.create(&PostParams::default(), &pod).await.map(|_| ())
                }
            })
            .buffer_unordered(AT_ONCE)
            .try_collect::<()>()
            .await?;
        Ok(())
    }
}

/// The profiles' files in a directory, by name.
fn files_of(directory: &std::path::Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        // The ledger and its like begin with a dot.
        if !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}
