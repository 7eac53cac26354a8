//! From a verdict to a write: one look at one profile or node.
//!
//! The index says what to do; this module does it, one write a look, and puts the answer into the index, which makes
//! the object due again if more is to be done.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::TryFutureExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;
use kube::Resource;
use kube_runtime::controller::Action;
use link::chain;
use tokio::sync::watch;
use tracing::{debug, info, warn};

use crate::cluster::Cluster;
use crate::cooldowns::Cooldowns;
use crate::facts::{ProfileFacts, ReportFacts, Source, Version, WatchedProfile};
use crate::index::{Index, Listed, NodeOperation, ProfileOperation};
use crate::metrics;
use crate::notice::Notice;
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

/// How long after a list named a pod that is not known the next one is made. The watch brings the pod sooner, and with it
/// the next look.
const LISTED_BEFORE_KNOWN: Duration = Duration::from_secs(10);

/// How long a profile waits that another one's list does not serve, or that none could be had for.
const LIST_UNDER_WAY: Duration = Duration::from_millis(250);

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
    look("profile", name, &context, step_profile(name, &context)).await
}

/// One look at the node `object`.
///
/// # Errors
/// A write did not happen.
pub async fn node<K: Resource>(object: Arc<K>, context: Arc<Context>) -> Result<Action, WriteError> {
    let name = object.meta().name.as_deref().unwrap_or_default();
    look("node", name, &context, step_node(name, &context).map_ok(Looked::Done)).await
}

/// One look at the report `object`, which is about a node that does not exist.
///
/// # Errors
/// A write did not happen.
pub async fn orphan<K: Resource>(object: Arc<K>, context: Arc<Context>) -> Result<Action, WriteError> {
    let name = object.meta().name.as_deref().unwrap_or_default();
    look("node", name, &context, step_orphan(name, &context).map_ok(Looked::Done)).await
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

async fn step_profile(name: &str, context: &Context) -> Result<Looked, WriteError> {
    let Context { cluster, writer, .. } = context;
    let now = Timestamp::now();
    let Some(verdict) = cluster.change(|index| index.verdict_on_profile(name, now)) else {
        return Ok(Looked::Done(None));
    };
    let version = &verdict.version;
    match verdict.step {
        ProfileOperation::Nothing | ProfileOperation::HoldBack => {}
        ProfileOperation::ListPods => {
            let listed = list_pods(name, &version.uid, context).await.inspect_err(|_| {
                cluster.change(|index| index.pods_not_listed(name, &version.uid, Timestamp::now()));
            })?;
            let wait = match listed {
                Some(Listed::AllKnown) => return Ok(Looked::Listed(verdict.requeue_at)),
                None => {
                    if context.pod_lists.has_failed() {
                        cluster.change(|index| index.pods_not_listed(name, &version.uid, Timestamp::now()));
                    }
                    LIST_UNDER_WAY
                }
                Some(Listed::PodNotKnown) => {
                    debug!(profile = name, "a pod that uses the profile is listed and not yet known");
                    LISTED_BEFORE_KNOWN
                }
                Some(Listed::NodesNotKnown(_)) => {
                    debug!(profile = name, "a pod that uses the profile is on a node that is not yet known");
                    LISTED_BEFORE_KNOWN
                }
            };
            return Ok(Looked::Listed(Some(Timestamp::now() + wait)));
        }
        ProfileOperation::AddFinalizer { has_finalizers } => {
            let write = writer.add_finalizer(name, version, has_finalizers);
            let answer = context.bound("profile", name, version, write).await?;
            cluster.change(|index| profile_answered(cluster, index, &answer));
        }
        ProfileOperation::WriteStatus { status, notices } => {
            let write = writer.profile_status(name, version, &status);
            let answer = context.bound("profile", name, version, write).await?;
            cluster.change(|index| {
                profile_answered(cluster, index, &answer);
                index.status_written(name, &status, now);
            });
            info!(
                profile = name,
                state = status.state.as_ref().map_or("", api::OpenEnum::as_str),
                ready = status.ready.as_deref().unwrap_or_default(),
                hash = status.content_hash.as_deref().unwrap_or_default(),
                "status"
            );
            for notice in notices {
                writer.publish(name, version, notice, None).await;
            }
        }
        ProfileOperation::Release { finalizer, unconfirmed } => {
            let write = writer.remove_finalizer(name, version, finalizer);
            let answer = context.bound("profile", name, version, write).await?;
            let hash = cluster.change(|index| {
                let ProfileFacts { content, .. } = ProfileFacts::given(index.profile(name), &answer);
                match answer.metadata.finalizers.as_deref().unwrap_or_default() {
                    // With the last finalizer the object goes; the watch says so too, but a name may be used again before.
                    [] => index.delete_profile(name, &version.uid, now),
                    _ => profile_answered(cluster, index, &answer),
                }
                content.ok()
            });
            info!(profile = name, hash = hash.as_ref().map(tracing::field::display), "released");
            if !unconfirmed.is_empty() {
                let detail = format!("Nodes: {}", crate::status::bounded(&unconfirmed.join(", "), 800));
                warn!(profile = name, nodes = %unconfirmed.join(","), "removal not confirmed in time");
                writer.publish(name, version, Notice::Unconfirmed, Some(&detail)).await;
            }
        }
    }
    Ok(Looked::Done(verdict.requeue_at))
}

/// Asks whether a pod uses the profile, as of now; `None` while no list can be had.
async fn list_pods(name: &str, uid: &str, context: &Context) -> Result<Option<Listed>, WriteError> {
    let Context { cluster, pod_lists, .. } = context;
    let Some(list) = pod_lists.list(uid).await? else { return Ok(None) };
    let tell =
        |gone: &_| cluster.change(|index| index.pods_listed(name, uid, list.users(), gone, Timestamp::now()));
    match tell(&BTreeSet::new()) {
        // A node that has just joined runs pods before its news is here; of one that is gone no news comes.
        Listed::NodesNotKnown(nodes) if !pod_lists.any_is_there(&nodes).await? => Ok(Some(tell(&nodes))),
        listed => Ok(Some(listed)),
    }
}

/// The answer to a write says what a profile is now.
fn profile_answered(cluster: &Cluster, index: &mut Index, answer: &WatchedProfile) {
    let known = index.profile(answer.metadata.name.as_deref().unwrap_or_default());
    let facts = ProfileFacts::given(known, answer);
    let known = known.map(|known| &known.version);
    cluster.metrics.watch_lag.written(metrics::PROFILES, &facts.name, &facts.version, known, Instant::now());
    index.apply_profile(facts, Source::Answer, Timestamp::now());
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
        NodeOperation::Nothing => {}
        NodeOperation::CreateReport { owner } => {
            let answer = writer.create_report(name, &owner).await?;
            cluster.change(|index| index.apply_report(ReportFacts::of(answer), Source::Created, now));
        }
        NodeOperation::DeleteReport { version } => {
            context.bound("node", name, &version, writer.delete_report(name, &version)).await?;
        }
        NodeOperation::WriteConditions { version, has_status, conditions, start_failures, notices } => {
            let failures = start_failures.as_deref();
            let write = writer.node_conditions(name, &version, has_status, &conditions, failures);
            let answer = context.bound("node", name, &version, write).await?;
            cluster.change(|index| {
                let facts = ReportFacts::of(answer);
                let known = index.report_version(name);
                let at = Instant::now();
                cluster.metrics.watch_lag.written(metrics::REPORTS, name, &facts.version, known, at);
                index.apply_report(facts, Source::Answer, now);
                if let Some(failures) = failures {
                    index.starts_written(name, failures.len(), now);
                }
            });
            for Condition { type_, status, reason, .. } in &conditions {
                info!(node = name, condition = type_, status, reason, "node condition");
            }
            for notice in notices {
                writer.publish_about_node(name, &version, notice).await;
            }
        }
    }
    Ok(verdict.requeue_at)
}

async fn step_orphan(name: &str, context: &Context) -> Result<Option<Timestamp>, WriteError> {
    let Context { cluster, writer, .. } = context;
    let now = Timestamp::now();
    let Some(verdict) = cluster.change(|index| index.judge_orphan(name, now)) else { return Ok(None) };
    if let NodeOperation::DeleteReport { version } = verdict.step {
        context.bound("node", name, &version, writer.delete_report(name, &version)).await?;
        warn!(node = name, "report deleted: there is no such node");
        writer.publish_about_node(name, &version, Notice::NoSuchNode).await;
    }
    Ok(verdict.requeue_at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::NodeFacts;
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
        let again = step_profile("a", &context).await.unwrap();
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
