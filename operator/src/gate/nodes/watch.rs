//! The watches that only this part needs: they turn objects into facts and change what is known.

use std::cell::Cell;
use std::sync::Arc;

use api::Selection;
use daemon::ReadyHandle;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube_runtime::watcher::Config;
use link::changes::{Change, ObjectId};

use super::super::follow::{follow as follow_changes, stream};
use super::super::metrics::GateKind;
use super::cluster::Cluster;
use super::startup_node::StartupNode;
use super::state::NodeState;
use super::taint_key::TaintKey;
use crate::facts::{NodeFacts, ReportFacts, UpdateSource, WatchedNode};
use crate::watch::{NodeWatch, PodWatch, ReportWatch, WatchedKind};

/// How one kind of object changes what is known.
pub(super) trait Watched {
    /// The kind, as the operator watches it.
    type Kind: WatchedKind;

    const KIND: GateKind;

    /// Which objects are watched.
    fn select(&self, config: Config) -> Config {
        config
    }

    /// An object was created or changed.
    fn apply(
        &self,
        cluster: &mut Cluster,
        object: <Self::Kind as WatchedKind>::Object,
        source: UpdateSource,
        now: Timestamp,
    );

    /// An object does not exist any more.
    fn gone(&self, cluster: &mut Cluster, object: &ObjectId, now: Timestamp);

    /// A list is complete.
    fn complete(&self, _cluster: &mut Cluster, _now: Timestamp) {}
}

/// Follows one kind for ever.
pub(super) async fn follow<W: Watched>(kind: W, client: Client, state: Arc<NodeState>, ready: ReadyHandle) {
    let config = kind.select(Config::default().page_size(W::Kind::PAGE));
    let objects = stream::<<W::Kind as WatchedKind>::Object>(W::KIND, config, client, &state.metrics.watches);
    let is_first_list = Cell::new(true);
    follow_changes(W::KIND, objects, Some(ready), |change| {
        let now = Timestamp::now();
        match change {
            Some(Change::Apply(object, origin)) => {
                state.change(|cluster| kind.apply(cluster, object, origin.into(), now));
            }
            Some(Change::Gone(object)) => state.change(|cluster| kind.gone(cluster, &object, now)),
            Some(Change::Complete) => {
                state.change(|cluster| kind.complete(cluster, now));
                if is_first_list.take() {
                    state.listed(W::KIND);
                }
            }
            None => {}
        }
    })
    .await;
}

/// The Nodes.
#[derive(Debug)]
pub(super) struct Nodes {
    /// Where profiles are, below the kubelet's `seccomp/`.
    pub(super) directory: String,
    pub(super) selection: Selection,
    pub(super) key: Option<TaintKey>,
}

impl Nodes {
    pub(super) fn apply(
        &self,
        cluster: &mut Cluster,
        object: &WatchedNode,
        source: UpdateSource,
        now: Timestamp,
    ) {
        let facts = NodeFacts::of(object, &self.selection);
        cluster.apply_node(facts, StartupNode::of(object, self.key.as_ref()), source, now);
    }
}

impl Watched for Arc<Nodes> {
    type Kind = NodeWatch;
    const KIND: GateKind = GateKind::Node;

    fn apply(&self, cluster: &mut Cluster, object: WatchedNode, source: UpdateSource, now: Timestamp) {
        Nodes::apply(self, cluster, &object, source, now);
    }

    fn gone(&self, cluster: &mut Cluster, object: &ObjectId, now: Timestamp) {
        cluster.delete_node(&object.key.name, &object.uid, now);
    }
}

/// The nodes' reports.
#[derive(Debug)]
pub(super) struct Reports;

impl Watched for Reports {
    type Kind = ReportWatch;
    const KIND: GateKind = GateKind::Report;

    fn apply(
        &self,
        cluster: &mut Cluster,
        object: <ReportWatch as WatchedKind>::Object,
        source: UpdateSource,
        now: Timestamp,
    ) {
        cluster.apply_report(ReportFacts::of(object), source, now);
    }

    fn gone(&self, cluster: &mut Cluster, object: &ObjectId, now: Timestamp) {
        cluster.delete_report(&object.key.name, &object.uid, now);
    }

    fn complete(&self, cluster: &mut Cluster, now: Timestamp) {
        cluster.reports_complete(now);
    }
}

/// The agents' pods.
#[derive(Debug)]
pub(super) struct Agents(pub(super) PodWatch);

impl Watched for Agents {
    type Kind = PodWatch;
    const KIND: GateKind = GateKind::AgentPod;

    fn select(&self, config: Config) -> Config {
        let labels: Vec<_> =
            self.0.agents.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        config.labels(&labels.join(",")).fields(&format!("metadata.namespace={}", self.0.agents.namespace))
    }

    fn apply(
        &self,
        cluster: &mut Cluster,
        object: <PodWatch as WatchedKind>::Object,
        _: UpdateSource,
        now: Timestamp,
    ) {
        cluster.apply_pod(self.0.facts(&object), now);
    }

    fn gone(&self, cluster: &mut Cluster, object: &ObjectId, now: Timestamp) {
        cluster.delete_pod(&object.uid, now);
    }
}
