//! The operator goes for good: its finalizer is taken off every profile, so that none waits for ever for leave that
//! nobody gives.
//!
//! The chart runs this as a Helm hook when all else of it is deleted. Whoever renders the chart and applies what comes
//! out (`helm template | kubectl apply`) runs it at the installation, because to them a hook is an object like any
//! other. So it does nothing while the operator's Deployment or the agents' DaemonSet is there to stay.
//!
//! Otherwise it waits first until the pods of the operator and of the agents are gone: an operator would put the
//! finalizer on again, and an agent would take the absence of a profile that is being deleted for leave to remove its
//! file. Then it takes the finalizer off, until a whole list shows none. Started again, it goes on from there.

use std::fmt;
use std::time::Duration;

use api::names::FINALIZER;
use api::{SeccompProfile, Untrusted};
use futures::{StreamExt, stream};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, GetParams, ListParams};
use kube::core::{ObjectList, Request};
use kube::{Api, Client, Resource, ResourceExt};
use link::chain;
use link::client::{self, within};
use prometheus::Registry;
use serde::de::DeserializeOwned;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::facts::{ProfileFacts, Version, WatchedProfile};
use crate::metrics::Metrics;
use crate::options::LiftOptions;
use crate::status::bounded;
use crate::writer::{WriteError, Writer};

/// Writes under way at once.
const CONCURRENCY: usize = 16;
/// Objects in one page of a list; only their metadata is asked for.
const PAGE: u32 = 250;
/// The pause after a first failure; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Why finalizers may be left.
#[derive(Debug, thiserror::Error)]
pub enum LiftError {
    /// The metrics, which the writes are counted with, could not be set up.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// There is no way to the API server.
    #[error(transparent)]
    Connect(#[from] client::ConnectError),
    /// Signals cannot be received.
    #[error("signals: {0}")]
    Signal(std::io::Error),
    /// It was told to stop.
    #[error("told to stop; run again, it goes on from there")]
    Stopped,
    /// The time is up.
    #[error("not done within {limit:?}; run again, it goes on from there. Last: {trouble}")]
    TooLate {
        /// The time.
        limit: Duration,
        /// What went wrong last.
        trouble: String,
    },
}

/// Connects and does it all.
///
/// # Errors
/// Finalizers may be left.
pub async fn run(options: LiftOptions) -> Result<(), LiftError> {
    let signal = daemon::shutdown_signal().map_err(LiftError::Signal)?;
    let uninstall = Uninstall::new(client::connect(crate::watch::WATCH).await?, options)?;
    tokio::select! {
        done = uninstall.carry_out() => done.map(|outcome| outcome.log()),
        () = signal => Err(LiftError::Stopped),
    }
}

/// A workload of the release, by whose presence the release is known to be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    kind: &'static str,
    name: String,
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// No profile has the finalizer; it was taken off this many.
    Lifted(usize),
    /// Nothing was done, because this workload exists and nobody has deleted it.
    StillInstalled(Workload),
}

impl Outcome {
    fn log(&self) {
        match self {
            Self::Lifted(lifted) => info!(lifted, "no profile has the finalizer"),
            Self::StillInstalled(workload) => warn!(
                %workload,
                hint = "this Job is for the end of helm uninstall; leave it out with helm template --no-hooks",
                "the release is installed: nothing is done"
            ),
        }
    }
}

/// How far the work has come.
#[derive(Default)]
struct Progress {
    /// Nobody waits for pods a second time.
    pods_waited_for: bool,
    /// Finalizers taken off so far.
    lifted: usize,
}

/// Takes back what the operator has put on objects, when it goes from a cluster for good.
pub struct Uninstall {
    client: Client,
    writer: Writer,
    options: LiftOptions,
}

impl Uninstall {
    /// Nothing is asked or done yet.
    ///
    /// # Errors
    /// The metrics could not be set up.
    pub fn new(client: Client, options: LiftOptions) -> Result<Self, LiftError> {
        // Nobody reads them; the writer counts all the same.
        let metrics = Metrics::new(&Registry::new())?;
        let writer = Writer::new(client.clone(), metrics.writes);
        Ok(Self { client, writer, options })
    }

    /// Waits for the pods, then takes every finalizer off and the lease away, unless the release is installed.
    ///
    /// # Errors
    /// The time is up.
    pub async fn carry_out(&self) -> Result<Outcome, LiftError> {
        let mut progress = Progress::default();
        let mut trouble = String::new();
        let all = async {
            let mut pause = FIRST_PAUSE;
            loop {
                match self.pass(&mut progress).await {
                    Ok(outcome) => return outcome,
                    Err(error) => {
                        trouble = chain(&error);
                        warn!(error = %trouble, retry_in = ?pause, "not done");
                    }
                }
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        };
        let limit = self.options.limit;
        let done = timeout(limit, all).await;
        done.map_err(|_| LiftError::TooLate { limit, trouble: bounded(&trouble, 1000) })
    }

    /// One whole round; an error leaves something to be done.
    async fn pass(&self, progress: &mut Progress) -> Result<Outcome, PassError> {
        if let Some(workload) = self.installed().await? {
            return Ok(Outcome::StillInstalled(workload));
        }
        if !progress.pods_waited_for {
            let patience = self.options.patience;
            if timeout(patience, self.pods_gone()).await.is_err() {
                // On a node that is cut off a pod is never gone. It has lost its rights, and cannot be heard anyway.
                warn!(?patience, "pods are left; not waiting for them any longer");
            }
            progress.pods_waited_for = true;
            // Somebody may have installed it again meanwhile.
            if let Some(workload) = self.installed().await? {
                return Ok(Outcome::StillInstalled(workload));
            }
        }
        while self.lift_listed(&mut progress.lifted).await? > 0 {}
        self.delete_lease().await?;
        Ok(Outcome::Lifted(progress.lifted))
    }

    /// A workload of the release that exists and that nobody has deleted.
    async fn installed(&self) -> Result<Option<Workload>, PassError> {
        let (deployment, daemon_set) = (&self.options.deployment, &self.options.daemon_set);
        if let Some(found) = self.stays::<Deployment>("Deployment", deployment.as_deref()).await? {
            return Ok(Some(found));
        }
        self.stays::<DaemonSet>("DaemonSet", daemon_set.as_deref()).await
    }

    async fn stays<K>(&self, kind: &'static str, name: Option<&str>) -> Result<Option<Workload>, PassError>
    where
        K: Resource<DynamicType = ()>,
    {
        let Some(name) = name else { return Ok(None) };
        let workload = Workload { kind, name: name.to_owned() };
        let request = Request::new(K::url_path(&(), Some(&self.options.namespace)));
        let request = request.get_metadata(name, &GetParams::default()).map_err(kube::Error::BuildRequest);
        let answer = match request {
            Ok(request) => within(self.client.request::<Untrusted<K>>(request)).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(found) if found.metadata.deletion_timestamp.is_none() => Ok(Some(workload)),
            Ok(_) => Ok(None),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(PassError::Workload { workload, error }),
        }
    }

    /// Returns when no pod of ours is left.
    async fn pods_gone(&self) {
        let request = Request::new(Pod::url_path(&(), Some(&self.options.namespace)));
        let params = ListParams::default().labels(&self.options.pods).limit(PAGE);
        let mut known = None;
        loop {
            match self.list::<Untrusted<Pod>>(&request, &params).await {
                Ok(left) if left.items.is_empty() => return,
                Ok(left) => {
                    let names: Vec<_> = left.items.iter().map(|pod| pod.name_any()).collect();
                    if known.replace(names.clone()) != Some(names.clone()) {
                        info!(pods = bounded(&names.join(","), 1000), "waiting for pods to end");
                    }
                }
                Err(error) => warn!(error = %chain(&error), "pods cannot be listed"),
            }
            sleep(FIRST_PAUSE).await;
        }
    }

    /// Lists all profiles and takes the finalizer off those that have it; says how many these were.
    async fn lift_listed(&self, lifted: &mut usize) -> Result<usize, PassError> {
        let request = Request::new(SeccompProfile::url_path(&(), None));
        let mut params = ListParams::default().limit(PAGE);
        let mut held = 0;
        loop {
            let page = match self.list::<WatchedProfile>(&request, &params).await {
                Err(kube::Error::Api(status)) if status.code == 404 => return Ok(0),
                page => page.map_err(PassError::List)?,
            };
            let found = page.items.iter().filter_map(|profile| {
                let facts = ProfileFacts::of(profile);
                Some((facts.name, facts.version, facts.finalizer?))
            });
            let mut writes = stream::iter(found)
                .map(|(name, version, at)| async move { (self.lift(&name, &version, at).await, name) })
                .buffer_unordered(CONCURRENCY);
            while let Some((answer, name)) = writes.next().await {
                held += 1;
                match answer {
                    Ok(()) => *lifted += 1,
                    // Somebody else changed it; the next list shows how it is now.
                    Err(WriteError::Conflict | WriteError::Gone) => {}
                    Err(error) => return Err(PassError::Lift { name, error }),
                }
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(held),
            }
        }
    }

    async fn lift(&self, name: &str, version: &Version, at: usize) -> Result<(), WriteError> {
        self.writer.remove_finalizer(name, version, at).await?;
        info!(profile = name, finalizer = FINALIZER, "finalizer lifted");
        Ok(())
    }

    /// Whoever is installed next need not wait until a lease expires that a killed operator left.
    async fn delete_lease(&self) -> Result<(), PassError> {
        let Some(name) = &self.options.lease else { return Ok(()) };
        let leases = Api::<Lease>::namespaced(self.client.clone(), &self.options.namespace);
        match within(leases.delete(name, &DeleteParams::default())).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(PassError::Lease(error)),
        }
    }

    /// One page of a list, of nothing but metadata, whatever anybody wrote there.
    async fn list<K: Clone + DeserializeOwned>(
        &self,
        request: &Request,
        params: &ListParams,
    ) -> Result<ObjectList<K>, kube::Error> {
        let request = request.list_metadata(params).map_err(kube::Error::BuildRequest)?;
        within(self.client.request(request)).await
    }
}

/// Why a round did not end well.
#[derive(Debug, thiserror::Error)]
enum PassError {
    /// It is not known whether the release is installed.
    #[error("{workload}: {error}")]
    Workload {
        /// What was asked for.
        workload: Workload,
        /// Why there was no answer.
        #[source]
        error: kube::Error,
    },
    /// The profiles cannot be listed.
    #[error("list of profiles: {0}")]
    List(#[source] kube::Error),
    /// A finalizer does not go.
    #[error("finalizer of {name}: {error}")]
    Lift {
        /// The profile.
        name: String,
        /// Why not.
        #[source]
        error: WriteError,
    },
    /// The lease does not go.
    #[error("lease: {0}")]
    Lease(#[source] kube::Error),
}
