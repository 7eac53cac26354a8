//! The watches that both parts need: of profiles, and of pods that have not started. Each object is received and decoded
//! once, however many parts use it.

use std::fmt::Debug;
use std::sync::Arc;

use api::{ProfileName, WatchedPod};
use daemon::metrics::{Label, Watches};
use daemon::{Readiness, ReadyHandle};
use k8s_openapi::jiff::Timestamp;
use kube::{Client, Resource};
use kube_runtime::watcher::Config;
use link::chain;
use link::changes::{Change, Changes};
use link::watch::WatchStream;
use serde::de::DeserializeOwned;
use tracing::warn;

use super::metrics::GateKind;
use super::nodes::cluster::Cluster;
use super::nodes::misplaced::BoundPod;
use super::nodes::state::NodeState;
use super::pods::index::Index;
use super::pods::pod::GatedPod;
use super::pods::profile::{Progress, node_selector};
use super::pods::state::PodGateState;
use crate::facts::{ProfileFacts, WatchedProfile};
use crate::watch::WATCH;

/// Pods that may have a scheduling gate: the API server has no selector for gates, but lets none be on a pod that is
/// bound to a node. To the watch, a pod that is bound is one that is gone.
const UNBOUND: &str = "spec.nodeName=,status.phase=Pending";

/// Pods that have not started, of which the part about Nodes needs those that are bound. A container that does not start
/// leaves its pod `Pending`.
const NOT_STARTED: &str = "status.phase=Pending";

/// The watches, and whom they inform.
#[derive(Debug)]
pub(super) struct SharedWatches {
    directory: String,
    pods: Arc<PodGateState>,
    nodes: Option<Arc<NodeState>>,
    profiles_ready: ReadyHandle,
    pods_ready: ReadyHandle,
}

impl SharedWatches {
    /// The watches, as parts of the readiness, before the first request.
    pub(super) fn new(
        directory: String,
        pods: Arc<PodGateState>,
        nodes: Option<Arc<NodeState>>,
        readiness: &Readiness,
    ) -> Self {
        let [profiles_ready, pods_ready] =
            [GateKind::Profile, GateKind::Pod].map(|kind| readiness.part(kind.as_str()));
        Self { directory, pods, nodes, profiles_ready, pods_ready }
    }

    /// Follows profiles and pods for ever.
    pub(super) async fn run(self, client: Client) {
        let Self { directory, pods, nodes, profiles_ready, pods_ready } = self;
        let watches = &pods.metrics.shared.watches;
        let profiles = async {
            // A page has the contents of its profiles, which are dropped when it is decoded.
            let config = Config::default().page_size(10);
            let stream = stream::<WatchedProfile>(GateKind::Profile, config, client.clone(), watches);
            // A node is released only while no profile can be missing, and only the end of a list shows that.
            let stream = if nodes.is_some() { stream.listing_after_failures() } else { stream };
            follow(GateKind::Profile, stream, profiles_ready, |change| {
                on_profile(change, &pods, nodes.as_deref());
            })
            .await;
        };
        let not_started = async {
            let fields = if nodes.is_some() { NOT_STARTED } else { UNBOUND };
            let config = Config::default().page_size(100).fields(fields);
            let stream = stream::<WatchedPod>(GateKind::Pod, config, client.clone(), watches);
            follow(GateKind::Pod, stream, pods_ready, |change| {
                on_pod(change, &directory, &pods, nodes.as_deref());
            })
            .await;
        };
        futures::future::join(profiles, not_started).await;
    }
}

fn stream<K>(kind: GateKind, config: Config, client: Client, watches: &Watches<GateKind>) -> WatchStream<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    WatchStream::observed(client, config.timeout(WATCH.as_secs() as u32), watches.of(kind))
}

/// Hands every change to `on`, and `None` after a failure, for ever.
async fn follow<K>(kind: GateKind, stream: WatchStream<K>, ready: ReadyHandle, on: impl Fn(Option<Change<K>>))
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut changes = Changes::new(stream);
    let mut ready = Some(ready);
    loop {
        match changes.next().await {
            Ok(change) => {
                if matches!(change, Change::Complete)
                    && let Some(ready) = ready.take()
                {
                    ready.ready();
                }
                on(Some(change));
            }
            Err(error) => {
                // The watch starts again by itself, with back-off; what is known stays.
                warn!(kind = kind.as_str(), error = %chain(&error), "watch failed");
                on(None);
            }
        }
    }
}

fn on_profile(change: Option<Change<WatchedProfile>>, pods: &PodGateState, nodes: Option<&NodeState>) {
    let now = Timestamp::now();
    let Some(change) = change else {
        if let Some(nodes) = nodes {
            nodes.change(Cluster::profiles_may_be_incomplete);
        }
        return;
    };
    match change {
        Change::Apply(profile, origin) => {
            let name = profile.metadata.name.as_deref().unwrap_or_default();
            // No agent writes the file of a profile with another name.
            if let Ok(name) = name.parse::<ProfileName>() {
                let (progress, selector) = (Progress::of(&profile), node_selector(&profile));
                pods.change(|index| index.apply_profile(&name, progress, selector, now));
            }
            let Some(nodes) = nodes else { return };
            nodes.change(|cluster| {
                let mut facts = ProfileFacts::given(cluster.profile(name), &profile);
                // Nobody checks the contents here.
                facts.unchecked = None;
                cluster.apply_profile(facts, origin.into(), now);
            });
        }
        Change::Gone(profile) => {
            pods.change(|index| index.forget_profile(&profile.key.name));
            if let Some(nodes) = nodes {
                nodes.change(|cluster| cluster.delete_profile(&profile.key.name, &profile.uid, now));
            }
        }
        Change::Complete => {
            pods.listed(GateKind::Profile);
            if let Some(nodes) = nodes {
                nodes.change(Cluster::profiles_complete);
                nodes.listed(GateKind::Profile);
            }
        }
    }
}

fn on_pod(
    change: Option<Change<WatchedPod>>,
    directory: &str,
    pods: &PodGateState,
    nodes: Option<&NodeState>,
) {
    let now = Timestamp::now();
    match change {
        None => {}
        Some(Change::Apply(pod, _)) => {
            let uid = pod.metadata.uid.as_deref().unwrap_or_default();
            pods.change(|index: &mut Index| match GatedPod::of(&pod, directory) {
                Some(pod) => index.apply_pod(pod),
                None => index.pod_is_free(uid, now),
            });
            if let Some(nodes) = nodes {
                nodes.change(|cluster| match BoundPod::of(&pod, directory) {
                    Some(pod) => cluster.apply_bound_pod(pod, now),
                    None => cluster.forget_bound_pod(uid),
                });
            }
        }
        Some(Change::Gone(pod)) => {
            pods.change(|index| index.forget_pod(&pod.uid));
            if let Some(nodes) = nodes {
                nodes.change(|cluster| cluster.forget_bound_pod(&pod.uid));
            }
        }
        Some(Change::Complete) => pods.listed(GateKind::Pod),
    }
}
