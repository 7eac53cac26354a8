//! What a list of all pods means for a deletion.

use std::collections::BTreeSet;
use std::time::Duration;

use api::conditions;
use k8s_openapi::jiff::Timestamp;

use super::profile::Profile;
use super::{Index, after};
use crate::facts::{PodFacts, PodKind};

/// Of the condition `Deleting`: it is not known whether a pod uses the profile.
pub(super) const PODS_UNKNOWN: &str = "PodsUnknown";
/// How long lists of all pods may fail, or name what is not known, before the status says so.
const UNLISTED: Duration = Duration::from_secs(5);

/// What a list of all pods says about the users of a profile.
#[derive(Debug, PartialEq, Eq)]
pub enum Listed {
    /// Every one is known, and its node is, or is gone.
    AllKnown,
    /// One is not known: the news of it is under way.
    PodNotKnown,
    /// Some are on nodes of which nothing is known: these are gone, or the news of them is under way.
    NodesNotKnown(BTreeSet<String>),
}

impl Index {
    /// A list of all pods that began after the profile `name` with this uid was known to be deleted: `pods` name some
    /// profile. Only what is not known is told: the list may be older than the watch, and bring a pod back that is gone.
    /// `gone` are nodes that were not there after the list.
    pub fn pods_listed(
        &mut self,
        name: &str,
        uid: &str,
        pods: &[PodFacts],
        gone: &BTreeSet<String>,
        now: Timestamp,
    ) -> Listed {
        let names_it = |pod: &&PodFacts| match &pod.kind {
            PodKind::User(profiles) => profiles.contains(name),
            _ => false,
        };
        let users = || pods.iter().filter(names_it);
        let on = users().filter_map(|pod| pod.node.as_ref());
        let is_known = |node: &str| self.nodes.get(node).is_some_and(|node| node.object.is_some());
        let unknown: BTreeSet<_> = on.filter(|node| !is_known(node) && !gone.contains(*node)).collect();
        let listed = if !users().all(|pod| self.users.knows(pod)) {
            Listed::PodNotKnown
        } else if !unknown.is_empty() {
            Listed::NodesNotKnown(unknown.into_iter().cloned().collect())
        } else {
            Listed::AllKnown
        };
        if listed != Listed::AllKnown {
            self.pods_not_listed(name, uid, now);
        } else if let Some(profile) = self.profiles.get_mut(name)
            && profile.facts.version.uid == uid
        {
            profile.pods_listed = Some(now);
            profile.unlisted_since = None;
            self.dirty.profiles.insert(name.to_owned());
        }
        listed
    }

    /// No list of all pods says whether one uses the profile `name` with this uid.
    pub fn pods_not_listed(&mut self, name: &str, uid: &str, now: Timestamp) {
        if let Some(profile) = self.profiles.get_mut(name)
            && profile.facts.version.uid == uid
        {
            profile.unlisted_since.get_or_insert(now);
        }
    }
}

impl Profile {
    /// Whether lists have failed for long enough to say so, and the status does not.
    pub(super) fn is_unlisted_news(&self, now: Timestamp) -> bool {
        let long = self.unlisted_since.is_some_and(|since| after(since, UNLISTED) <= now);
        let mut stored = self.facts.status.iter().flat_map(|status| &status.conditions);
        long && !stored.any(|it| it.type_ == conditions::DELETING && it.reason == PODS_UNKNOWN)
    }
}
