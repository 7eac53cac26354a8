//! How a list of all pods changes what a deletion waits for.

use std::collections::BTreeSet;
use std::time::Duration;

use api::conditions;
use k8s_openapi::jiff::Timestamp;

use super::profile::Profile;
use super::{Index, after};
use crate::facts::{PodFacts, PodKind};

/// The reason of the condition `Deleting` while it is not known whether a pod uses the profile.
pub(super) const PODS_UNKNOWN: &str = "PodsUnknown";
/// How long a list of all pods without an unknown user is valid: for the write that follows it, and not for a retry of
/// that write.
pub(super) const PODS_LISTED: Duration = Duration::from_secs(5);
/// How long listing all pods may fail, or may return pods or nodes that the index lacks, before the status reports it.
const PODS_UNKNOWN_GRACE: Duration = Duration::from_secs(5);

/// Whether the index knows every pod of a full list that uses a profile.
#[derive(Debug, PartialEq, Eq)]
pub enum ListedPods {
    /// The index knows every pod, and every node of theirs that exists.
    AllKnown,
    /// The index lacks a pod: its watch event is still to come.
    PodNotKnown,
    /// The index lacks these nodes of theirs: they do not exist any more, or their watch events are still to come.
    NodesNotKnown(BTreeSet<String>),
}

impl Index {
    /// Compares the index with a list of all pods that began after the profile `name` with this uid was known to be
    /// deleted. `pods` are the listed pods that name any profile; `gone` are nodes that did not exist after the list.
    /// The pods are only compared and not applied, because the list may be older than the watch and have a pod that is
    /// deleted by now.
    pub fn pods_listed(
        &mut self,
        name: &str,
        uid: &str,
        pods: &[PodFacts],
        gone: &BTreeSet<String>,
        now: Timestamp,
    ) -> ListedPods {
        let uses_it = |pod: &&PodFacts| match &pod.kind {
            PodKind::User(profiles) => profiles.contains(name),
            _ => false,
        };
        let users = || pods.iter().filter(uses_it);
        let nodes = users().filter_map(|pod| pod.node.as_ref());
        let is_known = |node: &str| self.nodes.get(node).is_some_and(|node| node.object.is_some());
        let unknown: BTreeSet<_> = nodes.filter(|node| !is_known(node) && !gone.contains(*node)).collect();
        let listed = if !users().all(|pod| self.users.knows(pod)) {
            ListedPods::PodNotKnown
        } else if !unknown.is_empty() {
            ListedPods::NodesNotKnown(unknown.into_iter().cloned().collect())
        } else {
            ListedPods::AllKnown
        };
        if listed != ListedPods::AllKnown {
            self.pods_not_listed(name, uid, now);
        } else if let Some(profile) = self.profiles.get_mut(name)
            && profile.facts.version.uid == uid
        {
            profile.pods_listed = Some(now);
            profile.pods_unknown_since = None;
            self.dirty.profiles.insert(name.to_owned());
        }
        listed
    }

    /// A list of all pods failed, or could not show whether one uses the profile `name` with this uid.
    pub fn pods_not_listed(&mut self, name: &str, uid: &str, now: Timestamp) {
        if let Some(profile) = self.profiles.get_mut(name)
            && profile.facts.version.uid == uid
        {
            profile.pods_unknown_since.get_or_insert(now);
        }
    }
}

impl Profile {
    /// Whether lists have failed for long enough to report it, and the stored status does not.
    pub(super) fn must_report_pods_unknown(&self, now: Timestamp) -> bool {
        let long = self.pods_unknown_since.is_some_and(|since| after(since, PODS_UNKNOWN_GRACE) <= now);
        let mut stored = self.facts.status.iter().flat_map(|status| &status.conditions);
        long && !stored.any(|it| it.type_ == conditions::DELETING && it.reason == PODS_UNKNOWN)
    }
}
