//! What to do about one gated pod.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use api::{NodeLabelSelector, ProfileName};
use k8s_openapi::jiff::Timestamp;

use super::narrowing::{Narrowing, named_nodes};
use super::notice::WaitReason;
use super::pod::GatedPod;
use super::profile::{AwaitedProfile, Progress};
use crate::time::after;

/// How old a pod is when an Event says what it waits for: most pods wait for a moment only.
pub const EXPLAINED_AFTER: Duration = Duration::from_secs(5);

/// How old a pod is when an Event says that there is no profile of a name: somebody who applies both may apply the pod
/// first.
pub const MISSED_AFTER: Duration = Duration::from_secs(30);

/// How many nodes are left out at most.
pub const MAX_LEFT_OUT: usize = 10;

/// What the decisions depend on besides the objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where profiles are, below the kubelet's `seccomp/`.
    pub directory: String,
    /// How long nodes must have failed to hold a profile before pods that name it are scheduled on the other nodes.
    pub leave_out_after: Duration,
}

/// A profile that pods may wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownProfile {
    /// What its object says.
    pub facts: AwaitedProfile,
    /// Since when it is only failed nodes that do not have it; `None` while that is not so.
    pub failing_since: Option<Timestamp>,
}

/// What to do about a pod.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Lift its gate, so that it runs on these nodes only.
    Lift(Narrowing),
    /// Wait.
    Wait(Wait),
}

/// Why a pod waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// The files that it waits for, by reason.
    pub files: BTreeMap<WaitReason, Vec<String>>,
    /// When the decision changes by time alone.
    pub until: Option<Timestamp>,
}

impl Wait {
    /// The worst reason.
    #[must_use]
    pub fn reason(&self) -> Option<WaitReason> {
        self.files.keys().next_back().copied()
    }
}

/// When the Event of a reason is due for a pod that was created at `created`.
#[must_use]
pub fn explained_at(reason: WaitReason, created: Timestamp) -> Timestamp {
    after(created, if reason == WaitReason::NoSuchProfile { MISSED_AFTER } else { EXPLAINED_AFTER })
}

/// Decides about a pod. `profile` is asked for each profile that it names.
#[must_use]
pub fn decide<'a>(
    pod: &GatedPod,
    profile: impl Fn(&ProfileName) -> Option<&'a KnownProfile>,
    settings: &Settings,
    now: Timestamp,
) -> Decision {
    let mut files = BTreeMap::<WaitReason, Vec<String>>::new();
    let mut until: Option<Timestamp> = None;
    if !pod.impossible.is_empty() {
        files.insert(WaitReason::NoSuchProfile, pod.impossible.iter().cloned().collect());
    }
    let (mut left_out, mut failing, mut required) = (BTreeSet::new(), Vec::new(), Vec::new());
    for name in &pod.profiles {
        let known = profile(name);
        let selector = known.and_then(|known| known.facts.node_selector.as_ref());
        for requirement in selector.into_iter().flat_map(NodeLabelSelector::requirements) {
            if !required.contains(&requirement) {
                required.push(requirement);
            }
        }
        let reason = match known.map(|known| &known.facts.progress) {
            None => WaitReason::NoSuchProfile,
            Some(Progress::ReadyOnce) => continue,
            Some(Progress::RollingOut) => WaitReason::RollingOut,
            Some(Progress::Rejected) => WaitReason::Rejected,
            Some(Progress::Removed) => WaitReason::Removed,
            Some(Progress::FailedWidely) => WaitReason::NodesFailed,
            Some(Progress::Failed(nodes)) => {
                let since = known.and_then(|known| known.failing_since).unwrap_or(now);
                let over = after(since, settings.leave_out_after);
                if over <= now {
                    left_out.extend(nodes.iter().cloned());
                    failing.push(name.file_name());
                    continue;
                }
                until = Some(until.map_or(over, |until| until.min(over)));
                WaitReason::RollingOut
            }
        };
        files.entry(reason).or_default().push(name.file_name());
    }
    if let Some(named) = named_nodes(&pod.affinity) {
        // Only these nodes matter, and a pod of a DaemonSet has one. It would stay pending for ever if that was left
        // out, although the node may recover.
        left_out.retain(|node| named.contains(node.as_str()));
        if !left_out.is_empty() && named.iter().all(|node| left_out.contains(*node)) {
            files.entry(WaitReason::NodesFailed).or_default().append(&mut failing);
        }
    }
    if left_out.len() > MAX_LEFT_OUT {
        files.entry(WaitReason::NodesFailed).or_default().append(&mut failing);
    }
    if files.is_empty() {
        Decision::Lift(Narrowing { left_out, required })
    } else {
        Decision::Wait(Wait { files, until })
    }
}

#[cfg(test)]
mod tests {
    use api::RequiredNodeAffinity;
    use serde_json::json;

    use super::*;

    const START: i64 = 1_800_000_000;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(START + second).unwrap()
    }

    fn pod(profiles: &[&str]) -> GatedPod {
        GatedPod {
            namespace: "shop".into(),
            name: "web".into(),
            version: crate::facts::ObjectVersion::default(),
            created: at(0),
            gate: 0,
            profiles: profiles.iter().map(|name| name.parse().unwrap()).collect(),
            impossible: BTreeSet::new(),
            affinity: RequiredNodeAffinity::NoAffinity,
        }
    }

    fn failed(nodes: &[&str]) -> Progress {
        Progress::Failed(nodes.iter().map(ToString::to_string).collect())
    }

    /// The decision where these profiles have this progress since the start.
    fn decided(pod: &GatedPod, profiles: &[(&str, Progress)], now: i64) -> Decision {
        let profiles: BTreeMap<ProfileName, KnownProfile> = profiles
            .iter()
            .map(|(name, progress)| {
                let failing_since = matches!(progress, Progress::Failed(_)).then(|| at(0));
                let facts =
                    AwaitedProfile { uid: String::new(), progress: progress.clone(), node_selector: None };
                let known = KnownProfile { facts, failing_since };
                (name.parse().unwrap(), known)
            })
            .collect();
        let settings = Settings { directory: "profiles".into(), leave_out_after: Duration::from_mins(1) };
        decide(pod, |name| profiles.get(name), &settings, at(now))
    }

    fn waits(decision: Decision) -> Vec<(WaitReason, Vec<String>)> {
        let Decision::Wait(wait) = decision else { panic!("{decision:?}") };
        wait.files.into_iter().collect()
    }

    fn lifts(left_out: &[&str]) -> Decision {
        let left_out = left_out.iter().map(ToString::to_string).collect();
        Decision::Lift(Narrowing { left_out, required: Vec::new() })
    }

    #[test]
    fn a_pod_waits_for_each_profile_that_it_names() {
        let both = pod(&["a", "b"]);
        let (ready, rolling) = (Progress::ReadyOnce, Progress::RollingOut);
        let decision = decided(&both, &[("a", ready.clone()), ("b", rolling)], 100);
        assert_eq!(waits(decision), [(WaitReason::RollingOut, vec!["b.json".to_owned()])]);
        assert_eq!(decided(&both, &[("a", ready.clone()), ("b", ready.clone())], 0), lifts(&[]));
        let decision = decided(&both, &[("a", ready)], 100);
        assert_eq!(waits(decision), [(WaitReason::NoSuchProfile, vec!["b.json".to_owned()])]);
    }

    #[test]
    fn a_pod_that_names_no_profile_does_not_wait() {
        assert_eq!(decided(&pod(&[]), &[], 0), lifts(&[]));
    }

    #[test]
    fn a_file_that_no_profile_can_make_keeps_the_gate_whatever_else_is_ready() {
        let misspelt = GatedPod { impossible: BTreeSet::from(["A.json".to_owned()]), ..pod(&["a"]) };
        let decision = decided(&misspelt, &[("a", Progress::ReadyOnce)], 1000);
        assert_eq!(waits(decision), [(WaitReason::NoSuchProfile, vec!["A.json".to_owned()])]);
    }

    #[test]
    fn nodes_that_fail_for_a_minute_are_left_out() {
        let decision = decided(&pod(&["a"]), &[("a", failed(&["n1"]))], 59);
        let Decision::Wait(wait) = decision else { panic!("{decision:?}") };
        assert_eq!((wait.reason(), wait.until), (Some(WaitReason::RollingOut), Some(at(60))));
        assert_eq!(decided(&pod(&["a"]), &[("a", failed(&["n1"]))], 60), lifts(&["n1"]));
        let two = [("a", failed(&["n1"])), ("b", failed(&["n2", "n1"]))];
        assert_eq!(decided(&pod(&["a", "b"]), &two, 60), lifts(&["n1", "n2"]));
    }

    #[test]
    fn more_than_ten_nodes_are_not_left_out() {
        let names: Vec<_> = (0..12).map(|number| format!("n{number:02}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let split = |at: usize| [("a", failed(&names[..6])), ("b", failed(&names[6..at]))];
        assert_eq!(decided(&pod(&["a", "b"]), &split(10), 60), lifts(&names[..10]));
        assert_eq!(waits(decided(&pod(&["a", "b"]), &split(11), 60))[0].0, WaitReason::NodesFailed);
        let widely = decided(&pod(&["a"]), &[("a", Progress::FailedWidely)], 1000);
        assert_eq!(waits(widely)[0].0, WaitReason::NodesFailed);
    }

    /// A pod that names its node, as those of a DaemonSet do.
    fn on(node: &str) -> GatedPod {
        let term =
            json!([{ "matchFields": [{ "key": "metadata.name", "operator": "In", "values": [node] }] }]);
        GatedPod {
            affinity: RequiredNodeAffinity::Terms(serde_json::from_value(term).unwrap()),
            ..pod(&["a"])
        }
    }

    #[test]
    fn a_pod_of_a_daemon_set_waits_for_its_node_and_is_not_narrowed_by_others() {
        let profiles = [("a", failed(&["n1"]))];
        assert_eq!(waits(decided(&on("n1"), &profiles, 60))[0].0, WaitReason::NodesFailed);
        assert_eq!(decided(&on("n2"), &profiles, 60), lifts(&[]));
    }

    #[test]
    fn a_pod_gets_the_requirements_of_every_profile_that_it_names_once() {
        let selector = |labels: &[(&str, &str)]| {
            let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            Some(NodeLabelSelector { match_labels: labels.collect(), match_expressions: Vec::new() })
        };
        let known = |node_selector| KnownProfile {
            facts: AwaitedProfile { uid: String::new(), progress: Progress::ReadyOnce, node_selector },
            failing_since: None,
        };
        let (a, b) = (known(selector(&[("pool", "web")])), known(selector(&[("pool", "web"), ("gpu", "1")])));
        let settings = Settings { directory: "profiles".into(), leave_out_after: Duration::from_mins(1) };
        let of = |name: &ProfileName| Some(if name.as_str() == "a" { &a } else { &b });
        let Decision::Lift(narrowing) = decide(&pod(&["a", "b"]), of, &settings, at(0)) else {
            panic!("both are ready")
        };
        let requirement = |key: &str, value: &str| json!({ "key": key, "operator": "In", "values": [value] });
        assert_eq!(
            serde_json::to_value(&narrowing.required).unwrap(),
            json!([requirement("pool", "web"), requirement("gpu", "1")])
        );
    }

    #[test]
    fn a_deleted_or_rejected_profile_keeps_the_gate() {
        for (progress, reason) in
            [(Progress::Removed, WaitReason::Removed), (Progress::Rejected, WaitReason::Rejected)]
        {
            assert_eq!(waits(decided(&pod(&["a"]), &[("a", progress)], 1000))[0].0, reason);
        }
    }
}
