//! The profiles that exist, driven by the events of their watch.

use std::time::{Duration, Instant};

use kube_runtime::watcher::Event;
use link::changes::KnownObjects;
use profile::ContentHash;
use serde_json::{Value, json};

use crate::budget::Budget;
use crate::goal::{Goal, Listeners, Placement};
use crate::profiles::{Outcome, Profiles};
use crate::watched_profile::WatchedProfile;

/// The profiles, behind the adaptor that keeps the list of objects.
#[derive(Default)]
struct ProfilesFixture {
    existing: KnownObjects,
    profiles: Profiles,
}

impl ProfilesFixture {
    /// There is room for the contents of `count` profiles as [`profile`] makes them.
    fn with_room_for(count: u64) -> Self {
        let each = 2048 + br#"{"defaultAction":"SCMP_ACT_LOG"}"#.len() as u64;
        let profiles = Profiles::new(Listeners::Refused, Budget::with_room(count * each + 8));
        Self { profiles, ..Self::default() }
    }

    /// What an event of the watch comes to.
    fn event_at(&mut self, event: Event<WatchedProfile>, at: Instant) -> Vec<Outcome> {
        self.existing.take(event).map(|change| self.profiles.take(change, at)).collect()
    }

    fn event(&mut self, event: Event<WatchedProfile>) -> Vec<Outcome> {
        self.event_at(event, Instant::now())
    }

    /// What one object comes to that a list or the watch delivers.
    fn apply(&mut self, event: Event<WatchedProfile>) -> Outcome {
        self.event(event).swap_remove(0)
    }

    /// What complete lists of these objects come to in all.
    fn list(&mut self, listed: impl IntoIterator<Item = WatchedProfile>) -> Vec<Outcome> {
        let listed = listed.into_iter().map(Event::InitApply);
        let events = [Event::Init].into_iter().chain(listed).chain([Event::InitDone]);
        events.flat_map(|event| self.event(event)).collect()
    }
}

fn watched(object: Value) -> WatchedProfile {
    serde_json::from_value(object).unwrap()
}

fn with_uid(name: &str, uid: &str, action: &str) -> WatchedProfile {
    watched(json!({
        "metadata": { "name": name, "uid": uid }, "spec": { "contents": { "defaultAction": action } }
    }))
}

fn profile(name: &str, action: &str) -> WatchedProfile {
    with_uid(name, name, action)
}

fn goal(outcome: Outcome) -> Goal {
    match outcome {
        Outcome::Goal(_, goal) => goal,
        other => panic!("{other:?}"),
    }
}

fn bytes(outcome: Outcome) -> String {
    match goal(outcome) {
        Goal::File { bytes, hash } => {
            let bytes = bytes.bytes();
            assert_eq!(hash, ContentHash::of(&bytes));
            String::from_utf8(bytes).unwrap()
        }
        other => panic!("{other:?}"),
    }
}

fn is_refused(outcome: Outcome) -> bool {
    matches!(goal(outcome), Goal::OverBudget(_))
}

fn removal(name: &str) -> Outcome {
    Outcome::Goal(name.parse().unwrap(), Goal::Removal)
}

#[test]
fn contents_that_were_parsed_before_are_not_parsed_again() {
    let mut fixture = ProfilesFixture::default();
    fixture.event(Event::Init);
    let listed = fixture.apply(Event::InitApply(profile("a", "SCMP_ACT_LOG")));
    assert_eq!(bytes(listed), r#"{"defaultAction":"SCMP_ACT_LOG"}"#);
    // Neither does a list that breaks off forget them.
    fixture.event(Event::InitDone);
    fixture.event(Event::Init);
    assert_eq!(fixture.list([profile("a", "SCMP_ACT_LOG")]), [Outcome::Nothing, Outcome::ListComplete]);
}

#[test]
fn a_list_of_what_is_known_is_no_sign_of_a_rollout() {
    let mut fixture = ProfilesFixture::default();
    fixture.list([profile("a", "SCMP_ACT_LOG")]);
    assert_eq!(fixture.apply(Event::Apply(profile("a", "SCMP_ACT_LOG"))), Outcome::Rollout);
    assert_eq!(fixture.list([profile("a", "SCMP_ACT_LOG")]), [Outcome::Nothing, Outcome::ListComplete]);
}

#[test]
fn a_goal_changes_with_the_contents_and_with_the_approval_to_remove() {
    let (start, mut fixture) = (Instant::now(), ProfilesFixture::default());
    let contents = json!({ "defaultAction": "SCMP_ACT_LOG" });
    let mut object = json!({ "metadata": { "name": "a", "uid": "1" }, "spec": { "contents": contents } });
    let mut is_change = |object: &Value| {
        let mut at =
            |after| fixture.event_at(Event::Apply(watched(object.clone())), start + after).swap_remove(0);
        let first = at(Duration::ZERO);
        // For a while, what follows shows that the other nodes receive the change, too.
        assert_eq!(at(Duration::from_secs(4)), Outcome::Rollout);
        assert_eq!(at(Duration::from_secs(5)), Outcome::Nothing);
        matches!(first, Outcome::Goal(..))
    };
    assert!(is_change(&object));
    for (pointer, value, change) in [
        ("/metadata/resourceVersion", json!("2"), false),
        ("/metadata/finalizers", json!(["a/b"]), false),
        ("/metadata/deletionTimestamp", json!("2026-01-01T00:00:00Z"), false),
        ("/status", json!({ "state": "Ready" }), false),
        ("/status/removal", json!("Approved"), true),
        ("/metadata/uid", json!("2"), false),
        ("/spec/contents/defaultAction", json!("SCMP_ACT_ALLOW"), true),
        ("/metadata/deletionTimestamp", json!(null), true),
        ("/spec/contents/defaultAction", json!("SCMP_ACT_TRAP"), true),
        ("/spec/contents/defaultAction", json!(7), true),
    ] {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        object.pointer_mut(parent).unwrap()[key] = value;
        assert_eq!(is_change(&object), change, "{pointer}");
    }
}

#[test]
fn the_rollout_of_a_recreated_profile_begins_anew() {
    let (start, mut fixture) = (Instant::now(), ProfilesFixture::default());
    let mut at = |uid, seconds| {
        let event = Event::Apply(with_uid("a", uid, "SCMP_ACT_LOG"));
        fixture.event_at(event, start + Duration::from_secs(seconds)).swap_remove(0)
    };
    at("1", 0);
    assert_eq!(at("1", 5), Outcome::Nothing);
    assert_eq!(at("2", 5), Outcome::Nothing);
    assert_eq!(at("2", 9), Outcome::Rollout);
}

#[test]
fn contents_that_change_are_parsed_and_so_are_those_that_change_back() {
    let mut fixture = ProfilesFixture::default();
    for action in ["SCMP_ACT_LOG", "SCMP_ACT_ALLOW", "SCMP_ACT_LOG"] {
        let bytes = bytes(fixture.apply(Event::Apply(profile("a", action))));
        assert_eq!(bytes, format!(r#"{{"defaultAction":"{action}"}}"#));
    }
}

#[test]
fn a_profile_that_is_gone_is_a_removal_and_nothing_of_it_is_kept() {
    let mut fixture = ProfilesFixture::default();
    for name in ["a", "b", "c"] {
        fixture.event(Event::Apply(profile(name, "SCMP_ACT_LOG")));
    }
    assert_eq!(fixture.event(Event::Delete(profile("c", "SCMP_ACT_LOG"))), [removal("c")]);
    assert_eq!(
        fixture.list([profile("a", "SCMP_ACT_LOG")]),
        [Outcome::Nothing, removal("b"), Outcome::ListComplete]
    );
    assert_eq!(fixture.profiles.names().collect::<Vec<_>>(), ["a"]);
}

#[test]
fn a_list_that_breaks_off_removes_nothing_and_the_next_complete_one_does() {
    let (mut fixture, log) = (ProfilesFixture::default(), "SCMP_ACT_LOG");
    fixture.list([profile("a", log), profile("b", log)]);
    for event in [Event::Init, Event::InitApply(profile("b", log)), Event::Init] {
        assert!(fixture.event(event).iter().all(|outcome| *outcome == Outcome::Nothing));
    }
    assert_eq!(fixture.list([profile("b", log)]), [Outcome::Nothing, removal("a"), Outcome::ListComplete]);
}

#[test]
fn a_profile_recreated_under_its_name_wins_over_its_predecessor_in_any_order() {
    let (old, new) = (with_uid("a", "1", "SCMP_ACT_LOG"), with_uid("a", "2", "SCMP_ACT_ALLOW"));
    for events in [
        vec![Event::Apply(old.clone()), Event::Delete(old.clone()), Event::Apply(new.clone())],
        vec![Event::Apply(old.clone()), Event::Apply(new.clone()), Event::Delete(old.clone())],
        vec![Event::Apply(new), Event::Delete(old)],
    ] {
        let mut fixture = ProfilesFixture::default();
        fixture.list([]);
        let outcomes: Vec<_> = events.into_iter().flat_map(|event| fixture.event(event)).collect();
        let mut goals = outcomes.into_iter().filter(|outcome| matches!(outcome, Outcome::Goal(..)));
        assert_eq!(bytes(goals.next_back().unwrap()), r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#);
    }
}

#[test]
fn a_profile_recreated_while_nobody_watched_never_has_the_goal_of_a_removal() {
    let log = "SCMP_ACT_LOG";
    for (action, goals) in [(log, 0), ("SCMP_ACT_ALLOW", 1)] {
        let mut fixture = ProfilesFixture::default();
        fixture.list([with_uid("a", "1", log)]);
        let mut outcomes = fixture.list([with_uid("a", "2", action)]);
        assert_eq!(outcomes.pop(), Some(Outcome::ListComplete));
        outcomes.retain(|outcome| *outcome != Outcome::Nothing);
        assert_eq!(outcomes.len(), goals, "{outcomes:?}");
        assert!(!outcomes.contains(&removal("a")), "{outcomes:?}");
        // It is the new one that goes.
        assert_eq!(fixture.event(Event::Delete(with_uid("a", "1", log))), [Outcome::Nothing]);
        assert_eq!(fixture.event(Event::Delete(with_uid("a", "2", action))), [removal("a")]);
    }
}

#[test]
fn a_name_that_no_file_can_have_is_reported_and_goes_with_its_object() {
    let (mut fixture, object) = (ProfilesFixture::default(), profile("../etc", "SCMP_ACT_LOG"));
    let Outcome::Misnamed { name, message: Some(_) } = fixture.apply(Event::Apply(object.clone())) else {
        panic!("it has a goal")
    };
    assert_eq!(&*name, "../etc");
    assert_eq!(fixture.event(Event::Delete(object)), [Outcome::Misnamed { name, message: None }]);
}

#[test]
fn a_profile_that_there_is_no_room_for_is_refused_alone_and_taken_once_there_is() {
    let mut fixture = ProfilesFixture::with_room_for(2);
    let listed = |name| Event::InitApply(profile(name, "SCMP_ACT_LOG"));
    let watched = |name| Event::Apply(profile(name, "SCMP_ACT_LOG"));
    fixture.event(Event::Init);
    for (name, too_much) in [("a", false), ("b", false), ("c", true), ("d", true)] {
        assert_eq!(is_refused(fixture.apply(listed(name))), too_much, "{name}");
    }
    fixture.event(Event::InitDone);
    assert!(!fixture.profiles.wants_list());
    // What is known keeps its place, whoever is created or comes again.
    assert!(is_refused(fixture.apply(watched("0"))));
    assert_eq!(fixture.apply(watched("a")), Outcome::Rollout);
    assert_eq!(fixture.apply(watched("c")), Outcome::Rollout);
    assert!(!fixture.profiles.wants_list());
    // A change is measured without what it replaces.
    bytes(fixture.apply(Event::Apply(profile("a", "SCMP_ACT_TRAP"))));

    fixture.event(Event::Delete(profile("b", "SCMP_ACT_LOG")));
    assert!(fixture.profiles.wants_list() && !fixture.profiles.wants_list(), "once");
    fixture.event(Event::Init);
    bytes(fixture.apply(listed("0")));
    for (name, action) in [("a", "SCMP_ACT_TRAP"), ("c", "SCMP_ACT_LOG"), ("d", "SCMP_ACT_LOG")] {
        // The one has its place, and the others are refused as before.
        let outcome = fixture.apply(Event::InitApply(profile(name, action)));
        assert_eq!(outcome, Outcome::Nothing, "{name}");
    }
    fixture.event(Event::InitDone);
    assert!(!fixture.profiles.wants_list());
}

#[test]
fn profiles_that_went_while_nobody_watched_leave_their_room() {
    let mut fixture = ProfilesFixture::with_room_for(1);
    fixture.event(Event::Apply(profile("gone", "SCMP_ACT_LOG")));
    fixture.event(Event::Init);
    assert!(is_refused(fixture.apply(Event::InitApply(profile("new", "SCMP_ACT_LOG")))));
    fixture.event(Event::InitDone);
    assert!(fixture.profiles.wants_list());
    bytes(fixture.apply(Event::Apply(profile("new", "SCMP_ACT_LOG"))));
}

#[test]
fn a_file_whose_removal_is_approved_leaves_its_room() {
    let mut fixture = ProfilesFixture::with_room_for(1);
    let mut object = json!({
        "metadata": { "name": "a", "uid": "a" }, "spec": { "contents": { "defaultAction": "SCMP_ACT_LOG" } }
    });
    bytes(fixture.apply(Event::Apply(watched(object.clone()))));
    assert!(is_refused(fixture.apply(Event::Apply(profile("b", "SCMP_ACT_LOG")))));
    object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    object["status"] = json!({ "removal": "Approved" });
    assert_eq!(fixture.apply(Event::Apply(watched(object.clone()))), removal("a"));
    assert!(fixture.profiles.wants_list());
    // That the object is gone then changes nothing more.
    assert_eq!(fixture.event(Event::Delete(watched(object))), [Outcome::Nothing]);
    assert!(!fixture.profiles.wants_list());
    bytes(fixture.apply(Event::Apply(profile("b", "SCMP_ACT_LOG"))));
}

#[test]
fn a_deletion_timestamp_alone_changes_nothing_and_the_approval_to_remove_removes() {
    let mut fixture = ProfilesFixture::default();
    let contents = json!({ "defaultAction": "SCMP_ACT_LOG" });
    let metadata = json!({ "name": "a", "uid": "1", "deletionTimestamp": "2026-01-01T00:00:00Z" });
    let mut object = json!({ "metadata": metadata, "spec": { "contents": contents } });
    let deleting = fixture.apply(Event::Apply(watched(object.clone())));
    assert_eq!(bytes(deleting), r#"{"defaultAction":"SCMP_ACT_LOG"}"#);
    object["status"] = json!({ "removal": "Approved" });
    assert_eq!(fixture.apply(Event::Apply(watched(object.clone()))), removal("a"));
    object["metadata"]["deletionTimestamp"] = Value::Null;
    let recreated = fixture.apply(Event::Apply(watched(object)));
    assert_eq!(bytes(recreated), r#"{"defaultAction":"SCMP_ACT_LOG"}"#);
}

#[test]
fn contents_that_an_earlier_release_took_and_no_runtime_takes_are_refused_by_name() {
    let contents = json!({ "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 4095 });
    let object = json!({ "metadata": { "name": "a", "uid": "1" }, "spec": { "contents": contents } });
    match goal(ProfilesFixture::default().apply(Event::Apply(watched(object)))) {
        Goal::Rejected { message: why, .. } => {
            assert!(why.starts_with("spec.contents.defaultErrnoRet: "), "{why}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_object_is_handled_on_its_own_whatever_it_contains() {
    let mut fixture = ProfilesFixture::default();
    for bad in [json!({}), json!({ "spec": 7, "status": [] }), json!({ "spec": { "contents": null } })] {
        let mut object = json!({ "metadata": { "name": "a", "uid": "1" } });
        object.as_object_mut().unwrap().extend(bad.as_object().unwrap().clone());
        match goal(fixture.apply(Event::Apply(watched(object)))) {
            Goal::Rejected { message: why, .. } => assert!(why.contains("spec.contents"), "{why}"),
            other => panic!("{other:?}"),
        }
    }
}

fn selecting(name: &str, uid: &str) -> WatchedProfile {
    watched(json!({
        "metadata": { "name": name, "uid": uid },
        "spec": { "contents": { "defaultAction": "SCMP_ACT_LOG" }, "nodeSelector": { "matchLabels": { "pool": "db" } } }
    }))
}

/// The placements that have changed, by name.
fn placements(fixture: &mut ProfilesFixture) -> Vec<(String, Placement)> {
    let changed = fixture.profiles.take_placements(|_| true).into_iter();
    changed.map(|(name, placement)| (name.to_string(), placement)).collect()
}

fn excluded(entries: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
    entries.iter().map(|(name, uid)| ((*name).to_owned(), (*uid).to_owned())).collect()
}

#[test]
fn only_a_profile_that_selects_nodes_waits_for_the_operators_word_and_heeds_it() {
    let mut fixture = ProfilesFixture::default();
    fixture.list([selecting("a", "1"), profile("b", "SCMP_ACT_LOG"), selecting("c", "3")]);
    assert!(fixture.profiles.awaits_word());
    assert_eq!(
        placements(&mut fixture),
        [("a".into(), Placement::Unknown), ("c".into(), Placement::Unknown)]
    );
    // Whoever has the operator's token can remove no file of a profile that selects no nodes.
    fixture.profiles.hear(excluded(&[("a", "1"), ("b", "b"), ("c", "another uid")]));
    assert_eq!(placements(&mut fixture), [("a".into(), Placement::Excluded), ("c".into(), Placement::Here)]);
    fixture.profiles.hear(excluded(&[("a", "1")]));
    assert_eq!(placements(&mut fixture), []);
    fixture.profiles.hear(excluded(&[]));
    assert_eq!(placements(&mut fixture), [("a".into(), Placement::Here)]);
    assert!(!fixture.profiles.awaits_word());
}

#[test]
fn a_recreated_profile_is_not_bound_by_what_was_said_of_its_predecessor() {
    let mut fixture = ProfilesFixture::default();
    fixture.list([selecting("a", "1")]);
    fixture.profiles.hear(excluded(&[("a", "1")]));
    placements(&mut fixture);
    // Its contents are the same, so that there is no new goal.
    let outcomes = fixture.event(Event::Apply(selecting("a", "2")));
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Nothing), "{outcomes:?}");
    assert_eq!(placements(&mut fixture), [("a".into(), Placement::Here)]);
    fixture.profiles.hear(excluded(&[("a", "2")]));
    assert_eq!(placements(&mut fixture), [("a".into(), Placement::Excluded)]);
    fixture.event(Event::Delete(selecting("a", "2")));
    assert_eq!(placements(&mut fixture), [("a".into(), Placement::Here)]);
}

#[test]
fn a_profile_that_selects_no_nodes_any_more_gets_its_file_everywhere_at_once() {
    let mut fixture = ProfilesFixture::default();
    fixture.list([selecting("a", "a")]);
    fixture.profiles.hear(excluded(&[("a", "a")]));
    placements(&mut fixture);
    fixture.event(Event::Apply(profile("a", "SCMP_ACT_LOG")));
    assert_eq!(placements(&mut fixture), [("a".into(), Placement::Here)]);
}
