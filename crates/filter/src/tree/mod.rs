//! What libseccomp makes of the rules for one syscall.
//!
//! A runtime hands libseccomp one rule after the other: a verdict, and *conditions* that must all be true. libseccomp
//! does not keep them as a list of which one matches first, but as a tree of *tests*, and the filter is what the tree
//! says. This module builds the same tree, because no shorter rule describes the result in every case:
//!
//! - A test compares one 32-bit half of an argument. A 64-bit condition becomes two or three tests (`chain.rs`).
//! - Tests that are tried one after the other form a *list*. Each test has two *exits*, for true and for false: fall
//!   through to the next test of the list, return a verdict, or enter another list. Whoever falls through the end of
//!   a list goes on where its parent would have fallen through. At the end of the first list is the default.
//! - A list is sorted by what is compared, not by the order of the rules (`test.rs`): the last argument first, equality
//!   before upper bounds before lower bounds, and the tighter bound first. This is why the last rule, the first rule or
//!   the most specific rule do not win in general: of two overlapping rules on different arguments, the one on the
//!   later argument wins.
//! - A rule whose first tests are in a list already is merged into it (`insert.rs`). Before, libseccomp looks for a rule
//!   that makes the other superfluous, and drops it (`prune.rs`). A rule without conditions replaces all others.
//!
//! Merging goes wrong in some cases, and the model goes wrong in the same way. A condition such as "greater" leads from
//! two tests to the tests of the next argument, which therefore have two parents. Where a later rule changes a list
//! through one of the parents only, a filter may apply a rule although one of its conditions is false, or ignore it. In
//! some of these cases libseccomp follows links in a circle and does not return. These are [`Refusal::Unpredictable`].
//!
//! (Facts from `db_rule_add`, `_db_tree_prune` and `_db_tree_add` in src/db.c and `_gen_bpf_chain` in src/gen_bpf.c of
//! libseccomp 2.5.4 and 2.6.1; checked against both libraries by `tests/libseccomp.rs`.)

mod arena;
mod blocks;
mod chain;
mod insert;
mod matching;
mod memory;
mod prune;
mod size;
mod test;

pub use self::blocks::Program;
pub(crate) use self::blocks::Start;
pub(crate) use self::chain::always_true;
pub(crate) use self::size::Size;

use self::arena::Arena;
use self::memory::Memory;
use self::test::Id;
use crate::{Condition, Verdict};

/// A rule for one syscall, as a runtime hands it to libseccomp.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CallRule {
    /// What happens to a call of which all conditions are true.
    pub verdict: Verdict,
    /// At most one for each argument.
    pub conditions: Vec<Condition>,
}

/// How many bits of an argument an architecture's filter compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Width {
    /// The lower half. libseccomp also drops the upper half of the values in the rules.
    Bits32,
    /// All.
    Bits64,
}

impl Width {
    /// The number.
    pub(crate) fn bits(self) -> u8 {
        match self {
            Self::Bits32 => 32,
            Self::Bits64 => 64,
        }
    }
}

/// A version of libseccomp, as far as it determines what rules mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Merging {
    /// libseccomp 2.5.0 to 2.6.0: of two upper bounds (or inequalities) whose upper halves are the same, the verdict for
    /// smaller upper halves stays that of the first rule.
    Until2_6_0,
    /// libseccomp 2.6.1: it becomes that of the tighter bound.
    Since2_6_1,
}

/// Why the rules are no filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Refusal {
    /// libseccomp returns EEXIST for a rule, and no container starts.
    #[error(
        "libseccomp refuses this rule beside an earlier one, because the same conditions would have two actions"
    )]
    Clash {
        /// The index of the rule.
        rule: usize,
    },
    /// libseccomp would follow links that lead in a circle or to freed memory: it does not return, crashes, or makes
    /// a filter that depends on chance.
    #[error(
        "libseccomp does not compile this rule beside the earlier ones predictably: it may hang or crash"
    )]
    Unpredictable {
        /// The index of the rule; the number of rules if all could be added.
        rule: usize,
    },
    /// The rules have so many conditions that what libseccomp makes of them was not worked out. Containers may start.
    #[error(
        "the rules for this call have too many conditions to work out what libseccomp makes of them; use fewer rules with \
         arguments, or fewer arguments in each"
    )]
    TooMany {
        /// The index of the rule up to which it was.
        rule: usize,
    },
}

/// The tests to which libseccomp reduces the rules for one syscall.
#[derive(Debug, Clone)]
pub struct Tree {
    arena: Arena,
    root: Root,
    /// libseccomp's count of the tests, which also counts some that are gone.
    weight: u32,
}

/// Where a call begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Root {
    /// No rule: the default.
    Default,
    /// A rule without conditions.
    Always(Verdict),
    /// The first list.
    List(Id),
}

impl Tree {
    /// Adds the rules in this order.
    ///
    /// # Errors
    ///
    /// If libseccomp refuses a rule, or if its behaviour cannot be predicted.
    pub fn new(rules: &[CallRule], width: Width, merging: Merging) -> Result<Self, Refusal> {
        let mut tree = Self { arena: Arena::new(merging), root: Root::Default, weight: 0 };
        for (rule, CallRule { verdict, conditions }) in rules.iter().enumerate() {
            tree.add(*verdict, conditions, width).map_err(|fault| fault.of(rule))?;
        }
        tree.check().map_err(|fault| fault.of(rules.len()))?;
        tree.arena.memory = Memory::default();
        Ok(tree)
    }

    fn add(&mut self, verdict: Verdict, conditions: &[Condition], width: Width) -> Result<(), Fault> {
        let before = self.arena.size();
        let Some(chain) = self.arena.chain(verdict, conditions, width) else {
            self.root = match self.root {
                Root::Always(earlier) => Root::Always(earlier),
                Root::Default | Root::List(_) => Root::Always(verdict),
            };
            self.weight = 0;
            return Ok(());
        };
        let tests = self.arena.size() - before;
        match self.root {
            Root::Default => {
                self.root = Root::List(chain);
                self.weight = tests;
            }
            Root::Always(_) => {}
            Root::List(first) => {
                self.arena.root = Some(first);
                self.weight = self.arena.merge(chain, verdict, self.weight, tests)?;
                self.root = self.arena.root.map(Root::List).ok_or(Fault::Unpredictable)?;
            }
        }
        Ok(())
    }

    /// libseccomp writes the calls with the fewest tests first, unless it writes a binary tree of calls.
    pub(crate) fn priority(&self) -> u32 {
        0xffff_u32.wrapping_sub(self.weight)
    }
}

impl Refusal {
    /// The index of the rule.
    #[must_use]
    pub fn rule(self) -> usize {
        match self {
            Self::Clash { rule } | Self::Unpredictable { rule } | Self::TooMany { rule } => rule,
        }
    }
}

/// A [`Refusal`] without its rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Clash,
    Unpredictable,
    TooMany,
}

impl Fault {
    fn of(self, rule: usize) -> Refusal {
        match self {
            Self::Clash => Refusal::Clash { rule },
            Self::Unpredictable => Refusal::Unpredictable { rule },
            Self::TooMany => Refusal::TooMany { rule },
        }
    }
}
