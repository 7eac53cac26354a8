//! `users --outdated`: the workloads with containers that may be under an earlier filter of their profile.
//!
//! A container keeps the filter that its profile had when the runtime created it. Which containers are older than the
//! file on their node follows from the pods' statuses and the nodes' reports ([`api::FileAge`]), as in the operator.

mod view;

use std::collections::{BTreeMap, BTreeSet};

use api::{FileAge, ProfileName, RunningContainer, WatchedPod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::facts::{NodeFacts, ProfileSummary, Snapshot};
use crate::owner::{GroupKind, Owner};

pub use view::{OutdatedView, OutdatedWorkload, UnknownAge};

/// A pod that names a profile and has not ended.
#[derive(Debug, Clone)]
pub struct UserPod {
    namespace: String,
    name: String,
    owner: Option<Owner>,
    node: Option<String>,
    /// Whether it was deleted and has not ended.
    is_ending: bool,
    profiles: BTreeSet<ProfileName>,
    running: Vec<RunningContainer>,
}

/// A pod, or the workload that made it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Workload {
    /// Its namespace.
    pub namespace: String,
    /// Its kind.
    pub kind: GroupKind,
    /// Its name.
    pub name: String,
}

impl Workload {
    /// The workload of a pod with this controller.
    #[must_use]
    pub fn of(namespace: &str, pod: &str, owner: Option<&Owner>, owners: &ReplicaSetOwners) -> Self {
        let namespace = namespace.to_owned();
        let Some(owner) = owner else {
            return Self { namespace, kind: GroupKind::core("Pod"), name: pod.to_owned() };
        };
        let above = owners.get(&(namespace.clone(), owner.name.clone()));
        let Owner { kind, name } = above.filter(|_| owner.kind.is_replica_set()).unwrap_or(owner).clone();
        Self { namespace, kind, name }
    }
}

/// The controllers of `ReplicaSets`, by namespace and name.
pub type ReplicaSetOwners = BTreeMap<(String, String), Owner>;

impl UserPod {
    /// A pod; `None` if it names no profile or has ended. `directory` is the directory of the profiles below the
    /// kubelet's `seccomp/`.
    #[must_use]
    pub fn of(pod: &WatchedPod, directory: &str) -> Option<Self> {
        let profiles = pod.spec.profiles(directory);
        if profiles.is_empty() || pod.has_ended() {
            return None;
        }
        Some(Self {
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            name: pod.metadata.name.clone().unwrap_or_default(),
            owner: Owner::of(&pod.metadata),
            node: pod.spec.node().map(str::to_owned),
            is_ending: pod.metadata.deletion_timestamp.is_some(),
            running: pod.running(directory),
            profiles,
        })
    }

    /// Whether its controller may have a controller itself.
    #[must_use]
    pub fn is_of_replica_set(&self) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.kind.is_replica_set())
    }

    /// The workload that made it, or itself.
    fn workload(&self, owners: &ReplicaSetOwners) -> Workload {
        Workload::of(&self.namespace, &self.name, self.owner.as_ref(), owners)
    }
}

/// What was found about the pods of one workload under one profile.
#[derive(Debug, Default)]
struct Found {
    pods: usize,
    outdated_pods: usize,
    ending_pods: usize,
    outdated_containers: usize,
    oldest: Option<Time>,
    /// Nodes that do not hold the present contents and have such a container.
    behind: BTreeSet<String>,
}

/// What was found in a cluster.
#[derive(Debug, Default)]
struct Comparison<'a> {
    /// By profile and workload.
    found: BTreeMap<(String, Workload), Found>,
    /// The running pods of which it is not known, by profile.
    unknown: BTreeMap<&'a str, Vec<&'a UserPod>>,
}

/// The workloads under the profile `only`, or under any profile of the snapshot, and the pods of which it is not known.
fn compare<'a>(
    pods: &'a [UserPod],
    owners: &ReplicaSetOwners,
    snapshot: &'a Snapshot,
    only: Option<&str>,
) -> Comparison<'a> {
    let Comparison { mut found, mut unknown } = Comparison::default();
    for pod in pods {
        for profile in &pod.profiles {
            let known = snapshot.profiles.get(profile.as_str());
            let Some(known) = known.filter(|known| only.is_none_or(|only| only == known.name)) else {
                continue;
            };
            let under = || pod.running.iter().filter(|it| it.profile == *profile);
            let node = pod.node.as_ref().and_then(|node| snapshot.nodes.get(node));
            let age = file_age(known, node);
            let entry = found.entry((profile.to_string(), pod.workload(owners))).or_default();
            entry.pods += 1;
            if age == FileAge::Unknown && under().next().is_some() {
                unknown.entry(known.name.as_str()).or_default().push(pod);
            }
            let mut outdated = under()
                .filter(|it| age.is_older(it.created_after, it.started))
                .map(|it| it.started)
                .peekable();
            if outdated.peek().is_none() {
                continue;
            }
            entry.outdated_pods += 1;
            entry.ending_pods += usize::from(pod.is_ending);
            entry.behind.extend(pod.node.clone().filter(|_| age == FileAge::Never));
            for started in outdated {
                entry.outdated_containers += 1;
                let oldest = entry.oldest.as_ref().map_or(started, |oldest| oldest.0.min(started));
                entry.oldest = Some(Time(oldest));
            }
        }
    }
    Comparison { found, unknown }
}

/// Since when the file of a profile on a node has had its contents.
fn file_age(profile: &ProfileSummary, node: Option<&NodeFacts>) -> FileAge {
    if profile.removal_approved {
        return FileAge::Irrelevant;
    }
    let report = node.and_then(|node| Some((node, node.report.as_ref()?)));
    let Some((node, report)) = report else { return FileAge::Unknown };
    let changed = report.changed.as_ref().map(|changed| changed.get(&profile.name).map(|time| time.0));
    let expected = profile.content.as_ref().ok().map(profile::ContentHash::short);
    FileAge::of(expected, node.file_hash(&profile.name), changed)
}

#[cfg(test)]
mod tests;
