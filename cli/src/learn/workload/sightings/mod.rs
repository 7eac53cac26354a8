//! What the observers have seen of the workload's pods, merged over pods, containers and rounds. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use api::{ObservationReport, ObservedCall, ObservedContainer};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use profile::Action;
use serde::Serialize;
use syscalls::Syscall;

use super::cluster::{Cluster, Learners};
use super::session::{Missed, Sighting};
use crate::denials::Observed;
use crate::facts::Agents;

/// For how long a node that its last pod has left is awaited: after a minute calls of a container without a name are
/// unknown, at most half a minute later the observer reports it, and that report is to be read.
const LEFT: Duration = Duration::from_mins(2);

/// What the observers have seen of the workload's pods under the learning profile. Pods and reports may go meanwhile: it
/// grows with the number of containers and different calls.
#[derive(Debug, Clone, Default)]
pub(super) struct Sightings {
    /// The pods that are or were under the learning profile, by their name and uid.
    pods: BTreeMap<String, BTreeMap<String, LearningPod>>,
    /// By call and architecture, and then by the container's id.
    calls: BTreeMap<(String, String), BTreeMap<String, Made>>,
    /// The nodes that have or had pods under the learning profile, and when those without one were first seen so.
    nodes: BTreeMap<String, Option<Duration>>,
    not_listed: BTreeMap<String, i64>,
    /// Nodes from which no records came at some time, each with why.
    blind: BTreeMap<String, String>,
    /// Whether at some time none of its pods ran.
    without_pods: bool,
    /// Whether at some time the observers' pods could not be listed.
    observers_unknown: bool,
    /// What each node's observer counted at the beginning, and what it counts now.
    counted: BTreeMap<String, (Counted, Counted)>,
}

/// A pod under the learning profile.
#[derive(Debug, Clone)]
struct LearningPod {
    /// The only node whose observer knows what it does.
    node: String,
    /// Its containers under the profile.
    containers: BTreeSet<String>,
}

/// What an observer counts that is no call of a known container.
#[derive(Debug, Clone, PartialEq)]
struct Counted {
    missed: Missed,
    /// Calls of containers that will have no name any more.
    unknown: i64,
    /// Calls of containers that may still be named.
    unnamed: i64,
}

/// How a container made a call.
#[derive(Debug, Clone)]
struct Made {
    pod: String,
    container: String,
    count: i64,
    first: Option<Time>,
    last: Option<Time>,
    program: String,
}

/// A call that was seen.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SeenCall {
    /// Its name.
    pub(super) call: String,
    /// The architecture.
    pub(super) architecture: String,
    /// How often it was made before it was permitted without a record.
    pub(super) count: i64,
    /// The containers.
    pub(super) containers: BTreeSet<String>,
    /// The pods.
    pub(super) pods: BTreeSet<String>,
    /// The first time.
    pub(super) first: Option<Time>,
    /// The last time.
    pub(super) last: Option<Time>,
    /// The program that made it last.
    pub(super) program: String,
}

impl Sightings {
    /// Nothing yet, since this state of the cluster.
    pub(super) fn since(cluster: &Cluster) -> Self {
        let counted = cluster.observed.iter().filter_map(|observed| {
            let counted = Counted::of(observed.report()?);
            Some((observed.node().to_owned(), (counted.clone(), counted)))
        });
        Self { counted: counted.collect(), ..Self::default() }
    }

    /// Takes the state of the cluster at this time since the beginning. Returns what is known now.
    pub(super) fn take(&mut self, at: Duration, learners: &Learners, cluster: &Cluster) -> Sighting {
        let mut nodes = BTreeSet::new();
        let mut runs = false;
        for pod in cluster.pods_of(&learners.workload) {
            // Also those that a webhook has added to the template's, which will be under the result as well; not those
            // of somebody who debugs.
            let all = pod.spec.container_profiles(&learners.directory);
            let under =
                all.filter(|it| it.profile.as_str() == learners.profile && !it.field.contains(".ephemeral"));
            let under: BTreeSet<_> = under.map(|it| it.container).collect();
            if !under.is_empty() {
                let [name, uid] =
                    [&pod.metadata.name, &pod.metadata.uid].map(|it| it.clone().unwrap_or_default());
                let node = pod.spec.node().unwrap_or_default().to_owned();
                let learning = LearningPod { node: node.clone(), containers: under };
                self.pods.entry(name).or_default().insert(uid, learning);
                if !node.is_empty() {
                    runs |= pod.phase() == Some("Running");
                    nodes.insert(node);
                }
            }
        }
        for observed in &cluster.observed {
            for container in observed.report().into_iter().flat_map(|it| &it.containers) {
                if self.is_learner(learners, observed.node(), container) {
                    self.container(container);
                }
            }
        }
        let mut now = Sighting { calls: self.learned(), ..Sighting::default() };
        now.not_listed = self.not_listed.values().copied().fold(0, i64::saturating_add);
        if !runs {
            self.without_pods = true;
            now.blind.insert("no pod of it runs".to_owned());
        }
        self.observers_unknown |= matches!(cluster.observers, Agents::Unknown);
        self.nodes.values_mut().for_each(|left| *left = left.or(Some(at)));
        self.nodes.extend(nodes.into_iter().map(|node| (node, None)));
        for (node, left) in self.nodes.clone() {
            let is_awaited = left.is_none_or(|left| at.saturating_sub(left) < LEFT);
            self.node(&node, is_awaited, cluster, &mut now);
        }
        now
    }

    /// Takes what the observer of a node counts that has or had learning pods: what one of these did in its last seconds shows
    /// when it is gone.
    fn node(&mut self, node: &str, is_awaited: bool, cluster: &Cluster, now: &mut Sighting) {
        let blindness = cluster.blindness(node);
        let is_blind = blindness.is_some();
        let observed = cluster.observed.iter().find(|it| it.node() == node);
        if let Some(counted) = observed.and_then(Observed::report).map(Counted::of) {
            if is_awaited {
                now.missed.insert(node.to_owned(), counted.missed.clone());
                now.unnamed = now.unnamed.saturating_add(counted.unnamed);
            }
            let entry =
                self.counted.entry(node.to_owned()).or_insert_with(|| (counted.clone(), counted.clone()));
            entry.1 = counted;
        }
        if is_awaited {
            if let Some(why) = blindness {
                self.blind.insert(node.to_owned(), why);
                now.blind.insert(node.to_owned());
            }
        } else if let Some((_, counted)) = self.counted.get_mut(node) {
            // By now those of the learning containers are named or unknown, unless nobody is there to say which.
            let unnamed = std::mem::take(&mut counted.unnamed);
            if is_blind {
                counted.unknown = counted.unknown.saturating_add(unnamed);
            }
        }
    }

    /// Whether the observer of this node speaks of one of the learning containers. A StatefulSet gives the name of a pod that
    /// is gone to the next one, so that the uid counts.
    fn is_learner(&self, learners: &Learners, node: &str, container: &ObservedContainer) -> bool {
        let pod = self.pods.get(&container.pod).and_then(|pods| pods.get(&container.pod_uid));
        container.namespace == learners.workload.namespace
            && !container.pod_uid.is_empty()
            && pod.is_some_and(|pod| pod.node == node && pod.containers.contains(&container.container))
    }

    fn container(&mut self, container: &ObservedContainer) {
        for call in container.calls.iter().filter(|call| call.action == Action::Log.name()) {
            let made = self.calls.entry((call.name.clone(), call.architecture.clone())).or_default();
            made.insert(container.container_id.clone(), Made::of(container, call));
        }
        self.not_listed.insert(container.container_id.clone(), container.further);
    }

    /// The calls that a profile can name.
    fn learned(&self) -> BTreeSet<Syscall> {
        self.calls.keys().filter_map(|(name, _)| Syscall::from_name(name)).collect()
    }

    /// The calls that were seen, by name.
    pub(super) fn calls(&self) -> Vec<SeenCall> {
        let seen = self.calls.iter().map(|((call, architecture), made)| {
            let time = |time: &Option<Time>| time.as_ref().map(|time| time.0);
            let first = made.values().filter(|it| it.first.is_some()).min_by_key(|it| time(&it.first));
            let last = made.values().max_by_key(|it| time(&it.last));
            SeenCall {
                call: call.clone(),
                architecture: architecture.clone(),
                count: made.values().map(|it| it.count).fold(0, i64::saturating_add),
                containers: made.values().map(|it| it.container.clone()).collect(),
                pods: made.values().map(|it| it.pod.clone()).collect(),
                first: first.and_then(|it| it.first.clone()),
                last: last.and_then(|it| it.last.clone()),
                program: last.map(|it| it.program.clone()).unwrap_or_default(),
            }
        });
        seen.collect()
    }

    /// How many pods were under the learning profile.
    pub(super) fn pods(&self) -> usize {
        self.pods.values().map(BTreeMap::len).sum()
    }

    /// Whether calls of unknown containers were made since it began on the nodes that have or had its pods. They may have been
    /// its own.
    pub(super) fn has_unknown(&self) -> bool {
        self.counted.values().any(|(before, now)| before.unknown != now.unknown)
    }

    /// What was not seen, or cannot be learned.
    pub(super) fn remarks(&self) -> Vec<String> {
        let counted = self.counted.iter().flat_map(|(node, (before, now))| {
            let (had, has) = (&before.missed, &now.missed);
            let more = |before: i64, now: i64, what| {
                (now != before)
                    .then(|| format!("{node}: {} {what} since it began", now.saturating_sub(before)))
            };
            let all = [
                (had.boot != has.boot).then(|| format!("{node} was started anew meanwhile")),
                more(had.lost, has.lost, "audit records lost"),
                more(before.unknown, now.unknown, "calls of unknown containers"),
                more(had.forgotten, has.forgotten, "calls no longer listed"),
                (now.unnamed != 0)
                    .then(|| format!("{node}: {} calls of containers without a name yet", now.unnamed)),
            ];
            all.into_iter().flatten().map(|what| format!("calls may be missing: {what}"))
        });
        let not_listed = self.not_listed.values().copied().fold(0, i64::saturating_add);
        let not_listed = (not_listed > 0).then(|| {
            format!(
                "calls may be missing: the lists of its containers had no room for {not_listed}, unless a later round has \
                 shown them"
            )
        });
        let without_pods = self.without_pods.then(|| {
            "calls may be missing: for some time none of its pods ran under the profile that logs".to_owned()
        });
        let observers = self.observers_unknown.then(|| {
            "calls may be missing: you may not list pods of all namespaces, so that an observer that ended meanwhile looks like \
             a workload that made no new calls"
                .to_owned()
        });
        let blind = self
            .blind
            .values()
            .map(|why| format!("calls may be missing: for some time no record came from {why}"));
        let nameless = self.calls.keys().filter(|(name, _)| Syscall::from_name(name).is_none());
        let nameless = nameless.map(|(name, _)| format!("not learned: {name}, which no profile can name"));
        let some = [not_listed, without_pods, observers].into_iter().flatten();
        counted.chain(some).chain(blind).chain(nameless).collect()
    }
}

impl Counted {
    fn of(report: &ObservationReport) -> Self {
        let missed = Missed { boot: report.boot.clone(), lost: report.lost, forgotten: report.forgotten };
        Self { missed, unknown: report.never_named(), unnamed: report.unnamed }
    }
}

impl Made {
    fn of(container: &ObservedContainer, call: &ObservedCall) -> Self {
        Self {
            pod: container.pod.clone(),
            container: container.container.clone(),
            count: call.count,
            first: call.first.clone(),
            last: call.last.clone(),
            program: call.program.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
