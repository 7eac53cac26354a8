//! What was found out about lists of the tree while a rule is compared with it.
//!
//! The comparison comes to the same list on many ways: from every test of the list above, and through every parent. What it
//! finds there only depends on the list, the tests of the rule and what was found above, so it is looked up the second time.
//! Everything is forgotten as soon as a link changes.

use super::matching::Match;
use super::test::Id;
use crate::hash::{HashMap, HashSet};

/// Of each list, the first test stands for it.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory {
    /// What a comparison that frees nothing finds: in which list, with which test of the rule, after what.
    found: HashMap<(Id, Id, Match), Match>,
    /// Lists that only return the verdict of the rule.
    returning_one: HashSet<Id>,
    /// How often a link has changed.
    changes: u32,
}

impl Memory {
    pub(super) fn forget(&mut self) {
        self.changes += 1;
        if !self.found.is_empty() {
            self.found.clear();
        }
        if !self.returning_one.is_empty() {
            self.returning_one.clear();
        }
    }

    pub(super) fn changes(&self) -> u32 {
        self.changes
    }

    pub(super) fn found(&self, list: Id, new: Id, before: Match) -> Option<Match> {
        self.found.get(&(list, new, before)).copied()
    }

    /// Remembers what was found, unless a link has changed since.
    pub(super) fn remember(&mut self, list: Id, new: Id, before: Match, now: Match, since: u32) {
        if self.changes == since {
            self.found.insert((list, new, before), now);
        }
    }

    pub(super) fn returns_one(&self, list: Id) -> bool {
        self.returning_one.contains(&list)
    }

    pub(super) fn remember_that_returns_one(&mut self, list: Id) {
        self.returning_one.insert(list);
    }
}
