//! The facts that the index needs about a Pod: which profiles it uses, or that it is an agent.

use std::collections::{BTreeMap, BTreeSet};

use api::{PodReadiness, RunningContainer, WatchedPod};
use k8s_openapi::jiff::Timestamp;

use super::{PodStartFailure, created};

/// Which pods are agents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentPods {
    /// Their namespace.
    pub namespace: String,
    /// Labels that all of them have.
    pub labels: BTreeMap<String, String>,
}

/// A Pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodFacts {
    /// Its uid.
    pub uid: String,
    /// `namespace/name`, for messages.
    pub namespaced_name: String,
    /// The node that it is bound to.
    pub node: Option<String>,
    /// When it was created.
    pub created: Timestamp,
    /// Whether it is an agent, a user of profiles, or neither.
    pub kind: PodKind,
    /// Its containers that do not start, likely because of a profile.
    pub failed_starts: Vec<PodStartFailure>,
    /// Its containers that run under a profile, if it is a user.
    pub running: Vec<RunningUnder>,
}

/// A running container under a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningUnder {
    /// The profile.
    pub profile: String,
    /// When something happened on the node before the container was created, if known.
    pub created_after: Option<Timestamp>,
    /// When it started.
    pub started: Timestamp,
}

impl From<RunningContainer> for RunningUnder {
    fn from(container: RunningContainer) -> Self {
        let RunningContainer { profile, created_after, started, .. } = container;
        Self { profile: profile.to_string(), created_after, started }
    }
}

/// The kind of a pod, as far as the operator distinguishes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PodKind {
    /// An agent.
    Agent {
        /// Whether its Ready condition is True.
        ready: bool,
        /// When that condition last changed.
        since: Option<Timestamp>,
    },
    /// It has not ended and names these profiles.
    User(BTreeSet<String>),
    /// Neither.
    Other,
}

impl PodFacts {
    /// The facts of a watched Pod. `directory` is the directory of the profiles below the kubelet's `seccomp/`.
    #[must_use]
    pub fn of(pod: &WatchedPod, directory: &str, agents: &AgentPods) -> Self {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let kind = PodKind::of(pod, directory, namespace, agents);
        let is_user = matches!(kind, PodKind::User(_));
        let running = if is_user { pod.running(directory) } else { Vec::new() };
        Self {
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            namespaced_name: format!("{namespace}/{name}"),
            node: pod.spec.node().map(str::to_owned),
            created: created(&pod.metadata),
            kind,
            failed_starts: PodStartFailure::of(pod, directory),
            running: running.into_iter().map(RunningUnder::from).collect(),
        }
    }
}

impl PodKind {
    fn of(pod: &WatchedPod, directory: &str, namespace: &str, agents: &AgentPods) -> Self {
        let none = BTreeMap::new();
        let labels = pod.metadata.labels.as_ref().unwrap_or(&none);
        let is_agent = namespace == agents.namespace
            && !agents.labels.is_empty()
            && agents.labels.iter().all(|(key, value)| labels.get(key) == Some(value));
        if is_agent {
            let PodReadiness { ready, since } = pod.readiness();
            return Self::Agent { ready, since };
        }
        if pod.has_ended() {
            return Self::Other;
        }
        let profiles = pod.spec.profiles(directory);
        if profiles.is_empty() {
            Self::Other
        } else {
            Self::User(profiles.iter().map(ToString::to_string).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn kind(spec: Value, phase: &str) -> PodKind {
        let pod = json!({ "metadata": { "name": "web", "namespace": "shop" }, "spec": spec, "status": { "phase": phase } });
        let agents = AgentPods {
            namespace: "seccomp-profile".into(),
            labels: BTreeMap::from([("a".into(), "b".into())]),
        };
        PodFacts::of(&serde_json::from_value(pod).unwrap(), "profiles", &agents).kind
    }

    fn using(path: &str) -> Value {
        json!({ "seccompProfile": { "type": "Localhost", "localhostProfile": path } })
    }

    fn users(names: &[&str]) -> PodKind {
        PodKind::User(names.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_pod_that_has_not_ended_uses_what_it_names() {
        let spec = json!({ "securityContext": using("profiles/a.json"), "containers": [{ "securityContext": using("profiles/b.json") }] });
        for phase in ["", "Pending", "Running", "Unknown"] {
            assert_eq!(kind(spec.clone(), phase), users(&["a", "b"]));
        }
        assert_eq!(kind(json!({ "securityContext": using("other/a.json") }), "Running"), PodKind::Other);
    }

    #[test]
    fn a_pod_uses_the_base_of_what_its_runtime_gets_from_a_registry() {
        let base = json!({ "type": "Localhost", "localhostProfile": "profiles/base.json" });
        let oci = json!({ "ref": "registry.example/app@sha256:00", "baseProfile": base });
        let spec = json!({ "securityContext": { "seccompProfile": { "type": "OCI", "oci": oci } } });
        assert_eq!(kind(spec, "Running"), users(&["base"]));
    }

    #[test]
    fn a_pod_that_has_ended_uses_nothing() {
        for phase in ["Succeeded", "Failed"] {
            assert_eq!(kind(json!({ "securityContext": using("profiles/a.json") }), phase), PodKind::Other);
        }
    }

    #[test]
    fn an_agent_is_recognized_by_namespace_and_labels_and_is_not_ready_once_it_is_being_deleted() {
        let agents =
            AgentPods { namespace: "ns".into(), labels: BTreeMap::from([("app".into(), "agent".into())]) };
        let pod = |namespace: &str, label: &str, deleted: bool| {
            let mut pod = json!({
                "metadata": { "name": "x", "namespace": namespace, "labels": { "app": label, "more": "" } },
                "status": { "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z" }] }
            });
            if deleted {
                pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            }
            PodFacts::of(&serde_json::from_value(pod).unwrap(), "profiles", &agents).kind
        };
        let since = "2026-01-01T00:00:00Z".parse().ok();
        assert_eq!(pod("ns", "agent", false), PodKind::Agent { ready: true, since });
        assert_eq!(
            pod("ns", "agent", true),
            PodKind::Agent { ready: false, since: None },
            "it was ready until now"
        );
        assert_eq!(pod("other", "agent", false), PodKind::Other);
        assert_eq!(pod("ns", "web", false), PodKind::Other);
    }
}
