//! Pods on nodes that are told not to hold a profile that the pods name.
//!
//! A pod that waits for such a profile gets the profile's node selector as node affinity when its gate is taken off. One
//! in a namespace without the gate can come to any node. Where the operator has told the node's agent not to hold the
//! profile, the pod does not bring the file there, its container does not start, and the error of the runtime names a
//! file, not the reason. So the pod gets an Event that names it.
//!
//! The operator's word counts, not the labels of the node: until it has told the agent, a pod that comes to the node
//! keeps the file there.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use api::{ProfileName, WatchedPod};
use k8s_openapi::jiff::Timestamp;

use super::super::pod_id::PodId;

/// How long a pod has been seen on a node before it gets the Event: the labels of the node may have just changed, and
/// then the node gets the file.
pub const EXPLAINED_AFTER: Duration = Duration::from_secs(5);

/// How many Events about the pods of one node are due at once; the others are due with the next decision.
pub const MAX_AT_ONCE: usize = 20;

/// A pod that is bound to a node, names profiles, and has not started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundPod {
    /// Which pod it is.
    pub id: PodId,
    /// The node.
    pub node: String,
    /// The profiles that it names.
    pub profiles: BTreeSet<ProfileName>,
}

impl BoundPod {
    /// The facts of a pod; `None` if it needs no file on a node. `directory` is the directory of the profiles below the
    /// kubelet's `seccomp/`.
    #[must_use]
    pub fn of(pod: &WatchedPod, directory: &str) -> Option<Self> {
        let node = pod.spec.node()?;
        let profiles = pod.spec.profiles(directory);
        if profiles.is_empty() || pod.has_ended() || pod.metadata.deletion_timestamp.is_some() {
            return None;
        }
        Some(Self { id: PodId::of(&pod.metadata), node: node.to_owned(), profiles })
    }
}

/// A pod that must get an Event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MisplacedPod {
    /// The pod.
    pub pod: Arc<BoundPod>,
    /// The profiles that its node is told not to hold.
    pub profiles: Vec<ProfileName>,
}

/// The pods that are bound to a node and have not started, by node.
#[derive(Debug, Default)]
pub struct BoundPods {
    by_node: BTreeMap<String, BTreeMap<String, Known>>,
    /// The node of each pod, by the pod's uid.
    nodes: HashMap<String, String>,
}

#[derive(Debug)]
struct Known {
    pod: Arc<BoundPod>,
    /// When it was first seen on the node.
    since: Timestamp,
    explained: bool,
}

impl BoundPods {
    /// A pod was created or changed. Returns whether anything that matters here is new.
    pub fn apply(&mut self, pod: BoundPod, now: Timestamp) -> bool {
        let known = self.nodes.get(&pod.id.uid).and_then(|node| self.by_node.get(node)?.get(&pod.id.uid));
        if known.is_some_and(|known| *known.pod == pod) {
            return false;
        }
        self.forget(&pod.id.uid);
        self.nodes.insert(pod.id.uid.clone(), pod.node.clone());
        let on_node = self.by_node.entry(pod.node.clone()).or_default();
        on_node.insert(pod.id.uid.clone(), Known { pod: Arc::new(pod), since: now, explained: false });
        true
    }

    /// A pod has started, has ended or does not exist any more.
    pub fn forget(&mut self, uid: &str) {
        let Some(node) = self.nodes.remove(uid) else { return };
        if let Some(pods) = self.by_node.get_mut(&node) {
            pods.remove(uid);
            if pods.is_empty() {
                self.by_node.remove(&node);
            }
        }
    }

    /// Whether there is a pod on this node.
    #[must_use]
    pub fn any_on(&self, node: &str) -> bool {
        self.by_node.contains_key(node)
    }

    /// The pods on a node that must get an Event now, and when to ask again if nothing changes before. Each is returned
    /// once. `excluded` tells whether the node is told not to hold a profile.
    pub fn take_due(
        &mut self,
        node: &str,
        excluded: impl Fn(&ProfileName) -> bool,
        now: Timestamp,
    ) -> (Vec<MisplacedPod>, Option<Timestamp>) {
        let (mut due, mut until) = (Vec::new(), None::<Timestamp>);
        for known in self.by_node.get_mut(node).into_iter().flat_map(BTreeMap::values_mut) {
            if known.explained {
                continue;
            }
            let profiles: Vec<_> = known.pod.profiles.iter().filter(|name| excluded(name)).cloned().collect();
            if profiles.is_empty() {
                continue;
            }
            // Where the clock was set back, the time begins anew.
            known.since = now.min(known.since);
            let time = known.since.checked_add(EXPLAINED_AFTER).unwrap_or(Timestamp::MAX);
            if time <= now && due.len() < MAX_AT_ONCE {
                known.explained = true;
                due.push(MisplacedPod { pod: known.pod.clone(), profiles });
            } else {
                let time = time.max(now);
                until = Some(until.map_or(time, |sooner| sooner.min(time)));
            }
        }
        (due, until)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn name(name: &str) -> ProfileName {
        name.parse().unwrap()
    }

    fn bound(uid: &str, node: &str, profiles: &[&str]) -> BoundPod {
        BoundPod {
            id: PodId { namespace: "shop".into(), name: format!("web-{uid}"), uid: uid.into() },
            node: node.into(),
            profiles: profiles.iter().copied().map(name).collect(),
        }
    }

    /// The uids of the pods on `node` that are due where it does not hold `excluded`.
    fn due(
        pods: &mut BoundPods,
        node: &str,
        excluded: &[&str],
        now: i64,
    ) -> (Vec<String>, Option<Timestamp>) {
        let (due, until) = pods.take_due(node, |name| excluded.contains(&name.as_str()), at(now));
        (due.iter().map(|it| it.pod.id.uid.clone()).collect(), until)
    }

    #[test]
    fn a_pod_on_a_node_that_is_told_not_to_hold_its_profile_gets_one_event_after_five_seconds() {
        let mut pods = BoundPods::default();
        assert!(pods.apply(bound("1", "n1", &["a", "b"]), at(0)));
        assert_eq!(due(&mut pods, "n1", &["b"], 4), (vec![], Some(at(5))));
        // Another status of the pod changes nothing.
        assert!(!pods.apply(bound("1", "n1", &["a", "b"]), at(4)));
        let (found, until) = pods.take_due("n1", |it| it.as_str() == "b", at(5));
        assert_eq!((found[0].profiles.clone(), found.len(), until), (vec![name("b")], 1, None));
        assert_eq!(due(&mut pods, "n1", &["a", "b"], 60), (vec![], None));
    }

    #[test]
    fn a_pod_whose_node_may_hold_its_profiles_gets_none_until_the_node_is_told_otherwise() {
        let mut pods = BoundPods::default();
        pods.apply(bound("1", "n1", &["a"]), at(0));
        pods.apply(bound("2", "n2", &["a"]), at(0));
        assert_eq!(due(&mut pods, "n1", &["other"], 60), (vec![], None));
        assert_eq!(due(&mut pods, "n1", &["a"], 61), (vec!["1".to_owned()], None));
    }

    #[test]
    fn a_pod_that_has_started_or_is_gone_gets_none() {
        let mut pods = BoundPods::default();
        pods.apply(bound("1", "n1", &["a"]), at(0));
        assert!(pods.any_on("n1"));
        pods.forget("1");
        assert!(!pods.any_on("n1"));
        assert_eq!(due(&mut pods, "n1", &["a"], 60), (vec![], None));
    }

    #[test]
    fn the_events_of_a_node_come_in_portions() {
        let mut pods = BoundPods::default();
        for number in 0..MAX_AT_ONCE + 3 {
            pods.apply(bound(&number.to_string(), "n1", &["a"]), at(0));
        }
        let (first, until) = due(&mut pods, "n1", &["a"], 9);
        assert_eq!((first.len(), until), (MAX_AT_ONCE, Some(at(9))));
        let (rest, until) = due(&mut pods, "n1", &["a"], 9);
        assert_eq!((rest.len(), until), (3, None));
    }

    #[test]
    fn only_a_live_pod_that_is_bound_and_names_a_profile_counts() {
        let of = |pod: Value| BoundPod::of(&serde_json::from_value(pod).unwrap(), "profiles");
        let context =
            json!({ "seccompProfile": { "type": "Localhost", "localhostProfile": "profiles/a.json" } });
        let pod = json!({
            "metadata": { "name": "web", "namespace": "shop", "uid": "u" },
            "spec": { "nodeName": "n1", "securityContext": context },
            "status": { "phase": "Pending" },
        });
        let facts = of(pod.clone()).unwrap();
        assert_eq!((facts.node.as_str(), facts.profiles), ("n1", BTreeSet::from([name("a")])));
        for (path, value) in [
            ("/spec/nodeName", json!("")),
            ("/spec/securityContext", json!({})),
            ("/status/phase", json!("Failed")),
        ] {
            let mut other = pod.clone();
            *other.pointer_mut(path).unwrap() = value;
            assert_eq!(of(other), None, "{path}");
        }
        let mut deleted = pod;
        deleted["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert_eq!(of(deleted), None);
    }
}
