//! What should lie on the disk, from the events of the profiles' watch: plain, synchronous state.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::ProfileName;
use profile::{ContentHash, Listener, ParseError, Profile};

use crate::budget::Refusal;
use crate::disk::Goal;

/// What one profile asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Want {
    /// A file with these bytes.
    File {
        /// The canonical bytes: kept so that a file is mended while the API server is away.
        bytes: Arc<[u8]>,
        /// Their hash.
        hash: ContentHash,
    },
    /// No file is made of what it says; one that is there stays as it is.
    Rejected {
        /// Why, in one word.
        reason: &'static str,
        /// Why, for a person.
        message: Box<str>,
    },
    /// There is no room for the profile; its file stays as it is.
    Refused(Refusal),
    /// The operator has given leave to remove the file.
    Removal,
}

/// Whether profiles may name a listener, for which the runtime connects to a socket on this node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Listeners {
    /// No file of one that does is written: the API server may have let one in, before its policy was in force.
    #[default]
    Refused,
    /// They may.
    Admitted,
}

/// Why no file is made of a profile whose name no file can have, in one word.
pub(crate) const MISNAMED: &str = "InvalidProfile";

/// Why no file is made of a profile that names a listener, in one word.
const LISTENERS_DISABLED: &str = "ListenersDisabled";

impl Want {
    /// What contents ask for that were read so.
    #[must_use]
    pub fn of(read: Result<Profile, ParseError>, listeners: Listeners) -> Self {
        match read {
            Ok(profile) => match (profile.listener(), listeners) {
                (Some(listener), Listeners::Refused) => Self::listening(listener),
                _ => {
                    let canonical = profile.canonical();
                    Self::File { bytes: canonical.bytes().into(), hash: canonical.hash() }
                }
            },
            Err(error) => Self::Rejected { reason: error.reason(), message: error.to_string().into() },
        }
    }

    fn listening(listener: &Listener) -> Self {
        let message = format!(
            "spec.contents.listenerPath: {} is a socket that the runtime would connect to, and no profile may name one \
             in this cluster (the chart's value listeners.enabled)",
            listener.path()
        );
        Self::Rejected { reason: LISTENERS_DISABLED, message: message.into() }
    }
}

/// One profile as the agent reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// The name, which need not be one that a file can have.
    pub name: Box<str>,
    /// Tells a profile from its successor of the same name.
    pub uid: Box<str>,
    /// What it asks for.
    pub want: Want,
}

/// One event of the watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProfileEvent {
    /// A list begins.
    Init,
    /// An object of the list.
    InitApply(Object),
    /// The list was complete: what was not in it does not exist.
    InitDone,
    /// An object was created or changed.
    Apply(Object),
    /// An object is gone.
    Delete {
        /// Its name.
        name: Box<str>,
        /// Its uid.
        uid: Box<str>,
    },
}

#[derive(Debug)]
struct Entry {
    uid: Box<str>,
    want: Want,
    /// The list that it was last seen in or after.
    list: u64,
}

/// All profiles, as far as they are known.
#[derive(Debug, Default)]
pub struct Desired {
    profiles: BTreeMap<ProfileName, Entry>,
    /// Profiles whose name no file can have: the schema refuses them, but a stored object may be older than it.
    misnamed: BTreeMap<Box<str>, Entry>,
    list: u64,
    complete: bool,
}

impl Desired {
    /// Takes an event in; the names whose goal may have changed.
    pub fn change(&mut self, change: ProfileEvent) -> Vec<ProfileName> {
        match change {
            ProfileEvent::Init => {
                self.list += 1;
                Vec::new()
            }
            ProfileEvent::InitApply(object) | ProfileEvent::Apply(object) => {
                self.apply(object).into_iter().collect()
            }
            ProfileEvent::InitDone => self.end_of_list(),
            ProfileEvent::Delete { name, uid } => self.delete(&name, &uid).into_iter().collect(),
        }
    }

    fn apply(&mut self, object: Object) -> Option<ProfileName> {
        let entry = Entry { uid: object.uid, want: object.want, list: self.list };
        match object.name.parse::<ProfileName>() {
            Ok(name) => {
                let old = self.profiles.insert(name.clone(), entry);
                let new = self.profiles.get(&name);
                (old.map(|old| old.want).as_ref() != new.map(|new| &new.want)).then_some(name)
            }
            Err(error) => {
                let want = Want::Rejected { reason: MISNAMED, message: error.to_string().into() };
                self.misnamed.insert(object.name, Entry { want, ..entry });
                None
            }
        }
    }

    fn delete(&mut self, name: &str, uid: &str) -> Option<ProfileName> {
        // News of an earlier object of this name says nothing of the one that is there now.
        if self.misnamed.get(name).is_some_and(|entry| *entry.uid == *uid) {
            self.misnamed.remove(name);
        }
        if self.profiles.get(name).is_some_and(|entry| *entry.uid == *uid) {
            self.profiles.remove_entry(name).map(|(name, _)| name)
        } else {
            None
        }
    }

    fn end_of_list(&mut self) -> Vec<ProfileName> {
        self.complete = true;
        let list = self.list;
        self.misnamed.retain(|_, entry| entry.list == list);
        self.profiles.extract_if(.., |_, entry| entry.list != list).map(|(name, _)| name).collect()
    }

    /// Whether there has been a complete list. Before that, absence says nothing.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// What should lie under a name.
    #[must_use]
    pub fn goal(&self, name: &ProfileName) -> Goal {
        match self.profiles.get(name).map(|entry| &entry.want) {
            Some(Want::File { hash, .. }) => Goal::Hold(*hash),
            Some(Want::Rejected { .. } | Want::Refused(_)) => Goal::Leave,
            Some(Want::Removal) => Goal::Gone,
            None if self.complete => Goal::Gone,
            None => Goal::Leave,
        }
    }

    /// What the profile of this name asks for, if there is one.
    #[must_use]
    pub fn want(&self, name: &ProfileName) -> Option<&Want> {
        self.profiles.get(name).map(|entry| &entry.want)
    }

    /// The names of all profiles that a file can have.
    pub fn names(&self) -> impl Iterator<Item = &ProfileName> {
        self.profiles.keys()
    }

    /// Profiles whose name no file can have, with the reason.
    pub fn misnamed(&self) -> impl Iterator<Item = (&str, &str)> {
        self.misnamed.iter().map(|(name, entry)| match &entry.want {
            Want::Rejected { message, .. } => (&**name, &**message),
            Want::File { .. } | Want::Refused(_) | Want::Removal => (&**name, ""),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> ProfileName {
        name.parse().unwrap()
    }

    fn file(bytes: &[u8]) -> Want {
        Want::File { bytes: bytes.into(), hash: ContentHash::of(bytes) }
    }

    fn object(name: &str, uid: &str, want: Want) -> Object {
        Object { name: name.into(), uid: uid.into(), want }
    }

    fn rejected(message: &str) -> Want {
        Want::Rejected { reason: "InvalidProfile", message: message.into() }
    }

    fn delete(name: &str, uid: &str) -> ProfileEvent {
        ProfileEvent::Delete { name: name.into(), uid: uid.into() }
    }

    fn listed(objects: &[Object]) -> Desired {
        let mut desired = Desired::default();
        desired.change(ProfileEvent::Init);
        for object in objects {
            desired.change(ProfileEvent::InitApply(object.clone()));
        }
        desired.change(ProfileEvent::InitDone);
        desired
    }

    #[test]
    fn an_invalid_profile_leaves_its_file_and_stops_no_other() {
        let want = rejected("spec.contents: is required");
        let desired = listed(&[object("bad", "1", want.clone()), object("good", "2", file(b"{}"))]);
        assert_eq!(desired.goal(&name("bad")), Goal::Leave);
        assert_eq!(desired.want(&name("bad")), Some(&want));
        assert_eq!(desired.goal(&name("good")), Goal::Hold(ContentHash::of(b"{}")));
    }

    #[test]
    fn where_listeners_are_refused_no_file_is_made_of_a_profile_that_names_one() {
        let contents = serde_json::json!({
            "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/a.sock",
            "syscalls": [{ "names": ["mkdir"], "action": "SCMP_ACT_NOTIFY" }]
        });
        let want = |listeners| Want::of(Profile::from_value(&contents), listeners);
        assert!(matches!(want(Listeners::Admitted), Want::File { .. }));
        let Want::Rejected { reason, message } = want(Listeners::Refused) else { panic!("it is admitted") };
        assert_eq!(reason, "ListenersDisabled");
        assert!(message.contains("/run/a.sock") && message.contains("listeners.enabled"), "{message}");
        // What lies there already stays: pods may be about to start under it.
        let desired = listed(&[object("a", "1", want(Listeners::Refused))]);
        assert_eq!(desired.goal(&name("a")), Goal::Leave);
    }

    #[test]
    fn leave_to_remove_removes() {
        assert_eq!(listed(&[object("a", "1", Want::Removal)]).goal(&name("a")), Goal::Gone);
    }

    #[test]
    fn a_name_that_no_file_can_have_is_told_and_goes_with_its_object() {
        let mut desired = listed(&[object("../etc", "1", file(b"{}"))]);
        assert_eq!(desired.names().count(), 0);
        assert_eq!(desired.misnamed().map(|(name, _)| name).collect::<Vec<_>>(), ["../etc"]);
        desired.change(delete("../etc", "1"));
        assert_eq!(desired.misnamed().count(), 0);
    }

    #[test]
    fn before_the_first_complete_list_absence_removes_nothing() {
        let mut desired = Desired::default();
        assert_eq!(desired.goal(&name("a")), Goal::Leave);
        desired.change(ProfileEvent::Init);
        desired.change(ProfileEvent::InitApply(object("b", "1", file(b"{}"))));
        assert_eq!(desired.goal(&name("a")), Goal::Leave);
        assert_eq!(desired.change(ProfileEvent::InitDone), []);
        assert_eq!(desired.goal(&name("a")), Goal::Gone);
    }

    #[test]
    fn a_list_that_breaks_off_removes_nothing_and_the_next_complete_one_does() {
        let mut desired = listed(&[object("a", "1", file(b"a")), object("b", "2", file(b"b"))]);
        desired.change(ProfileEvent::Init);
        desired.change(ProfileEvent::InitApply(object("b", "2", file(b"b"))));
        assert_eq!(desired.goal(&name("a")), Goal::Hold(ContentHash::of(b"a")));
        desired.change(ProfileEvent::Init);
        desired.change(ProfileEvent::InitApply(object("b", "2", file(b"b"))));
        assert_eq!(desired.change(ProfileEvent::InitDone), [name("a")]);
        assert_eq!(desired.goal(&name("a")), Goal::Gone);
        assert_eq!(desired.goal(&name("b")), Goal::Hold(ContentHash::of(b"b")));
    }

    #[test]
    fn a_profile_recreated_under_its_name_wins_over_its_predecessor_in_any_order() {
        let old = object("a", "1", file(b"old"));
        let new = object("a", "2", file(b"new"));
        for changes in [
            vec![ProfileEvent::Apply(old.clone()), delete("a", "1"), ProfileEvent::Apply(new.clone())],
            vec![ProfileEvent::Apply(old.clone()), ProfileEvent::Apply(new.clone()), delete("a", "1")],
            vec![ProfileEvent::Apply(new.clone()), delete("a", "1")],
        ] {
            let mut desired = listed(&[]);
            for change in changes {
                desired.change(change);
            }
            assert_eq!(desired.goal(&name("a")), Goal::Hold(ContentHash::of(b"new")));
        }
    }

    #[test]
    fn an_event_that_changes_no_bytes_is_no_work() {
        let mut desired = listed(&[object("a", "1", file(b"a"))]);
        assert_eq!(desired.change(ProfileEvent::Apply(object("a", "1", file(b"a")))), []);
        assert_eq!(desired.change(ProfileEvent::Apply(object("a", "1", file(b"b")))), [name("a")]);
        assert_eq!(desired.change(delete("a", "1")), [name("a")]);
        assert_eq!(desired.change(delete("a", "1")), []);
    }
}
