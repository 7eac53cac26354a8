//! What each verdict on a profile comes to.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use tracing::{debug, info, warn};

use super::{Context, Outcome};
use crate::cluster::Cluster;
use crate::facts::{ProfileFacts, Source, WatchedProfile};
use crate::index::{Index, Listed, ProfileOperation};
use crate::labels::WrittenKind;
use crate::notice::Notice;
use crate::writer::WriteError;

/// How long after a list named a pod that is not known the next one is made. The watch brings the pod sooner, and with it
/// the next look.
const LISTED_BEFORE_KNOWN: Duration = Duration::from_secs(10);

/// How long a profile waits that another one's list does not serve, or that none could be had for.
const LIST_UNDER_WAY: Duration = Duration::from_millis(250);

/// Does what is to be done about a profile.
///
/// # Errors
/// A write did not happen.
pub(super) async fn reconcile(name: &str, context: &Context) -> Result<Outcome, WriteError> {
    let Context { cluster, writer, .. } = context;
    let now = Timestamp::now();
    let Some(verdict) = cluster.change(|index| index.verdict_on_profile(name, now)) else {
        return Ok(Outcome::Done(None));
    };
    let version = &verdict.version;
    match verdict.step {
        ProfileOperation::Nothing | ProfileOperation::HoldBack => {}
        ProfileOperation::ListPods => {
            let listed = list_pods(name, &version.uid, context).await.inspect_err(|_| {
                cluster.change(|index| index.pods_not_listed(name, &version.uid, Timestamp::now()));
            })?;
            let wait = match listed {
                Some(Listed::AllKnown) => return Ok(Outcome::Listed(verdict.requeue_at)),
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
            return Ok(Outcome::Listed(Some(Timestamp::now() + wait)));
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
    Ok(Outcome::Done(verdict.requeue_at))
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
    cluster.metrics.watch_lag.written(
        WrittenKind::Profile,
        &facts.name,
        &facts.version,
        known,
        Instant::now(),
    );
    index.apply_profile(facts, Source::Answer, Timestamp::now());
}
