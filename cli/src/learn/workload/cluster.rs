//! Which containers learn, and the state of the cluster at one moment. Pure.

use std::collections::BTreeMap;

use api::WatchedPod;
use k8s_openapi::jiff::Timestamp;

use crate::denials::Observed;
use crate::facts::{AgentPod, Agents};
use crate::outdated::{ReplicaSetOwners, Workload};
use crate::owner::Owner;

/// Which containers learn.
#[derive(Debug, Clone)]
pub(super) struct Learners {
    /// Their workload.
    pub(super) workload: Workload,
    /// The learning profile.
    pub(super) profile: String,
    /// The directory of the profiles below the kubelet's `seccomp/`.
    pub(super) directory: String,
}

/// The state of the cluster at one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Cluster {
    /// The observation of each node.
    pub(super) observed: Vec<Observed>,
    /// The pods of the namespace.
    pub(super) pods: Vec<WatchedPod>,
    /// The controllers of the `ReplicaSets`.
    pub(super) owners: ReplicaSetOwners,
    /// The observers' pods.
    pub(super) observers: Agents,
}

impl Cluster {
    /// The pods of a workload that have not ended.
    pub(super) fn pods_of<'c>(&'c self, workload: &'c Workload) -> impl Iterator<Item = &'c WatchedPod> {
        self.pods.iter().filter(|pod| !pod.has_ended() && self.workload_of(pod) == *workload)
    }

    /// When each of the workload's containers started that are under any profile, by the pod's uid and the container's name.
    pub(super) fn started(&self, learners: &Learners) -> BTreeMap<(String, String), Timestamp> {
        let containers = self.pods_of(&learners.workload).flat_map(|pod| {
            let uid = pod.metadata.uid.clone().unwrap_or_default();
            let running = pod.running(&learners.directory).into_iter();
            running.map(move |it| ((uid.clone(), it.container), it.started))
        });
        containers.collect()
    }

    fn workload_of(&self, pod: &WatchedPod) -> Workload {
        let part = |part: &Option<String>| part.clone().unwrap_or_default();
        let (namespace, name) = (part(&pod.metadata.namespace), part(&pod.metadata.name));
        Workload::of(&namespace, &name, Owner::of(&pod.metadata).as_ref(), &self.owners)
    }

    /// Why no records come from a node; `None` if they do.
    pub(super) fn blindness(&self, node: &str) -> Option<String> {
        let Some(observed) = self.observed.iter().find(|it| it.node() == node) else {
            return Some(format!("{node} (no SeccompObservation)"));
        };
        let namespace = observed.report().map(|it| it.namespace.as_str()).unwrap_or_default();
        if let Some(blind) = observed.gap().and_then(|gap| gap.blind) {
            return Some(format!("{node} ({blind})"));
        }
        // It reports only what is new: of one that has ended, the last report stays.
        let Agents::Known(pods) = &self.observers else { return None };
        // Anybody who may create a pod can give it an observer's labels. Earlier observers do not say where they are.
        let is_observer = |pod: &AgentPod| {
            let found = pod.namespaced_name.split_once('/').map_or("", |(namespace, _)| namespace);
            namespace.is_empty() || namespace == found
        };
        let is_ready = |pods: &Vec<AgentPod>| pods.iter().any(|pod| pod.ready && is_observer(pod));
        let is_ready = pods.get(node).is_some_and(is_ready);
        (!is_ready).then(|| format!("{node} (its observer's pod is not ready)"))
    }
}
