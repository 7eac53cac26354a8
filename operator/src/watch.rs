//! The watches: turn objects into facts and change the index, which queues what must be reconciled.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::{SeccompObservation, Selection, Untrusted};
use daemon::ReadyHandle;
use k8s_openapi::jiff::Timestamp;
use kube::{Client, Resource};
use kube_runtime::watcher::Config;
use link::chain;
use link::changes::{Change, Changes, ObjectId, Origin};
use link::watch::{Observer, WatchStream};
use serde::de::DeserializeOwned;
use tracing::warn;

use crate::facts::{
    AgentPods, NodeFacts, ObjectVersion, ObservationFacts, ObservedPod, PodFacts, ProfileFacts, ReportFacts,
    UpdateSource, WatchedNode, WatchedPod, WatchedProfile, WatchedReport,
};
use crate::index::Index;
use crate::labels::KindLabel;
use crate::shared::SharedState;

/// How one kind of object changes the index.
pub trait WatchedKind {
    /// The kind.
    type Object: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static;

    /// Its name in logs and metrics.
    const KIND: KindLabel;
    /// Objects in one page of a list: pages of large objects are small, so that memory is too.
    const PAGE: u32;

    /// An object was created or changed.
    fn apply(&self, index: &mut Index, object: Self::Object, source: UpdateSource, now: Timestamp);

    /// An object does not exist any more. Another one of its name may.
    fn gone(&self, index: &mut Index, object: &ObjectId, now: Timestamp);

    /// A list is complete: the index has all objects.
    fn complete(&self, _index: &mut Index, _now: Timestamp) {}

    /// Whether a deletion is only safe while the index lacks no object of the kind. Such a kind is listed after every
    /// failure, because only the end of a list shows that the index has all objects again.
    const MUST_BE_COMPLETE: bool = false;
}

/// How long one watch request lasts, and so how long a connection that died silently goes unnoticed.
pub const WATCH: Duration = Duration::from_mins(1);

/// Follows one kind for ever. `ready` is released when its first list is complete.
pub async fn follow<W: WatchedKind>(
    kind: W,
    client: Client,
    shared: Arc<SharedState>,
    mut ready: Option<ReadyHandle>,
) {
    let config = Config::default().page_size(W::PAGE).timeout(WATCH.as_secs() as u32);
    let mut events = WatchStream::<W::Object>::observed(client, config, shared.metrics.watches.of(W::KIND));
    if W::MUST_BE_COMPLETE {
        events = events.listing_after_failures();
    }
    let mut changes = Changes::new(events);
    loop {
        let change = match changes.next().await {
            Ok(change) => change,
            Err(error) => {
                // The watch starts again by itself, with back-off; the index stays as it is.
                warn!(kind = W::KIND.as_str(), error = %chain(&error), "watch failed");
                shared.change(|index| interrupt::<W>(index));
                continue;
            }
        };
        measure_lag::<W>(&shared, &change);
        let listed = matches!(change, Change::Complete);
        shared.change(|index| apply(&kind, index, change, Timestamp::now()));
        if listed && let Some(ready) = ready.take() {
            ready.ready();
            shared.listed(W::KIND.as_str());
        }
    }
}

/// Follows the observations for ever, once the index has every pod: an observation adds only what pods of profiles did.
pub async fn follow_observations(client: Client, shared: Arc<SharedState>) {
    shared.until_complete().await;
    shared.metrics.watches.of(KindLabel::Observation).answered();
    follow(ObservationWatch, client, shared, None).await;
}

/// Applies one change of a kind to the index.
pub fn apply<W: WatchedKind>(kind: &W, index: &mut Index, change: Change<W::Object>, now: Timestamp) {
    match change {
        Change::Apply(object, origin) => kind.apply(index, object, origin.into(), now),
        Change::Gone(object) => kind.gone(index, &object, now),
        Change::Complete => {
            kind.complete(index, now);
            if W::MUST_BE_COMPLETE {
                index.kind_is_complete(W::KIND.as_str());
            }
        }
    }
}

/// The watch of a kind has failed: until the next list is complete, the index may lack objects.
pub fn interrupt<W: WatchedKind>(index: &mut Index) {
    if W::MUST_BE_COMPLETE {
        index.kind_may_be_incomplete(W::KIND.as_str());
    }
}

/// Measures how late the watch delivers the operator's own writes.
fn measure_lag<W: WatchedKind>(shared: &SharedState, change: &Change<W::Object>) {
    let lag = &shared.metrics.watch_lag;
    match change {
        Change::Apply(object, Origin::Watch) => {
            let name = object.meta().name.as_deref().unwrap_or_default();
            lag.watched(W::KIND, name, &ObjectVersion::of(object.meta()), Instant::now());
        }
        Change::Gone(object) => lag.gone(W::KIND, object),
        Change::Complete => lag.forget(W::KIND),
        Change::Apply(_, Origin::List) => {}
    }
}

/// The watch of the profiles.
#[derive(Debug)]
pub struct ProfileWatch;

impl WatchedKind for ProfileWatch {
    type Object = WatchedProfile;
    const KIND: KindLabel = KindLabel::Profile;
    // A profile that was stored before the schema had bounds can take megabytes when it is decoded.
    const PAGE: u32 = 10;

    fn apply(&self, index: &mut Index, object: Self::Object, source: UpdateSource, now: Timestamp) {
        let known = index.profile(object.meta().name.as_deref().unwrap_or_default());
        let version = ObjectVersion::of(object.meta());
        // The answer to a write of the operator contained this version already.
        if source == UpdateSource::Watch && known.is_some_and(|known| known.version == version) {
            return;
        }
        let facts = ProfileFacts::given(known, &object);
        index.apply_profile(facts, source, now);
    }

    fn gone(&self, index: &mut Index, object: &ObjectId, now: Timestamp) {
        index.delete_profile(&object.key.name, &object.uid, now);
    }
}

/// The watch of the nodes' reports.
#[derive(Debug)]
pub struct ReportWatch;

impl WatchedKind for ReportWatch {
    type Object = WatchedReport;
    const KIND: KindLabel = KindLabel::Report;
    const PAGE: u32 = 50;

    fn apply(&self, index: &mut Index, object: Self::Object, source: UpdateSource, now: Timestamp) {
        index.apply_report(ReportFacts::of(object), source, now);
    }

    fn gone(&self, index: &mut Index, object: &ObjectId, now: Timestamp) {
        index.delete_report(&object.key.name, &object.uid, now);
    }

    fn complete(&self, index: &mut Index, now: Timestamp) {
        index.reports_listed(now);
    }
}

/// The watch of the Nodes.
#[derive(Debug)]
pub struct NodeWatch(pub Selection);

impl WatchedKind for NodeWatch {
    type Object = WatchedNode;
    const KIND: KindLabel = KindLabel::Node;
    const PAGE: u32 = 100;
    const MUST_BE_COMPLETE: bool = true;

    fn apply(&self, index: &mut Index, object: Self::Object, _: UpdateSource, now: Timestamp) {
        index.apply_node(NodeFacts::of(&object, &self.0), now);
    }

    fn gone(&self, index: &mut Index, object: &ObjectId, now: Timestamp) {
        index.delete_node(&object.key.name, &object.uid, now);
    }
}

/// The watch of the Pods: those that use profiles, and the agents.
#[derive(Debug, Clone)]
pub struct PodWatch {
    /// The directory of the profiles below the kubelet's `seccomp/`.
    pub directory: String,
    /// Which pods are agents.
    pub agents: AgentPods,
}

impl PodWatch {
    /// The facts of a pod.
    #[must_use]
    pub fn facts(&self, pod: &WatchedPod) -> PodFacts {
        PodFacts::of(pod, &self.directory, &self.agents)
    }
}

impl WatchedKind for PodWatch {
    type Object = WatchedPod;
    const KIND: KindLabel = KindLabel::Pod;
    const PAGE: u32 = 100;
    const MUST_BE_COMPLETE: bool = true;

    fn apply(&self, index: &mut Index, object: Self::Object, _: UpdateSource, now: Timestamp) {
        if index.counts_denials()
            && let Some(pod) = ObservedPod::of(&object, &self.directory)
        {
            index.apply_observed_pod(pod);
        }
        index.apply_pod(self.facts(&object), now);
    }

    fn gone(&self, index: &mut Index, object: &ObjectId, now: Timestamp) {
        index.delete_pod(&object.uid, now);
    }
}

/// The watch of the nodes' observations.
#[derive(Debug)]
pub struct ObservationWatch;

impl WatchedKind for ObservationWatch {
    type Object = Untrusted<SeccompObservation>;
    const KIND: KindLabel = KindLabel::Observation;
    // One has a thousand calls at most, some 300 KB.
    const PAGE: u32 = 10;

    fn apply(&self, index: &mut Index, object: Self::Object, _: UpdateSource, now: Timestamp) {
        index.apply_observation(ObservationFacts::of(object), now);
    }

    fn gone(&self, index: &mut Index, object: &ObjectId, _: Timestamp) {
        index.delete_observation(&object.key.name);
    }

    fn complete(&self, index: &mut Index, _: Timestamp) {
        index.observations_listed();
    }
}
