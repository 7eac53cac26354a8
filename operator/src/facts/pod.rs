//! What the index needs to know of a Pod: which profiles it uses, or that it is an agent.

use std::collections::{BTreeMap, BTreeSet};

use api::ProfileName;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;

use super::created;

/// The fields of a Pod that are watched.
#[derive(Debug, Clone, Deserialize)]
pub struct WatchedPod {
    /// Metadata.
    #[serde(deserialize_with = "api::metadata::lenient")]
    pub metadata: ObjectMeta,
    #[serde(default)]
    spec: PodSpec,
    #[serde(default)]
    status: PodStatus,
}
api::watched_as!(WatchedPod, Pod);

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodSpec {
    node_name: Option<String>,
    security_context: Option<SecurityContext>,
    containers: Vec<Container>,
    init_containers: Vec<Container>,
    ephemeral_containers: Vec<Container>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    security_context: Option<SecurityContext>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SecurityContext {
    seccomp_profile: Option<SeccompField>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SeccompField {
    localhost_profile: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct PodStatus {
    phase: Option<String>,
    conditions: Vec<PodCondition>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodCondition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    // Text, because the node writes it: one time that cannot be read must not end the watch.
    last_transition_time: Option<String>,
}

/// Which pods are agents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentPods {
    /// Their namespace.
    pub namespace: String,
    /// Labels that all of them have.
    pub labels: BTreeMap<String, String>,
}

/// A Pod that concerns us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodFacts {
    /// Its uid.
    pub uid: String,
    /// `namespace/name`, for people.
    pub display: String,
    /// The node that it is bound to.
    pub node: Option<String>,
    /// When it was created.
    pub created: Timestamp,
    /// What it is to us.
    pub kind: PodKind,
}

/// What a pod is to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PodKind {
    /// An agent: whether it is ready, and if not since when as far as it says.
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
    /// What a watched Pod says. `directory` is where profiles lie below the kubelet's `seccomp/`.
    #[must_use]
    pub fn of(pod: &WatchedPod, directory: &str, agents: &AgentPods) -> Self {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        Self {
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            display: format!("{namespace}/{name}"),
            node: pod.spec.node_name.clone().filter(|node| !node.is_empty()),
            created: created(&pod.metadata),
            kind: pod.kind(directory, namespace, agents),
        }
    }
}

impl WatchedPod {
    fn kind(&self, directory: &str, namespace: &str, agents: &AgentPods) -> PodKind {
        let none = BTreeMap::new();
        let labels = self.metadata.labels.as_ref().unwrap_or(&none);
        let is_agent = namespace == agents.namespace
            && !agents.labels.is_empty()
            && agents.labels.iter().all(|(key, value)| labels.get(key) == Some(value));
        if is_agent {
            let ready = self.status.conditions.iter().find(|condition| condition.kind == "Ready");
            return PodKind::Agent {
                ready: ready.is_some_and(|condition| condition.status == "True")
                    && self.metadata.deletion_timestamp.is_none(),
                since: ready.and_then(|condition| condition.last_transition_time.as_ref()?.parse().ok()),
            };
        }
        if matches!(self.status.phase.as_deref(), Some("Succeeded" | "Failed")) {
            return PodKind::Other;
        }
        let spec = &self.spec;
        let containers = [&spec.containers, &spec.init_containers, &spec.ephemeral_containers];
        // Every kind of container is started under a profile file; one that has ended may be restarted.
        let profiles: BTreeSet<_> = std::iter::once(&spec.security_context)
            .chain(containers.into_iter().flatten().map(|container| &container.security_context))
            .filter_map(|context| context.as_ref()?.seccomp_profile.as_ref()?.localhost_profile.as_deref())
            .filter_map(|path| ProfileName::from_localhost_profile(path, directory))
            .map(|name| name.to_string())
            .collect();
        if profiles.is_empty() { PodKind::Other } else { PodKind::User(profiles) }
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
    fn every_place_of_a_pod_that_names_a_profile_counts() {
        let spec = json!({
            "securityContext": using("profiles/a.json"),
            "containers": [{ "securityContext": using("profiles/b.json") }, {}],
            "initContainers": [{ "securityContext": using("profiles//c.json") }],
            "ephemeralContainers": [{ "securityContext": using("profiles/d.json") }],
        });
        assert_eq!(kind(spec, "Running"), users(&["a", "b", "c", "d"]));
    }

    #[test]
    fn a_time_that_cannot_be_held_does_not_end_the_watch_of_all_pods() {
        let late = "9999-12-31T23:59:59Z";
        let pod = json!({
            "metadata": {
                "name": "web", "namespace": "shop", "uid": "u", "deletionTimestamp": late,
                "managedFields": [{ "manager": "m", "operation": "Update", "time": late }]
            },
            "status": { "conditions": [{ "type": "Ready", "status": "False", "lastTransitionTime": late }] }
        });
        let pod: WatchedPod = serde_json::from_value(pod).unwrap();
        assert_eq!(pod.metadata.uid.as_deref(), Some("u"));
        assert!(pod.metadata.deletion_timestamp.is_some());
    }

    #[test]
    fn a_profile_of_somebody_else_does_not_count() {
        assert_eq!(kind(json!({ "securityContext": using("other/a.json") }), "Running"), PodKind::Other);
        assert_eq!(
            kind(json!({ "securityContext": { "seccompProfile": { "type": "RuntimeDefault" } } }), "Running"),
            PodKind::Other
        );
    }

    #[test]
    fn a_pod_that_has_ended_uses_nothing() {
        for phase in ["Succeeded", "Failed"] {
            assert_eq!(kind(json!({ "securityContext": using("profiles/a.json") }), phase), PodKind::Other);
        }
    }

    #[test]
    fn an_agent_is_known_by_namespace_and_labels_and_counts_as_down_once_it_is_told_to_stop() {
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
        assert_eq!(pod("ns", "agent", true), PodKind::Agent { ready: false, since });
        assert_eq!(pod("other", "agent", false), PodKind::Other);
        assert_eq!(pod("ns", "web", false), PodKind::Other);
    }
}
