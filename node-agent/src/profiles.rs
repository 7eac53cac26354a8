//! The profiles that exist, and what each asks of the directory: plain, synchronous state.
//!
//! [`Profiles::take`] turns a change of the watch into a change of the goals: contents are parsed, the budget is
//! charged, and whatever makes no difference to the directory ends here.
//!
//! During a rollout each node receives the same contents four times and more: as applied, with the finalizer, and with
//! each status. Parsing them is most of what an agent does, so that contents that were parsed before are recognised by
//! the hash of their text, and their goal is not given out again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use api::{NodeLabelSelector, ProfileName, Untrusted};
use link::changes::{Change, ObjectId, Origin};
use profile::ContentHash;

use crate::budget::{Account, Budget, Cost};
use crate::goal::{Goal, Listeners, Placement};
use crate::watched_profile::WatchedProfile;

/// What a change of the profiles comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// What should be under this name is something else than before, or may be.
    Goal(ProfileName, Goal),
    /// A profile has a name that no file can have: the schema refuses it, but a stored object may be older than the
    /// schema.
    Misnamed {
        /// The name.
        name: Box<str>,
        /// What is wrong with it; `None` once the profile is gone.
        message: Option<Box<str>>,
    },
    /// The list is complete: nothing of the agent's should be under a name that has no goal.
    ListComplete,
    /// Nothing, of a profile that changed a moment ago: its rollout is still under way.
    Rollout,
    /// Nothing, as most events of the watch: the thread that keeps the files need not wake for it.
    Nothing,
}

/// How long after a profile has changed its events show that its rollout is under way.
const ROLLOUT: Duration = Duration::from_secs(5);

/// All profiles that exist, as far as the watch has delivered them.
#[derive(Debug, Default)]
pub struct Profiles {
    profiles: BTreeMap<Box<str>, Entry>,
    listeners: Listeners,
    /// What the profiles take whose contents the agent keeps.
    account: Account,
    /// Whether room has become free since [`Self::wants_list`] was last asked.
    has_freed: bool,
    /// The profiles that the operator says this node does not hold, each with its uid; `None` until that is known.
    excluded: Option<BTreeMap<String, String>>,
    /// Changes of placements that were not taken yet.
    placements: Vec<(ProfileName, Placement)>,
}

#[derive(Debug)]
struct Entry {
    /// Tells the profile from its successor of the same name.
    uid: Box<str>,
    /// SHA-256 of the text of `spec`: who may write a profile must not be able to make one that passes for another.
    text: ContentHash,
    /// What it asks for.
    given: Given,
    /// When it last changed.
    since: Instant,
    /// Whether it selects nodes. Whoever may write profiles decides that, and not the operator: with the operator's token
    /// alone, no file of any other profile can be removed.
    selects: bool,
    /// What was last given out.
    placement: Placement,
}

/// The goal that was last given out for a profile. The contents are not kept here a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Given {
    /// A file of so many bytes.
    File(usize),
    /// The contents, or the name, are invalid.
    Rejected,
    /// There was no room for so many bytes.
    Refused(usize),
    Removal,
}

impl Profiles {
    /// No profile is known; there is room for `budget`.
    #[must_use]
    pub fn new(listeners: Listeners, budget: Budget) -> Self {
        Self { listeners, account: Account::new(budget), ..Self::default() }
    }

    /// Whether room has become free for a profile that was refused, whose contents only a list contains. True once
    /// for each time that room has become free.
    pub fn wants_list(&mut self) -> bool {
        std::mem::take(&mut self.has_freed)
            && self.profiles.iter().any(|(name, entry)| self.has_room_now(name, entry))
    }

    /// Applies a change that the watch delivered at `at`.
    pub fn take(&mut self, change: Change<WatchedProfile>, at: Instant) -> Outcome {
        match change {
            Change::Apply(profile, origin) => self.apply(profile, origin, at),
            Change::Gone(object) => self.remove(&object),
            Change::Complete => Outcome::ListComplete,
        }
    }

    /// Takes what the operator says: the profiles that this node does not hold, each with its uid.
    pub fn hear(&mut self, excluded: BTreeMap<String, String>) {
        self.excluded = Some(excluded);
        for name in self.profiles.keys().cloned().collect::<Vec<_>>() {
            self.place(&name);
        }
    }

    /// Whether nothing is known yet of what the operator says, so that some profile's file may wait for it.
    #[must_use]
    pub fn awaits_word(&self) -> bool {
        self.excluded.is_none() && self.profiles.values().any(|entry| entry.selects)
    }

    /// Takes the changed placements that are `due`.
    pub fn take_placements(&mut self, due: impl Fn(Placement) -> bool) -> Vec<(ProfileName, Placement)> {
        self.placements.extract_if(.., |(_, placement)| due(*placement)).collect()
    }

    /// Determines the placement of a profile that exists.
    fn place(&mut self, name: &str) {
        let Some(entry) = self.profiles.get_mut(name) else { return };
        let placement = match &self.excluded {
            _ if !entry.selects => Placement::Here,
            None => Placement::Unknown,
            Some(excluded) if excluded.get(name).is_some_and(|uid| **uid == *entry.uid) => {
                Placement::Excluded
            }
            Some(_) => Placement::Here,
        };
        if std::mem::replace(&mut entry.placement, placement) != placement
            && let Ok(name) = name.parse()
        {
            self.placements.push((name, placement));
        }
    }

    /// How many profiles there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.profiles.len() as u64
    }

    /// The names of all profiles.
    #[cfg(test)]
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.profiles.keys().map(|name| &**name)
    }

    fn apply(&mut self, profile: WatchedProfile, origin: Origin, at: Instant) -> Outcome {
        let ObjectId { key, uid } = ObjectId::of(&profile.metadata);
        let (name, text) = (key.name, ContentHash::of(profile.spec.as_bytes()));
        if let Some(entry) = self.profiles.get(&name)
            && entry.text == text
            && (entry.given == Given::Removal) == profile.removal_approved
            && !self.has_room_now(&name, entry)
        {
            return self.same_goal(&name, uid, origin, at);
        }
        // Contents that change are measured without those that they replace.
        let mut before = Placement::Here;
        if let Some((name, entry)) = self.profiles.remove_entry(&name) {
            self.release(&name, &entry);
            before = entry.placement;
        }
        let selects = NodeLabelSelector::is_in(&profile.spec);
        let (given, outcome) = match name.parse::<ProfileName>() {
            // A deletionTimestamp alone changes nothing: pods may still need the file.
            Ok(valid) if profile.removal_approved => (Given::Removal, Outcome::Goal(valid, Goal::Removal)),
            Ok(valid) => {
                let (given, goal) = self.read(&profile, &valid);
                (given, Outcome::Goal(valid, goal))
            }
            Err(error) => {
                let given = if profile.removal_approved { Given::Removal } else { Given::Rejected };
                let message = Some(error.to_string().into());
                (given, Outcome::Misnamed { name: name.clone(), message })
            }
        };
        let entry = Entry { uid, text, given, since: at, selects, placement: before };
        self.profiles.insert(name.clone(), entry);
        self.place(&name);
        outcome
    }

    /// The profile asks for what it asked for before, even if it was deleted and recreated meanwhile.
    fn same_goal(&mut self, name: &str, uid: Box<str>, origin: Origin, at: Instant) -> Outcome {
        let Some(entry) = self.profiles.get_mut(name) else { return Outcome::Nothing };
        if entry.uid != uid {
            (entry.uid, entry.since) = (uid, at);
            self.place(name);
            return Outcome::Nothing;
        }
        match origin {
            Origin::Watch if at < entry.since + ROLLOUT => Outcome::Rollout,
            Origin::Watch | Origin::List => Outcome::Nothing,
        }
    }

    fn remove(&mut self, object: &ObjectId) -> Outcome {
        let name = &*object.key.name;
        // The end of an earlier profile of this name is not the end of the one that exists now.
        if self.profiles.get(name).is_none_or(|entry| entry.uid != object.uid) {
            return Outcome::Nothing;
        }
        let Some((name, entry)) = self.profiles.remove_entry(name) else { return Outcome::Nothing };
        self.release(&name, &entry);
        if entry.placement != Placement::Here
            && let Ok(name) = name.parse()
        {
            self.placements.push((name, Placement::Here));
        }
        match name.parse() {
            Ok(_) if entry.given == Given::Removal => Outcome::Nothing,
            Ok(name) => Outcome::Goal(name, Goal::Removal),
            Err(_) => Outcome::Misnamed { name, message: None },
        }
    }

    /// Parses what a profile asks for, and takes room for it as far as there is some.
    fn read(&mut self, profile: &WatchedProfile, name: &ProfileName) -> (Given, Goal) {
        let goal = Goal::of(Untrusted::canonical_in(&profile.spec), self.listeners).under(name);
        let Goal::File { bytes, .. } = &goal else { return (Given::Rejected, goal) };
        let (length, cost) = (bytes.length(), Cost::of(name.as_str(), bytes.length()));
        match self.account.has_room(cost) {
            Ok(()) => {
                self.account.charge(cost);
                (Given::File(length), goal)
            }
            Err(refusal) => (Given::Refused(length), Goal::OverBudget(refusal)),
        }
    }

    /// Whether the profile was refused, and there is room for it now.
    fn has_room_now(&self, name: &str, entry: &Entry) -> bool {
        matches!(entry.given, Given::Refused(length) if self.account.has_room(Cost::of(name, length)).is_ok())
    }

    /// Gives back the room that a profile has taken.
    fn release(&mut self, name: &str, entry: &Entry) {
        if let Given::File(length) = entry.given {
            self.account.release(Cost::of(name, length));
            self.has_freed = true;
        }
    }
}
