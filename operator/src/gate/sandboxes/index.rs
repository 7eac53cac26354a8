//! Which new pods have a `RuntimeClass` whose runtime may not apply their profiles: plain state.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use api::{HandlerKind, ProfileName, Sandbox, WatchedPod};

use super::super::pod_id::PodId;

/// A pod that has not started, names profiles, and has a `RuntimeClass`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassedPod {
    /// Which pod it is.
    pub id: PodId,
    /// The name of its `RuntimeClass`.
    pub class: String,
    /// The profiles that it names.
    pub profiles: BTreeSet<ProfileName>,
}

impl ClassedPod {
    /// The facts of a pod; `None` if it has no `RuntimeClass` or names no profile. `directory` is the directory of the
    /// profiles below the kubelet's `seccomp/`.
    #[must_use]
    pub fn of(pod: &WatchedPod, directory: &str) -> Option<Self> {
        let class = pod.spec.runtime_class()?;
        let profiles = pod.spec.profiles(directory);
        if profiles.is_empty() || pod.has_ended() {
            return None;
        }
        Some(Self { id: PodId::of(&pod.metadata), class: class.to_owned(), profiles })
    }
}

/// A pod whose runtime is not known to apply a filter on the node's kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunsElsewhere {
    /// The pod.
    pub pod: ClassedPod,
    /// The handler of its `RuntimeClass`.
    pub handler: String,
    /// The sandbox in which it runs; `None` if the runtime is not known.
    pub sandbox: Option<Sandbox>,
}

/// The `RuntimeClasses`, and the pods that have not started.
#[derive(Debug, Default)]
pub struct Index {
    classes: BTreeMap<String, KnownClass>,
    /// Pods that have not been judged, by the names of their `RuntimeClasses` and their uids.
    new: BTreeMap<String, BTreeMap<String, ClassedPod>>,
    /// The `RuntimeClass` of each pod, by the pod's uid; `None` if the pod has been judged.
    pods: HashMap<String, Option<String>>,
}

#[derive(Debug)]
struct KnownClass {
    uid: String,
    handler: String,
}

impl Index {
    /// A pod was created or changed. What matters of it never changes.
    pub fn apply_pod(&mut self, pod: ClassedPod) {
        if let Entry::Vacant(entry) = self.pods.entry(pod.id.uid.clone()) {
            entry.insert(Some(pod.class.clone()));
            self.new.entry(pod.class.clone()).or_default().insert(pod.id.uid.clone(), pod);
        }
    }

    /// A pod has started, has ended or does not exist any more.
    pub fn forget_pod(&mut self, uid: &str) {
        if let Some(Some(class)) = self.pods.remove(uid)
            && let Some(pods) = self.new.get_mut(&class)
        {
            pods.remove(uid);
            if pods.is_empty() {
                self.new.remove(&class);
            }
        }
    }

    /// A `RuntimeClass` was created.
    pub fn apply_class(&mut self, name: String, uid: String, handler: String) {
        self.classes.insert(name, KnownClass { uid, handler });
    }

    /// The `RuntimeClass` with this uid does not exist any more. Another one of its name may.
    pub fn forget_class(&mut self, name: &str, uid: &str) {
        if self.classes.get(name).is_some_and(|class| class.uid == uid) {
            self.classes.remove(name);
        }
    }

    /// Judges pods: those that must get an Event now, `most` at most. Each is returned once. A pod whose `RuntimeClass` is
    /// not known here is judged when it is: the API server admits no pod whose class does not exist.
    pub fn take_due(&mut self, most: usize) -> Vec<RunsElsewhere> {
        let mut due = Vec::new();
        for (name, class) in &self.classes {
            let sandbox = match HandlerKind::of(&class.handler) {
                HandlerKind::Plain => None,
                HandlerKind::Sandbox(sandbox) => Some(Some(sandbox)),
                HandlerKind::Unknown => Some(None),
            };
            let Some(mut pods) = self.new.remove(name) else { continue };
            while due.len() < most
                && let Some((uid, pod)) = pods.pop_first()
            {
                self.pods.insert(uid, None);
                let handler = &class.handler;
                due.extend(sandbox.map(|sandbox| RunsElsewhere { pod, handler: handler.clone(), sandbox }));
            }
            if !pods.is_empty() {
                self.new.insert(name.clone(), pods);
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(uid: &str, class: &str) -> ClassedPod {
        ClassedPod {
            id: PodId { namespace: "shop".into(), name: format!("web-{uid}"), uid: uid.into() },
            class: class.into(),
            profiles: BTreeSet::from(["web".parse().unwrap()]),
        }
    }

    fn index() -> Index {
        let mut index = Index::default();
        for (class, handler) in [("boxed", "runsc"), ("plain", "runc"), ("other", "spin")] {
            index.apply_class(class.into(), format!("{class}-1"), handler.into());
        }
        index
    }

    /// The uids of the pods that are due, and their sandboxes.
    fn due(index: &mut Index) -> Vec<(String, Option<Sandbox>)> {
        index.take_due(9).into_iter().map(|found| (found.pod.id.uid, found.sandbox)).collect()
    }

    #[test]
    fn a_pod_in_a_sandbox_or_under_an_unknown_runtime_is_due_once_and_one_under_runc_never() {
        let mut index = index();
        for (uid, class) in [("1", "boxed"), ("2", "plain"), ("3", "other")] {
            index.apply_pod(pod(uid, class));
        }
        assert_eq!(due(&mut index), [("1".to_owned(), Some(Sandbox::GVisor)), ("3".to_owned(), None)]);
        index.apply_pod(pod("1", "boxed"));
        index.apply_pod(pod("2", "plain"));
        assert_eq!(due(&mut index), []);
    }

    #[test]
    fn a_pod_whose_class_is_not_known_yet_is_judged_when_it_is() {
        let mut index = index();
        index.apply_pod(pod("1", "late"));
        assert_eq!(due(&mut index), []);
        index.apply_class("late".into(), "late-1".into(), "kata-qemu".into());
        assert_eq!(due(&mut index), [("1".to_owned(), Some(Sandbox::Kata))]);
    }

    #[test]
    fn a_pod_that_is_gone_before_it_is_judged_gets_no_event_and_leaves_nothing_behind() {
        let mut index = index();
        index.apply_pod(pod("1", "boxed"));
        index.forget_pod("1");
        assert_eq!(due(&mut index), []);
        index.apply_pod(pod("2", "boxed"));
        assert_eq!(due(&mut index).len(), 1);
        index.forget_pod("2");
        assert!(index.new.is_empty() && index.pods.is_empty());
    }

    #[test]
    fn the_end_of_a_class_does_not_count_against_the_next_one_of_its_name() {
        let mut index = index();
        index.apply_class("boxed".into(), "boxed-2".into(), "kata".into());
        index.forget_class("boxed", "boxed-1");
        index.apply_pod(pod("1", "boxed"));
        assert_eq!(due(&mut index), [("1".to_owned(), Some(Sandbox::Kata))]);
        index.forget_class("boxed", "boxed-2");
        index.apply_pod(pod("2", "boxed"));
        assert_eq!(due(&mut index), []);
    }

    #[test]
    fn no_more_pods_are_taken_than_there_is_room_for_and_the_others_stay_due() {
        let mut index = index();
        for uid in ["1", "2", "3"] {
            index.apply_pod(pod(uid, "boxed"));
        }
        assert_eq!(index.take_due(0), []);
        assert_eq!(index.take_due(2).len(), 2);
        assert_eq!(due(&mut index), [("3".to_owned(), Some(Sandbox::GVisor))]);
    }

    #[test]
    fn only_a_pod_that_has_a_class_and_names_a_profile_counts() {
        let of = |pod: Value| ClassedPod::of(&serde_json::from_value(pod).unwrap(), "profiles");
        let context =
            json!({ "seccompProfile": { "type": "Localhost", "localhostProfile": "profiles/a.json" } });
        let pod = json!({
            "metadata": { "name": "web", "namespace": "shop", "uid": "u" },
            "spec": { "runtimeClassName": "boxed", "securityContext": context },
            "status": { "phase": "Pending" },
        });
        assert_eq!(of(pod.clone()).unwrap().class, "boxed");
        for (path, value) in [
            ("/spec/runtimeClassName", json!("")),
            ("/spec/runtimeClassName", Value::Null),
            ("/spec/securityContext", json!({})),
            ("/status/phase", json!("Failed")),
        ] {
            let mut other = pod.clone();
            *other.pointer_mut(path).unwrap() = value;
            assert_eq!(of(other), None, "{path}");
        }
    }
}
