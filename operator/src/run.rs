//! Starts the operator: four watches, with one of observations where nodes have observers, the controller, the endpoints.

use std::sync::Arc;
use std::time::Duration;

use api::names::OPERATOR_FIELD_MANAGER;
use daemon::lease::elect;
use daemon::lease::election::UnsafeTiming;
use daemon::{Readiness, http};
use link::client;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::gauges::Gauges;
use crate::index::Index;
use crate::labels::KindLabel;
use crate::metrics::Metrics;
use crate::options::Options;
use crate::pod_list::PodLists;
use crate::reconcile::{Context, reconcile};
use crate::shared::SharedState;
use crate::watch::{NodeWatch, PodWatch, ProfileWatch, ReportWatch, WATCH, follow, follow_observations};
use crate::writer::Writer;

/// How many reconciliations of profiles, and of nodes, run at once: enough to keep a slow API server busy, too few to
/// flood it.
const CONCURRENCY: usize = 16;

/// How long writes under way may take after the signal to stop. The next leader must not wait for a write that an
/// overloaded API server does not answer; that write is refused or repeated.
pub(crate) const LAST_WRITES: Duration = Duration::from_secs(2);

/// The least time between two Events about refused calls: many pods that are refused calls at once must not slow down the
/// writes of statuses.
const BETWEEN_EVENTS: Duration = Duration::from_millis(200);

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
    let kinds = KindLabel::JUDGED.map(KindLabel::as_str);
    let index = Index::new(&options.directory)
        .removing_unused_after(options.remove_unused_image_profiles_after)
        .counting_denials(options.observations);
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
        follow(ProfileWatch, client.clone(), shared.clone(), Some(profiles_ready)),
        follow(ReportWatch, client.clone(), shared.clone(), Some(reports_ready)),
        follow(NodeWatch(options.agent.selection()), client.clone(), shared.clone(), Some(nodes_ready)),
        follow(pod_kind.clone(), client.clone(), shared.clone(), Some(pods_ready)),
    );

    let observations = async {
        if options.observations {
            follow_observations(client.clone(), shared.clone()).await;
        }
        std::future::pending::<()>().await;
    };

    let writer = Writer::new(client.clone(), shared.metrics.writes.clone());
    let denied_calls = publish_denied_calls(writer.clone(), shared.clone());
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
        // Neither the watches nor the Events nor the election ever end by themselves.
        _ = watches => {}
        () = observations => {}
        () = denied_calls => {}
        () = elect(leadership.as_mut()) => {}
    }
    if let Some(leadership) = &mut leadership {
        leadership.release().await;
    }
    Ok(())
}

/// Publishes the Events about refused calls, for ever.
async fn publish_denied_calls(writer: Writer, shared: Arc<SharedState>) {
    loop {
        let call = shared.denied_calls.next().await;
        if shared.may_write() {
            writer.publish_denied_call(&call).await;
            sleep(BETWEEN_EVENTS).await;
        }
    }
}
