//! Rules that another rule makes superfluous.

use super::Fault;
use super::arena::{Arena, Place};
use super::matching::Match;
use super::test::{BOTH, Exit, Id};
use crate::Verdict;

impl Arena {
    /// Looks for the tests of a new rule, which begins with the test `new`, in the list of `list` and those below, and
    /// removes tests of earlier rules with the same verdict that need these tests and more. Returns the number of freed
    /// tests.
    pub(super) fn prune(
        &mut self,
        list: Option<Id>,
        new: Option<Id>,
        found: &mut Match,
        verdict: Verdict,
        depth: u32,
    ) -> Result<u32, Fault> {
        let depth = depth.checked_sub(1).ok_or(Fault::Unpredictable)?;
        let mut now = *found;
        let mut freed = 0;
        if let (Some(list), Some(new), false) = (list, new, found.begun && !found.same) {
            let first = self.first(list)?;
            match self.memory.found(first, new, *found) {
                Some(known) => now = known,
                None => {
                    let since = self.memory.changes();
                    self.prune_list(first, new, (*found, &mut now), verdict, &mut freed, depth)?;
                    self.memory.remember(first, new, *found, now, since);
                }
            }
        }
        if now.same {
            found.join(now);
        } else {
            found.same = false;
        }
        Ok(freed)
    }

    fn prune_list(
        &mut self,
        first: Id,
        new: Id,
        (found, now): (Match, &mut Match),
        verdict: Verdict,
        freed: &mut u32,
        depth: u32,
    ) -> Result<(), Fault> {
        let rule = self.at(new)?.clone();
        let since = self.memory.changes();
        let mut walk = self.walk();
        let mut next = Some(first);
        while let Some(id) = next {
            walk.step()?;
            let test = self.at(id)?.clone();
            next = test.after;
            let mut here = Some(id);
            if test.compared == rule.compared {
                now.same = true;
                now.begun = true;
                now.rule_ends |= rule.is_last();
                now.tree_ends |= test.is_last();
                let goes_on = |exit: usize| test.on[exit] != Exit::Fall && rule.on[exit] == Exit::Fall;
                let verdicts = |exits: [Exit; 2]| exits.map(Exit::verdict);
                if BOTH.into_iter().any(goes_on)
                    || now.rule_ends && now.tree_ends && verdicts(test.on) != verdicts(rule.on)
                {
                    return Ok(());
                }
                for exit in BOTH {
                    let (Some(id), Some(rest)) = (here, rule.on[exit].entered()) else { continue };
                    let deeper = Match { same: true, begun: true, ..found };
                    let list = self.at(id)?.on[exit].entered();
                    let (below, by) = self.prune_below(&mut here, list, rest, deeper, verdict, depth)?;
                    *freed += by;
                    if below.same {
                        now.join(below);
                    }
                }
                let Some(id) = here else { continue };
                let all_the_same = self.all_return(Some(id), verdict, depth)?;
                if all_the_same && now.same && now.rule_ends && now.tree_begins_above {
                    *freed += self.remove(Place::Root, id, depth)?;
                    if self.root.is_none() {
                        return Ok(());
                    }
                } else if all_the_same && now.same && now.tree_ends && now.rule_begins_above {
                    return Ok(());
                }
            } else {
                let tree_first = test.comes_after(&rule);
                if tree_first && found.rule_begins_above || !tree_first && found.tree_begins_above {
                    return Ok(());
                }
                let deeper = Match {
                    same: false,
                    tree_begins_above: found.tree_begins_above || tree_first,
                    rule_begins_above: found.rule_begins_above || !tree_first,
                    ..found
                };
                for exit in BOTH {
                    let Some(held) = here else { break };
                    let (list, rest) = if tree_first {
                        (self.at(held)?.on[exit].entered(), Some(new))
                    } else {
                        // From the first test, where that is still the first: it is found without a walk.
                        let is_first = self.memory.changes() == since;
                        (Some(if is_first { first } else { held }), rule.on[exit].entered())
                    };
                    let (Some(list), Some(rest)) = (list, rest) else { continue };
                    let (below, by) =
                        self.prune_below(&mut here, Some(list), rest, deeper, verdict, depth)?;
                    *freed += by;
                    if below.same {
                        now.join(below);
                        return Ok(());
                    }
                }
            }
        }
        // No test was the same to the end.
        now.same = false;
        Ok(())
    }

    /// Prunes further below while a link to `here` is held, so that it is not freed meanwhile.
    fn prune_below(
        &mut self,
        here: &mut Option<Id>,
        list: Option<Id>,
        new: Id,
        mut found: Match,
        verdict: Verdict,
        depth: u32,
    ) -> Result<(Match, u32), Fault> {
        here.iter().for_each(|id| self.hold(*id));
        let mut freed = self.prune(list, Some(new), &mut found, verdict, depth)?;
        freed += self.release(here, depth)?;
        Ok((found, freed))
    }
}
