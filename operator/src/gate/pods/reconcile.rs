//! One reconciliation of one pod: from a decision to a write.

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use kube_runtime::events::Event;
use link::chain;
use tracing::{debug, info, warn};

use super::super::pod_events::PodEvents;
use super::super::pod_id::PodId;
use super::decision::{Decision, Wait};
use super::index::PodUid;
use super::metrics::Lifted;
use super::narrowing::Narrowing;
use super::notice;
use super::pod::GatedPod;
use super::state::{PodGateState, PodWork};
use super::writer::Writer;
use crate::cooldowns::Cooldowns;
use crate::facts::ObjectVersion;
use crate::writer::WriteError;

/// The longest first cooldown after a write that failed.
const FAILED: Duration = Duration::from_millis(400);

/// What all reconciliations share.
pub(super) struct Context {
    state: Arc<PodGateState>,
    writer: Writer,
    events: PodEvents,
    /// Pods that are left alone for a while because a write failed. The cause is the version of the pod, where another
    /// version may succeed at once.
    failures: Cooldowns<PodUid, Option<ObjectVersion>>,
}

impl Context {
    pub(super) fn new(state: Arc<PodGateState>, writer: Writer, events: PodEvents) -> Self {
        Self { state, writer, events, failures: Cooldowns::new(FAILED) }
    }
}

/// Reconciles once; returns how long until the next time if it is not queued before.
pub(super) async fn reconcile(work: PodWork, context: &Context) -> Option<Duration> {
    let state = &context.state;
    // Once both kinds are listed, every pod is queued.
    if !state.is_complete() || state.lead.stops() {
        return None;
    }
    match work {
        PodWork::Gate(uid) => gate(&uid, context).await,
        PodWork::Events(uid) => {
            explain(&uid, context).await;
            None
        }
    }
}

/// How long from now until `time`, and a little more: a reconciliation that is a little early finds nothing to do.
fn until(time: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(time.duration_since(now)).unwrap_or_default() + Duration::from_millis(10)
}

async fn gate(uid: &PodUid, context: &Context) -> Option<Duration> {
    let Context { state, failures, .. } = context;
    let now = Timestamp::now();
    let decided = state.change(|index| index.decide(uid, now))?;
    let narrowing = match &decided.decision {
        Decision::Wait(_) => {
            if !decided.due.is_empty() && state.lead.holds() {
                state.controller.add([PodWork::Events(uid.clone())]);
            }
            return decided.requeue_at.map(|time| until(time, now));
        }
        Decision::Lift(narrowing) => narrowing,
    };
    if !state.lead.holds() {
        let time = state.change(|index| index.left_to_leader_until(uid, now))?;
        if time > now {
            return Some(until(time, now));
        }
    }
    let pod = &decided.pod;
    let same = |cause: &Option<ObjectVersion>| cause.as_ref().is_none_or(|version| *version == pod.version);
    if let Some(left) = failures.left_while(uid, same, Instant::now()) {
        return Some(left);
    }
    match context.writer.lift(pod, narrowing).await {
        Ok(()) => {
            failures.forget(uid);
            lifted(uid, pod, narrowing, context).await;
            None
        }
        Err(WriteError::Gone) => {
            failures.forget(uid);
            state.change(|index| index.forget_pod(uid));
            None
        }
        Err(error) => {
            if matches!(error, WriteError::Refused(_)) && state.change(|index| index.refused(uid)) {
                publish(pod, &notice::of_refusal(&chain(&error)), context).await;
            }
            Some(failed(uid, pod, &error, context))
        }
    }
}

async fn lifted(uid: &PodUid, pod: &GatedPod, narrowing: &Narrowing, context: &Context) {
    let state = &context.state;
    state.change(|index| index.forget_pod(uid));
    let how = match () {
        () if !narrowing.left_out.is_empty() => Lifted::NodesLeftOut,
        () if pod.profiles.is_empty() => Lifted::NoProfile,
        () => Lifted::Ready,
    };
    let waited = Duration::try_from(Timestamp::now().duration_since(pod.created)).unwrap_or_default();
    state.metrics.lifted(how, waited);
    debug!(namespace = pod.namespace, pod = pod.name, ?waited, "scheduling gate lifted");
    if !narrowing.left_out.is_empty() {
        let nodes: Vec<_> = narrowing.left_out.iter().cloned().collect();
        info!(
            namespace = pod.namespace,
            pod = pod.name,
            ?nodes,
            "pod is scheduled on other nodes than these"
        );
        publish(pod, &notice::of_left_out(&nodes), context).await;
    }
}

/// How long until the next try.
fn failed(uid: &PodUid, pod: &GatedPod, error: &WriteError, context: &Context) -> Duration {
    let cause = match error {
        WriteError::Unavailable(_) | WriteError::Unlisted(_) => None,
        // The watch delivers the newer version and queues the pod.
        WriteError::Conflict | WriteError::Refused(_) | WriteError::Gone => Some(pod.version.clone()),
    };
    let retry_in = context.failures.begin(uid, cause, Instant::now());
    if !matches!(error, WriteError::Conflict) {
        warn!(
            namespace = pod.namespace,
            pod = pod.name,
            reason = error.reason(),
            error = %chain(error),
            ?retry_in,
            "scheduling gate not lifted"
        );
    }
    retry_in
}

/// Publishes the Events about a pod that are due.
async fn explain(uid: &PodUid, context: &Context) {
    let state = &context.state;
    let Some(decided) = state.change(|index| index.decide(uid, Timestamp::now())) else { return };
    let Decision::Wait(Wait { files, .. }) = &decided.decision else { return };
    let directory = state.read(|index| index.settings().directory.clone());
    for reason in decided.due {
        // Lost or not: the metrics have the same information.
        state.change(|index| index.explained(uid, reason));
        let files = files.get(&reason).map(Vec::as_slice).unwrap_or_default();
        publish(&decided.pod, &notice::of_wait(reason, &directory, files), context).await;
    }
}

async fn publish(pod: &GatedPod, event: &Event, context: &Context) {
    let GatedPod { namespace, name, version, .. } = pod;
    let id = PodId { namespace: namespace.clone(), name: name.clone(), uid: version.uid.clone() };
    context.events.publish(&id, event).await;
}
