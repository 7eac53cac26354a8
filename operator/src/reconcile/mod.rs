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
use link::chain;
use tracing::warn;

use crate::cluster::Cluster;
use crate::cooldowns::Cooldowns;
use crate::facts::Version;
use crate::index::WorkKey;
use crate::labels::Reconciled;
use crate::pod_list::PodLists;
use crate::writer::{WriteError, Writer};

/// What a reconciliation works with.
pub struct Context {
    /// What is known.
    pub cluster: Arc<Cluster>,
    /// The way out.
    pub writer: Writer,
    /// What is asked before a file goes.
    pod_lists: PodLists,
    /// Objects that are not reconciled for a while, whatever changes, because writes failed, by the reason of the failure:
    /// a thousand reports must not be a thousand writes to an API server that is in trouble.
    failures: Cooldowns<Failure>,
    /// Versions that the API server has called outdated. Only an update of the object helps then. While the watch is late,
    /// updates of other objects keep making this one due, and without a memory each reconciliation would send the same
    /// write to an API server that is too busy already.
    outdated: Cooldowns<Version>,
}

/// Why an object cools down.
#[derive(Debug, PartialEq, Eq)]
struct Failure {
    reason: &'static str,
    /// The version of the profile, which whoever mends or deletes it changes: then it is tried again at once. A node's
    /// report has none here, because its agent changes it as often as it likes.
    profile: Option<Version>,
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
        if self.outdated.left_while(kind, name, |outdated| outdated == version, Instant::now()).is_some() {
            return Err(WriteError::Conflict);
        }
        let answer = write.await;
        if matches!(answer, Err(WriteError::Conflict)) {
            self.outdated.begin(kind, name, version.clone(), Instant::now());
        }
        answer
    }
}

/// What is counted and logged as one kind, and cools down together: a report without a Node is the business of the node.
#[derive(Debug, Clone, Copy)]
struct Subject<'a> {
    kind: Reconciled,
    name: &'a str,
}

impl<'a> From<&'a WorkKey> for Subject<'a> {
    fn from(key: &'a WorkKey) -> Self {
        match key {
            WorkKey::Profile(name) => Self { kind: Reconciled::Profile, name },
            WorkKey::Node(name) | WorkKey::Orphan(name) => Self { kind: Reconciled::Node, name },
        }
    }
}

/// Reconciles what `key` names, once, and logs what failed. Gives how long until it is to be reconciled again if nothing
/// happens before.
pub async fn reconcile(key: &WorkKey, context: &Context) -> Option<Duration> {
    match try_reconcile(key, context).await {
        Ok(wait) => wait,
        Err(error) => Some(context.failed(key, &error, Instant::now())),
    }
}

/// As [`reconcile`], for whoever decides about failures.
///
/// # Errors
/// A write did not happen.
pub async fn try_reconcile(key: &WorkKey, context: &Context) -> Result<Option<Duration>, WriteError> {
    let (began, subject) = (Instant::now(), Subject::from(key));
    // On becoming leader, every object is queued.
    if !context.cluster.may_write() {
        return Ok(None);
    }
    let profile = context.profile_version(key);
    let same = |failure: &Failure| failure.profile == profile;
    if let Some(left) = context.failures.left_while(subject.kind.as_str(), subject.name, same, began) {
        return Ok(Some(left));
    }
    let result = match key {
        WorkKey::Profile(name) => profile::reconcile(name, context).await,
        WorkKey::Node(name) => node::reconcile(name, context).map_ok(Outcome::Done).await,
        WorkKey::Orphan(name) => node::reconcile_orphan(name, context).map_ok(Outcome::Done).await,
    };
    context.cluster.metrics.reconciled(subject.kind, result.as_ref().map(drop), began.elapsed());
    Ok(context.succeeded(subject, result?, Timestamp::now()))
}

/// What a reconciliation came to, and when time alone makes the next one necessary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// There was nothing to write, or it was written.
    Done(Option<Timestamp>),
    /// Pods were to be listed before anything is written. That does not show whether a write would succeed: what failed
    /// before is still tried ever more slowly.
    Listed(Option<Timestamp>),
}

impl Context {
    /// How long until the next reconciliation after one that did not fail.
    fn succeeded(
        &self,
        Subject { kind, name }: Subject<'_>,
        outcome: Outcome,
        now: Timestamp,
    ) -> Option<Duration> {
        let requeue_at = match outcome {
            Outcome::Done(time) => {
                self.failures.forget(kind.as_str(), name);
                self.outdated.forget(kind.as_str(), name);
                time
            }
            Outcome::Listed(time) => time,
        };
        // A little late rather than a little early, when there would be nothing to do yet.
        let late = Duration::from_millis(10);
        requeue_at.map(|time| Duration::try_from(time.duration_since(now)).unwrap_or_default() + late)
    }

    /// The version that is known of the profile that `key` names.
    fn profile_version(&self, key: &WorkKey) -> Option<Version> {
        let WorkKey::Profile(name) = key else { return None };
        self.cluster.change(|index| index.profile_version(name).cloned())
    }

    /// How long until the next reconciliation after one that failed.
    fn failed(&self, key: &WorkKey, error: &WriteError, now: Instant) -> Duration {
        let Subject { kind, name } = key.into();
        if matches!(error, WriteError::Conflict | WriteError::Gone) {
            // The watch brings the update that the judgement lacked; the timer is for the case that it does not.
            self.failures.forget(kind.as_str(), name);
            return self.outdated.left(kind.as_str(), name, now).unwrap_or(Duration::from_secs(1));
        }
        // For another reason it begins anew: an API server that has just come back may refuse what it will allow in a
        // moment.
        let failure = Failure { reason: error.reason(), profile: self.profile_version(key) };
        let delay = self.failures.begin(kind.as_str(), name, failure, now);
        if matches!(error, WriteError::Unlisted(_)) {
            warn!(profile = name, error = %chain(error), retry_in = ?delay, "pods cannot be listed: the file stays");
            return delay;
        }
        let of = |other| (kind == other).then_some(name);
        warn!(
            profile = of(Reconciled::Profile),
            node = of(Reconciled::Node),
            reason = error.reason(),
            error = %chain(error),
            retry_in = ?delay,
            "write failed"
        );
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{NodeFacts, ProfileFacts, Source};
    use crate::index::{Index, ProfileOperation};
    use crate::metrics::Metrics;

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

    const PROFILE: Subject<'_> = Subject { kind: Reconciled::Profile, name: "a" };

    /// How long the profile cools down after an answer.
    fn cooldown_after(context: &Context, code: u16) -> Duration {
        let status = kube::core::Status { code, ..kube::core::Status::failure("no", "No") };
        let error = WriteError::from(kube::Error::Api(status.boxed()));
        context.failed(&WorkKey::Profile("a".to_owned()), &error, Instant::now());
        context.failures.left("profile", "a", Instant::now()).unwrap()
    }

    #[tokio::test]
    async fn however_long_an_api_server_was_away_a_write_is_tried_again_within_20_s_of_its_return() {
        let context = context();
        for code in [429, 500, 410, 503] {
            for _ in 0..40 {
                assert!(cooldown_after(&context, code) <= Duration::from_secs(20));
            }
        }
        // It refuses everybody until it knows who may do what.
        assert!(cooldown_after(&context, 403) < Duration::from_secs(1));
    }

    #[tokio::test]
    async fn counts_that_are_held_back_are_reconciled_again_when_they_may_be_written() {
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
        assert_eq!(again, Outcome::Done(Some(now + Duration::from_secs(5))));
        assert_eq!(context.succeeded(PROFILE, again, now), Some(Duration::from_millis(5010)));
    }

    #[tokio::test]
    async fn what_is_refused_again_and_again_is_tried_ever_more_slowly() {
        let context = context();
        let pauses = [(); 12].map(|()| cooldown_after(&context, 422));
        assert!(pauses[0] < Duration::from_secs(1) && pauses[11] >= Duration::from_secs(10), "{pauses:?}");
        context.failures.forget("profile", "a");
        assert!(cooldown_after(&context, 422) < Duration::from_secs(1));
    }
}
