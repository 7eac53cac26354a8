//! Which pods use which profile, and which of their containers are older than its file.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use api::FileAge;
use k8s_openapi::jiff::Timestamp;

use crate::facts::{PodFacts, PodKind};

/// How long a pod that is not scheduled can keep a profile from being deleted.
pub(super) const UNSCHEDULED: Duration = Duration::from_mins(10);

/// The pods that name a profile and have not ended.
#[derive(Debug, Default)]
pub(super) struct ProfilePods {
    pods: HashMap<Arc<str>, ProfilePod>,
    by_profile: BTreeMap<String, Users>,
    /// Uids of the pods, by node.
    by_node: HashMap<String, BTreeSet<Arc<str>>>,
}

/// The pods that name one profile.
#[derive(Debug, Default)]
struct Users {
    uids: BTreeSet<Arc<str>>,
    outdated: Outdated,
}

/// How many pods and containers of a profile are older than the bytes that its file has now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outdated {
    /// Pods with such a container.
    pub pods: u32,
    /// Such containers.
    pub containers: u32,
    /// Pods with a container of which nobody can tell.
    pub unknown_pods: u32,
    /// Containers of which nobody can tell.
    pub unknown_containers: u32,
}

/// A pod that names a profile and has not ended.
#[derive(Debug)]
pub(super) struct ProfilePod {
    /// `namespace/name`.
    pub(super) namespaced_name: String,
    pub(super) node: Option<String>,
    pub(super) created: Timestamp,
    /// Sorted.
    profiles: Box<[String]>,
    running: Box<[Running]>,
}

/// A running container under a profile.
#[derive(Debug)]
struct Running {
    /// The profile's position in those of the pod.
    profile: usize,
    created_after: Option<Timestamp>,
    started: Timestamp,
    /// The contents that it is under.
    under: Under,
}

/// The contents of a profile that a container is under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Under {
    Present,
    /// It is older than the file, or may be.
    Earlier,
    /// Nobody can tell.
    Unknown,
}

impl ProfilePod {
    /// The profiles that it names.
    pub(super) fn profiles(&self) -> impl Iterator<Item = &String> {
        self.profiles.iter()
    }

    /// How many of its containers under the profile at this position count as older than the file.
    fn outdated(&self, profile: usize) -> Outdated {
        let count = |under| {
            let such = self.running.iter().filter(|it| it.profile == profile && it.under == under);
            u32::try_from(such.count()).unwrap_or(u32::MAX)
        };
        let (containers, unknown_containers) = (count(Under::Earlier), count(Under::Unknown));
        Outdated {
            pods: containers.min(1),
            containers,
            unknown_pods: unknown_containers.min(1),
            unknown_containers,
        }
    }

    /// Determines anew which of its containers under the profile at this position are older than a file of this age.
    fn compare(&mut self, profile: usize, age: FileAge) {
        for running in self.running.iter_mut().filter(|it| it.profile == profile) {
            running.under = match age {
                FileAge::Unknown => Under::Unknown,
                age if age.is_older(running.created_after, running.started) => Under::Earlier,
                _ => Under::Present,
            };
        }
    }
}

impl Users {
    /// Replaces what one pod has contributed.
    fn recount(&mut self, before: Outdated, after: Outdated) {
        let count = &mut self.outdated;
        count.pods = count.pods - before.pods + after.pods;
        count.containers = count.containers - before.containers + after.containers;
        count.unknown_pods = count.unknown_pods - before.unknown_pods + after.unknown_pods;
        count.unknown_containers =
            count.unknown_containers - before.unknown_containers + after.unknown_containers;
    }
}

impl ProfilePods {
    /// Applies the current state of a pod; returns the profiles whose users may change. `age` is that of the file of a
    /// profile on the pod's node.
    pub(super) fn apply(&mut self, pod: PodFacts, age: impl Fn(&str) -> FileAge) -> BTreeSet<String> {
        let mut concerned = self.delete(&pod.uid);
        if let PodKind::User(profiles) = pod.kind {
            let uid: Arc<str> = pod.uid.into();
            concerned.extend(profiles.iter().cloned());
            let profiles: Box<[String]> = profiles.into_iter().collect();
            let running = pod.running.into_iter().filter_map(|it| {
                let profile = profiles.binary_search(&it.profile).ok()?;
                let (created_after, started) = (it.created_after, it.started);
                Some(Running { profile, created_after, started, under: Under::Unknown })
            });
            let running: Box<[Running]> = running.collect();
            let mut user = ProfilePod {
                namespaced_name: pod.namespaced_name,
                node: pod.node,
                created: pod.created,
                profiles,
                running,
            };
            if let Some(node) = &user.node {
                self.by_node.entry(node.clone()).or_default().insert(uid.clone());
            }
            for at in 0..user.profiles.len() {
                let name = user.profiles[at].clone();
                user.compare(at, age(&name));
                let users = self.by_profile.entry(name).or_default();
                users.uids.insert(uid.clone());
                users.recount(Outdated::default(), user.outdated(at));
            }
            self.pods.insert(uid, user);
        }
        concerned
    }

    /// Forgets a pod that does not exist any more; returns the profiles whose users may change.
    pub(super) fn delete(&mut self, uid: &str) -> BTreeSet<String> {
        let Some(user) = self.pods.remove(uid) else { return BTreeSet::new() };
        for (at, name) in user.profiles.iter().enumerate() {
            if let Some(users) = self.by_profile.get_mut(name) {
                users.recount(user.outdated(at), Outdated::default());
                users.uids.remove(uid);
                if users.uids.is_empty() {
                    self.by_profile.remove(name);
                }
            }
        }
        if let Some(node) = &user.node
            && let Some(uids) = self.by_node.get_mut(node)
        {
            uids.remove(uid);
            if uids.is_empty() {
                self.by_node.remove(node);
            }
        }
        user.profiles.into_iter().collect()
    }

    /// The file of `profile` on `node` has another age. Returns whether that was the last node with a container that is
    /// older than its file.
    pub(super) fn compare_on(&mut self, node: &str, profile: &str, age: FileAge) -> bool {
        let Some(users) = self.by_profile.get_mut(profile) else { return false };
        let had = users.outdated.pods > 0;
        for uid in self.by_node.get(node).into_iter().flatten() {
            recompare(&mut self.pods, users, uid, profile, |_| age);
        }
        had && users.outdated.pods == 0
    }

    /// The file of `profile` has another age on any node: `age` is that on each.
    pub(super) fn compare_all(&mut self, profile: &str, age: impl Fn(Option<&str>) -> FileAge) {
        let Some(users) = self.by_profile.get_mut(profile) else { return };
        for uid in users.uids.iter().cloned().collect::<Vec<_>>() {
            recompare(&mut self.pods, users, &uid, profile, &age);
        }
    }

    /// How many pods and containers of a profile are older than its file.
    pub(super) fn outdated(&self, profile: &str) -> Outdated {
        self.by_profile.get(profile).map_or_else(Outdated::default, |users| users.outdated)
    }

    /// Whether this pod is known with the same profiles and on the same node.
    pub(super) fn knows(&self, pod: &PodFacts) -> bool {
        let PodKind::User(profiles) = &pod.kind else { return true };
        let known = self.pods.get(pod.uid.as_str());
        known.is_some_and(|known| known.node == pod.node && known.profiles.iter().eq(profiles))
    }

    /// Every pod that names a profile.
    pub(super) fn all(&self) -> impl Iterator<Item = &ProfilePod> {
        self.pods.values()
    }

    /// The profiles that some pod names.
    pub(super) fn used(&self) -> impl Iterator<Item = &String> {
        self.by_profile.keys()
    }

    /// Whether a pod on this node names a profile.
    pub(super) fn names_on(&self, node: &str, profile: &str) -> bool {
        let pods = self.by_node.get(node).into_iter().flatten().filter_map(|uid| self.pods.get(uid));
        pods.into_iter().any(|pod| pod.profiles.binary_search_by(|name| name.as_str().cmp(profile)).is_ok())
    }

    /// The pod with this uid, if it names a profile.
    pub(super) fn get(&self, uid: &str) -> Option<&ProfilePod> {
        self.pods.get(uid)
    }

    /// How many pods name a profile.
    pub(super) fn count(&self, profile: &str) -> usize {
        self.by_profile.get(profile).map_or(0, |users| users.uids.len())
    }

    /// The pods that name a profile.
    pub(super) fn of(&self, profile: &str) -> impl Iterator<Item = &ProfilePod> {
        let users = self.by_profile.get(profile);
        users.into_iter().flat_map(|users| &users.uids).filter_map(|uid| self.pods.get(uid))
    }
}

/// Determines anew which containers of one pod under one profile are older than its file on the pod's node.
fn recompare(
    pods: &mut HashMap<Arc<str>, ProfilePod>,
    users: &mut Users,
    uid: &Arc<str>,
    profile: &str,
    age: impl Fn(Option<&str>) -> FileAge,
) {
    let Some(pod) = pods.get_mut(uid) else { return };
    let Ok(at) = pod.profiles.binary_search_by(|name| name.as_str().cmp(profile)) else { return };
    let before = pod.outdated(at);
    let age = age(pod.node.as_deref());
    pod.compare(at, age);
    users.recount(before, pod.outdated(at));
}
