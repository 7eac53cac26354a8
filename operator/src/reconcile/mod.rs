//! From a verdict to a write: one reconciliation of one profile or node.
//!
//! The index says what to do; [`profile`] and [`node`] do it, one write at a time, and put the answer into the index,
//! which makes the object due again if more is to be done. What is common to both is here: who may write, what failed
//! before, and when to try again.

mod node;
mod profile;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::TryFutureExt;
use k8s_openapi::jiff::Timestamp;
use kube::Resource;
use kube_runtime::controller::Action;
use link::chain;
use tokio::sync::watch;
use tracing::warn;

use crate::cluster::Cluster;
use crate::cooldowns::Cooldowns;
use crate::facts::Version;
use crate::pod_list::PodLists;
use crate::writer::{WriteError, Writer};

/// What both controllers work with.
pub struct Context {
    /// What is known.
    pub cluster: Arc<Cluster>,
    /// The way out.
    pub writer: Writer,
    /// What is asked before a file goes.
    pod_lists: PodLists,
    /// What is not looked at, whatever the news, because writes failed for a reason: a thousand reports must not be a
    /// thousand writes to an API server that is in trouble.
    failures: Cooldowns<&'static str>,
    /// Versions that the API server has called outdated. Only news of the object helps then. While the watch is late, news of
    /// everything else goes on making the object due, and without a memory each look would send the same write to an API
    /// server that is too busy as it is.
    outdated: Cooldowns<Version>,
    /// Looks under way.
    under_way: watch::Sender<usize>,
}

/// A look under way, for as long as it lives.
struct UnderWay<'a>(&'a watch::Sender<usize>);

impl<'a> UnderWay<'a> {
    fn begin(count: &'a watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// The longest first pause after a write that failed. A refusal may last longer than silence, but whoever mends what is
/// refused is not to wait for longer than the longest.
const FAILED: Duration = Duration::from_millis(400);
/// The longest first pause before a write is bound once more to a version that was called outdated: the API server itself
/// may have been wrong, as one is that was restored from a backup.
const OUTDATED: Duration = Duration::from_secs(2);

impl Context {
    /// A context in which nothing has failed yet.
    #[must_use]
    pub fn new(cluster: Arc<Cluster>, writer: Writer, pod_lists: PodLists) -> Self {
        Self {
            cluster,
            writer,
            pod_lists,
            failures: Cooldowns::new(FAILED),
            outdated: Cooldowns::new(OUTDATED),
            under_way: watch::Sender::new(0),
        }
    }

    /// The answer to `write`, which is bound to `version`; it is not sent while that is known to be outdated.
    async fn bound<T>(
        &self,
        kind: &'static str,
        name: &str,
        version: &Version,
        write: impl Future<Output = Result<T, WriteError>>,
    ) -> Result<T, WriteError> {
        if self.outdated.left_for(kind, name, version, Instant::now()).is_some() {
            return Err(WriteError::Conflict);
        }
        let answer = write.await;
        if matches!(answer, Err(WriteError::Conflict)) {
            self.outdated.begin(kind, name, version.clone(), Instant::now());
        }
        answer
    }

    /// Waits until no look is under way.
    pub async fn idle(&self) {
        // An error means that nobody looks any more, which is the same.
        let _ = self.under_way.subscribe().wait_for(|count| *count == 0).await;
    }
}

/// One look at the profile `object`.
///
/// # Errors
/// A write did not happen.
pub async fn profile<K: Resource>(object: Arc<K>, context: Arc<Context>) -> Result<Action, WriteError> {
    let name = object.meta().name.as_deref().unwrap_or_default();
    look("profile", name, &context, profile::reconcile(name, &context)).await
}

/// One look at the node `object`.
///
/// # Errors
/// A write did not happen.
pub async fn node<K: Resource>(object: Arc<K>, context: Arc<Context>) -> Result<Action, WriteError> {
    let name = object.meta().name.as_deref().unwrap_or_default();
    look("node", name, &context, node::reconcile(name, &context).map_ok(Looked::Done)).await
}

/// One look at the report `object`, which is about a node that does not exist.
///
/// # Errors
/// A write did not happen.
pub async fn orphan<K: Resource>(object: Arc<K>, context: Arc<Context>) -> Result<Action, WriteError> {
    let name = object.meta().name.as_deref().unwrap_or_default();
    look("node", name, &context, node::reconcile_orphan(name, &context).map_ok(Looked::Done)).await
}

/// When to try again after a failed look at a profile.
pub fn profile_failed<K: Resource>(object: Arc<K>, error: &WriteError, context: Arc<Context>) -> Action {
    try_again("profile", &*object, error, &context)
}

/// When to try again after a failed look at a node, or at a report about none.
pub fn node_failed<K: Resource>(object: Arc<K>, error: &WriteError, context: Arc<Context>) -> Action {
    try_again("node", &*object, error, &context)
}

fn try_again<K: Resource>(kind: &'static str, object: &K, error: &WriteError, context: &Context) -> Action {
    let name = object.meta().name.as_deref().unwrap_or_default();
    if matches!(error, WriteError::Conflict | WriteError::Gone) {
        // The watch brings the news that the judgement lacked; the timer is for the case that it does not.
        context.failures.forget(kind, name);
        let rest = context.outdated.left(kind, name, Instant::now());
        return Action::requeue(rest.unwrap_or(Duration::from_secs(1)));
    }
    // For another reason it begins anew: an API server that has just come back may refuse what it will allow in a moment.
    let delay = context.failures.begin(kind, name, error.reason(), Instant::now());
    if matches!(error, WriteError::Unlisted(_)) {
        warn!(profile = name, error = %chain(error), retry_in = ?delay, "pods cannot be listed: the file stays");
        return Action::requeue(delay);
    }
    let of = |other| (kind == other).then_some(name);
    warn!(
        profile = of("profile"),
        node = of("node"),
        reason = error.reason(),
        error = %chain(error),
        retry_in = ?delay,
        "write failed"
    );
    Action::requeue(delay)
}

/// What a look came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Looked {
    /// There was nothing to write, or it was written. Ask again then, if nothing happens before.
    Done(Option<Timestamp>),
    /// Pods were to be listed before anything is written, which says nothing of whether a write would succeed: what
    /// failed before is still to be tried ever more slowly.
    Listed(Option<Timestamp>),
}

/// Measures a look and turns its time into an action.
async fn look(
    kind: &'static str,
    name: &str,
    context: &Context,
    step: impl Future<Output = Result<Looked, WriteError>>,
) -> Result<Action, WriteError> {
    let _under_way = UnderWay::begin(&context.under_way);
    // Leave to write makes everything due.
    if !context.cluster.may_write() {
        return Ok(Action::await_change());
    }
    if let Some(rest) = context.failures.left(kind, name, Instant::now()) {
        return Ok(Action::requeue(rest));
    }
    let started = Instant::now();
    let result = step.await;
    context.cluster.metrics.reconciled(kind, result.as_ref().map(drop), started.elapsed());
    let requeue_at = match result? {
        Looked::Done(time) => {
            context.failures.forget(kind, name);
            context.outdated.forget(kind, name);
            time
        }
        Looked::Listed(time) => time,
    };
    Ok(requeue_at.map_or_else(Action::await_change, |time| {
        let wait = Duration::try_from(time.duration_since(Timestamp::now())).unwrap_or_default();
        // A little late rather than a little early, which would be a look for nothing.
        Action::requeue(wait + Duration::from_millis(10))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{NodeFacts, ProfileFacts, Source};
    use crate::index::{Index, ProfileOperation};
    use crate::metrics::Metrics;
    use kube::core::PartialObjectMetaExt;

    fn context() -> Context {
        let (service, _) =
            tower_test::mock::pair::<http::Request<kube::client::Body>, http::Response<kube::client::Body>>();
        let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
        let client = kube::Client::new(service, "default");
        let writer = Writer::new(client.clone(), metrics.writes.clone());
        let agents = crate::facts::AgentPods { namespace: String::new(), labels: Default::default() };
        let pod_lists =
            PodLists::new(client, crate::watch::Pods { directory: "profiles".to_owned(), agents });
        Context::new(Arc::new(Cluster::new(Index::new("profiles"), [], metrics)), writer, pod_lists)
    }

    /// How long the profile rests after an answer.
    fn rest_after(context: &Context, code: u16) -> Duration {
        let status = kube::core::Status { code, ..kube::core::Status::failure("no", "No") };
        let error = WriteError::from(kube::Error::Api(status.boxed()));
        let metadata = kube::core::ObjectMeta { name: Some("a".to_owned()), ..Default::default() };
        try_again("profile", &metadata.into_response_partial::<api::SeccompProfile>(), &error, context);
        context.failures.left("profile", "a", Instant::now()).unwrap()
    }

    #[tokio::test]
    async fn however_long_an_api_server_was_away_a_write_is_tried_again_within_20_s_of_its_return() {
        let context = context();
        for code in [429, 500, 410, 503] {
            for _ in 0..40 {
                assert!(rest_after(&context, code) <= Duration::from_secs(20));
            }
        }
        // It refuses everybody until it knows who may do what.
        assert!(rest_after(&context, 403) < Duration::from_secs(1));
    }

    #[tokio::test]
    async fn counts_that_are_held_back_are_looked_at_again_when_they_may_be_written() {
        let (context, now) = (context(), Timestamp::now());
        let node = |name: &str, reachable| NodeFacts {
            name: name.to_owned(),
            uid: name.to_owned(),
            created: Timestamp::UNIX_EPOCH,
            selected: true,
            reachable,
            answers: true,
        };
        context.cluster.change(|index| {
            index.apply_node(node("n1", true), now);
            index.apply_node(node("n2", true), now);
            let object = serde_json::json!({
                "metadata": { "name": "a", "uid": "u", "resourceVersion": "1", "finalizers": [api::names::FINALIZER] },
                "spec": { "contents": { "defaultAction": "SCMP_ACT_LOG" } },
            });
            let mut facts = ProfileFacts::of(&serde_json::from_value(object).unwrap());
            index.apply_profile(facts.clone(), Source::List, now);
            let ProfileOperation::WriteStatus { status, .. } = index.verdict_on_profile("a", now).unwrap().step else {
                panic!("there is a status to write");
            };
            facts.status = Some((*status).clone());
            index.apply_profile(facts, Source::List, now);
            index.status_written("a", &status, now);
            index.apply_node(node("n2", false), now);
        });
        // No request is answered: that would be an error.
        let again = profile::reconcile("a", &context).await.unwrap();
        assert_eq!(again, Looked::Done(Some(now + Duration::from_secs(5))));
        let action = look("profile", "a", &context, async { Ok(again) }).await.unwrap();
        assert_ne!(action, Action::await_change());
    }

    #[tokio::test]
    async fn what_is_refused_again_and_again_is_tried_ever_more_slowly() {
        let context = context();
        let pauses = [(); 12].map(|()| rest_after(&context, 422));
        assert!(pauses[0] < Duration::from_secs(1) && pauses[11] >= Duration::from_secs(10), "{pauses:?}");
        context.failures.forget("profile", "a");
        assert!(rest_after(&context, 422) < Duration::from_secs(1));
    }
}
