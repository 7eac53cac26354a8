//! The operator goes for good: its finalizer is taken off every profile, so that none waits for ever for leave that
//! nobody gives.
//!
//! The chart runs this when all else of it is deleted. First it waits until the pods of the operator and of the agents
//! are gone: an operator would put the finalizer on again, and an agent would take the absence of a profile that is
//! being deleted for leave to remove its file. Then it takes the finalizer off, until a whole list shows none.
//! Started again, it goes on from there.

use std::time::Duration;

use api::names::FINALIZER;
use api::{SeccompProfile, Untrusted};
use daemon::chain;
use daemon::client::{self, within};
use futures::{StreamExt, stream};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams};
use kube::core::{ObjectList, Request};
use kube::{Api, Client, Resource, ResourceExt};
use prometheus::Registry;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, timeout};
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
    let leave = Leave::new(client::connect(crate::watch::WATCH).await?, options)?;
    tokio::select! {
        done = leave.carry_out() => done.map(drop),
        () = signal => Err(LiftError::Stopped),
    }
}

/// The operator's leave from a cluster.
pub struct Leave {
    client: Client,
    writer: Writer,
    options: LiftOptions,
}

impl Leave {
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

    /// Waits for the pods, then takes every finalizer off and the lease away; says how many finalizers it was.
    ///
    /// # Errors
    /// The time is up.
    pub async fn carry_out(&self) -> Result<usize, LiftError> {
        let started = Instant::now();
        let patience = self.options.patience;
        if timeout(patience, self.pods_gone()).await.is_err() {
            // On a node that is cut off a pod is never gone. It has lost its rights, and cannot be heard anyway.
            warn!(?patience, "pods are left; not waiting for them any longer");
        }
        let mut lifted = 0;
        let mut trouble = String::new();
        let all = async {
            let mut pause = FIRST_PAUSE;
            loop {
                match self.pass(&mut lifted).await {
                    Ok(()) => return,
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
        if timeout(limit.saturating_sub(started.elapsed()), all).await.is_err() {
            return Err(LiftError::TooLate { limit, trouble: bounded(&trouble, 1000) });
        }
        info!(lifted, took = ?started.elapsed(), "no profile has the finalizer");
        Ok(lifted)
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

    /// One whole round; an error leaves something to be done.
    async fn pass(&self, lifted: &mut usize) -> Result<(), PassError> {
        while self.lift_listed(lifted).await? > 0 {}
        self.delete_lease().await
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
