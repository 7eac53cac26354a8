//! What another filter does differently: every call, with what both do.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::RangeInclusive;

use profile::Architecture;
use serde::Serialize;

use crate::abi::{X32, is_x86_64};
use crate::diagram::{Forest, TooComplex, difference};
use crate::filter::{Call, Filter, Known};
use crate::relation::{Kind, kinds};
use crate::{Permission, Verdict};

/// A difference between two filters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallChange {
    /// The calls.
    pub calls: ChangedCalls,
    /// What the first filter does.
    pub before: Treatment,
    /// What the second one does.
    pub after: Treatment,
    /// Whether the second one permits more.
    pub direction: Direction,
    /// Concrete calls: one that the second filter permits more and one that it permits less, if there are such calls,
    /// or else one with another verdict that permits as much.
    pub witnesses: Vec<ChangedCall>,
}

/// The calls that a difference is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangedCalls {
    /// The call with this number; for x32, with the bit that marks its calls.
    Named {
        /// The architecture.
        architecture: Architecture,
        /// The number.
        number: u32,
    },
    /// Calls for which neither filter has rules, and which both treat alike.
    Unnamed {
        /// The architecture.
        architecture: Architecture,
        /// Their numbers, of which those with rules are exceptions.
        numbers: Vec<RangeInclusive<u32>>,
    },
    /// Every call of an architecture that only one of the filters covers.
    Architecture(Architecture),
}

/// What a filter does with a call, or with several.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Treatment {
    /// The verdicts for some arguments, without duplicates.
    pub verdicts: Vec<Verdict>,
    /// Why.
    pub origin: Origin,
}

/// What decides a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Origin {
    /// Rules of the profile.
    Rules,
    /// The profile's default.
    Default,
    /// runc's stub.
    Stub,
    /// The architecture, which the filter does not cover.
    Architecture,
}

/// Whether another filter permits more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Direction {
    /// It permits more for some arguments, and less for none.
    MorePermissive,
    /// It permits less for some arguments, and more for none.
    LessPermissive,
    /// Neither, or both: that depends on the arguments.
    Other,
}

/// One call and both verdicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChangedCall {
    /// The call.
    pub call: Call,
    /// The verdict of the first filter.
    pub before: Verdict,
    /// The verdict of the second.
    pub after: Verdict,
}

impl ChangedCall {
    fn direction(&self) -> Direction {
        let [before, after]: [Permission; 2] = [self.before, self.after].map(Verdict::permission);
        match after.cmp(&before) {
            Ordering::Greater => Direction::MorePermissive,
            Ordering::Less => Direction::LessPermissive,
            Ordering::Equal => Direction::Other,
        }
    }
}

impl Filter {
    /// Everything that another filter does differently, on every architecture that this one's node runs; empty exactly
    /// if the filters are equal.
    ///
    /// # Errors
    ///
    /// If the conditions are too complex.
    pub fn changes(&self, after: &Self) -> Result<Vec<CallChange>, TooComplex> {
        let (mut found, mut unnamed, mut whole) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        for (architecture, kind) in kinds(&[self, after]) {
            let number = kind.example();
            let Some(difference) = self.difference_at(after, architecture, number)? else { continue };
            let architecture = table_of(architecture, number);
            if (difference.before.origin == Origin::Architecture)
                != (difference.after.origin == Origin::Architecture)
            {
                match whole.entry(architecture) {
                    Entry::Vacant(place) => drop(place.insert(difference)),
                    Entry::Occupied(mut all) => all.get_mut().add(difference),
                }
                continue;
            }
            match kind {
                Kind::Named(number) => {
                    found.push(difference.of(ChangedCalls::Named { architecture, number }));
                }
                Kind::Unnamed { numbers, .. } => {
                    let key = (architecture, difference.before.clone(), difference.after.clone());
                    let (_, all) = unnamed.entry(key).or_insert_with(|| (difference, Vec::new()));
                    all.push(numbers);
                }
            }
        }
        found.extend(unnamed.into_iter().map(|((architecture, ..), (difference, numbers))| {
            difference.of(ChangedCalls::Unnamed { architecture, numbers })
        }));
        found.extend(
            whole
                .into_iter()
                .map(|(architecture, difference)| difference.of(ChangedCalls::Architecture(architecture))),
        );
        Ok(found)
    }

    fn origin(&self, architecture: Architecture, number: u32, known: Known) -> Origin {
        match (self.calls(architecture, number), known) {
            (Some(calls), _) if calls.is_stubbed(number) => Origin::Stub,
            (Some(_), _) if self.has_rules(architecture, number) => Origin::Rules,
            // The number -1 of a call that a tracer skips.
            (None, Known::Verdict(verdict)) if number == u32::MAX && verdict == self.default() => {
                Origin::Default
            }
            (Some(_), _) => Origin::Default,
            (None, _) => Origin::Architecture,
        }
    }

    fn difference_at(
        &self,
        after: &Self,
        architecture: Architecture,
        number: u32,
    ) -> Result<Option<Difference>, TooComplex> {
        let known = (self.known(architecture, number), after.known(architecture, number));
        if let (Known::Verdict(one), Known::Verdict(two)) = known
            && one == two
        {
            return Ok(None);
        }
        let (mut one, mut two) = (Forest::default(), Forest::default());
        let nodes = (self.all_arguments(known.0, &mut one)?, after.all_arguments(known.1, &mut two)?);
        let find = |relation: &dyn Fn(Verdict, Verdict) -> bool| {
            let pair = difference((&one, nodes.0), (&two, nodes.1), relation)?;
            Ok::<_, TooComplex>(pair.map(|pair| ChangedCall {
                call: Call { architecture, number, arguments: pair.arguments },
                before: pair.first,
                after: pair.second,
            }))
        };
        let Some(any) = find(&|before, after| before != after)? else { return Ok(None) };
        let more = find(&|before, after| after.permission() > before.permission())?;
        let less = find(&|before, after| after.permission() < before.permission())?;
        let mut witnesses: Vec<_> = more.into_iter().chain(less).collect();
        if witnesses.is_empty() {
            witnesses.push(any);
        }
        let treatment = |filter: &Self, known, forest: &Forest, node| {
            let mut verdicts = forest.verdicts_of(node);
            verdicts.sort_unstable();
            Treatment { verdicts, origin: filter.origin(architecture, number, known) }
        };
        let before = treatment(self, known.0, &one, nodes.0);
        let after = treatment(after, known.1, &two, nodes.1);
        Ok(Some(Difference { before, after, witnesses }))
    }
}

/// What two filters do with the same calls.
struct Difference {
    before: Treatment,
    after: Treatment,
    witnesses: Vec<ChangedCall>,
}

impl Difference {
    fn of(self, calls: ChangedCalls) -> CallChange {
        let Self { before, after, witnesses } = self;
        CallChange { calls, before, after, direction: direction(&witnesses), witnesses }
    }

    /// Adds what they do with other calls, except what runc's stub answers: it does so on every architecture.
    fn add(&mut self, other: Self) {
        for (mine, theirs) in [(&mut self.before, other.before), (&mut self.after, other.after)] {
            if theirs.origin == Origin::Stub {
                continue;
            }
            mine.verdicts.extend(theirs.verdicts);
            mine.verdicts.sort_unstable();
            mine.verdicts.dedup();
            if mine.origin != theirs.origin {
                mine.origin = Origin::Rules;
            }
        }
        for witness in other.witnesses {
            if self.witnesses.iter().all(|mine| mine.direction() != witness.direction()) {
                self.witnesses.push(witness);
            }
        }
    }
}

/// The direction of all witnesses together; one that permits as much does not count beside others.
fn direction(witnesses: &[ChangedCall]) -> Direction {
    let has = |direction| witnesses.iter().any(|witness| witness.direction() == direction);
    match (has(Direction::MorePermissive), has(Direction::LessPermissive)) {
        (true, false) => Direction::MorePermissive,
        (false, true) => Direction::LessPermissive,
        _ => Direction::Other,
    }
}

/// The table in which a filter looks a call up.
fn table_of(architecture: Architecture, number: u32) -> Architecture {
    if is_x86_64(architecture) && number & X32 != 0 && number != u32::MAX {
        Architecture::X32
    } else {
        architecture
    }
}
