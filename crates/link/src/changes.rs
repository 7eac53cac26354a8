//! What the events of a watch mean for the set of objects that exist.
//!
//! A watch announces every object that is created, changed or deleted. For the time in which no watch was open there is
//! only a list, and the objects that are missing from it are those that are gone. [`KnownObjects`] keeps the keys of
//! all objects, so that no other code compares lists: a program that follows a kind handles only the three cases of
//! [`Change`]. [`Changes`] does it for a watch.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use kube::Resource;
use kube::core::ObjectMeta;
use kube_runtime::watcher::{self, Event};
use serde::de::DeserializeOwned;

use crate::watch::WatchStream;

/// One change in the set of objects that exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change<K> {
    /// The object exists and has this content.
    Apply(K, Origin),
    /// The object of this uid does not exist any more. One with the same key may: where an object was deleted and
    /// recreated unobserved, the new one is applied first.
    Gone(ObjectId),
    /// A list is complete: every object that existed when it began has been applied, and every other one is gone.
    Complete,
}

/// Whether an object comes from a list or from a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A list: the state as of now, even where versions went back because the API server's store was restored.
    List,
    /// An event of a watch, which may be older than what is known from the answer to a write.
    Watch,
}

/// The place of an object in the API: at most one object has a key at a time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectKey {
    /// `None` for a cluster-scoped object.
    pub namespace: Option<Box<str>>,
    /// The name.
    pub name: Box<str>,
}

impl ObjectKey {
    /// The key in an object's metadata.
    #[must_use]
    pub fn of(metadata: &ObjectMeta) -> Self {
        let namespace = metadata.namespace.as_deref().map(Box::from);
        Self { namespace, name: metadata.name.as_deref().unwrap_or_default().into() }
    }
}

/// One object, as opposed to another one that is later created under the same key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectId {
    /// The place that it had.
    pub key: ObjectKey,
    /// The uid that the API server gave to it.
    pub uid: Box<str>,
}

impl ObjectId {
    /// The identity in an object's metadata.
    #[must_use]
    pub fn of(metadata: &ObjectMeta) -> Self {
        Self { key: ObjectKey::of(metadata), uid: metadata.uid.as_deref().unwrap_or_default().into() }
    }
}

/// The keys and uids of all objects of one kind that exist, as far as its watch has delivered them.
#[derive(Debug, Default)]
pub struct KnownObjects {
    objects: BTreeMap<ObjectKey, LastSeen>,
    /// How many lists have begun.
    lists: u32,
}

#[derive(Debug)]
struct LastSeen {
    uid: Box<str>,
    /// The list in or after which the object was last seen.
    list: u32,
}

impl KnownObjects {
    /// The changes that follow from an event, in order.
    pub fn take<K: Resource>(&mut self, event: Event<K>) -> impl Iterator<Item = Change<K>> + use<K> {
        let (mut applied, mut gone, mut complete) = (None, Vec::new(), None);
        match event {
            // Nothing to undo after an interrupted list: the objects that it returned do exist.
            Event::Init => self.lists = self.lists.wrapping_add(1),
            Event::InitApply(object) => {
                gone.extend(self.record(object.meta()));
                applied = Some(Change::Apply(object, Origin::List));
            }
            Event::Apply(object) => {
                gone.extend(self.record(object.meta()));
                applied = Some(Change::Apply(object, Origin::Watch));
            }
            Event::Delete(object) => {
                let object = ObjectId::of(object.meta());
                if self.objects.get(&object.key).is_some_and(|seen| seen.uid == object.uid) {
                    self.objects.remove(&object.key);
                }
                gone.push(object);
            }
            Event::InitDone => {
                let list = self.lists;
                let missing = self.objects.extract_if(.., |_, seen| seen.list != list);
                gone.extend(missing.map(|(key, seen)| ObjectId { key, uid: seen.uid }));
                complete = Some(Change::Complete);
            }
        }
        applied.into_iter().chain(gone.into_iter().map(Change::Gone)).chain(complete)
    }

    /// Records an object that exists; returns the one that it has replaced.
    fn record(&mut self, metadata: &ObjectMeta) -> Option<ObjectId> {
        let ObjectId { key, uid } = ObjectId::of(metadata);
        let list = self.lists;
        let Some(seen) = self.objects.get_mut(&key) else {
            self.objects.insert(key, LastSeen { uid, list });
            return None;
        };
        seen.list = list;
        if seen.uid == uid {
            return None;
        }
        let replaced = std::mem::replace(&mut seen.uid, uid);
        Some(ObjectId { key, uid: replaced })
    }
}

/// The changes of one watch.
pub struct Changes<K> {
    events: WatchStream<K>,
    existing: KnownObjects,
    /// The changes of the last event that have not been returned yet.
    pending: VecDeque<Change<K>>,
}

impl<K> Changes<K>
where
    K: Resource<DynamicType = ()> + Clone + fmt::Debug + DeserializeOwned + Send + 'static,
{
    /// The changes that follow from `events`.
    #[must_use]
    pub fn new(events: WatchStream<K>) -> Self {
        Self { events, existing: KnownObjects::default(), pending: VecDeque::new() }
    }

    /// Lists all objects again, with the next [`Self::next`].
    pub fn list_again(&mut self) {
        self.events.list_again();
    }

    /// The next change. After a failure the next call waits as [`WatchStream::next`] does.
    ///
    /// No change is lost if the future is dropped before it is done.
    ///
    /// # Errors
    /// The list or the watch failed. Objects that it returned before still count as existing.
    pub async fn next(&mut self) -> Result<Change<K>, watcher::Error> {
        loop {
            if let Some(change) = self.pending.pop_front() {
                return Ok(change);
            }
            let event = self.events.next().await?;
            self.pending.extend(self.existing.take(event));
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;

    use super::*;

    fn pod(namespace: &str, name: &str, uid: &str) -> Pod {
        let text = |text: &str| Some(text.to_owned());
        let metadata =
            ObjectMeta { namespace: text(namespace), name: text(name), uid: text(uid), ..Default::default() };
        Pod { metadata, ..Pod::default() }
    }

    /// The changes that follow from events, each as a short text.
    fn changes(existing: &mut KnownObjects, events: impl IntoIterator<Item = Event<Pod>>) -> Vec<String> {
        let shown = |id: &ObjectId| {
            format!("{}/{}:{}", id.key.namespace.as_deref().unwrap_or_default(), id.key.name, id.uid)
        };
        let text = |change: Change<Pod>| match change {
            Change::Apply(pod, origin) => format!("{origin:?} {}", shown(&ObjectId::of(pod.meta()))),
            Change::Gone(id) => format!("Gone {}", shown(&id)),
            Change::Complete => "Complete".to_owned(),
        };
        events.into_iter().flat_map(|event| existing.take(event)).map(text).collect()
    }

    #[test]
    fn an_object_that_a_list_lacks_is_gone_when_the_list_is_complete_and_not_before() {
        let mut existing = KnownObjects::default();
        let listed = [Event::InitApply(pod("a", "x", "1")), Event::InitApply(pod("b", "x", "2"))];
        let events = [Event::Init].into_iter().chain(listed).chain([Event::InitDone]);
        assert_eq!(changes(&mut existing, events), ["List a/x:1", "List b/x:2", "Complete"]);
        let events = [Event::Apply(pod("c", "y", "3")), Event::Init, Event::InitApply(pod("b", "x", "2"))];
        assert_eq!(changes(&mut existing, events), ["Watch c/y:3", "List b/x:2"]);
        assert_eq!(changes(&mut existing, [Event::InitDone]), ["Gone a/x:1", "Gone c/y:3", "Complete"]);
        assert_eq!(changes(&mut existing, [Event::Init, Event::InitDone]), ["Gone b/x:2", "Complete"]);
    }

    #[test]
    fn an_interrupted_list_does_not_make_objects_gone_that_the_next_list_contains() {
        let mut existing = KnownObjects::default();
        changes(&mut existing, [Event::Init, Event::InitApply(pod("a", "x", "1")), Event::InitDone]);
        let events = [Event::Init, Event::InitApply(pod("a", "new", "2")), Event::Init];
        assert_eq!(changes(&mut existing, events), ["List a/new:2"]);
        let events = [Event::InitApply(pod("a", "x", "1")), Event::InitDone];
        assert_eq!(changes(&mut existing, events), ["List a/x:1", "Gone a/new:2", "Complete"]);
    }

    #[test]
    fn an_object_that_was_recreated_unobserved_is_applied_before_its_predecessor_is_gone() {
        let mut existing = KnownObjects::default();
        changes(&mut existing, [Event::Init, Event::InitApply(pod("a", "x", "1")), Event::InitDone]);
        let events = [Event::Init, Event::InitApply(pod("a", "x", "2")), Event::InitDone];
        assert_eq!(changes(&mut existing, events), ["List a/x:2", "Gone a/x:1", "Complete"]);
        assert_eq!(changes(&mut existing, [Event::Apply(pod("a", "x", "3"))]), ["Watch a/x:3", "Gone a/x:2"]);
    }

    #[test]
    fn an_object_is_reported_gone_once() {
        let mut existing = KnownObjects::default();
        changes(&mut existing, [Event::Init, Event::InitApply(pod("a", "x", "1")), Event::InitDone]);
        assert_eq!(changes(&mut existing, [Event::Delete(pod("a", "x", "1"))]), ["Gone a/x:1"]);
        assert_eq!(changes(&mut existing, [Event::Init, Event::InitDone]), ["Complete"]);
    }

    #[test]
    fn a_late_deletion_of_a_predecessor_does_not_remove_the_successor() {
        let mut existing = KnownObjects::default();
        let events = [Event::Init, Event::InitApply(pod("a", "x", "2")), Event::InitDone];
        changes(&mut existing, events);
        assert_eq!(changes(&mut existing, [Event::Delete(pod("a", "x", "1"))]), ["Gone a/x:1"]);
        assert_eq!(changes(&mut existing, [Event::Init, Event::InitDone]), ["Gone a/x:2", "Complete"]);
    }
}
