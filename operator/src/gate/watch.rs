//! The watches that several parts need: of profiles, and of pods that have not started. Each object is received and
//! decoded once, however many parts use it.

use std::sync::Arc;

use api::{ProfileName, WatchedPod};
use daemon::metrics::Label;
use daemon::{Readiness, ReadyHandle};
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube_runtime::watcher::Config;
use link::changes::Change;

use super::follow::{follow, stream};
use super::metrics::GateKind;
use super::nodes::cluster::Cluster;
use super::nodes::misplaced::BoundPod;
use super::nodes::state::NodeState;
use super::pods::index::Index;
use super::pods::pod::GatedPod;
use super::pods::profile::AwaitedProfile;
use super::pods::state::PodGateState;
use super::sandboxes::SandboxState;
use super::sandboxes::index::ClassedPod;
use crate::facts::{ProfileFacts, WatchedProfile};

/// Pods that have not started: those that may have a scheduling gate, for which the API server has no selector, and those
/// that are bound to a node. A container that does not start leaves its pod `Pending`.
const NOT_STARTED: &str = "status.phase=Pending";

/// The watches, and whom they inform.
#[derive(Debug)]
pub(super) struct SharedWatches {
    directory: String,
    pods: Arc<PodGateState>,
    nodes: Option<Arc<NodeState>>,
    sandboxes: Arc<SandboxState>,
    profiles_ready: ReadyHandle,
    pods_ready: ReadyHandle,
}

impl SharedWatches {
    /// The watches, as parts of the readiness, before the first request.
    pub(super) fn new(
        directory: String,
        pods: Arc<PodGateState>,
        nodes: Option<Arc<NodeState>>,
        sandboxes: Arc<SandboxState>,
        readiness: &Readiness,
    ) -> Self {
        let [profiles_ready, pods_ready] =
            [GateKind::Profile, GateKind::Pod].map(|kind| readiness.part(kind.as_str()));
        Self { directory, pods, nodes, sandboxes, profiles_ready, pods_ready }
    }

    /// Follows profiles and pods for ever.
    pub(super) async fn run(self, client: Client) {
        let Self { directory, pods, nodes, sandboxes, profiles_ready, pods_ready } = self;
        let watches = &pods.metrics.shared.watches;
        let profiles = async {
            // A page has the contents of its profiles, which are dropped when it is decoded.
            let config = Config::default().page_size(10);
            let stream = stream::<WatchedProfile>(GateKind::Profile, config, client.clone(), watches);
            // A gate or a taint is taken off only while no change of a profile can be missing, and only the end of a list
            // shows that.
            let stream = stream.listing_after_failures();
            follow(GateKind::Profile, stream, Some(profiles_ready), |change| {
                on_profile(change, &pods, nodes.as_deref());
            })
            .await;
        };
        let not_started = async {
            let config = Config::default().page_size(100).fields(NOT_STARTED);
            let stream = stream::<WatchedPod>(GateKind::Pod, config, client.clone(), watches);
            follow(GateKind::Pod, stream, Some(pods_ready), |change| {
                on_pod(change, &directory, &pods, nodes.as_deref(), &sandboxes);
            })
            .await;
        };
        futures::future::join(profiles, not_started).await;
    }
}

fn on_profile(change: Option<Change<WatchedProfile>>, pods: &PodGateState, nodes: Option<&NodeState>) {
    let now = Timestamp::now();
    let Some(change) = change else {
        pods.may_miss(GateKind::Profile);
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
                pods.change(|index| index.apply_profile(&name, AwaitedProfile::of(&profile), now));
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
            pods.change(|index| index.forget_profile(&profile.key.name, &profile.uid));
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
    sandboxes: &SandboxState,
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
            sandboxes.change(|index| match ClassedPod::of(&pod, directory) {
                Some(pod) => index.apply_pod(pod),
                None => index.forget_pod(uid),
            });
        }
        Some(Change::Gone(pod)) => {
            pods.change(|index| index.forget_pod(&pod.uid));
            if let Some(nodes) = nodes {
                nodes.change(|cluster| cluster.forget_bound_pod(&pod.uid));
            }
            sandboxes.change(|index| index.forget_pod(&pod.uid));
        }
        Some(Change::Complete) => pods.listed(GateKind::Pod),
    }
}
