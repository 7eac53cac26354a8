//! The tests of one rule.

use profile::Comparison;

use super::Width;
use super::arena::Arena;
use super::test::{Compared, Exit, FALSE, Id, Kind, TRUE, Test};
use crate::diagram::Relation;
use crate::{Condition, Verdict};

/// Tests of one condition, before they are linked with those of the next one.
struct Step {
    first: Id,
    /// The exits through which a call leaves for which the condition is true.
    met: Vec<(Id, usize)>,
}

impl Arena {
    /// The tests of a rule as a list of one, or `None` if the rule has no condition that can be false.
    ///
    /// The tests for the first argument are the outermost in a rule. Because lists are sorted by the last argument
    /// first, another rule's tests for a later argument nevertheless come before them.
    pub(super) fn chain(&mut self, verdict: Verdict, conditions: &[Condition], width: Width) -> Option<Id> {
        let mut conditions: Vec<_> =
            conditions.iter().filter(|it| !always_true(**it, width)).copied().collect();
        conditions.sort_unstable_by_key(|condition| condition.index());
        let mut outermost = None;
        let mut met: Vec<(Id, usize)> = Vec::new();
        for condition in conditions {
            let step = match width {
                Width::Bits64 => self.two_halves(condition),
                Width::Bits32 => self.lower_half(condition),
            };
            for (test, exit) in met {
                self.link(test, exit, step.first);
            }
            if outermost.is_none() {
                self.hold(step.first);
                outermost = Some(step.first);
            }
            met = step.met;
        }
        for (test, exit) in met {
            self.set(test, exit, Exit::Return(verdict));
        }
        outermost
    }

    /// The two or three tests of a 64-bit condition.
    fn two_halves(&mut self, condition: Condition) -> Step {
        let half = |upper, relation| Test::of(condition, upper, relation);
        let comparison = condition.comparison();
        let Some(lower) = bound(comparison) else {
            let first = self.insert(half(true, Relation::Equal));
            let second = self.insert(half(false, Relation::Equal));
            self.link(first, TRUE, second);
            let met = match comparison {
                Comparison::NotEqual => vec![(first, FALSE), (second, FALSE)],
                _ => vec![(second, TRUE)],
            };
            return Step { first, met };
        };
        let first = self.insert(half(true, Relation::Greater));
        let second = self.insert(half(true, Relation::Equal));
        let third = self.insert(half(false, lower));
        self.link(first, FALSE, second);
        self.link(second, TRUE, third);
        let met = match kind(comparison) {
            Kind::UpperBound => vec![(second, FALSE), (third, FALSE)],
            _ => vec![(first, TRUE), (third, TRUE)],
        };
        Step { first, met }
    }

    /// The one test of a 32-bit condition.
    fn lower_half(&mut self, condition: Condition) -> Step {
        let comparison = condition.comparison();
        let negated = comparison == Comparison::NotEqual || kind(comparison) == Kind::UpperBound;
        let relation = bound(comparison).unwrap_or(Relation::Equal);
        let first = self.insert(Test::of(condition, false, relation));
        Step { first, met: vec![(first, if negated { FALSE } else { TRUE })] }
    }
}

impl Test {
    fn of(condition: Condition, upper: bool, relation: Relation) -> Self {
        let masked = condition.comparison() == Comparison::MaskedEqual;
        let (mask, whole) =
            if masked { (condition.value(), condition.value_two()) } else { (u64::MAX, condition.value()) };
        let half = |word: u64| if upper { (word >> 32) as u32 } else { word as u32 };
        let (mask, value) = (half(mask), half(whole));
        Self {
            compared: Compared { index: condition.index(), upper, relation, masked, mask, value },
            kind: kind(condition.comparison()),
            whole,
            on: [Exit::Fall; 2],
            before: None,
            after: None,
            links: 0,
            freed: false,
        }
    }
}

/// libseccomp leaves out a comparison under a mask without bits.
pub(crate) fn always_true(condition: Condition, width: Width) -> bool {
    let mask = match width {
        Width::Bits32 => u64::from(u32::MAX),
        Width::Bits64 => u64::MAX,
    };
    condition.comparison() == Comparison::MaskedEqual && condition.value() & mask == 0
}

fn kind(comparison: Comparison) -> Kind {
    match comparison {
        Comparison::Less | Comparison::LessOrEqual => Kind::UpperBound,
        Comparison::Greater | Comparison::GreaterOrEqual => Kind::LowerBound,
        Comparison::Equal | Comparison::NotEqual | Comparison::MaskedEqual => Kind::Equality,
    }
}

/// How a bound compares the last half; an upper bound is the negation of the lower one.
fn bound(comparison: Comparison) -> Option<Relation> {
    match comparison {
        Comparison::Less | Comparison::GreaterOrEqual => Some(Relation::GreaterOrEqual),
        Comparison::LessOrEqual | Comparison::Greater => Some(Relation::Greater),
        Comparison::Equal | Comparison::NotEqual | Comparison::MaskedEqual => None,
    }
}
