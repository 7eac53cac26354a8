//! The watches: objects become facts, facts change the index, and what is due goes to the controllers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::{NodeProfileStatus, Untrusted};
use daemon::ReadyHandle;
use k8s_openapi::jiff::Timestamp;
use kube::core::{ObjectMeta, PartialObjectMeta, PartialObjectMetaExt};
use kube::{Client, Resource};
use kube_runtime::reflector::store::Writer;
use kube_runtime::watcher::{Config, Event};
use link::chain;
use link::watch::Events;
use serde::de::DeserializeOwned;
use tracing::warn;

use crate::cluster::Cluster;
use crate::facts::{
    AgentPods, NodeFacts, PodFacts, ProfileFacts, ReportFacts, Source, Version, WatchedNode, WatchedPod,
    WatchedProfile,
};
use crate::index::Index;
use crate::metrics;
use crate::selection::Selection;

/// How one kind of object changes the index.
pub trait WatchedKind {
    /// The kind.
    type Object: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static;

    /// Its name in logs and metrics.
    const KIND: &'static str;
    /// Objects in one page of a list: pages of large objects are small, so that memory is too.
    const PAGE: u32;

    /// An object was created or changed.
    fn apply(&self, index: &mut Index, object: Self::Object, source: Source, now: Timestamp);

    /// An object is gone.
    fn delete(&self, index: &mut Index, object: &Self::Object, now: Timestamp);

    /// Whether a deletion rests on there being no object of the kind that is not known. After a failure such a kind is
    /// listed: only the end of a list says that all are known again.
    const MUST_BE_WHOLE: bool = false;

    /// A list is complete: what is not among `listed` (uids) is gone.
    fn retain(&self, index: &mut Index, listed: &BTreeSet<String>, now: Timestamp);
}

/// How long one watch request lasts, and so how long a connection that died without a word goes unnoticed.
pub const WATCH: Duration = Duration::from_secs(60);

/// Follows one kind for ever. `store`, if any, holds the names that its controller may look at.
pub async fn follow<W: WatchedKind>(
    kind: W,
    client: Client,
    cluster: Arc<Cluster>,
    mut store: Option<Writer<PartialObjectMeta<W::Object>>>,
    ready: ReadyHandle,
) where
    PartialObjectMeta<W::Object>: Resource<DynamicType = ()>,
{
    let config = Config::default().page_size(W::PAGE).timeout(WATCH.as_secs() as u32);
    let mut events = Events::<W::Object>::observed(client, config, cluster.metrics.watches.of(W::KIND));
    if W::MUST_BE_WHOLE {
        events = events.listing_after_failures();
    }
    let mut ready = Some(ready);
    let mut intake = Intake::new(kind);
    loop {
        let event = match events.next().await {
            Ok(event) => event,
            Err(error) => {
                // The watcher starts again by itself, with back-off; what is known stays.
                warn!(kind = W::KIND, error = %chain(&error), "watch failed");
                cluster.change(|index| intake.failed(index));
                continue;
            }
        };
        if let Some(store) = &mut store {
            store.apply_watcher_event(&names_only(&event));
        }
        let watch_lag = &cluster.metrics.watch_lag;
        match &event {
            Event::Apply(object) | Event::Delete(object) => {
                let name = object.meta().name.as_deref().unwrap_or_default();
                watch_lag.heard(W::KIND, name, &Version::of(object.meta()), Instant::now());
            }
            Event::Init => watch_lag.forget(W::KIND),
            Event::InitApply(_) | Event::InitDone => {}
        }
        let listed = matches!(event, Event::InitDone);
        cluster.change(|index| intake.take(index, event, Timestamp::now()));
        if listed && let Some(ready) = ready.take() {
            ready.ready();
            cluster.listed(W::KIND);
        }
    }
}

/// What the events of one kind do to the index, one after the other.
#[derive(Debug)]
pub struct Intake<W> {
    kind: W,
    /// Uids that the list which is under way has brought.
    listed: BTreeSet<String>,
}

impl<W: WatchedKind> Intake<W> {
    /// Before the first event.
    #[must_use]
    pub fn new(kind: W) -> Self {
        Self { kind, listed: BTreeSet::new() }
    }

    /// Takes one event in.
    pub fn take(&mut self, index: &mut Index, event: Event<W::Object>, now: Timestamp) {
        match event {
            Event::Init => {
                self.listed.clear();
                self.failed(index);
            }
            Event::InitApply(object) => {
                self.listed.extend(object.meta().uid.clone());
                self.kind.apply(index, object, Source::List, now);
            }
            Event::InitDone => {
                self.kind.retain(index, &std::mem::take(&mut self.listed), now);
                if W::MUST_BE_WHOLE {
                    index.is_whole(W::KIND);
                }
                // What became due during the list was looked at before the store had it, or not at all.
                index.touch_all();
            }
            Event::Apply(object) => self.kind.apply(index, object, Source::Watch, now),
            Event::Delete(object) => self.kind.delete(index, &object, now),
        }
    }

    /// The watch failed, or begins anew: some objects may not be known.
    pub fn failed(&self, index: &mut Index) {
        if W::MUST_BE_WHOLE {
            index.doubt(W::KIND);
        }
    }
}

/// The same event about nothing but a name: a controller asks the index for the rest.
fn names_only<K: Resource<DynamicType = ()>>(event: &Event<K>) -> Event<PartialObjectMeta<K>> {
    let name = |object: &K| {
        ObjectMeta { name: object.meta().name.clone(), ..ObjectMeta::default() }.into_response_partial()
    };
    match event {
        Event::Init => Event::Init,
        Event::InitApply(object) => Event::InitApply(name(object)),
        Event::InitDone => Event::InitDone,
        Event::Apply(object) => Event::Apply(name(object)),
        Event::Delete(object) => Event::Delete(name(object)),
    }
}

fn key<K: Resource>(object: &K) -> (&str, &str) {
    let metadata = object.meta();
    (metadata.name.as_deref().unwrap_or_default(), metadata.uid.as_deref().unwrap_or_default())
}

/// Those of `known` (name to uid) that are not among `listed`.
fn unlisted(
    known: BTreeMap<String, String>,
    listed: &BTreeSet<String>,
) -> impl Iterator<Item = (String, String)> {
    known.into_iter().filter(|(_, uid)| !listed.contains(uid))
}

/// The profiles.
#[derive(Debug)]
pub struct Profiles;

impl WatchedKind for Profiles {
    type Object = WatchedProfile;
    const KIND: &'static str = metrics::PROFILES;
    // One that was stored without bounds takes megabytes decoded.
    const PAGE: u32 = 10;

    fn apply(&self, index: &mut Index, object: Self::Object, source: Source, now: Timestamp) {
        let known = index.profile(key(&object).0);
        let version = Version::of(object.meta());
        // The answer to a write of the operator's own has said all of it.
        if source == Source::Watch && known.is_some_and(|known| known.version == version) {
            return;
        }
        let facts = ProfileFacts::given(known, &object);
        index.apply_profile(facts, source, now);
    }

    fn delete(&self, index: &mut Index, object: &Self::Object, now: Timestamp) {
        let (name, uid) = key(object);
        index.delete_profile(name, uid, now);
    }

    fn retain(&self, index: &mut Index, listed: &BTreeSet<String>, now: Timestamp) {
        for (name, uid) in unlisted(index.profile_keys(), listed) {
            index.delete_profile(&name, &uid, now);
        }
    }
}

/// The nodes' reports.
#[derive(Debug)]
pub struct Reports;

impl WatchedKind for Reports {
    type Object = Untrusted<NodeProfileStatus>;
    const KIND: &'static str = metrics::REPORTS;
    const PAGE: u32 = 50;

    fn apply(&self, index: &mut Index, object: Self::Object, source: Source, now: Timestamp) {
        index.apply_report(ReportFacts::of(object), source, now);
    }

    fn delete(&self, index: &mut Index, object: &Self::Object, now: Timestamp) {
        let (name, uid) = key(object);
        index.delete_report(name, uid, now);
    }

    fn retain(&self, index: &mut Index, listed: &BTreeSet<String>, now: Timestamp) {
        index.retain_reports(listed, now);
    }
}

/// The Nodes.
#[derive(Debug)]
pub struct Nodes(pub Selection);

impl WatchedKind for Nodes {
    type Object = WatchedNode;
    const KIND: &'static str = metrics::NODES;
    const PAGE: u32 = 100;
    const MUST_BE_WHOLE: bool = true;

    fn apply(&self, index: &mut Index, object: Self::Object, _: Source, now: Timestamp) {
        index.apply_node(NodeFacts::of(&object, &self.0), now);
    }

    fn delete(&self, index: &mut Index, object: &Self::Object, now: Timestamp) {
        let (name, uid) = key(object);
        index.delete_node(name, uid, now);
    }

    fn retain(&self, index: &mut Index, listed: &BTreeSet<String>, now: Timestamp) {
        for (name, uid) in unlisted(index.node_keys(), listed) {
            index.delete_node(&name, &uid, now);
        }
    }
}

/// The Pods: users of profiles, and the agents.
#[derive(Debug, Clone)]
pub struct Pods {
    /// Where profiles lie below the kubelet's `seccomp/`.
    pub directory: String,
    /// Which of them are agents.
    pub agents: AgentPods,
}

impl Pods {
    /// What a pod is to us.
    #[must_use]
    pub fn facts(&self, pod: &WatchedPod) -> PodFacts {
        PodFacts::of(pod, &self.directory, &self.agents)
    }
}

impl WatchedKind for Pods {
    type Object = WatchedPod;
    const KIND: &'static str = metrics::PODS;
    const PAGE: u32 = 100;
    const MUST_BE_WHOLE: bool = true;

    fn apply(&self, index: &mut Index, object: Self::Object, _: Source, now: Timestamp) {
        index.apply_pod(self.facts(&object), now);
    }

    fn delete(&self, index: &mut Index, object: &Self::Object, now: Timestamp) {
        index.delete_pod(key(object).1, now);
    }

    fn retain(&self, index: &mut Index, listed: &BTreeSet<String>, now: Timestamp) {
        index.retain_pods(listed, now);
    }
}
