//! `denials`: which calls filters refused or logged, in which workload, and what would allow them.
//!
//! The counts come from the nodes' SeccompObservations, which name pods and containers but no profiles: an observer may
//! not read pods. Which profile a container has follows from the pod, which the user may read.

mod allow;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use api::{
    ObservationReport, ObservedCall, ObservedContainer, ObserverState, SeccompObservation,
    SeccompObservationStatus, Untrusted, WatchedPod,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Serialize;
use serde_json::Value;

use crate::outdated::{ReplicaSetOwners, Workload};
use crate::owner::Owner;
pub use allow::Allowing;
pub use view::DenialsView;

/// What is to be shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Wanted {
    /// The calls under every profile.
    #[default]
    All,
    /// Those under the profile of this name.
    Profile(String),
    /// Those of the pod of this name, under whatever profile.
    Pod(String),
    /// Either.
    Either(String),
}

impl Wanted {
    /// What the argument of the command means: `pod/NAME`, `seccompprofile/NAME` or the name of either.
    #[must_use]
    pub fn of(argument: Option<&str>) -> Self {
        let Some(argument) = argument else { return Self::All };
        match argument.split_once('/') {
            Some(("pod" | "pods" | "po", name)) => Self::Pod(name.to_owned()),
            Some(("seccompprofile" | "seccompprofiles", name)) => Self::Profile(name.to_owned()),
            _ => Self::Either(argument.to_owned()),
        }
    }

    fn includes(&self, profile: Option<&str>, is_ours: bool, pod: &str) -> bool {
        match self {
            Self::All => is_ours,
            Self::Profile(name) => profile == Some(name),
            Self::Pod(name) => pod == name,
            Self::Either(name) => pod == name || profile == Some(name),
        }
    }
}

/// The observation of one node.
#[derive(Debug, Clone)]
pub struct Observed {
    node: String,
    report: Option<ObservationReport>,
}

impl Observed {
    /// The facts from a stored observation.
    #[must_use]
    pub fn of(object: Untrusted<SeccompObservation>) -> Self {
        let status = serde_json::from_value::<SeccompObservationStatus>(object.status).unwrap_or_default();
        Self { node: object.metadata.name.unwrap_or_default(), report: status.report }
    }

    /// The node's name.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Its observer's report, if there is one.
    #[must_use]
    pub fn report(&self) -> Option<&ObservationReport> {
        self.report.as_ref()
    }

    /// What the observer did not see or could not attribute, if that is known.
    #[must_use]
    pub fn gap(&self) -> Option<Gap> {
        Gap::of(self)
    }
}

/// What a pod says of the containers in it.
#[derive(Debug, Clone)]
pub struct PodFacts {
    namespace: String,
    name: String,
    uid: String,
    owner: Option<Owner>,
    spec: api::PodSpec,
}

impl PodFacts {
    /// The facts from a pod.
    #[must_use]
    pub fn of(pod: WatchedPod) -> Self {
        Self {
            owner: Owner::of(&pod.metadata),
            namespace: pod.metadata.namespace.unwrap_or_default(),
            name: pod.metadata.name.unwrap_or_default(),
            uid: pod.metadata.uid.unwrap_or_default(),
            spec: pod.spec,
        }
    }

    /// Whether its controller may have a controller itself.
    #[must_use]
    pub fn is_of_replica_set(&self) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.kind.is_replica_set())
    }
}

/// A call that the filter of a workload's container refused or logged.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Denial {
    /// The profile of the container; absent if the pod is gone, or names none of ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The workload's namespace.
    pub namespace: String,
    /// Its kind: `Pod` for a pod that no controller made, or that is gone.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The container.
    pub container: String,
    /// The name of the call.
    pub call: String,
    /// The architecture.
    pub architecture: String,
    /// What the filter did.
    pub action: String,
    /// How often, in all its pods.
    pub count: i64,
    /// The first time that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<Time>,
    /// The last time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Time>,
    /// The program that made it last.
    pub program: String,
    /// The pods.
    pub pods: BTreeSet<String>,
}

/// What the observer of a node did not see or could not attribute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Gap {
    /// The node.
    pub node: String,
    /// Why no record arrives there; absent if they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blind: Option<String>,
    /// Records that did not arrive.
    pub lost: i64,
    /// Calls whose container is not known, and will not be.
    pub unknown: i64,
    /// Calls of containers whose name is not known yet: within a minute or so they are theirs, or unknown.
    #[serde(skip_serializing_if = "is_zero")]
    pub unnamed: i64,
    /// Calls that were counted and displaced by newer ones, in containers or as a whole.
    pub not_listed: i64,
}

impl Gap {
    fn of(observed: &Observed) -> Option<Self> {
        let node = observed.node.clone();
        let Some(report) = &observed.report else {
            let blind = Some("its observer has not reported".to_owned());
            return Some(Self { node, blind, lost: 0, unknown: 0, unnamed: 0, not_listed: 0 });
        };
        let blind = (report.state != ObserverState::Observing)
            .then(|| format!("{}: {}", report.reason, report.message));
        let further = report.containers.iter().map(|it| it.further);
        let not_listed = further.fold(report.forgotten, i64::saturating_add);
        let ObservationReport { lost, unnamed, .. } = *report;
        let unknown = report.never_named();
        let is_complete = blind.is_none() && [lost, unknown, unnamed, not_listed].iter().all(|it| *it <= 0);
        (!is_complete).then_some(Self { node, blind, lost, unknown, unnamed, not_listed })
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blind = self.blind.iter().map(|why| format!("no record arrives ({why})"));
        let counts = [
            (self.lost, "audit records lost"),
            (self.unknown, "calls of unknown containers"),
            (self.unnamed, "calls of containers whose name is not known yet"),
            (self.not_listed, "calls no longer listed"),
        ];
        let counts = counts.into_iter().filter(|(count, _)| *count > 0);
        let parts: Vec<_> = blind.chain(counts.map(|(count, what)| format!("{count} {what}"))).collect();
        write!(f, "{}: {}", self.node, parts.join(", "))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

type Key = (Option<String>, Workload, String, String, String, String);

/// What is known of the refused and logged calls, and which of them are wanted.
#[derive(Debug, Clone, Copy)]
pub struct Known<'k> {
    /// The observation of each node.
    pub observed: &'k [Observed],
    /// The pods.
    pub pods: &'k [PodFacts],
    /// The controllers of the `ReplicaSets`.
    pub owners: &'k ReplicaSetOwners,
    /// The directory of the profiles below the kubelet's `seccomp/`.
    pub directory: &'k str,
    /// Only calls in this namespace.
    pub namespace: Option<&'k str>,
    /// Only calls of this profile or pod.
    pub wanted: &'k Wanted,
}

/// The calls that are wanted, newest first.
fn denials(known: Known<'_>) -> Vec<Denial> {
    let Known { observed, pods, owners, directory, namespace, wanted } = known;
    let by_name: BTreeMap<_, _> =
        pods.iter().map(|pod| ((pod.namespace.as_str(), pod.name.as_str()), pod)).collect();
    let mut found = BTreeMap::<Key, Denial>::new();
    let reports = observed.iter().filter_map(|it| it.report.as_ref());
    let containers = reports.flat_map(|report| &report.containers);
    for container in containers.filter(|it| namespace.is_none_or(|namespace| it.namespace == namespace)) {
        let pod = by_name.get(&(container.namespace.as_str(), container.pod.as_str()));
        // A StatefulSet gives the name of a pod that is gone to the next one.
        let pod = pod.filter(|pod| container.pod_uid.is_empty() || pod.uid == container.pod_uid);
        let profile = pod.and_then(|pod| pod.spec.profile_of(&container.container, directory));
        let profile = profile.map(|profile| profile.to_string());
        let is_ours = profile.is_some() || pod.is_none();
        if !wanted.includes(profile.as_deref(), is_ours, &container.pod) {
            continue;
        }
        let owner = pod.and_then(|pod| pod.owner.as_ref());
        let workload = Workload::of(&container.namespace, &container.pod, owner, owners);
        for call in &container.calls {
            add(&mut found, profile.clone(), workload.clone(), container, call);
        }
    }
    let mut denials: Vec<_> = found.into_values().collect();
    denials.sort_by_key(|it| std::cmp::Reverse(it.last.as_ref().map(|last| last.0)));
    denials
}

fn add(
    found: &mut BTreeMap<Key, Denial>,
    profile: Option<String>,
    workload: Workload,
    container: &ObservedContainer,
    call: &ObservedCall,
) {
    let key = (
        profile.clone(),
        workload.clone(),
        container.container.clone(),
        call.name.clone(),
        call.architecture.clone(),
        call.action.clone(),
    );
    let denial = found.entry(key).or_insert_with(|| Denial {
        profile,
        namespace: workload.namespace,
        kind: workload.kind.to_string(),
        name: workload.name,
        container: container.container.clone(),
        call: call.name.clone(),
        architecture: call.architecture.clone(),
        action: call.action.clone(),
        count: 0,
        first: call.first.clone(),
        last: None,
        program: String::new(),
        pods: BTreeSet::new(),
    });
    denial.count = denial.count.saturating_add(call.count);
    denial.pods.insert(container.pod.clone());
    let time = |time: &Option<Time>| time.as_ref().map(|time| time.0);
    if time(&call.first) < time(&denial.first) {
        denial.first.clone_from(&call.first);
    }
    if time(&call.last) >= time(&denial.last) {
        denial.last.clone_from(&call.last);
        denial.program.clone_from(&call.program);
    }
}

/// The contents of the profiles that matter for an answer, by name.
pub type Contents = BTreeMap<String, Value>;

#[cfg(test)]
mod tests;
