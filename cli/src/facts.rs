//! The facts that the commands need: plain data, extracted from the objects.

use std::collections::{BTreeMap, BTreeSet};

use api::{
    NodeProfileStatus, NodeProfileStatusSpec, ProfileName, Report, SeccompProfile, SeccompProfileStatus,
    StartFailure, Untrusted, WatchedPod, conditions,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use profile::{ContentHash, ShortHash};

/// A cluster's profiles and nodes at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The profiles, by name.
    pub profiles: BTreeMap<String, ProfileSummary>,
    /// The nodes that should have an agent, by name: the operator creates an object for each.
    pub nodes: BTreeMap<String, NodeFacts>,
    /// The agents' pods.
    pub agents: Agents,
    /// The names of the cluster's Nodes, if they were listed.
    pub existing: Option<BTreeSet<String>>,
}

/// A `SeccompProfile`.
#[derive(Debug, Clone)]
pub struct ProfileSummary {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Whether it selects the nodes that hold it.
    pub selects: bool,
    /// `metadata.generation`.
    pub generation: Option<i64>,
    /// The hash that every node should report, or the error in the contents.
    pub content: Result<ContentHash, String>,
    /// Whether somebody deleted it.
    pub deleted: bool,
    /// Whether the nodes may remove its file.
    pub removal_approved: bool,
    /// The operator's status; `None` if there is no readable one.
    pub status: Option<SeccompProfileStatus>,
}

/// A node, from its `NodeProfileStatus`.
#[derive(Debug, Clone)]
pub struct NodeFacts {
    /// The node's name.
    pub name: String,
    /// When the operator began to wait for it.
    pub created: Option<Time>,
    /// The profiles that the operator says it does not hold, each with its uid.
    pub excluded: BTreeMap<String, String>,
    /// Its agent's report; `None` before the first one.
    pub report: Option<Report>,
    /// The operator's condition `Ready`.
    pub ready: Option<Condition>,
    /// Profiles that the node has and under which containers do not start, according to the operator.
    pub start_failures: Vec<StartFailure>,
    /// Since when the operator has reported this.
    pub start_failures_since: Option<Time>,
}

/// The pods of agents, or of observers.
#[derive(Debug, Clone, Default)]
pub enum Agents {
    /// The pods by node; during an update a node has two.
    Known(BTreeMap<String, Vec<AgentPod>>),
    /// The pods were not listed, or the user may not list them.
    #[default]
    Unknown,
}

/// The pod of an agent or an observer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentPod {
    /// `namespace/name`.
    pub namespaced_name: String,
    /// Whether it is ready.
    pub ready: bool,
    /// When that last changed, if known.
    pub since: Option<Time>,
}

impl ProfileSummary {
    /// The facts from a stored profile.
    #[must_use]
    pub fn of(object: &Untrusted<SeccompProfile>) -> Self {
        let name = object.metadata.name.clone().unwrap_or_default();
        let content = match name.parse::<ProfileName>() {
            Ok(_) => object.profile().map(|it| it.canonical().hash()).map_err(|error| error.to_string()),
            Err(error) => Err(format!("metadata.name: {error}")),
        };
        Self {
            name,
            uid: object.metadata.uid.clone().unwrap_or_default(),
            selects: object.spec.get("nodeSelector").is_some_and(|selector| !selector.is_null()),
            generation: object.metadata.generation,
            content,
            deleted: object.metadata.deletion_timestamp.is_some(),
            removal_approved: object.removal_approved(),
            status: object.status().filter(SeccompProfileStatus::is_reconciled),
        }
    }

    /// A condition that the operator has written.
    #[must_use]
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == kind)
    }

    /// Whether the operator's status is about the current contents.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.status.as_ref().is_some_and(|status| status.observed_generation == self.generation)
    }

    /// Whether the operator reports the current contents as ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.is_current() && self.condition(conditions::READY).is_some_and(|ready| ready.status == "True")
    }

    /// The hash that every node should report; `None` if the removal of the file is approved or the contents are
    /// invalid.
    #[must_use]
    pub fn wanted(&self) -> Option<ShortHash> {
        self.content.as_ref().ok().filter(|_| !self.removal_approved).map(ContentHash::short)
    }
}

impl NodeFacts {
    /// The facts from a stored `NodeProfileStatus`.
    #[must_use]
    pub fn of(object: &Untrusted<NodeProfileStatus>) -> Self {
        let status = object.clone().into_status().unwrap_or_default();
        let find = |kind| status.conditions.iter().find(|condition| condition.type_ == kind);
        // An operator of an earlier release that takes over drops this condition and does not know `startFailures`.
        let do_not_start = find(conditions::CONTAINERS_START).filter(|condition| condition.status == "False");
        Self {
            name: object.metadata.name.clone().unwrap_or_default(),
            created: object.metadata.creation_timestamp.clone(),
            excluded: NodeProfileStatusSpec::excluded_in(&object.spec),
            ready: find(conditions::READY).cloned(),
            start_failures_since: do_not_start.map(|condition| condition.last_transition_time.clone()),
            start_failures: if do_not_start.is_some() { status.start_failures } else { Vec::new() },
            report: status.report,
        }
    }

    /// Whether the node is not to hold a profile, because the profile selects others. As for an agent, the operator's word
    /// counts only for a profile that selects nodes.
    #[must_use]
    pub fn excludes(&self, profile: &ProfileSummary) -> bool {
        profile.selects && self.excluded.get(&profile.name) == Some(&profile.uid)
    }

    /// The hash of a profile's file, as its agent read it back from the disk.
    #[must_use]
    pub fn file_hash(&self, profile: &str) -> Option<ShortHash> {
        self.report.as_ref()?.files.get(profile)?.parse().ok()
    }

    /// The reason of its condition `Ready`.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.ready.as_ref().map(|ready| ready.reason.as_str())
    }

    /// Since when its condition `Ready` has not been True.
    #[must_use]
    pub fn not_ready_since(&self) -> Option<&Time> {
        self.ready.as_ref().filter(|ready| ready.status != "True").map(|ready| &ready.last_transition_time)
    }
}

impl Snapshot {
    /// Whether a node is known not to exist, so that its object describes no disk.
    #[must_use]
    pub fn is_gone(&self, node: &str) -> bool {
        self.existing.as_ref().is_some_and(|existing| !existing.contains(node))
    }

    /// The nodes with an agent's pod and without a `NodeProfileStatus`, with that pod.
    pub fn unreported(&self) -> impl Iterator<Item = (&str, &str)> {
        let by_node = match &self.agents {
            Agents::Known(by_node) => Some(by_node),
            Agents::Unknown => None,
        };
        let absent = by_node.into_iter().flatten().filter(|(node, _)| !self.nodes.contains_key(*node));
        absent.filter_map(|(node, pods)| Some((node.as_str(), pods.first()?.namespaced_name.as_str())))
    }
}

impl Agents {
    /// The pods in a list.
    #[must_use]
    pub fn of(pods: &[WatchedPod]) -> Self {
        let mut by_node: BTreeMap<String, Vec<AgentPod>> = BTreeMap::new();
        for pod in pods {
            if let Some(node) = pod.spec.node() {
                by_node.entry(node.to_owned()).or_default().push(AgentPod::of(pod));
            }
        }
        Self::Known(by_node)
    }

    /// What is wrong with a node's agent, and since when; `None` if one is ready, or this is not known.
    #[must_use]
    pub fn trouble(&self, node: &str) -> Option<(String, Option<&Time>)> {
        let Self::Known(by_node) = self else { return None };
        let pods = by_node.get(node).map(Vec::as_slice).unwrap_or_default();
        if pods.iter().any(|pod| pod.ready) {
            return None;
        }
        Some(match pods.first() {
            Some(pod) => {
                (format!("the pod of its agent, {}, is not ready", pod.namespaced_name), pod.since.as_ref())
            }
            None => ("no pod of an agent is on it".to_owned(), None),
        })
    }
}

impl AgentPod {
    fn of(pod: &WatchedPod) -> Self {
        let readiness = pod.readiness();
        let part = |part: &Option<String>| part.clone().unwrap_or_default();
        Self {
            namespaced_name: format!("{}/{}", part(&pod.metadata.namespace), part(&pod.metadata.name)),
            ready: readiness.ready,
            since: readiness.since.map(Time),
        }
    }
}
