//! Profiles as the watch brings them, read strictly once.
//!
//! A rollout brings the same contents to each node four times and more: as applied, with the finalizer, and with each
//! status. To read them is most of what an agent does, so that what has been read is known again by its text.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use api::{SeccompProfile, Text, Untrusted};
use kube::api::ObjectMeta;
use kube_runtime::watcher::Event;
use profile::ContentHash;
use serde::Deserialize;

use crate::budget::{Account, Budget, Cost};
use crate::desired::{Listeners, Object, ProfileEvent, Want};

/// A profile as the watch decodes it: no more than is needed, and its contents as text, so that of a page of large
/// profiles only one at a time is in memory as a tree of values.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "Untrusted<SeccompProfile, Text>")]
pub struct Watched {
    metadata: ObjectMeta,
    spec: Text,
    removal_approved: bool,
    desired_nodes: Option<u64>,
}

impl Watched {
    /// How many nodes should hold it, as far as the operator has said so.
    #[must_use]
    pub fn desired_nodes(&self) -> Option<u64> {
        self.desired_nodes
    }
}

impl From<Untrusted<SeccompProfile, Text>> for Watched {
    fn from(object: Untrusted<SeccompProfile, Text>) -> Self {
        let (removal_approved, desired_nodes) = (object.removal_approved(), object.desired_nodes());
        let ObjectMeta { name, uid, resource_version, .. } = object.metadata;
        let metadata = ObjectMeta { name, uid, resource_version, ..ObjectMeta::default() };
        Self { metadata, spec: object.spec, removal_approved, desired_nodes }
    }
}

api::watched_as!(Watched, SeccompProfile);

/// What an event of the watch comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Something may have to be done.
    News(ProfileEvent),
    /// What is known, of a profile that was news a moment ago: its rollout is still under way.
    Echo,
    /// What is known. The thread that keeps the files need not wake for it, as for most events of a rollout.
    Known,
}

/// For how long a profile echoes.
const ECHO: Duration = Duration::from_secs(5);

/// What has been read of each profile that there is.
#[derive(Debug, Default)]
pub struct Reading {
    read: BTreeMap<Box<str>, Read>,
    /// While a list comes: what has not been in it so far.
    before: BTreeMap<Box<str>, Read>,
    listeners: Listeners,
    /// What those take that there is room for.
    account: Account,
    /// Something has let go of its room since it was last looked whether somebody waits for some.
    has_freed: bool,
}

#[derive(Debug)]
struct Read {
    uid: Box<str>,
    /// SHA-256 of the text: who may write a profile must not be able to make one that passes for another.
    text: ContentHash,
    /// What the text asks for.
    contents: Want,
    /// What it takes, or would take.
    cost: Cost,
    removal_approved: bool,
    /// When it was last news.
    since: Instant,
}

impl Reading {
    /// Nothing is known; there is room for `budget`.
    #[must_use]
    pub fn new(listeners: Listeners, budget: Budget) -> Self {
        Self { listeners, account: Account::new(budget), ..Self::default() }
    }

    /// Whether there is room again for a profile that was refused, whose contents only a list brings. It says so once.
    pub fn wants_list(&mut self) -> bool {
        let waits = |read: &Read| {
            matches!(read.contents, Want::Refused(_)) && self.account.has_room(read.cost).is_ok()
        };
        std::mem::take(&mut self.has_freed) && self.read.values().any(waits)
    }

    /// What an event of the watch that came at `at` comes to.
    pub fn event(&mut self, event: Event<Watched>, at: Instant) -> Outcome {
        Outcome::News(match event {
            Event::Init => {
                // The end of the list before may never have come.
                self.before.append(&mut self.read);
                ProfileEvent::Init
            }
            // Known or not, it says that the object is in the list.
            Event::InitApply(object) => ProfileEvent::InitApply(self.object(object, at).0),
            Event::InitDone => {
                for read in std::mem::take(&mut self.before).into_values() {
                    self.leaves(&read);
                }
                ProfileEvent::InitDone
            }
            Event::Apply(object) => {
                let (object, known_since) = self.object(object, at);
                match known_since {
                    Some(since) if at < since + ECHO => return Outcome::Echo,
                    Some(_) => return Outcome::Known,
                    None => ProfileEvent::Apply(object),
                }
            }
            Event::Delete(object) => {
                let (name, uid) = (text(object.metadata.name), text(object.metadata.uid));
                if let Some(read) = self.read.remove(&name) {
                    self.leaves(&read);
                }
                ProfileEvent::Delete { name, uid }
            }
        })
    }

    /// What a profile that is there asks for, and since when that is known if it is no news.
    fn object(&mut self, object: Watched, at: Instant) -> (Object, Option<Instant>) {
        let Watched { metadata, spec, removal_approved, .. } = object;
        let (name, uid, hash) = (text(metadata.name), text(metadata.uid), ContentHash::of(spec.as_bytes()));
        let known = self.before.remove(&name).or_else(|| self.read.remove(&name));
        if let Some(known) = &known {
            let had_freed = self.has_freed;
            self.leaves(known);
            // What is as it was frees nothing.
            self.has_freed &= had_freed || known.text != hash;
        }
        let (known_since, contents, cost) = match known {
            Some(known) if known.text == hash && !self.can_now_enter(&known) => {
                let same = known.uid == uid && known.removal_approved == removal_approved;
                (same.then_some(known.since), known.contents, known.cost)
            }
            _ => {
                let contents = Want::of(Untrusted::profile_in(&spec.value()), self.listeners);
                let (contents, cost) = self.within_budget(&name, contents);
                (None, contents, cost)
            }
        };
        if matches!(contents, Want::File { .. }) {
            self.account.enters(cost);
        }
        // A deletionTimestamp alone changes nothing: pods may still need the file.
        let want = if removal_approved { Want::Removal } else { contents.clone() };
        let since = known_since.unwrap_or(at);
        let read = Read { uid: uid.clone(), text: hash, contents, cost, removal_approved, since };
        self.read.insert(name.clone(), read);
        (Object { name, uid, want }, known_since)
    }

    /// What a profile asks for, unless there is no room for it, and what it takes.
    fn within_budget(&self, name: &str, contents: Want) -> (Want, Cost) {
        let Want::File { bytes, .. } = &contents else { return (contents, Cost::of(name, 0)) };
        let cost = Cost::of(name, bytes.len());
        match self.account.has_room(cost) {
            Ok(()) => (contents, cost),
            Err(refusal) => (Want::Refused(refusal), cost),
        }
    }

    /// Whether it was refused, and there is room for it now.
    fn can_now_enter(&self, known: &Read) -> bool {
        matches!(known.contents, Want::Refused(_)) && self.account.has_room(known.cost).is_ok()
    }

    fn leaves(&mut self, read: &Read) {
        if matches!(read.contents, Want::File { .. }) {
            self.account.leaves(read.cost);
            self.has_freed = true;
        }
    }
}

fn text(text: Option<String>) -> Box<str> {
    text.unwrap_or_default().into_boxed_str()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;

    fn watched(object: Value) -> Watched {
        serde_json::from_value(object).unwrap()
    }

    fn profile(name: &str, action: &str) -> Watched {
        watched(json!({
            "metadata": { "name": name, "uid": name }, "spec": { "contents": { "defaultAction": action } }
        }))
    }

    /// As [`Reading::event`], now.
    fn event(reading: &mut Reading, event: Event<Watched>) -> Outcome {
        reading.event(event, Instant::now())
    }

    fn want(outcome: Outcome) -> Want {
        match outcome {
            Outcome::News(ProfileEvent::Apply(object) | ProfileEvent::InitApply(object)) => object.want,
            other => panic!("{other:?}"),
        }
    }

    fn bytes(want: Want) -> Arc<[u8]> {
        match want {
            Want::File { bytes, hash } => {
                assert_eq!(hash, ContentHash::of(&bytes));
                bytes
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn contents_that_have_been_read_are_not_read_again() {
        let mut reading = Reading::default();
        event(&mut reading, Event::Init);
        let listed = bytes(want(event(&mut reading, Event::InitApply(profile("a", "SCMP_ACT_LOG")))));
        event(&mut reading, Event::InitDone);
        assert_eq!(&*listed, br#"{"defaultAction":"SCMP_ACT_LOG"}"#);
        // A list that broke off does not lose them either.
        event(&mut reading, Event::Init);
        event(&mut reading, Event::Init);
        let again = bytes(want(event(&mut reading, Event::InitApply(profile("a", "SCMP_ACT_LOG")))));
        assert!(Arc::ptr_eq(&listed, &again));
    }

    #[test]
    fn an_event_is_news_if_it_changes_the_contents_the_uid_or_the_leave_to_remove() {
        let (start, mut reading) = (Instant::now(), Reading::default());
        let contents = json!({ "defaultAction": "SCMP_ACT_LOG" });
        let mut object = json!({ "metadata": { "name": "a", "uid": "1" }, "spec": { "contents": contents } });
        let mut is_news = |object: &Value| {
            let mut at = |after| reading.event(Event::Apply(watched(object.clone())), start + after);
            let first = at(Duration::ZERO);
            // What follows tells that the others hear of it, too, for a while.
            assert_eq!(at(Duration::from_secs(4)), Outcome::Echo);
            assert_eq!(at(Duration::from_secs(5)), Outcome::Known);
            matches!(first, Outcome::News(_))
        };
        assert!(is_news(&object));
        for (pointer, value, news) in [
            ("/metadata/resourceVersion", json!("2"), false),
            ("/metadata/finalizers", json!(["a/b"]), false),
            ("/metadata/deletionTimestamp", json!("2026-01-01T00:00:00Z"), false),
            ("/status", json!({ "state": "Ready" }), false),
            ("/status/removal", json!("Approved"), true),
            ("/metadata/uid", json!("2"), true),
            ("/spec/contents/defaultAction", json!("SCMP_ACT_ALLOW"), true),
            ("/spec/contents/defaultAction", json!(7), true),
        ] {
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            object.pointer_mut(parent).unwrap()[key] = value;
            assert_eq!(is_news(&object), news, "{pointer}");
        }
    }

    #[test]
    fn contents_that_change_are_read_and_so_are_those_that_change_back() {
        let mut reading = Reading::default();
        for action in ["SCMP_ACT_LOG", "SCMP_ACT_ALLOW", "SCMP_ACT_LOG"] {
            let bytes = bytes(want(event(&mut reading, Event::Apply(profile("a", action)))));
            assert_eq!(*bytes, *format!(r#"{{"defaultAction":"{action}"}}"#).as_bytes());
        }
    }

    #[test]
    fn what_is_gone_is_not_kept() {
        let mut reading = Reading::default();
        for name in ["a", "b", "c"] {
            event(&mut reading, Event::Apply(profile(name, "SCMP_ACT_LOG")));
        }
        event(&mut reading, Event::Delete(profile("c", "SCMP_ACT_LOG")));
        event(&mut reading, Event::Init);
        event(&mut reading, Event::InitApply(profile("a", "SCMP_ACT_LOG")));
        event(&mut reading, Event::InitDone);
        assert_eq!(reading.read.keys().map(|name| &**name).collect::<Vec<_>>(), ["a"]);
        assert!(reading.before.is_empty());
    }

    /// Room for the contents of `count` profiles as [`profile`] makes them, in the chart's terms.
    fn room_for(count: u64) -> Reading {
        let each = 2048 + br#"{"defaultAction":"SCMP_ACT_LOG"}"#.len() as u64;
        Reading::new(Listeners::Refused, Budget::with_room(count * each + 8))
    }

    fn refused(outcome: Outcome) -> bool {
        matches!(want(outcome), Want::Refused(_))
    }

    #[test]
    fn a_profile_that_there_is_no_room_for_is_refused_alone_and_taken_once_there_is() {
        let mut reading = room_for(2);
        let listed = |name| Event::InitApply(profile(name, "SCMP_ACT_LOG"));
        event(&mut reading, Event::Init);
        for (name, too_much) in [("a", false), ("b", false), ("c", true), ("d", true)] {
            assert_eq!(refused(event(&mut reading, listed(name))), too_much, "{name}");
        }
        event(&mut reading, Event::InitDone);
        assert!(!reading.wants_list());
        // What is known keeps its place, whoever comes or is told of again.
        assert!(refused(event(&mut reading, Event::Apply(profile("0", "SCMP_ACT_LOG")))));
        assert_eq!(event(&mut reading, Event::Apply(profile("a", "SCMP_ACT_LOG"))), Outcome::Echo);
        assert_eq!(event(&mut reading, Event::Apply(profile("c", "SCMP_ACT_LOG"))), Outcome::Echo);
        assert!(!reading.wants_list());
        // A change is measured without what it replaces.
        bytes(want(event(&mut reading, Event::Apply(profile("a", "SCMP_ACT_TRAP")))));

        event(&mut reading, Event::Delete(profile("b", "SCMP_ACT_LOG")));
        assert!(reading.wants_list() && !reading.wants_list(), "once");
        event(&mut reading, Event::Init);
        for (name, too_much) in [("0", false), ("a", false), ("c", true), ("d", true)] {
            let action = if name == "a" { "SCMP_ACT_TRAP" } else { "SCMP_ACT_LOG" };
            let outcome = event(&mut reading, Event::InitApply(profile(name, action)));
            assert_eq!(refused(outcome), too_much, "{name}");
        }
        event(&mut reading, Event::InitDone);
        assert!(!reading.wants_list());
    }

    #[test]
    fn profiles_that_went_while_nobody_watched_leave_their_room() {
        let mut reading = room_for(1);
        event(&mut reading, Event::Apply(profile("gone", "SCMP_ACT_LOG")));
        event(&mut reading, Event::Init);
        assert!(refused(event(&mut reading, Event::InitApply(profile("new", "SCMP_ACT_LOG")))));
        event(&mut reading, Event::InitDone);
        assert!(reading.wants_list());
        bytes(want(event(&mut reading, Event::Apply(profile("new", "SCMP_ACT_LOG")))));
    }

    #[test]
    fn a_deletion_timestamp_alone_changes_nothing_and_leave_to_remove_removes() {
        let mut reading = Reading::default();
        let contents = json!({ "defaultAction": "SCMP_ACT_LOG" });
        let metadata = json!({ "name": "a", "uid": "1", "deletionTimestamp": "2026-01-01T00:00:00Z" });
        let mut object = json!({ "metadata": metadata, "spec": { "contents": contents } });
        let deleting = event(&mut reading, Event::Apply(watched(object.clone())));
        assert_eq!(*bytes(want(deleting)), *br#"{"defaultAction":"SCMP_ACT_LOG"}"#);
        object["status"] = json!({ "removal": "Approved" });
        let approved = event(&mut reading, Event::Apply(watched(object.clone())));
        assert_eq!(want(approved), Want::Removal);
        object["metadata"]["deletionTimestamp"] = Value::Null;
        let recreated = event(&mut reading, Event::Apply(watched(object)));
        assert_eq!(*bytes(want(recreated)), *br#"{"defaultAction":"SCMP_ACT_LOG"}"#);
    }

    #[test]
    fn contents_that_an_earlier_release_took_and_no_runtime_takes_are_refused_by_name() {
        let mut reading = Reading::default();
        let contents = json!({ "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 4095 });
        let object =
            watched(json!({ "metadata": { "name": "a", "uid": "1" }, "spec": { "contents": contents } }));
        match want(event(&mut reading, Event::Apply(object))) {
            Want::Rejected { message: why, .. } => {
                assert!(why.starts_with("spec.contents.defaultErrnoRet: "), "{why}")
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn whatever_stands_in_an_object_is_judged_by_itself() {
        let mut reading = Reading::default();
        for bad in [json!({}), json!({ "spec": 7, "status": [] }), json!({ "spec": { "contents": null } })] {
            let mut object = json!({ "metadata": { "name": "a", "uid": "1" } });
            object.as_object_mut().unwrap().extend(bad.as_object().unwrap().clone());
            match want(event(&mut reading, Event::Apply(watched(object)))) {
                Want::Rejected { message: why, .. } => assert!(why.contains("spec.contents"), "{why}"),
                other => panic!("{other:?}"),
            }
        }
    }
}
