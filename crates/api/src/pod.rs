//! The fields of a Pod that matter here: the profiles that it names, and whether it is ready.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{NodeSelectorTerm, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;

use crate::ProfileName;
use crate::container_status::{ContainerStatus, NotStarted};
use crate::running::RunningContainer;
use crate::seccomp_field::SeccompField;

/// The fields of a Pod that are watched.
#[derive(Debug, Clone, Deserialize)]
pub struct WatchedPod {
    /// Metadata.
    #[serde(deserialize_with = "crate::metadata::lenient")]
    pub metadata: ObjectMeta,
    /// Its spec.
    #[serde(default)]
    pub spec: PodSpec,
    #[serde(default)]
    status: PodStatus,
}
crate::watched_as!(WatchedPod, Pod);

/// The spec of a Pod or of a Pod template.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    node_name: Option<String>,
    runtime_class_name: Option<String>,
    security_context: Option<SecurityContext>,
    containers: Vec<Container>,
    init_containers: Vec<Container>,
    ephemeral_containers: Vec<Container>,
    scheduling_gates: Vec<SchedulingGate>,
    affinity: Option<Affinity>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct SchedulingGate {
    name: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Affinity {
    node_affinity: Option<NodeAffinity>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NodeAffinity {
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    required: Option<RequiredNodes>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RequiredNodes {
    node_selector_terms: Vec<NodeSelectorTerm>,
}

/// What a pod has of `spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution`. A JSON patch must know
/// it, because it adds a field only to an object that exists.
#[derive(Debug, Clone, PartialEq)]
pub enum RequiredNodeAffinity {
    /// The pod has no affinity.
    NoAffinity,
    /// It has an affinity, but no `nodeAffinity`.
    NoNodeAffinity,
    /// It has a `nodeAffinity`, but requires nothing of nodes.
    NothingRequired,
    /// These terms, of which a node must match one.
    Terms(Vec<NodeSelectorTerm>),
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    name: String,
    restart_policy: Option<String>,
    security_context: Option<SecurityContext>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SecurityContext {
    seccomp_profile: Option<SeccompField>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodStatus {
    phase: Option<String>,
    // A string, as in `PodCondition`.
    start_time: Option<String>,
    conditions: Vec<PodCondition>,
    container_statuses: Vec<ContainerStatus>,
    init_container_statuses: Vec<ContainerStatus>,
    ephemeral_container_statuses: Vec<ContainerStatus>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodCondition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    // A string, because the node writes it, and a time that cannot be parsed must not end the watch.
    last_transition_time: Option<String>,
}

/// A container of a pod to which a profile applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerProfile {
    /// Where it is in the pod, as the kubelet's Events say it: `spec.containers{main}`.
    pub field: String,
    /// Its name.
    pub container: String,
    /// The profile.
    pub profile: ProfileName,
}

/// Whether a pod is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PodReadiness {
    /// Whether its Ready condition is True and it is not being deleted.
    pub ready: bool,
    /// Since when that is so, if known: of a pod that is ready until its deletion it is not.
    pub since: Option<Timestamp>,
}

impl WatchedPod {
    /// Whether it is ready.
    #[must_use]
    pub fn readiness(&self) -> PodReadiness {
        let condition = self.status.conditions.iter().find(|condition| condition.kind == "Ready");
        let was_ready = condition.is_some_and(|condition| condition.status == "True");
        let ready = was_ready && self.metadata.deletion_timestamp.is_none();
        // The condition of a pod that is being deleted stays True until the kubelet has ended it, and its time is that at
        // which the pod became ready.
        let since = condition.filter(|_| was_ready == ready);
        PodReadiness {
            ready,
            since: since.and_then(|condition| condition.last_transition_time.as_ref()?.parse().ok()),
        }
    }

    /// Its phase: `Pending`, `Running`, `Succeeded`, `Failed`, `Unknown`.
    #[must_use]
    pub fn phase(&self) -> Option<&str> {
        self.status.phase.as_deref()
    }

    /// Whether all its containers have ended for good.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(self.phase(), Some("Succeeded" | "Failed"))
    }

    /// Its containers of every type that wait to be started or could not be started.
    pub fn not_started(&self) -> impl Iterator<Item = NotStarted<'_>> {
        let PodStatus { container_statuses, init_container_statuses, ephemeral_container_statuses, .. } =
            &self.status;
        let all = [container_statuses, init_container_statuses, ephemeral_container_statuses];
        all.into_iter().flatten().filter_map(ContainerStatus::not_started)
    }
}

impl WatchedPod {
    /// Its running containers of every type to which a profile applies. `directory` is the directory of the profiles
    /// below the kubelet's `seccomp/`.
    #[must_use]
    pub fn running(&self, directory: &str) -> Vec<RunningContainer> {
        let PodStatus { container_statuses, init_container_statuses, ephemeral_container_statuses, .. } =
            &self.status;
        let accepted = self.status.start_time.as_ref().and_then(|time| time.parse().ok());
        let initialized: Vec<_> = init_container_statuses
            .iter()
            .filter(|status| !self.spec.is_sidecar(status.name()))
            .filter_map(ContainerStatus::ended)
            .collect();
        let mut running = Vec::new();
        for (statuses, initialized) in [
            (init_container_statuses, [].as_slice()),
            (container_statuses, initialized.as_slice()),
            (ephemeral_container_statuses, [].as_slice()),
        ] {
            for status in statuses {
                let Some(started) = status.started() else { continue };
                let Some(profile) = self.spec.profile_of(status.name(), directory) else { continue };
                let before = accepted.into_iter().chain(status.ended_before());
                let before = before.chain(initialized.iter().copied());
                running.push(RunningContainer {
                    container: status.name().to_owned(),
                    profile,
                    created_after: before.filter(|time| *time <= started).max(),
                    started,
                });
            }
        }
        running
    }
}

impl PodSpec {
    /// The node that the pod is bound to.
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        self.node_name.as_deref().filter(|node| !node.is_empty())
    }

    /// The name of its `RuntimeClass`.
    #[must_use]
    pub fn runtime_class(&self) -> Option<&str> {
        self.runtime_class_name.as_deref().filter(|class| !class.is_empty())
    }

    /// The names of its scheduling gates, in order.
    pub fn scheduling_gates(&self) -> impl Iterator<Item = &str> {
        self.scheduling_gates.iter().map(|gate| gate.name.as_str())
    }

    /// What it requires of nodes by affinity.
    #[must_use]
    pub fn required_node_affinity(&self) -> RequiredNodeAffinity {
        let Some(affinity) = &self.affinity else { return RequiredNodeAffinity::NoAffinity };
        let Some(nodes) = &affinity.node_affinity else { return RequiredNodeAffinity::NoNodeAffinity };
        match &nodes.required {
            None => RequiredNodeAffinity::NothingRequired,
            Some(required) => RequiredNodeAffinity::Terms(required.node_selector_terms.clone()),
        }
    }

    /// Every `localhostProfile` of the pod and of its containers of each type, with those that are the base of a profile
    /// that the runtime gets from a registry.
    pub fn localhost_profiles(&self) -> impl Iterator<Item = &str> {
        let containers = [&self.containers, &self.init_containers, &self.ephemeral_containers];
        std::iter::once(&self.security_context)
            .chain(containers.into_iter().flatten().map(|container| &container.security_context))
            .filter_map(|context| context.as_ref()?.seccomp_profile.as_ref())
            .flat_map(SeccompField::files)
    }

    /// The profiles that it names. `directory` is their directory below the kubelet's `seccomp/`.
    ///
    /// Init and ephemeral containers count too, and so do containers that have ended, because they may be restarted.
    #[must_use]
    pub fn profiles(&self, directory: &str) -> BTreeSet<ProfileName> {
        self.localhost_profiles()
            .filter_map(|path| ProfileName::from_localhost_profile(path, directory))
            .collect()
    }

    /// Its containers of every type to which a profile applies. `directory` is the directory of the profiles below the
    /// kubelet's `seccomp/`.
    pub fn container_profiles(&self, directory: &str) -> impl Iterator<Item = ContainerProfile> {
        let all = [
            ("containers", &self.containers),
            ("initContainers", &self.init_containers),
            ("ephemeralContainers", &self.ephemeral_containers),
        ];
        let all =
            all.into_iter().flat_map(|(field, containers)| containers.iter().map(move |it| (field, it)));
        all.filter_map(move |(field, Container { name, .. })| {
            let profile = self.profile_of(name, directory)?;
            Some(ContainerProfile {
                field: format!("spec.{field}{{{name}}}"),
                container: name.clone(),
                profile,
            })
        })
    }

    /// Whether the container is an init container that runs for as long as the pod and is restarted when it ends. The
    /// pod's containers do not wait for its end (<https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/>).
    fn is_sidecar(&self, container: &str) -> bool {
        let container = self.init_containers.iter().find(|it| it.name == container);
        container.is_some_and(|it| it.restart_policy.as_deref() == Some("Always"))
    }

    /// The profile that applies to a container: that of its own `seccompProfile`, or of the pod's if it has no such
    /// field. One that is the base of another does not apply alone, and is none.
    #[must_use]
    pub fn profile_of(&self, container: &str, directory: &str) -> Option<ProfileName> {
        let containers = [&self.containers, &self.init_containers, &self.ephemeral_containers];
        let container = containers.into_iter().flatten().find(|it| it.name == container)?;
        let field = |context: &Option<SecurityContext>| context.as_ref()?.seccomp_profile.clone();
        let field = field(&container.security_context).or_else(|| field(&self.security_context))?;
        ProfileName::from_localhost_profile(field.localhost_profile.as_deref()?, directory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn using(path: &str) -> Value {
        json!({ "seccompProfile": { "type": "Localhost", "localhostProfile": path } })
    }

    fn profiles(spec: Value) -> Vec<String> {
        let spec: PodSpec = serde_json::from_value(spec).unwrap();
        spec.profiles("profiles").iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_field_that_names_a_profile_counts() {
        let spec = json!({
            "securityContext": using("profiles/a.json"),
            "containers": [{ "securityContext": using("profiles/b.json") }, {}],
            "initContainers": [{ "securityContext": using("profiles//c.json") }],
            "ephemeralContainers": [{ "securityContext": using("profiles/d.json") }],
        });
        assert_eq!(profiles(spec), ["a", "b", "c", "d"]);
    }

    #[test]
    fn the_base_of_a_profile_that_a_runtime_gets_counts_and_is_not_what_applies() {
        let within = |base: Value| {
            let oci = json!({ "ref": "registry.example/app@sha256:00", "baseProfile": base });
            json!({ "seccompProfile": { "type": "OCI", "oci": oci } })
        };
        let of_ours = |file: &str| within(json!({ "type": "Localhost", "localhostProfile": file }));
        let spec = json!({
            "securityContext": of_ours("profiles/a.json"),
            "containers": [
                { "name": "main", "securityContext": of_ours("profiles/b.json") },
                { "securityContext": within(json!({ "type": "RuntimeDefault" })) },
                { "securityContext": { "seccompProfile": { "type": "OCI", "oci": { "ref": "x" } } } },
                { "securityContext": { "seccompProfile": { "type": "OCI" } } },
            ],
            "initContainers": [{ "securityContext": of_ours("others/c.json") }],
            "ephemeralContainers": [{ "securityContext": of_ours("profiles/d.json") }],
        });
        assert_eq!(profiles(spec.clone()), ["a", "b", "d"]);
        let spec: PodSpec = serde_json::from_value(spec).unwrap();
        assert_eq!(spec.profile_of("main", "profiles"), None);
        assert_eq!(spec.container_profiles("profiles").count(), 0);
    }

    #[test]
    fn a_patch_can_tell_which_parts_of_the_affinity_exist() {
        let affinity = |affinity: Value| {
            let spec: PodSpec = serde_json::from_value(json!({ "affinity": affinity })).unwrap();
            spec.required_node_affinity()
        };
        assert_eq!(affinity(Value::Null), RequiredNodeAffinity::NoAffinity);
        assert_eq!(affinity(json!({ "podAffinity": {} })), RequiredNodeAffinity::NoNodeAffinity);
        assert_eq!(affinity(json!({ "nodeAffinity": {} })), RequiredNodeAffinity::NothingRequired);
        let term = json!({ "matchExpressions": [{ "key": "disk", "operator": "In", "values": ["fast"] }] });
        let required = json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [term, {}] } } });
        let RequiredNodeAffinity::Terms(terms) = affinity(required) else { panic!("there are terms") };
        assert_eq!(serde_json::to_value(terms).unwrap(), json!([term, {}]));
    }

    #[test]
    fn a_containers_own_profile_takes_precedence_over_the_pods() {
        let default = json!({ "seccompProfile": { "type": "RuntimeDefault" } });
        let spec = json!({
            "securityContext": using("profiles/a.json"),
            "containers": [{ "name": "own", "securityContext": using("profiles/b.json") }, { "name": "pods" }],
            "initContainers": [{ "name": "default", "securityContext": default }],
            "ephemeralContainers": [{ "name": "debug", "securityContext": { "runAsUser": 7 } }],
        });
        let spec: PodSpec = serde_json::from_value(spec).unwrap();
        let profile_of = |container| spec.profile_of(container, "profiles").map(|name| name.to_string());
        assert_eq!(profile_of("own").as_deref(), Some("b"));
        assert_eq!(profile_of("pods").as_deref(), Some("a"));
        assert_eq!(profile_of("debug").as_deref(), Some("a"));
        assert_eq!((profile_of("default"), profile_of("absent")), (None, None));
        let fields: Vec<_> =
            spec.container_profiles("profiles").map(|it| (it.field, it.profile.to_string())).collect();
        let [own, pods, debug] =
            [("containers{own}", "b"), ("containers{pods}", "a"), ("ephemeralContainers{debug}", "a")]
                .map(|(field, profile)| (format!("spec.{field}"), profile.to_owned()));
        assert_eq!(fields, [own, pods, debug]);
    }

    #[test]
    fn a_path_outside_the_directory_does_not_count() {
        assert!(profiles(json!({ "securityContext": using("other/a.json") })).is_empty());
        let default = json!({ "securityContext": { "seccompProfile": { "type": "RuntimeDefault" } } });
        assert!(profiles(default).is_empty());
    }

    #[test]
    fn the_time_at_which_a_pod_became_ready_is_not_that_at_which_its_deletion_began() {
        let readiness = |status: &str, deleted: Value| {
            let pod = json!({
                "metadata": { "deletionTimestamp": deleted },
                "status": { "conditions": [{ "type": "Ready", "status": status, "lastTransitionTime": "2026-01-01T00:00:00Z" }] }
            });
            serde_json::from_value::<WatchedPod>(pod).unwrap().readiness()
        };
        let (since, later) = ("2026-01-01T00:00:00Z".parse().ok(), json!("2026-01-01T09:00:00Z"));
        assert_eq!(readiness("True", Value::Null), PodReadiness { ready: true, since });
        assert_eq!(readiness("False", Value::Null), PodReadiness { ready: false, since });
        assert_eq!(readiness("True", later.clone()), PodReadiness { ready: false, since: None });
        assert_eq!(readiness("False", later), PodReadiness { ready: false, since });
    }

    #[test]
    fn a_time_out_of_range_does_not_end_the_watch_of_all_pods() {
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
        assert_eq!(pod.readiness(), PodReadiness { ready: false, since: None });
    }
}
