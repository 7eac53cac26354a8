//! One reconciliation of one Node: from a decision to a write.

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use link::chain;
use tracing::{info, warn};

use super::super::pod_events::PodEvents;
use super::decision::{NodeDecision, NodeWrite};
use super::misplaced::MisplacedPod;
use super::notice::of_misplaced;
use super::state::{NodeKey, NodeState};
use super::watch::Nodes;
use super::writer::{NodeWriter, WrittenCondition};
use crate::cooldowns::Cooldowns;
use crate::facts::UpdateSource;
use crate::writer::WriteError;

/// The longest first cooldown after a write that failed.
const FAILED: Duration = Duration::from_millis(400);

/// What all reconciliations share.
pub(super) struct Context {
    state: Arc<NodeState>,
    writer: NodeWriter,
    events: PodEvents,
    nodes: Arc<Nodes>,
    /// Nodes that are not written for a while because a write failed, by the reason of the failure.
    failures: Cooldowns<NodeKey, &'static str>,
}

impl Context {
    /// A context in which nothing has failed yet.
    pub(super) fn new(
        state: Arc<NodeState>,
        writer: NodeWriter,
        events: PodEvents,
        nodes: Arc<Nodes>,
    ) -> Self {
        Self { state, writer, events, nodes, failures: Cooldowns::new(FAILED) }
    }
}

/// Reconciles a Node once and logs a failure. Returns how long until it must be reconciled again if it is not queued
/// before.
pub(super) async fn reconcile(key: &NodeKey, context: &Context) -> Option<Duration> {
    // On becoming leader, every Node is queued.
    if !context.state.may_write() {
        return None;
    }
    if let Some(left) = context.failures.left(key, Instant::now()) {
        return Some(left);
    }
    match try_reconcile(&key.0, context).await {
        Ok(requeue_at) => {
            context.failures.forget(key);
            let requeue_at = [requeue_at, explain(&key.0, context).await].into_iter().flatten().min();
            // A little late, because a reconciliation that is a little early finds nothing to do.
            let late = Duration::from_millis(10);
            let wait = requeue_at.map(|time| Duration::try_from(time.duration_since(Timestamp::now())));
            wait.map(|wait| wait.unwrap_or_default() + late)
        }
        Err(error) => {
            let delay = context.failures.begin(key, error.reason(), Instant::now());
            // After a conflict, the watch delivers the newer version and queues the Node.
            if !matches!(error, WriteError::Conflict | WriteError::Gone) {
                let (node, reason) = (&key.0, error.reason());
                warn!(node, reason, error = %chain(&error), retry_in = ?delay, "node not written");
            }
            Some(delay)
        }
    }
}

async fn try_reconcile(name: &str, context: &Context) -> Result<Option<Timestamp>, WriteError> {
    let Context { state, writer, nodes, .. } = context;
    let now = Timestamp::now();
    let decision = state.change(|cluster| {
        let decision = cluster.decide(name, now)?;
        Some((decision, cluster.node(name)?.version.uid.clone()))
    });
    let Some((NodeDecision { write, notices, requeue_at }, uid)) = decision else { return Ok(None) };
    let Some(write) = write else { return Ok(requeue_at) };
    let answer = match &write {
        NodeWrite::RemoveTaints(taints) => {
            let answer = writer.remove_taints(name, &uid, taints).await?;
            info!(node = name, "start-up taint taken off");
            answer
        }
        NodeWrite::SetCondition { status, reason, message, last_transition_time } => {
            let last_transition_time = last_transition_time.as_deref();
            let condition = WrittenCondition { status, reason, message, last_transition_time };
            let answer = writer.set_condition(name, &uid, condition, now).await?;
            info!(node = name, status, reason, "node condition");
            answer
        }
    };
    // It queues the Node again, for what is left to do.
    state.change(|cluster| nodes.apply(cluster, &answer, UpdateSource::Answer, now));
    for notice in notices {
        writer.publish(name, &uid, notice).await;
    }
    Ok(requeue_at)
}

/// Publishes the Events that are due about pods on a node. Returns when others may be due.
async fn explain(node: &str, context: &Context) -> Option<Timestamp> {
    let Context { state, events, nodes, .. } = context;
    let (misplaced, until) = state.change(|cluster| cluster.take_misplaced(node, Timestamp::now()));
    for MisplacedPod { pod, profiles } in misplaced {
        let paths: Vec<_> =
            profiles.iter().map(|profile| format!("{}/{}", nodes.directory, profile.file_name())).collect();
        events.publish(&pod.id, &of_misplaced(node, &paths)).await;
    }
    until
}

#[cfg(test)]
mod tests;
