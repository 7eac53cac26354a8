//! What should be in the directory.

use std::collections::BTreeMap;

use api::ProfileName;

use crate::disk::Expected;
use crate::goal::{Goal, Placement};

/// What should be in the directory, by name.
#[derive(Debug, Default)]
pub(super) struct Goals {
    /// After the first complete list a name without a goal has the goal [`Goal::Removal`], which is then not kept.
    goals: BTreeMap<ProfileName, Goal>,
    /// Profiles whose name no file can have, with what is wrong with it.
    misnamed: BTreeMap<Box<str>, Box<str>>,
    /// Where profiles are not to be held, as far as that is not [`Placement::Here`].
    placements: BTreeMap<ProfileName, Placement>,
    /// Whether there has been a complete list of the profiles.
    is_complete: bool,
}

impl Goals {
    /// Sets the goal of a name. False if unchanged.
    pub(super) fn set(&mut self, name: &ProfileName, goal: Goal) -> bool {
        match goal {
            Goal::Removal if self.is_complete => self.goals.remove(name).is_some(),
            goal if self.goals.get(name) == Some(&goal) => false,
            goal => {
                self.goals.insert(name.clone(), goal);
                true
            }
        }
    }

    /// Sets whether the node holds the file of a profile. False if unchanged.
    pub(super) fn place(&mut self, name: &ProfileName, placement: Placement) -> bool {
        let before = match placement {
            Placement::Here => self.placements.remove(name),
            placement => self.placements.insert(name.clone(), placement),
        };
        before.unwrap_or_default() != placement
    }

    /// Whether nothing of the agent's should be under a name, or no profile asks for anything as far as is known.
    pub(super) fn asks_for_nothing(&self, name: &ProfileName) -> bool {
        self.goals.get(name).is_none_or(|goal| *goal == Goal::Removal)
            || self.placements.get(name) == Some(&Placement::Excluded)
    }

    /// Sets what is wrong with the name of a profile; `None` once the profile is gone. False if unchanged.
    pub(super) fn set_misnamed(&mut self, name: Box<str>, message: Option<Box<str>>) -> bool {
        match message {
            Some(message) => self.misnamed.insert(name, message).is_none(),
            None => self.misnamed.remove(&name).is_some(),
        }
    }

    /// Records that there has been a complete list. False if there was one before.
    pub(super) fn complete(&mut self) -> bool {
        self.goals.retain(|_, goal| *goal != Goal::Removal);
        !std::mem::replace(&mut self.is_complete, true)
    }

    /// Whether there has been a complete list. Before that, the absence of a goal means nothing.
    pub(super) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// The goal of a name; `None` if no profile asks for anything under it, as far as is known.
    pub(super) fn of(&self, name: &ProfileName) -> Option<&Goal> {
        self.goals.get(name)
    }

    /// What the agent expects to find under a name.
    pub(super) fn expected(&self, name: &ProfileName) -> Expected {
        match self.goals.get(name).map(|goal| (goal, self.placements.get(name))) {
            Some((Goal::Removal, _)) => Expected::Nothing,
            // It is the operator's word alone that removes the file of a profile that exists.
            Some((_, Some(Placement::Excluded))) => Expected::Nothing,
            Some((_, Some(Placement::Unknown))) => Expected::Anything,
            Some((Goal::File { hash, .. }, _)) => Expected::File(*hash),
            Some((Goal::Rejected { .. } | Goal::OverBudget(_), _)) => Expected::Anything,
            None if self.is_complete => Expected::Nothing,
            None => Expected::Anything,
        }
    }

    /// All goals.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&ProfileName, &Goal)> {
        self.goals.iter()
    }

    /// Profiles whose name no file can have, with what is wrong with it.
    pub(super) fn misnamed(&self) -> impl Iterator<Item = (&str, &str)> {
        self.misnamed.iter().map(|(name, message)| (&**name, &**message))
    }
}

#[cfg(test)]
mod tests {
    use profile::ContentHash;

    use super::*;

    fn name(name: &str) -> ProfileName {
        name.parse().unwrap()
    }

    fn file(bytes: &[u8]) -> Goal {
        Goal::file(bytes)
    }

    fn rejected(reason: &'static str) -> Goal {
        Goal::Rejected { reason, message: "why".into() }
    }

    #[test]
    fn an_invalid_profile_leaves_its_file_and_stops_no_other() {
        let mut goals = Goals::default();
        goals.set(&name("bad"), rejected("InvalidProfile"));
        // What is there already stays: pods may be about to start under it.
        goals.set(&name("listens"), rejected("ListenersDisabled"));
        goals.set(&name("good"), file(b"{}"));
        goals.complete();
        assert_eq!(goals.expected(&name("bad")), Expected::Anything);
        assert_eq!(goals.expected(&name("listens")), Expected::Anything);
        assert_eq!(goals.expected(&name("good")), Expected::File(ContentHash::of(b"{}")));
    }

    #[test]
    fn the_approval_to_remove_removes_even_before_the_first_complete_list() {
        let mut goals = Goals::default();
        assert!(goals.set(&name("a"), Goal::Removal));
        assert_eq!(goals.expected(&name("a")), Expected::Nothing);
        goals.complete();
        assert_eq!(goals.expected(&name("a")), Expected::Nothing);
    }

    #[test]
    fn before_the_first_complete_list_absence_removes_nothing() {
        let mut goals = Goals::default();
        assert_eq!(goals.expected(&name("a")), Expected::Anything);
        goals.set(&name("b"), file(b"{}"));
        assert_eq!(goals.expected(&name("a")), Expected::Anything);
        assert!(goals.complete() && !goals.complete(), "the first one counts");
        assert_eq!(goals.expected(&name("a")), Expected::Nothing);
        assert_eq!(goals.expected(&name("b")), Expected::File(ContentHash::of(b"{}")));
    }

    #[test]
    fn a_goal_that_changes_no_bytes_is_no_change() {
        let mut goals = Goals::default();
        goals.complete();
        assert!(goals.set(&name("a"), file(b"a")));
        assert!(!goals.set(&name("a"), file(b"a")));
        assert!(goals.set(&name("a"), file(b"b")));
        assert!(goals.set(&name("a"), Goal::Removal));
        assert!(!goals.set(&name("a"), Goal::Removal));
    }

    #[test]
    fn nothing_is_kept_of_a_profile_that_is_gone() {
        let mut goals = Goals::default();
        goals.set(&name("a"), Goal::Removal);
        goals.complete();
        goals.set(&name("b"), file(b"b"));
        goals.set(&name("b"), Goal::Removal);
        assert!(goals.set_misnamed("../etc".into(), Some("why".into())));
        assert_eq!(goals.misnamed().collect::<Vec<_>>(), [("../etc", "why")]);
        assert!(!goals.set_misnamed("../etc".into(), Some("why".into())));
        assert!(goals.set_misnamed("../etc".into(), None));
        assert_eq!((goals.iter().count(), goals.misnamed().count()), (0, 0));
    }
}
