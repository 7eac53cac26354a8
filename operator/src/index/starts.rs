//! Containers that do not start although their node has their profile.
//!
//! Pods say so, and whoever may create pods can make them say anything. So it is bounded: by node, profile and cause, in
//! how many are kept and in how often that is written. It changes no profile's state.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use api::conditions::node::GRACE;
use k8s_openapi::jiff::Timestamp;

use super::after;
use crate::facts::{Cause, FailedStart, PodFacts};

/// How long a failure outlasts the last pod that says so: between two tries a container says nothing for a moment, and a
/// workload's pods replace each other.
pub(super) const LINGER: Duration = Duration::from_secs(60);

/// A profile under which containers do not start, and why.
pub(super) type Key = (String, Cause);

/// The pods of which some container does not start because of a profile.
#[derive(Debug, Default)]
pub(super) struct Witnesses {
    pods: HashMap<String, Witness>,
    /// Uids by node.
    by_node: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Debug, PartialEq)]
struct Witness {
    /// `namespace/name`.
    display: String,
    node: String,
    failed: Vec<FailedStart>,
}

impl Witnesses {
    /// A pod as it is now; gives the nodes that this concerns.
    pub(super) fn apply(&mut self, pod: &mut PodFacts) -> Vec<String> {
        let failed = std::mem::take(&mut pod.failed_starts);
        let Some(node) = pod.node.clone().filter(|_| !failed.is_empty()) else {
            return self.delete(&pod.uid).into_iter().collect();
        };
        let witness = Witness { display: pod.display.clone(), node: node.clone(), failed };
        if self.pods.get(&pod.uid) == Some(&witness) {
            return Vec::new();
        }
        let mut concerned: Vec<_> = self.delete(&pod.uid).into_iter().collect();
        self.by_node.entry(node.clone()).or_default().insert(pod.uid.clone());
        self.pods.insert(pod.uid.clone(), witness);
        concerned.push(node);
        concerned
    }

    /// A pod is gone; gives the node that this concerns.
    pub(super) fn delete(&mut self, uid: &str) -> Option<String> {
        let Witness { node, .. } = self.pods.remove(uid)?;
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

    pub(super) fn on(&self, node: &str) -> impl Iterator<Item = (&str, &FailedStart)> {
        let pods = self.by_node.get(node).into_iter().flatten().filter_map(|uid| self.pods.get(uid));
        pods.flat_map(|pod| pod.failed.iter().map(|start| (pod.display.as_str(), start)))
    }
}

/// What pods have said of the starts on one node.
#[derive(Debug, Default)]
pub(super) struct Starts {
    pub(super) seen: BTreeMap<Key, Seen>,
    /// When this process last wrote of it, and of how many failures.
    pub(super) written: Option<(Timestamp, usize)>,
}

/// What pods have said of one failure.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) since: Timestamp,
    /// Since when no pod says so any more.
    pub(super) silent: Option<Timestamp>,
    pub(super) pod: String,
    pub(super) place: Option<String>,
}

impl Starts {
    pub(super) fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    /// When this is another answer with nothing but time passing.
    pub(super) fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let times = self.seen.values().map(|seen| match seen.silent {
            Some(silent) => after(silent, LINGER),
            None => after(seen.since, GRACE),
        });
        times.filter(|time| *time > now).min()
    }

    /// What has been so for long enough. A pod that came before the profile's file says for some seconds that it is not
    /// there: until the kubelet's next try.
    pub(super) fn said(&self, now: Timestamp) -> impl Iterator<Item = (&Key, &Seen)> {
        self.seen.iter().filter(move |(_, seen)| after(seen.since, GRACE) <= now)
    }
}
