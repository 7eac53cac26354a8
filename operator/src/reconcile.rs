//! From a verdict to a write: one look at one profile or node.
//!
//! The index says what to do; this module does it, one write a look, and puts the answer into the index, which makes
//! the object due again if more is to be done.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use kube::Resource;
use kube_runtime::controller::Action;
use tracing::{info, warn};

use crate::cluster::Cluster;
use crate::facts::{ProfileFacts, ReportFacts};
use crate::index::{NodeStep, ProfileStep};
use crate::notice::Notice;
use crate::writer::{WriteError, Writer};

/// What both controllers work with.
pub struct Context {
    /// What is known.
    pub cluster: Arc<Cluster>,
    /// The way out.
    pub writer: Writer,
    /// Failed looks in a row, by kind and name.
    failures: Mutex<HashMap<(&'static str, String), u32>>,
}

impl Context {
    /// A context in which nothing has failed yet.
    #[must_use]
    pub fn new(cluster: Arc<Cluster>, writer: Writer) -> Self {
        Self { cluster, writer, failures: Mutex::new(HashMap::new()) }
    }

    /// How long to wait after one more failure: from 0.2 s, doubling, to a minute, with jitter, so that a thousand
    /// objects that failed together do not come back together.
    fn back_off(&self, kind: &'static str, name: &str) -> Duration {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry((kind, name.to_owned())).or_default();
        let delay = Duration::from_millis(200 << (*count).min(9)).min(Duration::from_secs(60));
        *count += 1;
        delay.mul_f64(0.5 + jitter(name, *count))
    }

    fn succeeded(&self, kind: &'static str, name: &str) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(&(kind, name.to_owned()));
    }
}

/// From 0 to 1, different for each name and attempt.
fn jitter(name: &str, attempt: u32) -> f64 {
    use std::hash::{BuildHasher, RandomState};
    f64::from((RandomState::new().hash_one((name, attempt)) >> 32) as u32) / f64::from(u32::MAX)
}

/// One look at the profile `object`.
///
/// # Errors
/// A write did not happen.
pub async fn profile<K: Resource>(object: Arc<K>, context: Arc<Context>) -> Result<Action, WriteError> {
    let name = object.meta().name.as_deref().unwrap_or_default();
    look("profile", name, &context, step_profile(name, &context)).await
}

/// One look at the node `object`.
///
/// # Errors
/// A write did not happen.
pub async fn node<K: Resource>(object: Arc<K>, context: Arc<Context>) -> Result<Action, WriteError> {
    let name = object.meta().name.as_deref().unwrap_or_default();
    look("node", name, &context, step_node(name, &context)).await
}

/// When to try again after a failed look at a profile.
pub fn profile_failed<K: Resource>(object: Arc<K>, error: &WriteError, context: Arc<Context>) -> Action {
    try_again("profile", &*object, error, &context)
}

/// When to try again after a failed look at a node.
pub fn node_failed<K: Resource>(object: Arc<K>, error: &WriteError, context: Arc<Context>) -> Action {
    try_again("node", &*object, error, &context)
}

fn try_again<K: Resource>(kind: &'static str, object: &K, error: &WriteError, context: &Context) -> Action {
    let name = object.meta().name.as_deref().unwrap_or_default();
    let delay = context.back_off(kind, name);
    match error {
        // The watch brings the news that the judgement lacked; the timer is for the case that it does not.
        WriteError::Conflict | WriteError::Gone => {}
        _ => warn!(kind, name, %error, reason = error.reason(), retry_in = ?delay, "write failed"),
    }
    Action::requeue(delay)
}

/// Measures a look and turns its time into an action.
async fn look(
    kind: &'static str,
    name: &str,
    context: &Context,
    step: impl Future<Output = Result<Option<Timestamp>, WriteError>>,
) -> Result<Action, WriteError> {
    // Leave to write makes everything due.
    if !context.cluster.may_write() {
        return Ok(Action::await_change());
    }
    let started = Instant::now();
    let result = step.await;
    let outcome = result.as_ref().map_or_else(WriteError::reason, |_| "Ok");
    context.cluster.metrics.reconciled(kind, outcome, started.elapsed());
    let look_again = result?;
    context.succeeded(kind, name);
    Ok(look_again.map_or_else(Action::await_change, |time| {
        let wait = Duration::try_from(time.duration_since(Timestamp::now())).unwrap_or_default();
        // A little late rather than a little early, which would be a look for nothing.
        Action::requeue(wait + Duration::from_millis(10))
    }))
}

async fn step_profile(name: &str, context: &Context) -> Result<Option<Timestamp>, WriteError> {
    let Context { cluster, writer, .. } = context;
    let now = Timestamp::now();
    let Some(verdict) = cluster.change(|index| index.judge_profile(name, now)) else { return Ok(None) };
    let version = &verdict.version;
    match verdict.step {
        ProfileStep::Nothing => {}
        ProfileStep::AddFinalizer { has_finalizers } => {
            let answer = writer.add_finalizer(name, version, has_finalizers).await?;
            cluster.change(|index| index.apply_profile(ProfileFacts::of(&answer), now));
        }
        ProfileStep::WriteStatus { status, notices } => {
            let answer = writer.profile_status(name, version, &status).await?;
            cluster.change(|index| {
                index.apply_profile(ProfileFacts::of(&answer), now);
                index.status_written(name, now);
            });
            info!(
                profile = name,
                state = status.state.map_or("", api::State::as_str),
                ready = status.ready.as_deref().unwrap_or_default(),
                hash = status.content_hash.as_deref().unwrap_or_default(),
                "status"
            );
            for notice in notices {
                writer.publish(name, version, notice, None).await;
            }
        }
        ProfileStep::Release { finalizer, unconfirmed } => {
            if !unconfirmed.is_empty() {
                let detail = format!("Nodes: {}", crate::status::bounded(&unconfirmed.join(", "), 800));
                warn!(profile = name, nodes = %unconfirmed.join(","), "removal not confirmed in time");
                writer.publish(name, version, Notice::Unconfirmed, Some(&detail)).await;
            }
            let answer = writer.remove_finalizer(name, version, finalizer).await?;
            info!(profile = name, "released");
            cluster.change(|index| match answer.metadata.finalizers.as_deref().unwrap_or_default() {
                // With the last finalizer the object goes; the watch says so too, but a name may be used again before.
                [] => index.delete_profile(name, &version.uid, now),
                _ => index.apply_profile(ProfileFacts::of(&answer), now),
            });
        }
    }
    Ok(verdict.look_again)
}

async fn step_node(name: &str, context: &Context) -> Result<Option<Timestamp>, WriteError> {
    let Context { cluster, writer, .. } = context;
    let now = Timestamp::now();
    let verdict = cluster.change(|index| {
        index.pass_time(name, now);
        index.judge_node(name, now)
    });
    let Some(verdict) = verdict else { return Ok(None) };
    match verdict.step {
        NodeStep::Nothing => {}
        NodeStep::CreateReport { owner } => {
            let answer = writer.create_report(name, &owner).await?;
            cluster.change(|index| index.apply_report(ReportFacts::of(&answer), now));
        }
        NodeStep::DeleteReport { version } => writer.delete_report(name, &version).await?,
        NodeStep::WriteCondition { version, has_status, condition } => {
            let answer = writer.node_condition(name, &version, has_status, &condition).await?;
            cluster.change(|index| index.apply_report(ReportFacts::of(&answer), now));
            info!(node = name, status = condition.status, reason = condition.reason, "node condition");
        }
    }
    Ok(verdict.look_again)
}
