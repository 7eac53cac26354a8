//! Starts the operator: four watches, the controller, the endpoints.

use std::sync::Arc;
use std::time::Duration;

use api::names::OPERATOR_FIELD_MANAGER;
use daemon::lease::elect;
use daemon::lease::election::UnsafeTiming;
use daemon::{Readiness, http};
use link::client;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::gauges::Gauges;
use crate::index::Index;
use crate::labels::KindLabel;
use crate::metrics::Metrics;
use crate::options::Options;
use crate::pod_list::PodLists;
use crate::reconcile::{Context, reconcile};
use crate::shared::SharedState;
use crate::watch::{NodeWatch, PodWatch, ProfileWatch, ReportWatch, WATCH, follow};
use crate::writer::Writer;

/// How many reconciliations of profiles, and of nodes, run at once: enough to keep a slow API server busy, too few to
/// flood it.
const CONCURRENCY: usize = 16;

/// How long writes under way may take after the signal to stop. The next leader must not wait for a write that an
/// overloaded API server does not answer; that write is refused or repeated.
pub(crate) const LAST_WRITES: Duration = Duration::from_secs(2);

/// Why the operator or the gate failed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The metrics could not be set up.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// There is no connection to the API server.
    #[error(transparent)]
    Connect(#[from] client::ConnectError),
    /// The endpoints cannot be served.
    #[error(transparent)]
    Listen(#[from] http::ListenError),
    /// The timing permits two leaders.
    #[error(transparent)]
    Timing(#[from] UnsafeTiming),
    /// Signals cannot be received.
    #[error("signals: {0}")]
    Signal(std::io::Error),
}

/// Runs until SIGTERM, then finishes the writes under way.
///
/// # Errors
/// The operator could not start; once it runs, no failure ends it.
pub async fn run(options: Options) -> Result<(), RunError> {
    let signal = daemon::shutdown_signal().map_err(RunError::Signal)?;
    let registry = daemon::metrics::registry("operator", env!("CARGO_PKG_VERSION"))?;
    let kinds = KindLabel::ALL.map(KindLabel::as_str);
    let index =
        Index::new(&options.directory).removing_unused_after(options.remove_unused_image_profiles_after);
    let shared = Arc::new(SharedState::new(index, kinds, Metrics::new(&registry)?));
    registry.register(Box::new(Gauges::new(Arc::downgrade(&shared))?))?;
    let readiness = Readiness::default();
    let ready = kinds.map(|kind| readiness.part(kind));
    let endpoints = http::serve(options.listen, registry, readiness, std::future::pending()).await?;
    let client = client::connect(WATCH).await?;
    info!(version = env!("CARGO_PKG_VERSION"), listen = %options.listen, directory = options.directory, "operator starts");

    let [profiles_ready, reports_ready, nodes_ready, pods_ready] = ready;
    let pod_kind =
        PodWatch { directory: options.directory.clone(), agents: options.agent.pods_in(&options.namespace) };
    let watches = futures::future::join4(
        follow(ProfileWatch, client.clone(), shared.clone(), profiles_ready),
        follow(ReportWatch, client.clone(), shared.clone(), reports_ready),
        follow(NodeWatch(options.agent.selection()), client.clone(), shared.clone(), nodes_ready),
        follow(pod_kind.clone(), client.clone(), shared.clone(), pods_ready),
    );

    let writer = Writer::new(client.clone(), shared.metrics.writes.clone());
    let context = Arc::new(Context::new(shared.clone(), writer, PodLists::new(client.clone(), pod_kind)));
    let lead = shared.clone();
    let lead_until = move |until| lead.lead_until(until);
    let mut leadership =
        options.lease.leadership(&options.namespace, OPERATOR_FIELD_MANAGER, &client, lead_until)?;
    // `reconcile` logs and counts failures, and returns when to try again.
    let reconciliations = shared.controller.run(CONCURRENCY, async |key| reconcile(&key, &context).await);
    let work = futures::future::join(reconciliations, endpoints);
    let end = async {
        signal.await;
        info!("operator stops");
        shared.stop_writing();
        if timeout(LAST_WRITES, shared.controller.idle()).await.is_err() {
            warn!("a write under way takes too long");
        }
    };
    tokio::select! {
        _ = work => {}
        () = end => {}
        // Neither the watches nor the election ever end by themselves.
        _ = watches => {}
        () = elect(leadership.as_mut()) => {}
    }
    if let Some(leadership) = &mut leadership {
        leadership.release().await;
    }
    Ok(())
}
