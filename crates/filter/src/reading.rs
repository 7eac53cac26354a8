//! What libseccomp makes of several rules for one call, beside what each of them says.

use std::rc::Rc;

use profile::{Architecture, Comparison, Profile};

use crate::abi::width;
use crate::assemble::Key;
use crate::contested::{Contested, contested};
use crate::diagram::{Forest, Node, TooComplex, difference};
use crate::hash::HashMap;
use crate::mention::Mention;
use crate::setting::Setting;
use crate::tree::{CallRule, Merging, Program, Tree, Width};
use crate::{Arguments, Condition, Verdict};

/// More rules for one call than this are not compared with each other: each is left out once.
const COMPARED: usize = 64;

/// The rules with conditions for one call on an architecture, and what they mean together. The call's multiplexer is not part
/// of it.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The architecture.
    pub architecture: Architecture,
    /// The rules, in the order of the profile.
    pub rules: Vec<Mention>,
    meaning: Rc<Meaning>,
}

/// What some rules mean together.
#[derive(Debug, Clone, Default)]
struct Meaning {
    roles: Vec<Role>,
    unsaid: Option<Unsaid>,
}

/// What one of the rules contributes. Other rules are meant by their index in [`Reading::rules`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It decides for some arguments, and without it and the later redundant rules the filter would be another one.
    Decides,
    /// Its conditions are never all true.
    Never,
    /// Wherever its conditions are true, the call has another verdict.
    Shadowed {
        /// Such arguments.
        arguments: Arguments,
        /// Their verdict.
        verdict: Verdict,
        /// A rule that applies to them and has this verdict.
        by: Option<usize>,
    },
    /// Without it and without the other such rules, the filter is the same.
    Redundant {
        /// A rule with the same verdict that applies to everything to which this one does, if one alone does.
        by: Option<usize>,
    },
}

/// A verdict that none of the rules says: those that apply to the arguments have other ones, or none applies and it is not
/// the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsaid {
    /// The arguments.
    pub arguments: Arguments,
    /// Their verdict.
    pub verdict: Verdict,
    /// A rule that applies to them; `None` if the default should.
    pub rule: Option<usize>,
}

impl Reading {
    /// What each rule contributes.
    pub fn roles(&self) -> impl Iterator<Item = (Mention, Role)> {
        self.rules.iter().copied().zip(self.meaning.roles.iter().copied())
    }

    /// A verdict that none of the rules says, if there is one.
    #[must_use]
    pub fn unsaid(&self) -> Option<Unsaid> {
        self.meaning.unsaid
    }

    /// Whether the filter has the same rules here as there, and so the same meaning of them.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.meaning, &other.meaning)
    }
}

/// The calls of a profile for which several rules have conditions and none has none. Calls whose rules make no filter together
/// (see [`conflicts`](crate::conflicts)) or are too complex are left out, and those of which it is plain that no two rules
/// apply to the same arguments.
#[must_use]
pub fn readings(profile: &Profile, setting: &Setting<'_>) -> Vec<Reading> {
    let default = Verdict::from(profile.default_effect());
    let mut known: HashMap<(Width, Vec<CallRule>), Option<Rc<Meaning>>> = HashMap::default();
    let mut found = Vec::new();
    contested(profile, setting, false, |call| {
        if is_multiplexer(&call, setting) || !overlap(&call.rules) {
            return;
        }
        let key = (width(call.architecture), call.rules);
        let meaning = known.entry(key).or_insert_with_key(|(width, rules)| {
            let rules = Rules { rules, width: *width, merging: setting.library.merging, default };
            rules.meaning().ok().flatten().map(Rc::new)
        });
        if let Some(meaning) = meaning {
            let rules = call.parts.iter().map(|(_, part)| part.mention());
            let meaning = Rc::clone(meaning);
            found.push(Reading { architecture: call.architecture, rules: rules.collect(), meaning });
        }
    });
    found
}

/// Whether some of the rules are there because they are for calls that can be made through this one.
fn is_multiplexer(call: &Contested<'_, '_>, setting: &Setting<'_>) -> bool {
    let number = |name: &str| (setting.number)(name, call.architecture);
    call.parts
        .iter()
        .any(|(key, part)| matches!(key, Key::Number(of) if number(part.name.as_str()) != Some(*of)))
}

/// Whether some arguments may concern two rules: not if each compares the same argument with numbers that no other one of them
/// means. Where a rule has no conditions, it decides alone.
fn overlap(rules: &[CallRule]) -> bool {
    if rules.iter().any(|rule| rule.conditions.is_empty()) {
        return false;
    }
    let Some(mut ranges) = rules.iter().map(range).collect::<Option<Vec<_>>>() else { return true };
    ranges.sort_unstable();
    !ranges.is_sorted_by(|(index, _, last), (other, first, _)| index == other && last < first)
}

/// The only argument that a rule compares, with the first and the last number that it means; `None` if these are not all that
/// it means, or if they may be others on 32-bit architectures, where the upper halves are dropped.
fn range(rule: &CallRule) -> Option<(u8, u64, u64)> {
    let [condition] = rule.conditions[..] else { return None };
    let value = Some(condition.value()).filter(|value| *value <= u32::MAX.into())?;
    let (first, last) = match condition.comparison() {
        Comparison::Equal => (value, value),
        Comparison::Less => (0, value.checked_sub(1)?),
        Comparison::LessOrEqual => (0, value),
        Comparison::GreaterOrEqual => (value, u64::MAX),
        Comparison::Greater => (value + 1, u64::MAX),
        Comparison::NotEqual | Comparison::MaskedEqual => return None,
    };
    Some((condition.index(), first, last))
}

/// Some rules for one call.
struct Rules<'a> {
    rules: &'a [CallRule],
    width: Width,
    merging: Merging,
    default: Verdict,
}

impl Rules<'_> {
    /// What they mean together; `None` if they make no filter.
    fn meaning(&self) -> Result<Option<Meaning>, TooComplex> {
        let mut forest = Forest::default();
        let Some(verdicts) = self.diagram(self.rules, &mut forest)? else { return Ok(None) };
        let regions = self.rules.iter().map(|rule| self.region(rule, &mut forest));
        let regions = regions.collect::<Result<Vec<_>, _>>()?;
        let unsaid = self.unsaid(verdicts, &regions, &mut forest)?;
        let roles = if regions.len() <= COMPARED {
            self.roles(verdicts, &regions, &mut forest)?
        } else {
            vec![Role::Decides; regions.len()]
        };
        Ok(Some(Meaning { roles, unsaid }))
    }

    /// What libseccomp makes of rules, unless it refuses them.
    fn diagram(&self, rules: &[CallRule], forest: &mut Forest) -> Result<Option<Node>, TooComplex> {
        let Ok(tree) = Tree::new(rules, self.width, self.merging) else { return Ok(None) };
        Program::new([&tree], self.default).diagram(0, forest)
    }

    /// Where all conditions of a rule are true.
    fn region(&self, rule: &CallRule, forest: &mut Forest) -> Result<Node, TooComplex> {
        rule.conditions.iter().try_fold(Forest::always(true), |region, condition: &Condition| {
            let holds = forest.condition(*condition, self.width.bits())?;
            forest.both(region, holds)
        })
    }

    fn unsaid(
        &self,
        verdicts: Node,
        regions: &[Node],
        forest: &mut Forest,
    ) -> Result<Option<Unsaid>, TooComplex> {
        for verdict in forest.verdicts_of(verdicts) {
            let (mut said, mut any) = (Forest::always(false), Forest::always(false));
            for (region, rule) in regions.iter().zip(self.rules) {
                any = forest.select(*region, Forest::always(true), any)?;
                if rule.verdict == verdict {
                    said = forest.select(*region, Forest::always(true), said)?;
                }
            }
            if verdict == self.default {
                said = forest.select(any, said, Forest::always(true))?;
            }
            let found = witness(verdicts, said, forest, |has, says| has == verdict && !says)?;
            if let Some((arguments, verdict)) = found {
                let rule = regions.iter().position(|region| forest.holds(*region, &arguments));
                return Ok(Some(Unsaid { arguments, verdict, rule }));
            }
        }
        Ok(None)
    }

    fn roles(&self, verdicts: Node, regions: &[Node], forest: &mut Forest) -> Result<Vec<Role>, TooComplex> {
        let mut roles = vec![Role::Decides; regions.len()];
        let mut kept = vec![true; regions.len()];
        // Of two that say the same, the later one is superfluous.
        for (at, (region, rule)) in regions.iter().zip(self.rules).enumerate().rev() {
            kept[at] = false;
            let others = self.rules.iter().zip(&kept).filter(|(_, kept)| **kept);
            let others: Vec<CallRule> = others.map(|(rule, _)| rule.clone()).collect();
            let is_same = self.diagram(&others, forest)? == Some(verdicts);
            kept[at] = !is_same;
            roles[at] = if *region == Forest::always(false) {
                Role::Never
            } else if witness(verdicts, *region, forest, |has, applies| applies && has == rule.verdict)?
                .is_some()
            {
                if is_same {
                    Role::Redundant { by: self.wider(at, &kept, regions, forest)? }
                } else {
                    Role::Decides
                }
            } else {
                let found = witness(verdicts, *region, forest, |_, applies| applies)?;
                found.map_or(Role::Never, |(arguments, verdict)| {
                    let wins = |(region, rule): (&Node, &CallRule)| {
                        rule.verdict == verdict && forest.holds(*region, &arguments)
                    };
                    Role::Shadowed { arguments, verdict, by: regions.iter().zip(self.rules).position(wins) }
                })
            };
        }
        Ok(roles)
    }

    /// The kept rule with the same verdict that applies to everything to which the rule `at` does.
    fn wider(
        &self,
        at: usize,
        kept: &[bool],
        regions: &[Node],
        forest: &mut Forest,
    ) -> Result<Option<usize>, TooComplex> {
        for (other, region) in regions.iter().enumerate() {
            if kept[other]
                && self.rules[other].verdict == self.rules[at].verdict
                && forest.both(regions[at], *region)? == regions[at]
            {
                return Ok(Some(other));
            }
        }
        Ok(None)
    }
}

/// Arguments, with their verdict, for which the verdict and whether `region` holds are as `sought`.
fn witness(
    verdicts: Node,
    region: Node,
    forest: &mut Forest,
    sought: impl Fn(Verdict, bool) -> bool,
) -> Result<Option<(Arguments, Verdict)>, TooComplex> {
    let (yes, no) = (Verdict::Allow, Verdict::KillProcess);
    let leaves = (forest.verdict(yes), forest.verdict(no));
    let region = forest.select(region, leaves.0, leaves.1)?;
    let found = difference((forest, verdicts), (forest, region), |has, holds| sought(has, holds == yes))?;
    Ok(found.map(|pair| (pair.arguments, pair.first)))
}
