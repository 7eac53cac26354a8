//! Containers that do not start although their node has their profile.
//!
//! The index knows of them from the statuses of pods, and whoever may create pods can forge such a status. So the
//! failures are counted once for each node, profile and cause, and the index bounds how many it keeps and how often it
//! writes them. They change no profile's state.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use api::conditions::node::GRACE;
use k8s_openapi::jiff::Timestamp;

use super::after;
use crate::facts::{Cause, PodFacts, PodStartFailure};

/// How long a failure is kept after the last pod stopped showing it: a container's status is empty for a moment between
/// two tries, and the pods of a workload replace each other.
pub(super) const LINGER: Duration = Duration::from_mins(1);

/// A profile under which containers do not start, and why.
pub(super) type FailureKey = (String, Cause);

/// The pods that have a container which does not start because of a profile.
#[derive(Debug, Default)]
pub(super) struct FailingPods {
    pods: HashMap<String, FailingPod>,
    /// Uids by node.
    by_node: BTreeMap<String, BTreeSet<String>>,
}

/// A pod that has a container which does not start because of a profile.
#[derive(Debug, PartialEq)]
struct FailingPod {
    /// `namespace/name`.
    namespaced_name: String,
    node: String,
    failed: Vec<PodStartFailure>,
}

impl FailingPods {
    /// Applies the current state of a pod; returns the nodes whose failures may change.
    pub(super) fn apply(&mut self, pod: &mut PodFacts) -> Vec<String> {
        let failed = std::mem::take(&mut pod.failed_starts);
        let Some(node) = pod.node.clone().filter(|_| !failed.is_empty()) else {
            return self.delete(&pod.uid).into_iter().collect();
        };
        let failing = FailingPod { namespaced_name: pod.namespaced_name.clone(), node: node.clone(), failed };
        if self.pods.get(&pod.uid) == Some(&failing) {
            return Vec::new();
        }
        let mut concerned: Vec<_> = self.delete(&pod.uid).into_iter().collect();
        self.by_node.entry(node.clone()).or_default().insert(pod.uid.clone());
        self.pods.insert(pod.uid.clone(), failing);
        concerned.push(node);
        concerned
    }

    /// Forgets a pod that does not exist any more; returns the node whose failures may change.
    pub(super) fn delete(&mut self, uid: &str) -> Option<String> {
        let FailingPod { node, .. } = self.pods.remove(uid)?;
        if let Some(uids) = self.by_node.get_mut(&node) {
            uids.remove(uid);
            if uids.is_empty() {
                self.by_node.remove(&node);
            }
        }
        Some(node)
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        assert_eq!(self.pods.len(), self.by_node.values().map(BTreeSet::len).sum::<usize>());
        self.pods.len()
    }

    /// The failed starts on a node, each with the `namespace/name` of its pod.
    pub(super) fn on(&self, node: &str) -> impl Iterator<Item = (&str, &PodStartFailure)> {
        let pods = self.by_node.get(node).into_iter().flatten().filter_map(|uid| self.pods.get(uid));
        pods.flat_map(|pod| pod.failed.iter().map(|start| (pod.namespaced_name.as_str(), start)))
    }
}

/// The failures that pods have shown on one node.
#[derive(Debug, Default)]
pub(super) struct ObservedFailures {
    pub(super) by_key: BTreeMap<FailureKey, ObservedFailure>,
    /// When this process last wrote the list of failures, and how many it had.
    pub(super) written: Option<(Timestamp, usize)>,
}

/// One failure that pods have shown.
#[derive(Debug)]
pub(super) struct ObservedFailure {
    pub(super) since: Timestamp,
    /// Since when no pod shows it any more.
    pub(super) absent_since: Option<Timestamp>,
    /// The `namespace/name` of the pod that showed it first.
    pub(super) pod: String,
    pub(super) place: Option<String>,
}

impl ObservedFailures {
    pub(super) fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// When the failures to report change although no pod changes.
    pub(super) fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let times = self.by_key.values().map(|failure| match failure.absent_since {
            Some(absent) => after(absent, LINGER),
            None => after(failure.since, GRACE),
        });
        times.filter(|time| *time > now).min()
    }

    /// The failures that have lasted for long enough to be reported. Where a pod was created before the profile's file,
    /// its status calls the file missing for some seconds, until the kubelet's next try.
    pub(super) fn lasting(&self, now: Timestamp) -> impl Iterator<Item = (&FailureKey, &ObservedFailure)> {
        self.by_key.iter().filter(move |(_, failure)| after(failure.since, GRACE) <= now)
    }
}
