//! What the observers have seen of the workload's pods, merged over pods, containers and rounds. Pure.

use std::collections::{BTreeMap, BTreeSet};

use api::{ObservationReport, ObservedCall, ObservedContainer, WatchedPod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use profile::Action;
use serde::Serialize;
use syscalls::Syscall;

use super::session::{Missed, Sighting};
use crate::denials::Observed;
use crate::facts::Agents;
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
        if let Some(blind) = observed.gap().and_then(|gap| gap.blind) {
            return Some(format!("{node} ({blind})"));
        }
        // It reports only what is new: of one that has ended, the last report stays.
        let Agents::Known(pods) = &self.observers else { return None };
        let is_ready = pods.get(node).is_some_and(|pods| pods.iter().any(|pod| pod.ready));
        (!is_ready).then(|| format!("{node} (its observer's pod is not ready)"))
    }
}

/// What the observers have seen of the workload's pods under the learning profile. Pods and reports may go meanwhile: it
/// grows with the number of containers and different calls.
#[derive(Debug, Clone, Default)]
pub(super) struct Sightings {
    /// The pods that are or were under the learning profile, by their name and uid.
    pods: BTreeMap<String, BTreeMap<String, LearningPod>>,
    /// By call and architecture, and then by the container's id.
    calls: BTreeMap<(String, String), BTreeMap<String, Made>>,
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
    unknown: i64,
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

    /// Takes the state of the cluster. Returns what is known now.
    pub(super) fn take(&mut self, learners: &Learners, cluster: &Cluster) -> Sighting {
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
        for node in nodes {
            if let Some(why) = cluster.blindness(&node) {
                self.blind.insert(node.clone(), why);
                now.blind.insert(node.clone());
            }
            let observed = cluster.observed.iter().find(|it| it.node() == node);
            if let Some(report) = observed.and_then(Observed::report) {
                let counted = Counted::of(report);
                now.missed.insert(node.clone(), counted.missed.clone());
                let entry = self.counted.entry(node).or_insert_with(|| (counted.clone(), counted.clone()));
                entry.1 = counted;
            }
        }
        now
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
        Self { missed, unknown: report.unknown }
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
    use crate::facts::AgentPod;
    use crate::owner::GroupKind;
    use crate::testing::at;

    fn pod(name: &str, uid: &str, node: &str, profile: &str) -> WatchedPod {
        let owner = json!({ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d", "uid": "u", "controller": true });
        let profile = json!({ "type": "Localhost", "localhostProfile": format!("profiles/{profile}.json") });
        let pod = json!({
            "metadata": { "name": name, "namespace": "shop", "uid": uid, "ownerReferences": [owner] },
            "spec": { "nodeName": node, "securityContext": { "seccompProfile": profile }, "containers": [{ "name": "main" }] },
            "status": { "phase": "Running" },
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
            "further": 0,
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
        let owners = [(("shop".to_owned(), "web-5d".to_owned()), deployment)].into();
        Cluster { observed, pods, owners, observers: observers(true) }
    }

    fn observers(ready: bool) -> Agents {
        let pod = |node: &str| {
            let namespaced_name = format!("seccomp-profile/observer-{node}");
            (node.to_owned(), vec![AgentPod { namespaced_name, ready, since: None }])
        };
        Agents::Known(["n1", "n2"].map(pod).into())
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
        assert_eq!((now.not_listed, now.missed.len(), sightings.pods()), (0, 1, 3));
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
                container("web-1", "", "main", "c6", log()),
                container("web-2", "u2", "main", "c4", log()),
                container("other", "u9", "main", "c5", log()),
            ],
        );
        // The observer of another node.
        let other =
            super::tests::observed("n2", "Observing", 0, vec![container("web-1", "u1", "main", "c1", log())]);
        let pods = vec![pod("web-1", "u1", "n1", "web-learning"), pod("web-2", "u2", "n1", "audit")];
        let sighting = Sightings::default().take(&learners(), &cluster(pods, vec![observed, other]));
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
        assert_eq!((now.blind.len(), now.missed["n1"].lost), (1, 7));
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

    #[test]
    fn without_a_running_pod_of_it_nothing_is_seen() {
        let mut pending = pod("web-1", "u1", "n1", "web-learning");
        let set_phase = |pod: &mut WatchedPod, phase: &str| {
            let mut value = json!({ "metadata": pod.metadata, "status": { "phase": phase } });
            value["spec"] = json!({
                "nodeName": "n1", "containers": [{ "name": "main" }],
                "securityContext": { "seccompProfile": { "localhostProfile": "profiles/web-learning.json" } },
            });
            *pod = serde_json::from_value(value).unwrap();
        };
        let blind = |pods| {
            let mut sightings = Sightings::default();
            let now =
                sightings.take(&learners(), &cluster(pods, vec![observed("n1", "Observing", 0, vec![])]));
            assert_eq!(
                !now.blind.is_empty(),
                sightings.remarks().iter().any(|it| it.contains("none of its pods"))
            );
            now.blind
        };
        assert_eq!(blind(vec![pod("web-1", "u1", "n1", "web-learning")]).len(), 0);
        assert_eq!(blind(vec![]).len(), 1);
        assert_eq!(blind(vec![pod("web-1", "u1", "n1", "another")]).len(), 1);
        for phase in ["Pending", "Failed"] {
            set_phase(&mut pending, phase);
            assert_eq!(blind(vec![pending.clone()]).len(), 1, "{phase}");
        }
    }

    #[test]
    fn a_node_whose_observer_is_not_ready_is_blind_whatever_it_reported_last() {
        let mut sightings = Sightings::default();
        let pods = || vec![pod("web-1", "u1", "n1", "web-learning")];
        let mut state = cluster(pods(), vec![observed("n1", "Observing", 0, vec![])]);
        assert_eq!(sightings.take(&learners(), &state).blind.len(), 0);
        for observers in [observers(false), Agents::Known([].into())] {
            state.observers = observers;
            assert!(sightings.take(&learners(), &state).blind.contains("n1"));
        }
        assert!(sightings.remarks()[0].contains("n1 (its observer's pod is not ready)"));
        // Whether it is cannot be known without the right to list its pods.
        state.observers = Agents::Unknown;
        assert_eq!(sightings.take(&learners(), &state).blind.len(), 0);
        assert!(sightings.remarks()[0].contains("you may not list pods of all namespaces"));
    }

    #[test]
    fn what_was_missed_counts_since_the_beginning_and_a_full_list_is_said() {
        let first = cluster(vec![], vec![observed("n1", "Observing", 5, vec![])]);
        let mut sightings = Sightings::since(&first);
        let mut full = container("web-1", "u1", "main", "c1", vec![]);
        full["further"] = json!(3);
        let pods = vec![pod("web-1", "u1", "n1", "web-learning")];
        let now =
            sightings.take(&learners(), &cluster(pods, vec![observed("n1", "Observing", 6, vec![full])]));
        assert_eq!(now.not_listed, 3);
        let remarks = sightings.remarks();
        assert_eq!(remarks[0], "calls may be missing: n1: 1 audit records lost since it began");
        assert!(remarks.iter().any(|it| it.contains("had no room for 3")), "{remarks:?}");
    }
}
