//! The index, driven synchronously: changes in, decisions out.

use std::collections::HashSet;

use api::RequiredNodeAffinity;
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::*;
use crate::facts::ObjectVersion;

const START: i64 = 1_800_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(START + second).unwrap()
}

fn name(name: &str) -> ProfileName {
    name.parse().unwrap()
}

fn pod(uid: &str, profiles: &[&str]) -> GatedPod {
    GatedPod {
        namespace: "shop".into(),
        name: uid.into(),
        version: ObjectVersion { uid: uid.into(), resource_version: "1".into() },
        created: at(0),
        gate: 0,
        profiles: profiles.iter().map(|profile| name(profile)).collect(),
        impossible: BTreeSet::new(),
        affinity: RequiredNodeAffinity::NoAffinity,
    }
}

fn index() -> Index {
    Index::new(Settings { directory: "profiles".into(), leave_out_after: Duration::from_mins(1) })
}

/// The first profile of its name.
fn profile(progress: Progress) -> AwaitedProfile {
    generation(1, progress)
}

/// The profile that was created as the `number`th under its name.
fn generation(number: u32, progress: Progress) -> AwaitedProfile {
    AwaitedProfile { uid: format!("profile-{number}"), progress, node_selector: None }
}

fn failed(node: &str) -> Progress {
    Progress::Failed(BTreeSet::from([node.to_owned()]))
}

fn is_lift(decision: &PodDecision) -> bool {
    matches!(decision.decision, Decision::Lift(_))
}

#[test]
fn a_profile_that_becomes_ready_queues_the_pods_that_name_it_the_oldest_first() {
    let mut index = index();
    for (uid, created) in [("young", 9), ("old", 3), ("middle", 5)] {
        index.apply_pod(GatedPod { created: at(created), ..pod(uid, &["a"]) });
    }
    index.apply_pod(pod("other", &["b"]));
    index.take_dirty();
    index.apply_profile(&name("a"), profile(Progress::ReadyOnce), at(10));
    let dirty = index.take_dirty();
    assert_eq!(dirty.iter().map(|uid| &**uid).collect::<Vec<_>>(), ["old", "middle", "young"]);
    assert!(dirty.iter().all(|uid| is_lift(&index.decide(uid, at(10)).unwrap())));
}

#[test]
fn a_status_that_changes_nothing_for_pods_queues_none() {
    let mut index = index();
    index.apply_profile(&name("a"), profile(Progress::RollingOut), at(0));
    index.apply_pod(pod("u", &["a"]));
    index.take_dirty();
    index.apply_profile(&name("a"), profile(Progress::RollingOut), at(1));
    assert_eq!(index.take_dirty(), [] as [PodUid; 0]);
}

#[test]
fn the_time_of_failed_nodes_counts_from_the_first_failure_and_anew_after_a_rollout() {
    let mut index = index();
    index.apply_pod(pod("u", &["a"]));
    index.apply_profile(&name("a"), profile(failed("n1")), at(0));
    index.apply_profile(&name("a"), profile(failed("n2")), at(50));
    assert_eq!(index.decide("u", at(59)).unwrap().requeue_at, Some(at(60)));
    assert!(is_lift(&index.decide("u", at(60)).unwrap()));
    index.apply_profile(&name("a"), profile(Progress::RollingOut), at(70));
    index.apply_profile(&name("a"), profile(failed("n1")), at(80));
    assert!(!is_lift(&index.decide("u", at(139)).unwrap()));
    assert!(is_lift(&index.decide("u", at(140)).unwrap()));
}

#[test]
fn an_event_is_due_once_for_each_reason_and_a_pod_that_starts_at_once_needs_none() {
    let mut index = index();
    index.apply_pod(pod("u", &["a"]));
    let decided = index.decide("u", at(4)).unwrap();
    assert_eq!((decided.due, decided.requeue_at), (vec![], Some(at(30))), "there is no such profile yet");
    assert_eq!(index.decide("u", at(30)).unwrap().due, [WaitReason::NoSuchProfile]);
    index.explained("u", WaitReason::NoSuchProfile);
    assert_eq!(index.decide("u", at(31)).unwrap().due, []);
    index.apply_profile(&name("a"), profile(Progress::RollingOut), at(40));
    assert_eq!(index.decide("u", at(40)).unwrap().due, [WaitReason::RollingOut]);
    // A change of the pod does not repeat it.
    index.explained("u", WaitReason::RollingOut);
    index.apply_pod(pod("u", &["a"]));
    assert_eq!(index.decide("u", at(41)).unwrap().due, []);
}

#[test]
fn a_gate_that_does_not_lead_leaves_pods_to_the_leader_as_long_as_that_works() {
    let mut index = index();
    index.apply_profile(&name("a"), profile(Progress::ReadyOnce), at(0));
    index.apply_pod(pod("u", &["a"]));
    index.apply_pod(pod("v", &["a"]));
    assert!(is_lift(&index.decide("u", at(10)).unwrap()));
    assert_eq!(index.left_to_leader_until("u", at(10)), Some(at(11)));
    index.pod_is_free("v", at(20));
    assert_eq!(index.left_to_leader_until("u", at(20)), Some(at(21)));
    index.decide("u", at(20));
    assert_eq!(index.left_to_leader_until("u", at(20)), Some(at(21)), "the time goes on");
}

#[test]
fn a_clock_that_is_set_back_makes_no_pod_wait_longer_than_the_stated_time_from_then_on() {
    let mut index = index();
    index.apply_pod(pod("u", &["a"]));
    index.apply_pod(pod("v", &["b"]));
    index.apply_profile(&name("a"), profile(failed("n1")), at(3600));
    index.apply_profile(&name("b"), profile(Progress::ReadyOnce), at(3600));
    index.pod_is_free("w", at(3600));
    index.decide("v", at(3600));
    let Decision::Wait(wait) = index.decide("u", at(0)).unwrap().decision else { panic!("it fails now") };
    assert_eq!(wait.until, Some(at(60)));
    assert!(is_lift(&index.decide("u", at(60)).unwrap()));
    assert_eq!(index.left_to_leader_until("v", at(0)), Some(at(1)));
}

#[test]
fn the_end_of_a_profile_does_not_count_against_the_next_one_of_its_name() {
    let mut index = index();
    index.apply_pod(pod("u", &["a"]));
    index.apply_profile(&name("a"), generation(1, failed("n1")), at(0));
    // A list shows the next one before the watch tells of the end of the first.
    index.apply_profile(&name("a"), generation(2, failed("n1")), at(50));
    index.forget_profile("a", "profile-1");
    assert!(!is_lift(&index.decide("u", at(60)).unwrap()), "the next one fails for ten seconds");
    index.apply_profile(&name("a"), generation(2, Progress::ReadyOnce), at(61));
    assert!(is_lift(&index.decide("u", at(61)).unwrap()));
    index.forget_profile("a", "profile-2");
    assert!(!is_lift(&index.decide("u", at(62)).unwrap()));
}

#[test]
fn a_refusal_that_comes_twice_for_one_version_of_a_pod_gets_one_event() {
    let mut index = index();
    index.apply_pod(pod("u", &["a"]));
    assert!(!index.refused("u"));
    index.apply_pod(pod("u", &["a"]));
    assert!(!index.refused("u"), "another version");
    assert!(index.refused("u"));
    index.apply_pod(pod("u", &["a"]));
    assert!(!index.refused("u") && !index.refused("u"), "it has its Event");
    assert!(!index.refused("gone"));
}

#[test]
fn the_summary_counts_each_pod_once_by_its_worst_reason() {
    let mut index = index();
    index.apply_profile(&name("a"), profile(Progress::ReadyOnce), at(0));
    index.apply_profile(&name("b"), profile(Progress::RollingOut), at(0));
    index.apply_pod(pod("lifted-soon", &["a"]));
    index.apply_pod(GatedPod { created: at(-7), ..pod("waits", &["a", "b"]) });
    index.apply_pod(pod("misspelt", &["b", "c"]));
    let summary = index.summary(at(1));
    assert_eq!(summary.oldest, Some(at(-7)));
    let counted: Vec<_> = summary.pods.into_iter().filter(|(_, pods)| *pods > 0).collect();
    assert_eq!(counted, [(None, 1), (Some(WaitReason::RollingOut), 1), (Some(WaitReason::NoSuchProfile), 1)]);
}

#[derive(Debug, Clone)]
enum Action {
    Pod { uid: u8, profiles: BTreeSet<u8> },
    PodGone { uid: u8 },
    Profile { name: u8, progress: u8 },
    ProfileGone { name: u8 },
    Time { seconds: i64 },
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        (0..6u8, btree_set(0..4u8, 0..3)).prop_map(|(uid, profiles)| Action::Pod { uid, profiles }),
        (0..6u8).prop_map(|uid| Action::PodGone { uid }),
        (0..4u8, 0..6u8).prop_map(|(name, progress)| Action::Profile { name, progress }),
        (0..4u8).prop_map(|name| Action::ProfileGone { name }),
        (1..90i64).prop_map(|seconds| Action::Time { seconds }),
    ]
}

/// The index with a worker that does what the work queue would do.
struct Simulation {
    index: Index,
    now: i64,
    timers: BTreeMap<PodUid, Timestamp>,
    /// What exists, for the naive recomputation.
    pods: BTreeMap<PodUid, GatedPod>,
    profiles: BTreeMap<ProfileName, (Progress, Option<Timestamp>)>,
}

impl Simulation {
    fn play(&mut self, action: Action) {
        let named = |number: u8| name(&format!("p{number}"));
        match action {
            Action::Pod { uid, profiles } => {
                let uid = format!("u{uid}");
                let profiles: Vec<_> = profiles.into_iter().map(named).collect();
                let profiles: Vec<_> = profiles.iter().map(ProfileName::as_str).collect();
                let pod = GatedPod { created: at(self.now), ..pod(&uid, &profiles) };
                self.pods.insert(uid.into(), pod.clone());
                self.index.apply_pod(pod);
            }
            Action::PodGone { uid } => {
                self.pods.remove(format!("u{uid}").as_str());
                self.index.forget_pod(&format!("u{uid}"));
            }
            Action::Profile { name, progress } => {
                let progress = match progress {
                    0 | 1 => Progress::ReadyOnce,
                    2 => Progress::RollingOut,
                    3 => failed("n1"),
                    4 => failed("n2"),
                    _ => Progress::Rejected,
                };
                let was = self.profiles.get(&named(name)).and_then(|(_, since)| *since);
                let since = matches!(progress, Progress::Failed(_)).then(|| was.unwrap_or(at(self.now)));
                self.profiles.insert(named(name), (progress.clone(), since));
                self.index.apply_profile(&named(name), profile(progress), at(self.now));
            }
            Action::ProfileGone { name } => {
                self.profiles.remove(&named(name));
                self.index.forget_profile(named(name).as_str(), "profile-1");
            }
            Action::Time { seconds } => self.now += seconds,
        }
        self.work();
    }

    /// Reconciles every pod that is due.
    fn work(&mut self) {
        let now = at(self.now);
        let due = self.timers.extract_if(.., |_, time| *time <= now).map(|(uid, _)| uid);
        let due: Vec<_> = due.chain(self.index.take_dirty()).collect();
        for uid in due {
            self.timers.remove(&uid);
            let Some(decided) = self.index.decide(&uid, now) else { continue };
            if is_lift(&decided) {
                assert!(self.pods.remove(&uid).is_some(), "{uid} was lifted before");
                self.index.forget_pod(&uid);
            } else if let Some(time) = decided.requeue_at {
                self.timers.insert(uid, time);
            }
        }
    }

    /// No pod that may be scheduled waits, and none that must wait was lifted.
    fn check(&self) -> Result<(), TestCaseError> {
        let indexed: HashSet<_> = self.index.pods.keys().cloned().collect();
        prop_assert_eq!(&indexed, &self.pods.keys().cloned().collect());
        for (uid, pod) in &self.pods {
            let waits_for = |name: &ProfileName| match self.profiles.get(name) {
                Some((Progress::ReadyOnce, _)) => false,
                Some((Progress::Failed(_), Some(since))) => {
                    at(self.now) < after(*since, Duration::from_mins(1))
                }
                _ => true,
            };
            prop_assert!(pod.profiles.iter().any(waits_for), "{} is forgotten", uid);
        }
        let users: BTreeSet<_> = self.index.users.values().flatten().map(|(_, uid)| uid.clone()).collect();
        prop_assert!(users.iter().all(|uid| indexed.contains(uid)));
        Ok(())
    }
}

proptest! {
    #[test]
    fn no_pod_is_forgotten_and_none_is_lifted_twice_or_too_early(actions in vec(action(), 1..60)) {
        let mut simulation = Simulation {
            index: index(), now: 0, timers: BTreeMap::new(), pods: BTreeMap::new(), profiles: BTreeMap::new(),
        };
        for action in actions {
            simulation.play(action);
            simulation.check()?;
        }
    }
}
