//! What the observers have seen of the workload's pods, merged over pods, containers and rounds. Pure.

use std::collections::{BTreeMap, BTreeSet};

use api::{ObservedCall, ObservedContainer, WatchedPod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use profile::Action;
use serde::Serialize;
use syscalls::Syscall;

use super::session::Sighting;
use crate::denials::Observed;
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
}

impl Cluster {
    /// The pods of a workload that have not ended.
    pub(super) fn pods_of<'c>(&'c self, workload: &'c Workload) -> impl Iterator<Item = &'c WatchedPod> {
        self.pods.iter().filter(|pod| !pod.has_ended() && self.workload_of(pod) == *workload)
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
        let blind = observed.gap().and_then(|gap| gap.blind)?;
        Some(format!("{node} ({blind})"))
    }
}

/// What the observers have seen of the workload's pods under the learning profile. Pods and reports may go meanwhile: it
/// grows with the number of containers and different calls.
#[derive(Debug, Clone, Default)]
pub(super) struct Sightings {
    /// The containers that are or were under the learning profile, by the name and the uid of their pod.
    containers: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
    /// By call and architecture, and then by the container's id.
    calls: BTreeMap<(String, String), BTreeMap<String, Made>>,
    not_listed: BTreeMap<String, i64>,
    /// Nodes from which no records came at some time, each with why.
    blind: BTreeMap<String, String>,
    lost: BTreeMap<String, (i64, i64)>,
    unknown: BTreeMap<String, (i64, i64)>,
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
    /// Takes the state of the cluster. Returns what is known now.
    pub(super) fn take(&mut self, learners: &Learners, cluster: &Cluster) -> Sighting {
        let mut nodes = BTreeSet::new();
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
                self.containers.entry(name).or_default().insert(uid, under);
                nodes.extend(pod.spec.node().map(str::to_owned));
            }
        }
        for container in cluster.observed.iter().filter_map(Observed::report).flat_map(|it| &it.containers) {
            if self.is_learner(learners, container) {
                self.container(container);
            }
        }
        let mut now = Sighting { calls: self.learned(), ..Sighting::default() };
        now.not_listed = self.not_listed.values().copied().fold(0, i64::saturating_add);
        for node in nodes {
            if let Some(why) = cluster.blindness(&node) {
                self.blind.insert(node.clone(), why);
                now.blind.insert(node.clone());
            }
            let observed = cluster.observed.iter().find(|it| it.node() == node);
            if let Some(report) = observed.and_then(Observed::report) {
                now.lost.insert(node.clone(), report.lost);
                self.lost.entry(node.clone()).or_insert((report.lost, 0)).1 = report.lost;
                self.unknown.entry(node).or_insert((report.unknown, 0)).1 = report.unknown;
            }
        }
        now
    }

    fn is_learner(&self, learners: &Learners, container: &ObservedContainer) -> bool {
        let is_of = |(uid, containers): (&String, &BTreeSet<String>)| {
            // A StatefulSet gives the name of a pod that is gone to the next one.
            (container.pod_uid.is_empty() || container.pod_uid == *uid)
                && containers.contains(&container.container)
        };
        container.namespace == learners.workload.namespace
            && self.containers.get(&container.pod).is_some_and(|pods| pods.iter().any(is_of))
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
        self.containers.values().map(BTreeMap::len).sum()
    }

    /// What was not seen, or cannot be learned.
    pub(super) fn remarks(&self) -> Vec<String> {
        let more = |what: &'static str| {
            move |(node, (before, now)): (&String, &(i64, i64))| {
                (now != before)
                    .then(|| format!("calls may be missing: {node}: {} {what}", now.saturating_sub(*before)))
            }
        };
        let lost = self.lost.iter().filter_map(more("audit records lost since it began"));
        let unknown = self.unknown.iter().filter_map(more("calls of unknown containers since it began"));
        let blind = self
            .blind
            .values()
            .map(|why| format!("calls may be missing: for some time no record came from {why}"));
        let nameless = self.calls.keys().filter(|(name, _)| Syscall::from_name(name).is_none());
        let nameless = nameless.map(|(name, _)| format!("not learned: {name}, which no profile can name"));
        lost.chain(unknown).chain(blind).chain(nameless).collect()
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
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::owner::GroupKind;
    use crate::testing::at;

    fn pod(name: &str, uid: &str, node: &str, profile: &str) -> WatchedPod {
        let owner = json!({ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d", "uid": "u", "controller": true });
        let profile = json!({ "type": "Localhost", "localhostProfile": format!("profiles/{profile}.json") });
        let pod = json!({
            "metadata": { "name": name, "namespace": "shop", "uid": uid, "ownerReferences": [owner] },
            "spec": { "nodeName": node, "securityContext": { "seccompProfile": profile }, "containers": [{ "name": "main" }] },
        });
        serde_json::from_value(pod).unwrap()
    }

    fn call(name: &str, action: &str, count: i64, last: i64) -> Value {
        json!({
            "architecture": "x86_64", "number": 1, "name": name, "action": action, "count": count,
            "first": at(last - 10).0.to_string(), "last": at(last).0.to_string(), "program": "/bin/web",
        })
    }

    fn container(pod: &str, uid: &str, container: &str, id: &str, calls: Vec<Value>) -> Value {
        json!({
            "namespace": "shop", "pod": pod, "podUid": uid, "container": container, "containerId": id, "calls": calls,
            "further": 2,
        })
    }

    fn observed(node: &str, state: &str, lost: i64, containers: Vec<Value>) -> Observed {
        let report = json!({
            "observerVersion": "0.1.0", "state": state, "reason": "NoAudit", "message": "no audit",
            "containers": containers, "outside": 0, "unknown": lost * 2, "forgotten": 0, "lost": lost, "boot": "b",
        });
        let object = json!({ "metadata": { "name": node }, "status": { "report": report } });
        Observed::of(serde_json::from_value(object).unwrap())
    }

    fn learners() -> Learners {
        Learners {
            workload: Workload {
                namespace: "shop".into(),
                kind: GroupKind::of("apps/v1", "Deployment"),
                name: "web".into(),
            },
            profile: "web-learning".into(),
            directory: "profiles".into(),
        }
    }

    fn cluster(pods: Vec<WatchedPod>, observed: Vec<Observed>) -> Cluster {
        let deployment = Owner { kind: GroupKind::of("apps/v1", "Deployment"), name: "web".to_owned() };
        Cluster { observed, pods, owners: [(("shop".to_owned(), "web-5d".to_owned()), deployment)].into() }
    }

    fn names(sighting: &Sighting) -> Vec<&'static str> {
        sighting.calls.iter().map(|call| call.name()).collect()
    }

    #[test]
    fn calls_of_all_pods_and_rounds_are_merged_and_stay_when_a_pod_and_its_report_are_gone() {
        let mut sightings = Sightings::default();
        let log = |name, count, last| call(name, "SCMP_ACT_LOG", count, last);
        let first = cluster(
            vec![pod("web-1", "u1", "n1", "web-learning"), pod("web-2", "u2", "n2", "web-learning")],
            vec![
                observed(
                    "n1",
                    "Observing",
                    0,
                    vec![container("web-1", "u1", "main", "c1", vec![log("read", 3, 100)])],
                ),
                observed(
                    "n2",
                    "Observing",
                    0,
                    vec![container("web-2", "u2", "main", "c2", vec![log("read", 4, 200)])],
                ),
            ],
        );
        assert_eq!(names(&sightings.take(&learners(), &first)), ["read"]);
        let second = cluster(
            vec![pod("web-3", "u3", "n1", "web-learning")],
            vec![observed(
                "n1",
                "Observing",
                0,
                vec![container("web-3", "u3", "main", "c3", vec![log("write", 1, 300), log("read", 1, 50)])],
            )],
        );
        let now = sightings.take(&learners(), &second);
        assert_eq!(now.calls.len(), 2);
        assert_eq!((now.not_listed, now.lost.len(), sightings.pods()), (6, 1, 3));
        let calls = sightings.calls();
        assert_eq!((calls[0].call.as_str(), calls[0].count, calls[0].pods.len()), ("read", 8, 3));
        assert_eq!((&calls[0].first, &calls[0].last), (&Some(at(40)), &Some(at(200))));
    }

    #[test]
    fn only_logged_calls_of_the_workloads_learning_containers_count() {
        let log = || vec![call("bpf", "SCMP_ACT_LOG", 1, 100)];
        let observed = observed(
            "n1",
            "Observing",
            0,
            vec![
                container("web-1", "u1", "main", "c1", vec![call("mount", "SCMP_ACT_ERRNO", 1, 100)]),
                container("web-1", "u1", "proxy", "c2", log()),
                container("web-1", "earlier", "main", "c3", log()),
                container("web-2", "u2", "main", "c4", log()),
                container("other", "u9", "main", "c5", log()),
            ],
        );
        let pods = vec![pod("web-1", "u1", "n1", "web-learning"), pod("web-2", "u2", "n1", "audit")];
        let sighting = Sightings::default().take(&learners(), &cluster(pods, vec![observed]));
        assert_eq!(names(&sighting), [""; 0]);
    }

    #[test]
    fn what_was_missed_is_said() {
        let mut sightings = Sightings::default();
        let pods = || vec![pod("web-1", "u1", "n1", "web-learning")];
        let log = vec![call("syscall_0x1388", "SCMP_ACT_LOG", 1, 100)];
        let first = vec![observed("n1", "Observing", 5, vec![container("web-1", "u1", "main", "c1", log)])];
        assert!(sightings.take(&learners(), &cluster(pods(), first)).blind.is_empty());
        assert_eq!(sightings.remarks(), ["not learned: syscall_0x1388, which no profile can name"]);
        let second = vec![observed("n1", "Blind", 7, vec![])];
        let now = sightings.take(&learners(), &cluster(pods(), second));
        assert_eq!((now.blind.len(), now.lost["n1"]), (1, 7));
        assert_eq!(
            sightings.remarks()[..3],
            [
                "calls may be missing: n1: 2 audit records lost since it began",
                "calls may be missing: n1: 4 calls of unknown containers since it began",
                "calls may be missing: for some time no record came from n1 (NoAudit: no audit)",
            ]
        );
        let gone = sightings.take(&learners(), &cluster(pods(), vec![]));
        assert_eq!(gone.blind.len(), 1);
    }
}
