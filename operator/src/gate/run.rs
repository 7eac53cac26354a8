//! Starts the gate: its parts, the election, the endpoints.

use std::sync::Arc;

use api::names::GATE_FIELD_MANAGER;
use daemon::{Readiness, http};
use kube::Client;
use link::client;
use tokio::time::timeout;
use tracing::{info, warn};

use super::metrics::GateMetrics;
use super::nodes::NodeGate;
use super::options::GateOptions;
use super::pods::PodGate;
use super::pods::decision::Settings;
use super::sandboxes::SandboxPart;
use super::watch::SharedWatches;
use crate::run::{LAST_WRITES, RunError};
use crate::watch::WATCH;
use daemon::lease::Lead;
use daemon::lease::elect;

/// Runs until SIGTERM, then releases the lease.
///
/// # Errors
/// The gate could not start; once it runs, no failure ends it.
pub async fn run(options: GateOptions) -> Result<(), RunError> {
    let signal = daemon::shutdown_signal().map_err(RunError::Signal)?;
    let registry = daemon::metrics::registry("gate", env!("CARGO_PKG_VERSION"))?;
    let readiness = Readiness::default();
    let lead = Arc::new(Lead::default());
    let settings = Settings {
        directory: options.directory.clone(),
        leave_out_after: options.leave_out_failed_nodes_after,
    };
    let metrics = GateMetrics::new(&registry)?;
    // Each part has metrics of its own, a share in the readiness, and a task.
    let pods = PodGate::new(settings, lead.clone(), metrics.clone(), &registry)?;
    let pod_state = pods.state();
    let nodes = options
        .node_settings()
        .map(|settings| NodeGate::new(settings, lead.clone(), metrics.clone(), &registry, &readiness))
        .transpose()?;
    let sandboxes = SandboxPart::new(options.directory.clone(), lead.clone(), metrics);
    let sandbox_state = sandboxes.state();
    let node_state = nodes.as_ref().map(NodeGate::state);
    let directory = options.directory.clone();
    let watches = SharedWatches::new(
        directory,
        pod_state.clone(),
        node_state.clone(),
        sandbox_state.clone(),
        &readiness,
    );
    let endpoints = http::serve(options.listen, registry, readiness, std::future::pending()).await?;
    let client = client::connect(WATCH).await?;
    info!(version = env!("CARGO_PKG_VERSION"), listen = %options.listen, directory = options.directory, "gate starts");

    let (elected, pods_to_queue, nodes_to_queue) = (lead.clone(), pod_state.clone(), node_state.clone());
    let lead_until = move |until| {
        if elected.until(until) {
            // The previous leader may have stopped half-way.
            pods_to_queue.queue_all();
            if let Some(nodes) = &nodes_to_queue {
                nodes.queue_all();
            }
            sandbox_state.queue_all();
        }
    };
    let mut leadership =
        options.lease.leadership(&options.namespace, GATE_FIELD_MANAGER, &client, lead_until)?;
    let end = async {
        signal.await;
        info!("gate stops");
        lead.stop();
        let idle = async {
            pod_state.controller.idle().await;
            if let Some(nodes) = &node_state {
                nodes.controller.idle().await;
            }
        };
        if timeout(LAST_WRITES, idle).await.is_err() {
            warn!("a write under way takes too long");
        }
    };
    tokio::select! {
        // None of these ever ends by itself.
        () = endpoints => {}
        () = watches.run(client.clone()) => {}
        () = pods.run(client.clone()) => {}
        () = sandboxes.run(client.clone()) => {}
        () = run_nodes(nodes, client.clone()) => {}
        () = elect(leadership.as_mut()) => {}
        () = end => {}
    }
    if let Some(leadership) = &mut leadership {
        leadership.release().await;
    }
    Ok(())
}

/// Runs the part about Nodes for ever, if there is one.
async fn run_nodes(nodes: Option<NodeGate>, client: Client) {
    match nodes {
        Some(nodes) => nodes.run(client).await,
        None => std::future::pending().await,
    }
}
