//! The uninstallation: removes the operator's finalizer from every profile. Otherwise the deletion of a profile would
//! wait for ever for an operator that no longer exists.
//!
//! The chart runs this as a Helm hook after it has deleted everything else. Tools that render the chart and apply the
//! result (`helm template | kubectl apply`) run it at the installation, because to them a hook is an object like any
//! other. So it does nothing while the operator's Deployment or the agents' DaemonSet exists and is not being deleted.
//!
//! Otherwise it first waits until the pods of the operator and of the agents are gone, because a running operator would
//! add the finalizer again, and a running agent would remove the file of a profile that is gone. Then it removes
//! the finalizer until a complete list shows none. If it is interrupted, another run continues the work.

use std::fmt;
use std::time::Duration;

use api::names::FINALIZER;
use api::{SeccompProfile, Untrusted};
use futures::{StreamExt, stream};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::{DeleteParams, GetParams, ListParams};
use kube::core::{ObjectList, Request};
use kube::{Api, Client, Resource, ResourceExt};
use link::chain;
use link::client::{self, within};
use prometheus::Registry;
use serde::de::DeserializeOwned;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::facts::{ObjectVersion, ProfileFacts, WatchedProfile};
use crate::metrics::Metrics;
use crate::options::LiftOptions;
use crate::status::bounded;
use crate::writer::{WriteError, Writer};

/// Writes under way at once.
const CONCURRENCY: usize = 16;
/// Objects in one page of a list, of metadata only.
const PAGE: u32 = 250;
/// The pause after the first failure; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// Why some profiles may still have the finalizer.
#[derive(Debug, thiserror::Error)]
pub enum LiftError {
    /// The metrics, which the writes are counted with, could not be set up.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// There is no connection to the API server.
    #[error(transparent)]
    Connect(#[from] client::ConnectError),
    /// Signals cannot be received.
    #[error("signals: {0}")]
    Signal(std::io::Error),
    /// It received a signal to stop.
    #[error("stopped by a signal; another run continues the work")]
    Stopped,
    /// The time is up.
    #[error("not done within {limit:?}; another run continues the work. Last error: {last_error}")]
    TooLate {
        /// The time.
        limit: Duration,
        /// The last error.
        last_error: String,
    },
}

/// Connects, and removes every finalizer.
///
/// # Errors
/// Some profiles may still have the finalizer.
pub async fn run(options: LiftOptions) -> Result<(), LiftError> {
    let signal = daemon::shutdown_signal().map_err(LiftError::Signal)?;
    let uninstall = Uninstall::new(client::connect(crate::watch::WATCH).await?, options)?;
    tokio::select! {
        done = uninstall.carry_out() => done.map(|outcome| outcome.log()),
        () = signal => Err(LiftError::Stopped),
    }
}

/// A workload of the release: while it exists, the release is installed.
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

/// The outcome of a run that did not fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// No profile has the finalizer; this run removed it from this many.
    Lifted(usize),
    /// Nothing was done, because this workload exists and is not being deleted.
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

/// The progress over all passes.
#[derive(Default)]
struct Progress {
    /// Whether the wait for pods is over; it is not repeated.
    pods_waited_for: bool,
    /// How many finalizers were removed.
    lifted: usize,
}

/// Removes the operator's finalizers, and the release's leases and Secrets, from a cluster.
pub struct Uninstall {
    client: Client,
    writer: Writer,
    options: LiftOptions,
}

impl Uninstall {
    /// An uninstallation that sends no request before [`Self::carry_out`].
    ///
    /// # Errors
    /// The metrics could not be set up.
    pub fn new(client: Client, options: LiftOptions) -> Result<Self, LiftError> {
        // The writer needs them; no endpoint serves them.
        let metrics = Metrics::new(&Registry::new())?;
        let writer = Writer::new(client.clone(), metrics.writes);
        Ok(Self { client, writer, options })
    }

    /// Waits for the pods, then removes every finalizer and deletes the leases and the Secrets, unless the release is
    /// installed.
    ///
    /// # Errors
    /// The time is up.
    pub async fn carry_out(&self) -> Result<Outcome, LiftError> {
        let mut progress = Progress::default();
        let mut last_error = String::new();
        let all = async {
            let mut pause = FIRST_PAUSE;
            loop {
                match self.pass(&mut progress).await {
                    Ok(outcome) => return outcome,
                    Err(error) => {
                        last_error = chain(&error);
                        warn!(error = %last_error, retry_in = ?pause, "not done");
                    }
                }
                sleep(pause).await;
                pause = (pause * 2).min(MAX_PAUSE);
            }
        };
        let limit = self.options.limit;
        let done = timeout(limit, all).await;
        done.map_err(|_| LiftError::TooLate { limit, last_error: bounded(&last_error, 1000) })
    }

    /// One pass over all the work; after an error, some is left.
    async fn pass(&self, progress: &mut Progress) -> Result<Outcome, PassError> {
        if let Some(workload) = self.installed().await? {
            return Ok(Outcome::StillInstalled(workload));
        }
        if !progress.pods_waited_for {
            let patience = self.options.patience;
            if timeout(patience, self.pods_gone()).await.is_err() {
                // On an unreachable node, a pod never ends. It can do no harm: its rights are deleted, and it cannot
                // reach the API server.
                warn!(?patience, "pods are left; not waiting for them any longer");
            }
            progress.pods_waited_for = true;
            // Somebody may have installed the release again meanwhile.
            if let Some(workload) = self.installed().await? {
                return Ok(Outcome::StillInstalled(workload));
            }
        }
        while self.lift_listed(&mut progress.lifted).await? > 0 {}
        self.delete_leases().await?;
        self.delete_secrets().await?;
        Ok(Outcome::Lifted(progress.lifted))
    }

    /// A workload of the release that exists and is not being deleted.
    async fn installed(&self) -> Result<Option<Workload>, PassError> {
        let (deployment, daemon_set) = (&self.options.deployment, &self.options.daemon_set);
        if let Some(found) = self.existing::<Deployment>("Deployment", deployment.as_deref()).await? {
            return Ok(Some(found));
        }
        self.existing::<DaemonSet>("DaemonSet", daemon_set.as_deref()).await
    }

    /// The workload of this name, if it exists and is not being deleted.
    async fn existing<K>(&self, kind: &'static str, name: Option<&str>) -> Result<Option<Workload>, PassError>
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

    /// Waits until no pod of the operator or of an agent is left.
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

    /// Lists all profiles and removes the finalizer from those that have it; returns how many had it.
    async fn lift_listed(&self, lifted: &mut usize) -> Result<usize, PassError> {
        let request = Request::new(SeccompProfile::url_path(&(), None));
        let mut params = ListParams::default().limit(PAGE);
        let mut had_it = 0;
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
                had_it += 1;
                match answer {
                    Ok(()) => *lifted += 1,
                    // Somebody else changed it; the next list has its present state.
                    Err(WriteError::Conflict | WriteError::Gone) => {}
                    Err(error) => return Err(PassError::Lift { name, error }),
                }
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(had_it),
            }
        }
    }

    async fn lift(&self, name: &str, version: &ObjectVersion, at: usize) -> Result<(), WriteError> {
        self.writer.remove_finalizer(name, version, at).await?;
        info!(profile = name, finalizer = FINALIZER, "finalizer lifted");
        Ok(())
    }

    /// Deletes the leases, so that an operator or a gate that is installed next need not wait until they expire.
    async fn delete_leases(&self) -> Result<(), PassError> {
        let leases = Api::<Lease>::namespaced(self.client.clone(), &self.options.namespace);
        for name in &self.options.leases {
            match within(leases.delete(name, &DeleteParams::default())).await {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => return Err(PassError::Lease(error)),
            }
        }
        Ok(())
    }

    /// Deletes the Secrets of the release: nothing that is still there trusts the certificate authorities in them.
    async fn delete_secrets(&self) -> Result<(), PassError> {
        let secrets = Api::<Secret>::namespaced(self.client.clone(), &self.options.namespace);
        for name in &self.options.secrets {
            match within(secrets.delete(name, &DeleteParams::default())).await {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => return Err(PassError::Secret(error)),
            }
        }
        Ok(())
    }

    /// One page of a list of metadata.
    async fn list<K: Clone + DeserializeOwned>(
        &self,
        request: &Request,
        params: &ListParams,
    ) -> Result<ObjectList<K>, kube::Error> {
        let request = request.list_metadata(params).map_err(kube::Error::BuildRequest)?;
        within(self.client.request(request)).await
    }
}

/// Why a pass failed.
#[derive(Debug, thiserror::Error)]
enum PassError {
    /// It is not known whether the release is installed.
    #[error("{workload}: {error}")]
    Workload {
        /// The workload that could not be read.
        workload: Workload,
        /// Why not.
        #[source]
        error: kube::Error,
    },
    /// The profiles cannot be listed.
    #[error("list of profiles: {0}")]
    List(#[source] kube::Error),
    /// A finalizer could not be removed.
    #[error("finalizer of {name}: {error}")]
    Lift {
        /// The profile.
        name: String,
        /// Why not.
        #[source]
        error: WriteError,
    },
    /// A lease could not be deleted.
    #[error("lease: {0}")]
    Lease(#[source] kube::Error),
    /// A Secret could not be deleted.
    #[error("secret: {0}")]
    Secret(#[source] kube::Error),
}
