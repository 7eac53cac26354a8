//! The watches: profiles, and pods that are not bound to a node.

use api::{ProfileName, WatchedPod};
use daemon::ReadyHandle;
use k8s_openapi::jiff::Timestamp;
use kube::{Client, Resource};
use kube_runtime::watcher::Config;
use link::chain;
use link::changes::{Change, Changes};
use link::watch::WatchStream;
use serde::de::DeserializeOwned;
use tracing::warn;

use super::super::metrics::GateKind;
use super::index::Index;
use super::pod::GatedPod;
use super::profile::{Progress, WatchedProfile, node_selector};
use super::state::PodGateState;
use crate::watch::WATCH;

/// Pods that may have a scheduling gate: the API server has no selector for gates, but lets none be on a pod that is
/// bound to a node. To the watch, a pod that is bound is one that is gone.
const UNBOUND: &str = "spec.nodeName=,status.phase=Pending";

/// Follows the pods for ever.
pub(super) async fn pods(client: Client, state: &PodGateState, ready: ReadyHandle) {
    let config = Config::default().page_size(100).fields(UNBOUND);
    let directory = state.read(|index| index.settings().directory.clone());
    let apply = |index: &mut Index, change: Change<WatchedPod>, now: Timestamp| match change {
        Change::Apply(pod, _) => match GatedPod::of(&pod, &directory) {
            Some(pod) => index.apply_pod(pod),
            None => index.pod_is_free(pod.metadata.uid.as_deref().unwrap_or_default(), now),
        },
        Change::Gone(pod) => index.forget_pod(&pod.uid),
        Change::Complete => {}
    };
    follow(GateKind::Pod, config, client, state, ready, apply).await;
}

/// Follows the profiles for ever.
pub(super) async fn profiles(client: Client, state: &PodGateState, ready: ReadyHandle) {
    // A page has the contents of its profiles, which are dropped when it is decoded.
    let config = Config::default().page_size(10);
    let apply = |index: &mut Index, change: Change<WatchedProfile>, now: Timestamp| match change {
        Change::Apply(profile, _) => {
            let name = profile.meta().name.as_deref().unwrap_or_default().parse::<ProfileName>();
            // No agent writes the file of a profile with another name.
            if let Ok(name) = name {
                index.apply_profile(&name, Progress::of(&profile), node_selector(&profile), now);
            }
        }
        Change::Gone(profile) => index.forget_profile(&profile.key.name),
        Change::Complete => {}
    };
    follow(GateKind::Profile, config, client, state, ready, apply).await;
}

async fn follow<K>(
    kind: GateKind,
    config: Config,
    client: Client,
    state: &PodGateState,
    ready: ReadyHandle,
    apply: impl Fn(&mut Index, Change<K>, Timestamp),
) where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let config = config.timeout(WATCH.as_secs() as u32);
    let watch = state.metrics.shared.watches.of(kind);
    let mut changes = Changes::new(WatchStream::<K>::observed(client, config, watch));
    let mut ready = Some(ready);
    loop {
        let change = match changes.next().await {
            Ok(change) => change,
            Err(error) => {
                // The watch starts again by itself, with back-off; the index stays as it is.
                warn!(kind = daemon::metrics::Label::as_str(kind), error = %chain(&error), "watch failed");
                continue;
            }
        };
        let listed = matches!(change, Change::Complete);
        state.change(|index| apply(index, change, Timestamp::now()));
        if listed && let Some(ready) = ready.take() {
            ready.ready();
            state.listed(kind);
        }
    }
}
