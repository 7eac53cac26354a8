//! The tests of a tree, the links between them, and their removal.
//!
//! Links are counted as libseccomp counts them, because whether it frees a removed test influences what it does next.

use super::memory::Memory;
use super::test::{BOTH, Exit, Id, Test};
use super::{Fault, Merging};
use crate::Verdict;

/// Some tenth of a second. libseccomp does not count, and takes far longer for rules that need more.
const STEPS: u32 = 20_000_000;
/// A chain has at most three tests for each of six arguments.
pub(super) const DEPTH: u32 = 64;
/// How often a walk through a list may come by as many tests as there are. A walk that finds something changes one of the
/// six facts of a [`Match`](super::matching::Match), which never change back.
const LAPS: usize = 8;

#[derive(Debug, Clone)]
pub(super) struct Arena {
    tests: Vec<Test>,
    /// The first list, while a rule is being added.
    pub(super) root: Option<Id>,
    pub(super) merging: Merging,
    /// How many tests were freed because a rule with fewer conditions took their place.
    pub(super) dropped: u32,
    pub(super) memory: Memory,
    steps: u32,
}

/// Ends a walk through a list whose links lead in a circle.
pub(super) struct Walk {
    left: usize,
}

impl Walk {
    pub(super) fn step(&mut self) -> Result<(), Fault> {
        self.left = self.left.checked_sub(1).ok_or(Fault::Unpredictable)?;
        Ok(())
    }
}

/// Where a link to a list is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Root,
    Exit(Id, usize),
}

impl Arena {
    pub(super) fn new(merging: Merging) -> Self {
        Self { tests: Vec::new(), root: None, merging, dropped: 0, memory: Memory::default(), steps: 0 }
    }

    pub(super) fn size(&self) -> u32 {
        self.tests.len() as u32
    }

    pub(super) fn insert(&mut self, test: Test) -> Id {
        self.tests.push(test);
        Id(self.tests.len() as u32 - 1)
    }

    /// A test that is not freed. Counts the steps.
    pub(super) fn at(&mut self, id: Id) -> Result<&mut Test, Fault> {
        if self.steps >= STEPS {
            return Err(Fault::TooMany);
        }
        self.steps += 1;
        match self.tests.get_mut(id.0 as usize) {
            Some(test) if !test.freed => Ok(test),
            _ => Err(Fault::Unpredictable),
        }
    }

    /// A walk through a list.
    pub(super) fn walk(&self) -> Walk {
        Walk { left: LAPS * (self.tests.len() + 1) }
    }

    /// For reading a finished tree, which `check` has walked through.
    pub(super) fn get(&self, id: Id) -> Option<&Test> {
        self.tests.get(id.0 as usize)
    }

    pub(super) fn set(&mut self, id: Id, exit: usize, to: Exit) {
        if let Some(test) = self.tests.get_mut(id.0 as usize) {
            test.on[exit] = to;
        }
    }

    pub(super) fn link(&mut self, id: Id, exit: usize, to: Id) {
        self.set(id, exit, Exit::Enter(to));
        self.hold(to);
    }

    /// Counts one more link.
    pub(super) fn hold(&mut self, id: Id) {
        if let Some(test) = self.tests.get_mut(id.0 as usize) {
            test.links += 1;
        }
    }

    pub(super) fn load(&mut self, place: Place) -> Result<Option<Id>, Fault> {
        match place {
            Place::Root => Ok(self.root),
            Place::Exit(id, exit) => Ok(self.at(id)?.on[exit].entered()),
        }
    }

    pub(super) fn store(&mut self, place: Place, to: Option<Id>) -> Result<(), Fault> {
        match place {
            Place::Root => self.root = to,
            Place::Exit(id, exit) => self.at(id)?.on[exit] = to.map_or(Exit::Fall, Exit::Enter),
        }
        Ok(())
    }

    /// The first test of the list.
    pub(super) fn first(&mut self, mut id: Id) -> Result<Id, Fault> {
        let mut walk = self.walk();
        while let Some(before) = self.at(id)?.before {
            walk.step()?;
            id = before;
        }
        Ok(id)
    }

    /// Whether everything that the list of `id` returns is this verdict: that of the rule which is being added.
    pub(super) fn all_return(&mut self, id: Option<Id>, verdict: Verdict, depth: u32) -> Result<bool, Fault> {
        let depth = depth.checked_sub(1).ok_or(Fault::Unpredictable)?;
        let Some(id) = id else { return Ok(true) };
        let first = self.first(id)?;
        if self.memory.returns_one(first) {
            return Ok(true);
        }
        let mut walk = self.walk();
        let mut next = Some(first);
        while let Some(id) = next {
            walk.step()?;
            let test = self.at(id)?;
            let (on, after) = (test.on, test.after);
            if on.iter().any(|exit| exit.verdict().is_some_and(|it| it != verdict)) {
                return Ok(false);
            }
            for exit in on {
                if !self.all_return(exit.entered(), verdict, depth)? {
                    return Ok(false);
                }
            }
            next = after;
        }
        self.memory.remember_that_returns_one(first);
        Ok(true)
    }

    /// Drops one link. If it was the last one, frees the test and what only it led to, and returns the number of freed
    /// tests; `holder` then becomes a neighbour in the list, if there is one.
    pub(super) fn release(&mut self, holder: &mut Option<Id>, depth: u32) -> Result<u32, Fault> {
        let depth = depth.checked_sub(1).ok_or(Fault::Unpredictable)?;
        let Some(id) = *holder else { return Ok(0) };
        let test = self.at(id)?;
        test.links = test.links.checked_sub(1).ok_or(Fault::Unpredictable)?;
        if test.links > 0 {
            return Ok(0);
        }
        self.memory.forget();
        let test = self.at(id)?;
        let (on, [mut before, mut after]) = (test.on, [test.before, test.after]);
        if let Some(before) = before {
            self.at(before)?.after = None;
        }
        if let Some(after) = after {
            self.at(after)?.before = None;
        }
        let mut freed = self.release(&mut before, depth)?;
        freed += self.release(&mut after, depth)?;
        if let Some(before) = before {
            self.at(before)?.after = after;
            after.into_iter().for_each(|after| self.hold(after));
        }
        if let Some(after) = after {
            self.at(after)?.before = before;
            before.into_iter().for_each(|before| self.hold(before));
        }
        *holder = before.or(after);
        for exit in on {
            freed += self.release_list(exit.entered(), depth)?;
        }
        self.at(id)?.freed = true;
        Ok(freed + 1)
    }

    /// Drops one link to a list, and frees the list if only its own tests link to each other.
    pub(super) fn release_list(&mut self, mut list: Option<Id>, depth: u32) -> Result<u32, Fault> {
        let mut freed = self.release(&mut list, depth)?;
        let Some(id) = list else { return Ok(freed) };
        let first = self.first(id)?;
        let mut walk = self.walk();
        let mut next = Some(first);
        while let Some(id) = next {
            walk.step()?;
            let test = self.at(id)?;
            let neighbours = u32::from(test.before.is_some()) + u32::from(test.after.is_some());
            if test.links > neighbours {
                return Ok(freed);
            }
            next = test.after;
        }
        let mut rest = Some(first);
        while rest.is_some() {
            freed += self.release(&mut rest, depth)?;
        }
        Ok(freed)
    }

    /// Removes `test` from the list at `place` or those below, and on the way a test that leads nowhere. Returns the
    /// number of freed tests.
    pub(super) fn remove(&mut self, place: Place, test: Id, depth: u32) -> Result<u32, Fault> {
        let depth = depth.checked_sub(1).ok_or(Fault::Unpredictable)?;
        let Some(linked) = self.load(place)? else { return Ok(0) };
        let mut id = self.first(linked)?;
        let mut freed = 0;
        let mut walk = self.walk();
        while id != test {
            walk.step()?;
            for exit in BOTH {
                freed += self.remove(Place::Exit(id, exit), test, depth)?;
            }
            let it = self.at(id)?;
            if it.on == [Exit::Fall; 2] {
                break;
            }
            match it.after {
                Some(after) if freed == 0 => id = after,
                _ => return Ok(freed),
            }
        }
        self.memory.forget();
        let it = self.at(id)?;
        let (before, after) = (it.before.take(), it.after.take());
        if self.load(place)? == Some(id) {
            self.store(place, before.or(after))?;
        }
        if let Some(before) = before {
            self.at(before)?.after = after;
        }
        if let Some(after) = after {
            self.at(after)?.before = before;
        }
        Ok(freed + self.release(&mut Some(id), depth)?)
    }
}
