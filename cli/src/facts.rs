//! What the commands judge by: plain data, taken from the objects at the edge.

use std::collections::{BTreeMap, BTreeSet};

use api::{
    NodeProfileStatus, ProfileName, Report, SeccompProfile, SeccompProfileStatus, StartFailure, Untrusted,
    WatchedPod, conditions,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use profile::{ContentHash, ShortHash};

/// A cluster's profiles and nodes, as of one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The profiles, by name.
    pub profiles: BTreeMap<String, ProfileSummary>,
    /// The nodes that should have an agent, by name: the operator keeps an object for each.
    pub nodes: BTreeMap<String, NodeFacts>,
    /// The agents' pods.
    pub agents: Agents,
    /// The names of the cluster's Nodes, where whoever asks may list them and has asked.
    pub existing: Option<BTreeSet<String>>,
}

/// A `SeccompProfile`.
#[derive(Debug, Clone)]
pub struct ProfileSummary {
    /// Its name.
    pub name: String,
    /// `metadata.generation`.
    pub generation: Option<i64>,
    /// The hash that every node should report, or what is wrong with the contents.
    pub content: Result<ContentHash, String>,
    /// Whether somebody deleted it.
    pub deleted: bool,
    /// Whether the nodes may remove its file.
    pub removal_approved: bool,
    /// What the operator says of it; `None` before it says anything that can be read.
    pub status: Option<SeccompProfileStatus>,
}

/// A node, as its `NodeProfileStatus` shows it.
#[derive(Debug, Clone)]
pub struct NodeFacts {
    /// The node's name.
    pub name: String,
    /// When the operator began to wait for it.
    pub created: Option<Time>,
    /// What its agent says; `None` before its first report.
    pub report: Option<Report>,
    /// What the operator makes of it.
    pub ready: Option<Condition>,
    /// Profiles that it has and under which containers do not start, as the operator says.
    pub start_failures: Vec<StartFailure>,
    /// Since when it says so.
    pub start_failures_since: Option<Time>,
}

/// The agents' pods.
#[derive(Debug, Clone, Default)]
pub enum Agents {
    /// By node; during an update a node has two.
    Known(BTreeMap<String, Vec<AgentPod>>),
    /// Whoever asks may not list them, or did not ask.
    #[default]
    Unknown,
}

/// An agent's pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentPod {
    /// `namespace/name`.
    pub display: String,
    /// Whether it is ready.
    pub ready: bool,
    /// When that last changed, as far as it says.
    pub since: Option<Time>,
}

impl ProfileSummary {
    /// What a stored profile says.
    #[must_use]
    pub fn of(object: &Untrusted<SeccompProfile>) -> Self {
        let name = object.metadata.name.clone().unwrap_or_default();
        let content = match name.parse::<ProfileName>() {
            Ok(_) => object.profile().map(|it| it.canonical().hash()).map_err(|error| error.to_string()),
            Err(error) => Err(format!("metadata.name: {error}")),
        };
        Self {
            name,
            generation: object.metadata.generation,
            content,
            deleted: object.metadata.deletion_timestamp.is_some(),
            removal_approved: object.removal_approved(),
            status: object.status().filter(SeccompProfileStatus::is_judgement),
        }
    }

    /// A condition of the operator's.
    #[must_use]
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == kind)
    }

    /// Whether the operator's word is about the contents as they are now.
    #[must_use]
    pub fn is_judged(&self) -> bool {
        self.status.as_ref().is_some_and(|status| status.observed_generation == self.generation)
    }

    /// Whether the operator calls the contents as they are now ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.is_judged() && self.condition(conditions::READY).is_some_and(|ready| ready.status == "True")
    }

    /// What every node should report of it; `None` where its file may go, or the contents are no profile.
    #[must_use]
    pub fn wanted(&self) -> Option<ShortHash> {
        self.content.as_ref().ok().filter(|_| !self.removal_approved).map(ContentHash::short)
    }
}

impl NodeFacts {
    /// What a stored `NodeProfileStatus` says.
    #[must_use]
    pub fn of(object: &Untrusted<NodeProfileStatus>) -> Self {
        let status = object.clone().into_status().unwrap_or_default();
        let find = |kind| status.conditions.iter().find(|condition| condition.type_ == kind);
        // An operator of an earlier release that takes over knows the conditions alone, and drops this one.
        let do_not_start = find(conditions::CONTAINERS_START).filter(|condition| condition.status == "False");
        Self {
            name: object.metadata.name.clone().unwrap_or_default(),
            created: object.metadata.creation_timestamp.clone(),
            ready: find(conditions::READY).cloned(),
            start_failures_since: do_not_start.map(|condition| condition.last_transition_time.clone()),
            start_failures: if do_not_start.is_some() { status.start_failures } else { Vec::new() },
            report: status.report,
        }
    }

    /// The hash of what its agent read back from the disk under a profile's name.
    #[must_use]
    pub fn held(&self, profile: &str) -> Option<ShortHash> {
        self.report.as_ref()?.files.get(profile)?.parse().ok()
    }

    /// Why its `Ready` is as it is, in the operator's word.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.ready.as_ref().map(|ready| ready.reason.as_str())
    }

    /// Since when its `Ready` is anything but True.
    #[must_use]
    pub fn not_ready_since(&self) -> Option<&Time> {
        self.ready.as_ref().filter(|ready| ready.status != "True").map(|ready| &ready.last_transition_time)
    }
}

impl Snapshot {
    /// Whether a node is known not to exist: what is kept of it tells of nobody's disk.
    #[must_use]
    pub fn is_gone(&self, node: &str) -> bool {
        self.existing.as_ref().is_some_and(|existing| !existing.contains(node))
    }

    /// The nodes with an agent's pod that the operator keeps no object for, with that pod.
    pub fn unreported(&self) -> impl Iterator<Item = (&str, &str)> {
        let by_node = match &self.agents {
            Agents::Known(by_node) => Some(by_node),
            Agents::Unknown => None,
        };
        let absent = by_node.into_iter().flatten().filter(|(node, _)| !self.nodes.contains_key(*node));
        absent.filter_map(|(node, pods)| Some((node.as_str(), pods.first()?.display.as_str())))
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

    /// What is wrong with a node's agent, and since when; `None` where one is ready, or nobody knows.
    #[must_use]
    pub fn trouble(&self, node: &str) -> Option<(String, Option<&Time>)> {
        let Self::Known(by_node) = self else { return None };
        let pods = by_node.get(node).map(Vec::as_slice).unwrap_or_default();
        if pods.iter().any(|pod| pod.ready) {
            return None;
        }
        Some(match pods.first() {
            Some(pod) => (format!("the pod of its agent, {}, is not ready", pod.display), pod.since.as_ref()),
            None => ("no pod of an agent is on it".to_owned(), None),
        })
    }
}

impl AgentPod {
    fn of(pod: &WatchedPod) -> Self {
        let readiness = pod.readiness();
        let part = |part: &Option<String>| part.clone().unwrap_or_default();
        Self {
            display: format!("{}/{}", part(&pod.metadata.namespace), part(&pod.metadata.name)),
            ready: readiness.ready,
            since: readiness.since.map(Time),
        }
    }
}
