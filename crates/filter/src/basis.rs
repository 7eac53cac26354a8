//! Why a call has its verdict: which rule of the profile decides, for all arguments or for those that are known.

use std::collections::BTreeMap;

use profile::{Architecture, Profile};

use crate::abi::width;
use crate::assemble::{Key, architectures, parts};
use crate::diagram::{Forest, Node, Partial, TooComplex};
use crate::tree::{Width, always_true};
use crate::{Condition, Filter, Setting, Unloadable, Verdict};

/// More conditional rules for one call than this are not put into an order.
const ORDERED: usize = 64;

/// A filter, and where the profile says what it does.
#[derive(Debug, Clone)]
pub struct Explainer {
    filter: Filter,
    mentions: BTreeMap<(Architecture, u32), Vec<Mention>>,
}

/// Where a rule names a call.
#[derive(Debug, Clone)]
struct Mention {
    rule: usize,
    name: usize,
    verdict: Verdict,
    /// As they are compiled for the architecture.
    conditions: Vec<Condition>,
}

/// What happens to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What can happen, in the order of precedence: the first case of which all conditions hold decides. The last one has
    /// no conditions.
    pub cases: Vec<Case>,
    /// The indexes of the arguments on which the verdict depends; empty if it is the same for all.
    pub depends_on: Vec<u8>,
}

/// What happens to a call under some conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// The conditions that are not known to be true. All must be.
    pub conditions: Vec<Condition>,
    /// What happens then.
    pub verdict: Verdict,
    /// Why.
    pub basis: Basis,
}

/// Why a call has its verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// A rule of the profile.
    Rule {
        /// The index of the rule.
        rule: usize,
        /// The index of the name in it.
        name: usize,
    },
    /// No rule applies.
    Default,
    /// The runtime answers before the filter, because no rule names a call with a number as high.
    Stub {
        /// The highest number that a rule names.
        highest: u32,
    },
    /// The filter does not cover the architecture.
    OtherArchitecture,
    /// Some rules apply, and libseccomp merges them to something else than any of them says.
    Merged,
}

impl Explainer {
    /// The filter of a profile, with the places that decide.
    ///
    /// # Errors
    ///
    /// If no container starts with the profile.
    pub fn new(profile: &Profile, setting: &Setting<'_>) -> Result<Self, Unloadable> {
        let filter = Filter::new(profile, setting)?;
        let mut mentions: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for architecture in architectures(profile, setting)? {
            let compiled = |condition: &Condition| match width(architecture) {
                Width::Bits32 => condition.lower_half(),
                Width::Bits64 => *condition,
            };
            for (key, parts) in parts(profile, architecture, setting).calls() {
                let Key::Number(number) = key else { continue };
                let found: &mut Vec<Mention> = mentions.entry((architecture, *number)).or_default();
                found.extend(parts.iter().map(|(_, part)| Mention {
                    rule: part.rule,
                    name: part.place,
                    verdict: part.call_rule.verdict,
                    conditions: part.call_rule.conditions.iter().map(compiled).collect(),
                }));
            }
        }
        Ok(Self { filter, mentions })
    }

    /// The filter.
    #[must_use]
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// What happens to the call with this number, of whose arguments something is known or nothing.
    ///
    /// # Errors
    ///
    /// If the conditions are too complex.
    pub fn explain(
        &self,
        architecture: Architecture,
        number: u32,
        arguments: &Partial,
    ) -> Result<Explanation, TooComplex> {
        let mut forest = Forest::default();
        let all = self.filter.verdicts(architecture, number, &mut forest)?;
        let verdicts = forest.restrict(all, arguments)?;
        let depends_on = forest.arguments_of(verdicts);
        let constant = |basis| {
            let verdict = forest.verdicts_of(verdicts).first().copied().unwrap_or(self.filter.default());
            Case { conditions: Vec::new(), verdict, basis }
        };
        let Some((table, calls)) = self.filter.table_of(architecture, number) else {
            // What the number -1 gets where the filter would take it for one of x32.
            let skipped = forest.verdicts_of(verdicts) == [self.filter.default()] && number == u32::MAX;
            let basis = if skipped { Basis::Default } else { Basis::OtherArchitecture };
            return Ok(Explanation { cases: vec![constant(basis)], depends_on });
        };
        if let Some(highest) = calls.stub.filter(|_| calls.is_stubbed(number)) {
            return Ok(Explanation { cases: vec![constant(Basis::Stub { highest })], depends_on });
        }
        let mentions = self.mentions.get(&(table, number)).map_or(&[][..], Vec::as_slice);
        let cases = Cases { mentions, width: width(table), arguments, default: self.filter.default() };
        Ok(Explanation { cases: cases.of(verdicts, &mut forest)?, depends_on })
    }
}

/// What is needed to find the cases of a call that the filter covers.
struct Cases<'a> {
    mentions: &'a [Mention],
    width: Width,
    arguments: &'a Partial,
    default: Verdict,
}

impl Cases<'_> {
    /// Puts the rules into an order in which the first that applies decides, by comparing each with the filter.
    fn of(&self, verdicts: Node, forest: &mut Forest) -> Result<Vec<Case>, TooComplex> {
        // libseccomp lets the first rule without conditions win over all others, and leaves out those that are always true.
        let is_always = |mention: &&Mention| mention.conditions.iter().all(|it| always_true(*it, self.width));
        if let Some(always) = self.mentions.iter().find(is_always) {
            return Ok(vec![always.case(Vec::new())]);
        }
        if self.mentions.len() > ORDERED {
            return Err(TooComplex);
        }
        let mut open = Vec::new();
        for mention in self.mentions {
            open.push((mention, self.region(mention, forest)?));
        }
        let mut cases = Vec::new();
        let mut uncovered = Forest::always(true);
        while let Some(at) = self.next(&open, uncovered, verdicts, forest)? {
            let (mention, (region, unknown)) = open.remove(at);
            if forest.both(region, uncovered)? != Forest::always(false) {
                cases.push(mention.case(unknown));
                uncovered = forest.select(region, Forest::always(false), uncovered)?;
            }
        }
        if uncovered != Forest::always(false) {
            let default = forest.verdict(self.default);
            let elsewhere = forest.select(uncovered, verdicts, default)?;
            let found = forest.verdicts_of(elsewhere);
            let basis = if elsewhere == default { Basis::Default } else { Basis::Merged };
            let verdicts = if elsewhere == default { vec![self.default] } else { found };
            cases.extend(verdicts.into_iter().map(|verdict| Case { conditions: Vec::new(), verdict, basis }));
        }
        Ok(cases)
    }

    /// The first rule that decides wherever it applies and no earlier case does.
    fn next(
        &self,
        open: &[(&Mention, (Node, Vec<Condition>))],
        uncovered: Node,
        verdicts: Node,
        forest: &mut Forest,
    ) -> Result<Option<usize>, TooComplex> {
        for (at, (mention, (region, _))) in open.iter().enumerate() {
            let applies = forest.both(*region, uncovered)?;
            let verdict = forest.verdict(mention.verdict);
            if forest.select(applies, verdicts, verdict)? == verdict {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// Where the conditions of a rule hold, and which of them are not known to.
    fn region(&self, mention: &Mention, forest: &mut Forest) -> Result<(Node, Vec<Condition>), TooComplex> {
        let bits = self.width.bits();
        let (mut region, mut unknown) = (Forest::always(true), Vec::new());
        for condition in &mention.conditions {
            let holds = forest.condition(*condition, bits)?;
            let holds = forest.restrict(holds, self.arguments)?;
            region = forest.both(region, holds)?;
            if holds != Forest::always(true) {
                unknown.push(*condition);
            }
        }
        Ok((region, unknown))
    }
}

impl Mention {
    fn case(&self, conditions: Vec<Condition>) -> Case {
        let basis = Basis::Rule { rule: self.rule, name: self.name };
        Case { conditions, verdict: self.verdict, basis }
    }
}
