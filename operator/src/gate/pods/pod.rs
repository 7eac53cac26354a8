//! The facts about a gated pod.

use std::collections::BTreeSet;

use api::names::{SCHEDULING_GATE, file_in};
use api::{ProfileName, RequiredNodeAffinity, WatchedPod};
use k8s_openapi::jiff::Timestamp;

use crate::facts::{ObjectVersion, created};

/// A pod with our scheduling gate.
#[derive(Debug, Clone, PartialEq)]
pub struct GatedPod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The version from which these facts were taken.
    pub version: ObjectVersion,
    /// When it was created.
    pub created: Timestamp,
    /// The position of our gate among its gates.
    pub gate: usize,
    /// The profiles that it names.
    pub profiles: BTreeSet<ProfileName>,
    /// The files in the directory that it names and that no profile makes, because no profile can have such a name.
    pub impossible: BTreeSet<String>,
    /// What it requires of nodes.
    pub affinity: RequiredNodeAffinity,
}

impl GatedPod {
    /// The facts of a pod; `None` if it does not wait for us. `directory` is the directory of the profiles below the
    /// kubelet's `seccomp/`.
    ///
    /// The pod's condition `PodScheduled` is not read: after the gate was lifted, its reason remains `SchedulingGated`
    /// until the scheduler writes another one.
    #[must_use]
    pub fn of(pod: &WatchedPod, directory: &str) -> Option<Self> {
        let gate = pod.spec.scheduling_gates().position(|gate| gate == SCHEDULING_GATE)?;
        if pod.metadata.deletion_timestamp.is_some() || pod.has_ended() {
            return None;
        }
        let (mut profiles, mut impossible) = (BTreeSet::new(), BTreeSet::new());
        for file in pod.spec.localhost_profiles().filter_map(|path| file_in(path, directory)) {
            match ProfileName::from_file_name(file) {
                Some(profile) => {
                    profiles.insert(profile);
                }
                None if file.ends_with(".json") => {
                    impossible.insert(file.to_owned());
                }
                // The policy gates no pod for the sake of another file.
                None => {}
            }
        }
        Some(Self {
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            name: pod.metadata.name.clone().unwrap_or_default(),
            version: ObjectVersion::of(&pod.metadata),
            created: created(&pod.metadata),
            gate,
            profiles,
            impossible,
            affinity: pod.spec.required_node_affinity(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn of(spec: Value) -> Option<GatedPod> {
        let pod = json!({
            "metadata": { "name": "web", "namespace": "shop", "uid": "u", "resourceVersion": "7" }, "spec": spec,
        });
        GatedPod::of(&serde_json::from_value(pod).unwrap(), "profiles")
    }

    fn using(path: &str) -> Value {
        json!({ "seccompProfile": { "type": "Localhost", "localhostProfile": path } })
    }

    #[test]
    fn a_pod_waits_for_the_profiles_of_its_containers_of_every_type() {
        let pod = of(json!({
            "schedulingGates": [{ "name": "example.org/other" }, { "name": SCHEDULING_GATE }],
            "securityContext": using("profiles/pod.json"),
            "containers": [{ "securityContext": using("profiles/own.json") }, {}],
            "initContainers": [{ "securityContext": using("./profiles//init.json"), "restartPolicy": "Always" }],
        }))
        .unwrap();
        let names: Vec<_> = pod.profiles.iter().map(ProfileName::as_str).collect();
        assert_eq!((pod.gate, names), (1, vec!["init", "own", "pod"]));
    }

    #[test]
    fn a_pod_waits_for_the_base_of_what_its_runtime_gets_from_a_registry() {
        let base = json!({ "type": "Localhost", "localhostProfile": "profiles/base.json" });
        let oci = json!({ "ref": "registry.example/app@sha256:00", "baseProfile": base });
        let pod = of(json!({
            "schedulingGates": [{ "name": SCHEDULING_GATE }],
            "containers": [{ "securityContext": { "seccompProfile": { "type": "OCI", "oci": oci } } }],
        }))
        .unwrap();
        assert_eq!(pod.profiles.iter().map(ProfileName::as_str).collect::<Vec<_>>(), ["base"]);
    }

    #[test]
    fn a_file_that_no_profile_can_make_is_waited_for_and_files_elsewhere_are_not() {
        let pod = of(json!({
            "schedulingGates": [{ "name": SCHEDULING_GATE }],
            "containers": [
                { "securityContext": using("profiles/Web_App.json") },
                { "securityContext": using("profiles/notes.txt") },
                { "securityContext": using("other/a.json") },
                { "securityContext": using("profiles/below/a.json") },
            ],
        }))
        .unwrap();
        assert_eq!(pod.profiles, BTreeSet::new());
        assert_eq!(pod.impossible, BTreeSet::from(["Web_App.json".to_owned()]));
    }

    #[test]
    fn a_pod_without_our_gate_does_not_wait_for_us() {
        assert_eq!(of(json!({ "schedulingGates": [{ "name": "example.org/other" }] })), None);
        assert_eq!(of(json!({ "securityContext": using("profiles/a.json") })), None);
    }
}
