//! Carries out the decisions about profiles.

use std::collections::BTreeSet;
use std::time::Instant;

use k8s_openapi::jiff::Timestamp;
use tracing::{debug, info, warn};

use super::{Context, LIST_UNDER_WAY, LISTED_BEFORE_KNOWN, Outcome};
use crate::facts::{ProfileFacts, UpdateSource, WatchedProfile};
use crate::index::{Index, ListedPods, ProfileOperation, WorkKey};
use crate::labels::WrittenKindLabel;
use crate::notice::Notice;
use crate::shared::SharedState;
use crate::watch_lag::Room;
use crate::writer::WriteError;

/// Reconciles a profile.
///
/// # Errors
/// A write did not happen.
pub(super) async fn reconcile(name: &str, context: &Context) -> Result<Outcome, WriteError> {
    let Context { shared, writer, .. } = context;
    let lag = &shared.metrics.watch_lag;
    let decide = |now| shared.change(|index| index.decide_profile(name, now));
    let mut now = Timestamp::now();
    let Some(mut decision) = decide(now) else { return Ok(Outcome::Done(None)) };
    let mut room = None;
    if matches!(decision.operation, ProfileOperation::WriteStatus { .. }) {
        room = lag.room_now();
        if room.is_none() {
            room = lag.room().await;
            // What was decided before the wait may be wrong now, and another operator may lead.
            if !shared.may_write() {
                return Ok(Outcome::Done(None));
            }
            now = Timestamp::now();
            match decide(now) {
                Some(later) => decision = later,
                None => return Ok(Outcome::Done(None)),
            }
        }
    }
    let (key, version) = (WorkKey::Profile(name.to_owned()), &decision.version);
    match decision.operation {
        ProfileOperation::Nothing | ProfileOperation::Defer => {}
        ProfileOperation::ListPods => {
            let listed = list_pods(name, &version.uid, context).await.inspect_err(|_| {
                shared.change(|index| index.pods_not_listed(name, &version.uid, Timestamp::now()));
            })?;
            let wait = match listed {
                Some(ListedPods::AllKnown) => return Ok(Outcome::PodsListed(decision.requeue_at)),
                None => {
                    if context.pod_lists.has_failed() {
                        shared.change(|index| index.pods_not_listed(name, &version.uid, Timestamp::now()));
                    }
                    LIST_UNDER_WAY
                }
                Some(ListedPods::PodNotKnown) => {
                    debug!(profile = name, "a pod that uses the profile is listed and not yet known");
                    LISTED_BEFORE_KNOWN
                }
                Some(ListedPods::NodesNotKnown(_)) => {
                    debug!(profile = name, "a pod that uses the profile is on a node that is not yet known");
                    LISTED_BEFORE_KNOWN
                }
            };
            return Ok(Outcome::PodsListed(Some(Timestamp::now() + wait)));
        }
        ProfileOperation::AddFinalizer { has_finalizers } => {
            let write = writer.add_finalizer(name, version, has_finalizers);
            let answer = context.bound(&key, version, write).await?;
            shared.change(|index| apply_answer(shared, index, &answer, None));
        }
        ProfileOperation::WriteStatus { status, notices } => {
            let write = writer.profile_status(name, version, &status);
            let answer = context.bound(&key, version, write).await?;
            shared.change(|index| {
                apply_answer(shared, index, &answer, room);
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
        ProfileOperation::Delete { unused_since } => {
            let write = writer.delete_profile(name, version);
            let left = context.bound(&key, version, write).await?;
            shared.change(|index| match &left {
                Some(answer) => apply_answer(shared, index, answer, None),
                None => index.delete_profile(name, &version.uid, now),
            });
            info!(profile = name, %unused_since, "a profile of an image is removed: no pod names it");
        }
        ProfileOperation::RemoveFinalizer { finalizer, unconfirmed } => {
            let write = writer.remove_finalizer(name, version, finalizer);
            let answer = context.bound(&key, version, write).await?;
            let hash = shared.change(|index| {
                let ProfileFacts { content, .. } = ProfileFacts::given(index.profile(name), &answer);
                match answer.metadata.finalizers.as_deref().unwrap_or_default() {
                    // With its last finalizer the object is gone. The watch reports that too, but the name may be used
                    // again before.
                    [] => index.delete_profile(name, &version.uid, now),
                    _ => apply_answer(shared, index, &answer, None),
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
    Ok(Outcome::Done(decision.requeue_at))
}

/// Lists the pods and compares them with the index; `None` if no list can be made now.
async fn list_pods(name: &str, uid: &str, context: &Context) -> Result<Option<ListedPods>, WriteError> {
    let Context { shared, pod_lists, .. } = context;
    let Some(list) = pod_lists.list(uid).await? else { return Ok(None) };
    let compare =
        |gone: &_| shared.change(|index| index.pods_listed(name, uid, list.users(), gone, Timestamp::now()));
    match compare(&BTreeSet::new()) {
        // A node that has just joined may run pods before the watch delivers it; a node that is gone never comes.
        ListedPods::NodesNotKnown(nodes) if !pod_lists.any_node_exists(&nodes).await? => {
            Ok(Some(compare(&nodes)))
        }
        listed => Ok(Some(listed)),
    }
}

/// Applies the answer to a write of a profile to the index.
fn apply_answer(shared: &SharedState, index: &mut Index, answer: &WatchedProfile, room: Option<Room>) {
    let known = index.profile(answer.metadata.name.as_deref().unwrap_or_default());
    let facts = ProfileFacts::given(known, answer);
    let known = known.map(|known| &known.version);
    shared.metrics.watch_lag.written(
        WrittenKindLabel::Profile,
        &facts.name,
        &facts.version,
        known,
        Instant::now(),
        room,
    );
    index.apply_profile(facts, UpdateSource::Answer, Timestamp::now());
}
