//! Which pods use which profile.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use crate::facts::{PodFacts, PodKind};

/// How long a pod that is not scheduled can keep a profile from being deleted.
pub(super) const UNSCHEDULED: Duration = Duration::from_mins(10);

/// The pods that name a profile and have not ended.
#[derive(Debug, Default)]
pub(super) struct ProfilePods {
    pods: HashMap<String, ProfilePod>,
    /// Uids by profile.
    by_profile: BTreeMap<String, BTreeSet<String>>,
}

/// A pod that names a profile and has not ended.
#[derive(Debug)]
pub(super) struct ProfilePod {
    /// `namespace/name`.
    pub(super) namespaced_name: String,
    pub(super) node: Option<String>,
    pub(super) created: Timestamp,
    profiles: BTreeSet<String>,
}

impl ProfilePod {
    /// The profiles that it names.
    pub(super) fn profiles(&self) -> impl Iterator<Item = &String> {
        self.profiles.iter()
    }
}

impl ProfilePods {
    /// Applies the current state of a pod; returns the profiles whose users may change.
    pub(super) fn apply(&mut self, pod: PodFacts) -> BTreeSet<String> {
        let mut concerned = self.delete(&pod.uid);
        if let PodKind::User(profiles) = pod.kind {
            for name in &profiles {
                self.by_profile.entry(name.clone()).or_default().insert(pod.uid.clone());
            }
            concerned.extend(profiles.iter().cloned());
            let user = ProfilePod {
                namespaced_name: pod.namespaced_name,
                node: pod.node,
                created: pod.created,
                profiles,
            };
            self.pods.insert(pod.uid, user);
        }
        concerned
    }

    /// Forgets a pod that does not exist any more; returns the profiles whose users may change.
    pub(super) fn delete(&mut self, uid: &str) -> BTreeSet<String> {
        let Some(user) = self.pods.remove(uid) else { return BTreeSet::new() };
        for name in &user.profiles {
            if let Some(uids) = self.by_profile.get_mut(name) {
                uids.remove(uid);
                if uids.is_empty() {
                    self.by_profile.remove(name);
                }
            }
        }
        user.profiles
    }

    /// Whether this pod is known with the same profiles and on the same node.
    pub(super) fn knows(&self, pod: &PodFacts) -> bool {
        let PodKind::User(profiles) = &pod.kind else { return true };
        let known = self.pods.get(&pod.uid);
        known.is_some_and(|known| known.node == pod.node && known.profiles == *profiles)
    }

    /// Every pod that names a profile.
    pub(super) fn all(&self) -> impl Iterator<Item = &ProfilePod> {
        self.pods.values()
    }

    /// The profiles that some pod names.
    pub(super) fn used(&self) -> impl Iterator<Item = &String> {
        self.by_profile.keys()
    }

    /// How many pods name a profile.
    pub(super) fn count(&self, profile: &str) -> usize {
        self.by_profile.get(profile).map_or(0, BTreeSet::len)
    }

    /// The pods that name a profile.
    pub(super) fn of(&self, profile: &str) -> impl Iterator<Item = &ProfilePod> {
        self.by_profile.get(profile).into_iter().flatten().filter_map(|uid| self.pods.get(uid))
    }
}
