//! How a rule joins the tree.

use super::arena::{Arena, DEPTH, Place};
use super::matching::Match;
use super::test::{BOTH, Exit, FALSE, Id};
use super::{Fault, Merging};
use crate::Verdict;

impl Arena {
    /// Adds the tests of a rule with this verdict to a tree that has rules. `weight` is the count of the tests in the
    /// tree, `tests` that of the rule; returns the new count.
    pub(super) fn merge(
        &mut self,
        chain: Id,
        verdict: Verdict,
        weight: u32,
        tests: u32,
    ) -> Result<u32, Fault> {
        self.memory.forget();
        let mut found = Match::default();
        let freed = self.prune(self.root, Some(chain), &mut found, verdict, DEPTH)?;
        if freed > 0 && self.root.is_none() {
            self.root = Some(chain);
            return Ok(tests);
        }
        if freed == 0 && found.is_superfluous() {
            self.release_list(Some(chain), DEPTH)?;
            return Ok(weight);
        }
        self.memory.forget();
        let dropped = self.dropped;
        self.join(Place::Root, chain, DEPTH)?;
        let released = self.release_list(Some(chain), DEPTH)?;
        let gone = freed.wrapping_add(released).wrapping_add(self.dropped - dropped);
        Ok(weight.wrapping_add(tests).wrapping_sub(gone))
    }

    /// Puts the test `new`, with what is below it, into the list at `place`.
    fn join(&mut self, place: Place, new: Id, depth: u32) -> Result<(), Fault> {
        let depth = depth.checked_sub(1).ok_or(Fault::Unpredictable)?;
        let mut at = self.load(place)?.ok_or(Fault::Unpredictable)?;
        let mut walk = self.walk();
        loop {
            walk.step()?;
            let (here, joining) = (self.at(at)?.clone(), self.at(new)?.clone());
            if here.compared == joining.compared {
                return self.combine(at, new, depth);
            }
            if here.comes_after(&joining) {
                break;
            }
            let Some(after) = here.after else {
                self.at(new)?.before = Some(at);
                self.at(at)?.after = Some(new);
                self.hold(at);
                self.hold(new);
                return Ok(());
            };
            at = after;
        }
        if let Some(before) = self.at(at)?.before {
            self.at(before)?.after = Some(new);
            self.at(new)?.before = Some(before);
        } else {
            self.hold(at);
        }
        self.hold(new);
        self.at(at)?.before = Some(new);
        self.at(new)?.after = Some(at);
        if self.load(place)? == Some(at) {
            self.hold(new);
            self.store(place, Some(new))?;
            self.release(&mut Some(at), depth)?;
        }
        Ok(())
    }

    /// Adds what `new` does to a test that compares the same.
    fn combine(&mut self, at: Id, new: Id, depth: u32) -> Result<(), Fault> {
        let joining = self.at(new)?.clone();
        for exit in BOTH {
            if let Exit::Return(verdict) = joining.on[exit] {
                self.combine_verdict(at, new, exit, verdict, depth)?;
            }
        }
        for exit in BOTH {
            let Some(list) = joining.on[exit].entered() else { continue };
            match self.at(at)?.on[exit] {
                Exit::Enter(_) => self.join(Place::Exit(at, exit), list, depth)?,
                Exit::Fall => self.link(at, exit, list),
                // The rule that is there applies to more calls.
                Exit::Return(_) => return Ok(()),
            }
        }
        Ok(())
    }

    fn combine_verdict(
        &mut self,
        at: Id,
        new: Id,
        exit: usize,
        verdict: Verdict,
        depth: u32,
    ) -> Result<(), Fault> {
        let (here, joining) = (self.at(at)?.clone(), self.at(new)?.clone());
        match here.on[exit] {
            Exit::Return(earlier) if earlier == verdict => {}
            Exit::Return(_) => {
                // The upper halves of two bounds are the same: the tighter one decides about all other upper halves.
                let tighter = match exit {
                    FALSE => joining.whole < here.whole && self.merging >= Merging::Since2_6_1,
                    _ => joining.whole > here.whole,
                };
                if joining.compared.upper && tighter {
                    self.set(at, exit, Exit::Return(verdict));
                }
                if self.at(at)?.is_last() || joining.is_last() {
                    return Err(Fault::Clash);
                }
            }
            below => {
                // The joining changes links.
                self.memory.forget();
                if !self.all_return(below.entered(), verdict, depth)? {
                    return Err(Fault::Clash);
                }
                self.dropped += self.release(&mut below.entered(), depth)?;
                self.set(at, exit, Exit::Return(verdict));
            }
        }
        Ok(())
    }
}
