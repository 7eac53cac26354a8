//! The facts that the index needs about a `SeccompObservation`, and about the pods whose calls are in it.

use std::hash::{DefaultHasher, Hash, Hasher};

use ::profile::{Action, ShortHash};
use api::{
    ContainerProfile, ObservedCall, ObservedContainer, SeccompObservation, SeccompObservationStatus,
    Untrusted, WatchedPod,
};

use super::uid_hash;

/// Identifies a call of a container: architecture, number and action. Shorter than these, because an entry is kept for
/// each call of each container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(u64);

/// What the observer of a node has counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservationFacts {
    /// The node's name, as the object's name states it.
    pub node: String,
    /// The containers.
    pub containers: Vec<ObservedContainerFacts>,
}

/// The calls of one container. Whoever has stolen a node's observer has written all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedContainerFacts {
    /// Identifies the container: the hash of the runtime's number.
    pub id: ShortHash,
    /// `namespace/name` of the pod.
    pub pod: String,
    /// The pod's uid; empty if the observer does not know it.
    pub pod_uid: String,
    /// The container's name in the pod.
    pub container: String,
    /// The calls.
    pub calls: Vec<RefusedCall>,
}

/// A call that a filter refused or logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedCall {
    /// Identifies it in its container.
    pub id: CallId,
    /// Its name.
    pub name: String,
    /// What the filter did.
    pub action: Action,
    /// How often, since the observer counts.
    pub count: u64,
}

impl ObservationFacts {
    /// The actions of which the kernel makes records, all but `SCMP_ACT_ALLOW`.
    pub const ACTIONS: [Action; 7] = [
        Action::KillProcess,
        Action::KillThread,
        Action::Trap,
        Action::Errno,
        Action::Trace,
        Action::Log,
        Action::Notify,
    ];

    /// The facts of a stored observation. Entries that no observer writes are left out.
    #[must_use]
    pub fn of(object: Untrusted<SeccompObservation>) -> Self {
        let status = serde_json::from_value::<SeccompObservationStatus>(object.status).unwrap_or_default();
        let containers = status.report.map(|report| report.containers).unwrap_or_default();
        let containers = containers.into_iter().take(api::MAX_OBSERVED_CONTAINERS);
        Self {
            node: object.metadata.name.unwrap_or_default(),
            containers: containers.map(ObservedContainerFacts::of).collect(),
        }
    }
}

impl ObservedContainerFacts {
    fn of(container: ObservedContainer) -> Self {
        let ObservedContainer { namespace, pod, pod_uid, container, container_id, calls, .. } = container;
        Self {
            id: uid_hash(&container_id),
            pod: format!("{namespace}/{pod}"),
            pod_uid,
            container,
            calls: calls.into_iter().take(api::MAX_OBSERVED_CALLS).filter_map(RefusedCall::of).collect(),
        }
    }
}

impl RefusedCall {
    fn of(call: ObservedCall) -> Option<Self> {
        let action = Action::from_name(&call.action).filter(|it| ObservationFacts::ACTIONS.contains(it))?;
        // Names of system calls have no other characters. The name goes into Events.
        let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let is_name = (1..=64).contains(&call.name.len()) && call.name.bytes().all(is_letter);
        let mut hasher = DefaultHasher::new();
        (&call.architecture, call.number, action).hash(&mut hasher);
        is_name.then_some(Self {
            id: CallId(hasher.finish()),
            name: call.name,
            action,
            count: u64::try_from(call.count).unwrap_or_default(),
        })
    }
}

/// A pod that has containers under profiles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedPod {
    /// Its uid.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The node that it is bound to.
    pub node: String,
    /// Its containers under profiles, those that have ended too.
    pub containers: Vec<ContainerProfile>,
}

impl ObservedPod {
    /// The facts of a pod that is bound to a node and has a container under a profile. `directory` is the directory of
    /// the profiles below the kubelet's `seccomp/`.
    #[must_use]
    pub fn of(pod: &WatchedPod, directory: &str) -> Option<Self> {
        let node = pod.spec.node()?.to_owned();
        let containers: Vec<_> = pod.spec.container_profiles(directory).collect();
        (!containers.is_empty()).then(|| Self {
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            name: pod.metadata.name.clone().unwrap_or_default(),
            node,
            containers,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn facts(report: Value) -> ObservationFacts {
        let object = json!({ "metadata": { "name": "n1" }, "status": { "report": report } });
        ObservationFacts::of(serde_json::from_value(object).unwrap())
    }

    fn call(name: &str, action: &str, count: i64) -> Value {
        json!({ "architecture": "x86_64", "number": 110, "name": name, "action": action, "count": count })
    }

    fn container(calls: &[Value]) -> Value {
        json!({
            "namespace": "shop", "pod": "web-1", "podUid": "u", "container": "main", "containerId": "c", "calls": calls
        })
    }

    #[test]
    fn a_call_is_told_from_others_by_architecture_number_and_action() {
        let other = json!({ "architecture": "x86", "number": 110, "name": "getppid", "action": "SCMP_ACT_LOG", "count": 1 });
        let calls = [call("getppid", "SCMP_ACT_ERRNO", 2), call("getppid", "SCMP_ACT_LOG", 3), other];
        let facts = facts(json!({ "containers": [container(&calls)] }));
        let [found] = &facts.containers[..] else { panic!("{facts:?}") };
        assert_eq!((facts.node.as_str(), found.pod.as_str(), found.calls.len()), ("n1", "shop/web-1", 3));
        assert_eq!((found.calls[0].action, found.calls[0].count), (Action::Errno, 2));
        assert!(
            found.calls[0].id != found.calls[1].id && found.calls[1].id != found.calls[2].id,
            "{found:?}"
        );
    }

    #[test]
    fn what_no_observer_writes_is_left_out_and_affects_nothing_else() {
        let calls = [
            call("getppid", "SCMP_ACT_ALLOW", 1),
            call("getppid", "0x1234", 1),
            call("a name\nof two lines", "SCMP_ACT_ERRNO", 1),
            call("", "SCMP_ACT_ERRNO", 1),
            json!({ "name": "no-number" }),
            call("getppid", "SCMP_ACT_KILL_PROCESS", -5),
        ];
        let facts = facts(json!({ "containers": [{ "namespace": 7 }, container(&calls)] }));
        let [found] = &facts.containers[..] else { panic!("{facts:?}") };
        let [call] = &found.calls[..] else { panic!("{found:?}") };
        assert_eq!((call.action, call.count), (Action::KillProcess, 0));
        for report in [json!(null), json!(7), json!({ "containers": 7 })] {
            assert_eq!(self::facts(report).containers, []);
        }
    }

    #[test]
    fn a_pod_counts_once_it_is_bound_to_a_node_and_only_if_it_has_a_profile() {
        let pod = |node: Value, path: &str| {
            let profile = json!({ "seccompProfile": { "type": "Localhost", "localhostProfile": path } });
            let pod = json!({
                "metadata": { "name": "web", "namespace": "shop", "uid": "u" },
                "spec": { "nodeName": node, "securityContext": profile, "containers": [{ "name": "main" }] },
                "status": { "phase": "Succeeded" },
            });
            ObservedPod::of(&serde_json::from_value(pod).unwrap(), "profiles")
        };
        assert_eq!(pod(json!("n1"), "profiles/a.json").unwrap().containers[0].profile.to_string(), "a");
        assert_eq!(pod(json!("n1"), "others/a.json"), None);
        assert_eq!(pod(Value::Null, "profiles/a.json"), None);
    }
}
