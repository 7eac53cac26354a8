//! Profiles of images that no pod names are removed, after the time for which they are kept and not before.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// For how long a profile that no pod names is kept.
const KEPT: i64 = 24 * 3600;

/// An operator with a profile of an image, and an API server that stores what it writes.
struct World {
    index: Index,
    facts: ProfileFacts,
    pods: BTreeSet<String>,
    now: i64,
    /// When the operator has begun the deletion.
    deleted: Option<i64>,
    /// The stored value of `unusedSince`, each time that it changed.
    stored: Vec<Option<i64>>,
}

fn operator() -> Index {
    let mut index = two_nodes().removing_unused_after(Some(Duration::from_secs(KEPT as u64)));
    index.delete_profile("a", "uid-1", at(0));
    index
}

impl World {
    fn new() -> Self {
        let facts = ProfileFacts { origin: ProfileOrigin::Image, version: version(1, 2), ..profile("a", 1) };
        let mut world = Self {
            index: operator(),
            facts,
            pods: BTreeSet::new(),
            now: 0,
            deleted: None,
            stored: vec![None],
        };
        world.index.apply_profile(world.facts.clone(), UpdateSource::List, at(0));
        world
    }

    fn starts(&mut self, pod: &str) {
        self.pods.insert(pod.to_owned());
        self.index.apply_pod(user(pod, Some("n1"), "a"), at(self.now));
    }

    fn ends(&mut self, pod: &str) {
        self.pods.remove(pod);
        self.index.delete_pod(pod, at(self.now));
    }

    /// Another operator, which knows what is stored and nothing else.
    fn restart(&mut self) {
        self.index = operator();
        self.index.kind_may_be_incomplete("Pod");
        self.index.apply_profile(self.facts.clone(), UpdateSource::List, at(self.now));
        // Without the list of pods, nothing is known of them.
        let early = self.index.decide_profile("a", at(self.now)).unwrap().operation;
        assert!(!matches!(early, ProfileOperation::Delete { .. } | ProfileOperation::ListPods), "{early:?}");
        for pod in self.pods.clone() {
            self.starts(&pod);
        }
        self.index.kind_is_complete("Pod");
    }

    /// Reconciles until there is nothing to do but to wait for the removal; `self.now` moves on by what writes wait for.
    fn reconcile(&mut self) {
        for _ in 0..20 {
            let decision = self.index.decide_profile("a", at(self.now)).unwrap();
            match decision.operation {
                ProfileOperation::ListPods => {
                    let pods: Vec<_> = self.pods.iter().map(|pod| user(pod, Some("n1"), "a")).collect();
                    list(&mut self.index, &pods, self.now);
                }
                ProfileOperation::WriteStatus { status, .. } => self.store(*status),
                ProfileOperation::Defer => {
                    self.now = 1 + decision.requeue_at.unwrap().as_second() - START;
                }
                ProfileOperation::Delete { .. } => {
                    self.deleted = Some(self.now);
                    return;
                }
                ProfileOperation::Nothing => {
                    let due = decision.requeue_at.map(|due| due.as_second() - START);
                    assert_eq!(due.is_some(), self.pods.is_empty(), "{due:?}");
                    return;
                }
                other => panic!("{other:?}"),
            }
        }
        panic!("it never comes to rest");
    }

    fn store(&mut self, status: SeccompProfileStatus) {
        let since = status.unused_since.as_ref().map(|since| since.0.as_second() - START);
        if self.stored.last() != Some(&since) {
            self.stored.push(since);
        }
        self.facts.status = Some(status.clone());
        let next = 1 + self.facts.version.resource_version.parse::<u32>().unwrap();
        self.facts.version.resource_version = next.to_string();
        self.index.apply_profile(self.facts.clone(), UpdateSource::Answer, at(self.now));
        self.index.status_written("a", &status, at(self.now));
    }
}

#[test]
fn a_profile_that_no_pod_has_ever_named_is_removed_after_a_day() {
    let mut world = World::new();
    world.reconcile();
    let since = world.stored.last().unwrap().unwrap();
    world.now = since + KEPT - 1;
    world.reconcile();
    assert_eq!(world.deleted, None);
    world.now += 1;
    world.reconcile();
    assert_eq!(world.deleted, Some(since + KEPT));
    assert_eq!(world.stored.len(), 2, "one write in a day: {:?}", world.stored);
}

#[test]
fn the_day_begins_when_the_last_pod_ends_and_a_restart_does_not_begin_it_again() {
    let mut world = World::new();
    world.starts("web1");
    world.starts("web2");
    world.reconcile();
    assert_eq!(world.stored, [None]);
    world.now = 100 * KEPT;
    world.ends("web1");
    world.reconcile();
    world.ends("web2");
    let end = world.now;
    world.reconcile();
    for hour in 1..24 {
        world.now = end + hour * 3600;
        world.restart();
        world.reconcile();
        assert_eq!(world.deleted, None);
    }
    world.now = end + KEPT;
    world.restart();
    world.reconcile();
    assert_eq!(world.deleted, Some(end + KEPT));
    assert_eq!(world.stored, [None, Some(end)]);
}

#[test]
fn a_pod_that_the_watch_has_not_delivered_yet_keeps_the_profile() {
    let mut world = World::new();
    world.reconcile();
    world.now += KEPT + 60;
    let now = world.now;
    assert_eq!(world.index.decide_profile("a", at(now)).unwrap().operation, ProfileOperation::ListPods);
    assert!(!list(&mut world.index, &[user("web", Some("n1"), "a")], now));
    assert_eq!(world.index.decide_profile("a", at(now)).unwrap().operation, ProfileOperation::ListPods);
    world.starts("web");
    world.reconcile();
    assert_eq!((world.deleted, world.stored.last()), (None, Some(&None)));
}

#[test]
fn profiles_that_no_image_has_brought_are_kept_and_without_the_option_all_are() {
    let mut world = World::new();
    world.facts.origin = ProfileOrigin::User;
    world.index.apply_profile(world.facts.clone(), UpdateSource::List, at(0));
    let written = status(&world.index, 10);
    assert_eq!(written.unused_since, None);
    world.store(written);
    let decision = world.index.decide_profile("a", at(10 * KEPT)).unwrap();
    assert_eq!((decision.operation, decision.requeue_at), (ProfileOperation::Nothing, None));

    let mut world = World::new();
    world.index = std::mem::replace(&mut world.index, Index::new("profiles")).removing_unused_after(None);
    let mut seen = Vec::new();
    for now in [10, 20, 10 * KEPT] {
        let decision = world.index.decide_profile("a", at(now)).unwrap();
        if let ProfileOperation::WriteStatus { status, .. } = decision.operation {
            world.now = now;
            world.store(*status);
        } else {
            seen.push(decision.operation);
        }
    }
    assert!(
        seen.iter().all(|it| matches!(it, ProfileOperation::Nothing | ProfileOperation::Defer)),
        "{seen:?}"
    );
}

#[test]
fn an_api_server_that_does_not_store_since_when_costs_one_write_and_keeps_the_profile() {
    let mut world = World::new();
    world.now = 10;
    let mut writes = 0;
    for _ in 0..10 {
        world.now += KEPT;
        if let ProfileOperation::WriteStatus { status, .. } =
            world.index.decide_profile("a", at(world.now)).unwrap().operation
        {
            writes += 1;
            let stored = SeccompProfileStatus { unused_since: None, ..*status.clone() };
            world.store(stored);
            world.index.status_written("a", &status, at(world.now));
        }
    }
    assert_eq!((writes, world.deleted), (1, None));
}

#[test]
fn the_file_stays_for_some_seconds_of_a_deletion_for_pods_whose_creation_is_under_way() {
    let mut world = World::new();
    world.reconcile();
    let now = world.now + 100;
    world.facts.deletion = Some(at(now));
    world.facts.version.resource_version = "90".to_owned();
    world.index.apply_profile(world.facts.clone(), UpdateSource::Watch, at(now));
    let written = status(&world.index, now);
    assert_eq!(written.removal, None);
    let deleting = written.conditions.iter().find(|it| it.type_ == "Deleting").unwrap();
    assert!(deleting.message.contains("for some seconds"), "{}", deleting.message);
    world.now = now;
    world.store(written);
    let decision = world.index.decide_profile("a", at(now + 9)).unwrap();
    assert_eq!((decision.operation, decision.requeue_at), (ProfileOperation::Nothing, Some(at(now + 10))));
    // A pod that comes then keeps it; without one, it goes.
    world.index.apply_pod(user("late", Some("n1"), "a"), at(now + 9));
    assert_eq!(status(&world.index, now + 10).removal, None);
    world.index.delete_pod("late", at(now + 10));
    assert_eq!(status_after_list(&mut world.index, now + 11).removal, Some(Removal::Approved.into()));
}

/// What happens in a cluster.
#[derive(Debug, Clone)]
enum Event {
    Starts(u8),
    Ends(u8),
    Time(i64),
    Restart,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => (0..3u8).prop_map(Event::Starts),
        3 => (0..3u8).prop_map(Event::Ends),
        3 => prop_oneof![1..60i64, 1..KEPT / 2].prop_map(Event::Time),
        1 => Just(Event::Restart),
    ]
}

proptest! {
    #[test]
    fn a_profile_is_removed_a_day_after_its_last_pod_whatever_restarts_and_costs_one_write_a_change(
        events in vec(event(), 1..60)
    ) {
        let mut world = World::new();
        world.reconcile();
        // Since when no pod names it; how often that has changed.
        let (mut unused, mut changes) = (Some(0), 1);
        for event in events {
            let before = world.pods.is_empty();
            match event {
                Event::Starts(pod) => world.starts(&format!("web{pod}")),
                Event::Ends(pod) => world.ends(&format!("web{pod}")),
                Event::Time(seconds) => world.now += seconds,
                Event::Restart => world.restart(),
            }
            if world.pods.is_empty() != before {
                changes += 1;
                unused = world.pods.is_empty().then_some(world.now);
            }
            let now = world.now;
            world.reconcile();
            prop_assert!(world.stored.len() - 1 <= changes, "{:?} by {} changes", world.stored, changes);
            if let Some(deleted) = world.deleted {
                let unused = unused.expect("no pod names it");
                prop_assert!(deleted >= unused + KEPT - 10, "unused since {unused}, removed at {deleted}");
                return Ok(());
            }
            // Writes wait for some seconds; the first status is written later than the profile is created.
            prop_assert!(unused.is_none_or(|unused| now < unused + KEPT + 60), "unused since {unused:?}, kept at {now}");
        }
    }
}
