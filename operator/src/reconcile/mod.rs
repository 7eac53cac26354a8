//! One reconciliation of one profile or node: from a decision to a write.
//!
//! The index decides what to do; [`profile`] and [`node`] do it, one write at a time, and put the answer into the
//! index, which queues the object again if there is more to do. Before a decision about a profile, [`check`] finds out
//! whether the profile does what it says. This file has what both share: who may write, what
//! failed before, and when to try again.

mod check;
mod node;
mod profile;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::TryFutureExt;
use k8s_openapi::jiff::Timestamp;
use link::chain;
use tracing::warn;

use self::check::{Checks, check};
use crate::cooldowns::Cooldowns;
use crate::facts::ObjectVersion;
use crate::index::WorkKey;
use crate::labels::Reconciled;
use crate::pod_list::PodLists;
use crate::shared::SharedState;
use crate::writer::{WriteError, Writer};

/// What all reconciliations share.
pub struct Context {
    /// The index, the work queue and the metrics.
    pub shared: Arc<SharedState>,
    /// The writer.
    pub writer: Writer,
    /// The lists of pods that are made before the removal of a file is approved.
    pod_lists: PodLists,
    /// Objects that are not reconciled for a while, whatever changes, because writes failed, by the reason of the
    /// failure: a thousand reports must not be a thousand writes to an API server that is in trouble.
    failures: Cooldowns<WorkKey, Failure>,
    /// Versions that the API server has answered with a conflict. Only an update of the object resolves it. While the
    /// watch is late, updates of other objects keep queueing this one, and without this memory each reconciliation
    /// would send the same write to an API server that is already too busy.
    outdated: Cooldowns<WorkKey, ObjectVersion>,
    checks: Checks,
}

/// The cause of an object's cooldown.
#[derive(Debug, PartialEq, Eq)]
struct Failure {
    reason: &'static str,
    /// The version of the profile for which the API server refused the write. When somebody fixes or deletes the
    /// profile, the version changes, and the next try is made at once. It is `None` for other failures, because they
    /// are not about the version, and for a node's report, because its agent can change it as often as it likes.
    refused: Option<ObjectVersion>,
}

/// The longest first cooldown after a write that failed, whether the API server refused it or did not answer.
const FAILED: Duration = Duration::from_millis(400);
/// The longest first cooldown after a conflict before a write is bound to the same version again. The API server may be
/// the one that is stale, after a restore from a backup.
const OUTDATED: Duration = Duration::from_secs(2);

/// How long until the next list of pods after one with a pod or a node that the index lacks. As a rule, the watch
/// delivers it sooner and queues the object.
const LISTED_BEFORE_KNOWN: Duration = Duration::from_secs(10);
/// How long until an object asks again for a list of pods, after another's list was under way or a list had failed.
const LIST_UNDER_WAY: Duration = Duration::from_millis(250);

impl Context {
    /// A context in which nothing has failed yet.
    #[must_use]
    pub fn new(shared: Arc<SharedState>, writer: Writer, pod_lists: PodLists) -> Self {
        Self {
            shared,
            writer,
            pod_lists,
            failures: Cooldowns::new(FAILED),
            outdated: Cooldowns::new(OUTDATED),
            checks: Checks::default(),
        }
    }

    /// The answer to `write`, which is bound to `version`. It is not sent during the cooldown after a conflict of the
    /// version.
    async fn bound<T>(
        &self,
        key: &WorkKey,
        version: &ObjectVersion,
        write: impl Future<Output = Result<T, WriteError>>,
    ) -> Result<T, WriteError> {
        if self.outdated.left_while(key, |outdated| outdated == version, Instant::now()).is_some() {
            return Err(WriteError::Conflict);
        }
        let answer = write.await;
        if matches!(answer, Err(WriteError::Conflict)) {
            self.outdated.begin(key, version.clone(), Instant::now());
        }
        answer
    }
}

/// The object of a reconciliation in metrics and logs, where a report without a Node counts as a node.
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

/// Reconciles the object of `key` once and logs a failure. Returns how long until it must be reconciled again if it is
/// not queued before.
pub async fn reconcile(key: &WorkKey, context: &Context) -> Option<Duration> {
    // The version before the write: one that arrives meanwhile may be the correction of what was refused.
    let profile = context.profile_version(key);
    match try_reconcile(key, context).await {
        Ok(wait) => wait,
        Err(error) => Some(context.failed(key, profile, &error, Instant::now())),
    }
}

/// Like [`reconcile`], for a caller that handles failures itself.
///
/// # Errors
/// A write did not happen.
pub async fn try_reconcile(key: &WorkKey, context: &Context) -> Result<Option<Duration>, WriteError> {
    let began = Instant::now();
    let read_again = check(key, context).await;
    // On becoming leader, every object is queued.
    if !context.shared.may_write() {
        return Ok(read_again);
    }
    let same =
        |failure: &Failure| failure.refused.is_none() || failure.refused == context.profile_version(key);
    if let Some(left) = context.failures.left_while(key, same, began) {
        return Ok(Some(left));
    }
    let result = match key {
        WorkKey::Profile(name) => profile::reconcile(name, context).await,
        WorkKey::Node(name) => node::reconcile(name, context).await,
        WorkKey::Orphan(name) => node::reconcile_orphan(name, context).map_ok(Outcome::Done).await,
    };
    context.shared.metrics.reconciled(Subject::from(key).kind, result.as_ref().map(drop), began.elapsed());
    let wait = context.succeeded(key, result?, Timestamp::now());
    Ok([wait, read_again].into_iter().flatten().min())
}

/// The outcome of a reconciliation that did not fail, with the time of the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// There was nothing to write, or it was written.
    Done(Option<Timestamp>),
    /// Pods were listed, or must be, before anything is written. That does not show whether a write would succeed, so
    /// the back-off of failed writes goes on.
    PodsListed(Option<Timestamp>),
}

impl Context {
    /// How long until the next reconciliation after one that did not fail.
    fn succeeded(&self, key: &WorkKey, outcome: Outcome, now: Timestamp) -> Option<Duration> {
        let requeue_at = match outcome {
            Outcome::Done(time) => {
                self.failures.forget(key);
                self.outdated.forget(key);
                time
            }
            Outcome::PodsListed(time) => time,
        };
        // A little late, because a reconciliation that is a little early finds nothing to do.
        let late = Duration::from_millis(10);
        requeue_at.map(|time| Duration::try_from(time.duration_since(now)).unwrap_or_default() + late)
    }

    /// The latest known version of the profile that `key` names.
    fn profile_version(&self, key: &WorkKey) -> Option<ObjectVersion> {
        let WorkKey::Profile(name) = key else { return None };
        self.shared.read(|index| index.profile_version(name).cloned())
    }

    /// How long until the next reconciliation after one that failed.
    fn failed(
        &self,
        key: &WorkKey,
        profile: Option<ObjectVersion>,
        error: &WriteError,
        now: Instant,
    ) -> Duration {
        if matches!(error, WriteError::Conflict | WriteError::Gone) {
            // The watch delivers the newer version and queues the object; the timer is for the case that it does not.
            self.failures.forget(key);
            return self.outdated.left(key, now).unwrap_or(Duration::from_secs(1));
        }
        // A failure for another reason starts with a short pause: an API server that has just come back may refuse what
        // it will allow in a moment.
        let refused = profile.filter(|_| matches!(error, WriteError::Refused(_)));
        let failure = Failure { reason: error.reason(), refused };
        let delay = self.failures.begin(key, failure, now);
        let Subject { kind, name } = key.into();
        let of = |other| (kind == other).then_some(name);
        if matches!(error, WriteError::Unlisted(_)) {
            let (profile, node) = (of(Reconciled::Profile), of(Reconciled::Node));
            warn!(profile, node, error = %chain(error), retry_in = ?delay, "pods cannot be listed: the file stays");
            return delay;
        }
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
    use crate::facts::{NodeFacts, ProfileFacts, UpdateSource};
    use crate::index::{Index, ProfileOperation};
    use crate::metrics::Metrics;

    fn context() -> Context {
        let (service, _) =
            tower_test::mock::pair::<http::Request<kube::client::Body>, http::Response<kube::client::Body>>();
        let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
        let client = kube::Client::new(service, "default");
        let writer = Writer::new(client.clone(), metrics.writes.clone());
        let agents =
            crate::facts::AgentPods { namespace: String::new(), labels: std::collections::BTreeMap::new() };
        let pod_lists =
            PodLists::new(client, crate::watch::PodWatch { directory: "profiles".to_owned(), agents });
        Context::new(Arc::new(SharedState::new(Index::new("profiles"), [], metrics)), writer, pod_lists)
    }

    fn key() -> WorkKey {
        WorkKey::Profile("a".to_owned())
    }

    /// How long the cooldown of the profile is after an answer with this code.
    fn cooldown_after(context: &Context, code: u16) -> Duration {
        let status = kube::core::Status { code, ..kube::core::Status::failure("no", "No") };
        let error = WriteError::from(kube::Error::Api(status.boxed()));
        context.failed(&key(), None, &error, Instant::now());
        context.failures.left(&key(), Instant::now()).unwrap()
    }

    #[tokio::test]
    async fn however_long_an_api_server_was_away_a_write_is_tried_again_within_20_s_of_its_return() {
        let context = context();
        for code in [429, 500, 410, 503] {
            for _ in 0..40 {
                assert!(cooldown_after(&context, code) <= Duration::from_secs(20));
            }
        }
        // After a start, the API server refuses everybody until it has loaded the roles.
        assert!(cooldown_after(&context, 403) < Duration::from_secs(1));
    }

    #[tokio::test]
    async fn a_profile_whose_counts_are_deferred_is_requeued_when_they_may_be_written() {
        let (context, now) = (context(), Timestamp::now());
        let node = |name: &str, reachable| NodeFacts {
            name: name.to_owned(),
            uid: name.to_owned(),
            created: Timestamp::UNIX_EPOCH,
            selected: true,
            reachable,
            answers: true,
            architecture: None,
            labels: std::collections::BTreeMap::new(),
        };
        context.shared.change(|index| {
            index.apply_node(node("n1", true), now);
            index.apply_node(node("n2", true), now);
            let object = serde_json::json!({
                "metadata": { "name": "a", "uid": "u", "resourceVersion": "1", "finalizers": [api::names::FINALIZER] },
                "spec": { "contents": { "defaultAction": "SCMP_ACT_LOG" } },
            });
            let mut facts = ProfileFacts::of(&serde_json::from_value(object).unwrap());
            index.apply_profile(facts.clone(), UpdateSource::List, now);
            let ProfileOperation::WriteStatus { status, .. } = index.decide_profile("a", now).unwrap().operation else {
                panic!("there is a status to write");
            };
            facts.status = Some((*status).clone());
            index.apply_profile(facts, UpdateSource::List, now);
            index.status_written("a", &status, now);
            index.apply_node(node("n2", false), now);
        });
        // No request is answered: that would be an error.
        let again = profile::reconcile("a", &context).await.unwrap();
        assert_eq!(again, Outcome::Done(Some(now + Duration::from_secs(5))));
        assert_eq!(context.succeeded(&key(), again, now), Some(Duration::from_millis(5010)));
    }

    #[tokio::test]
    async fn a_write_that_is_refused_again_and_again_backs_off() {
        let context = context();
        let pauses = [(); 12].map(|()| cooldown_after(&context, 422));
        assert!(pauses[0] < Duration::from_secs(1) && pauses[11] >= Duration::from_secs(10), "{pauses:?}");
        context.failures.forget(&key());
        assert!(cooldown_after(&context, 422) < Duration::from_secs(1));
    }
}
