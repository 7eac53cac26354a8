//! Rules that may be those of a combined call.

use profile::Comparison;

use super::Operation;
use crate::diagram::{Forest, Node, TooComplex};
use crate::tree::CallRule;
use crate::{Condition, Permission};

/// More pairs of rules are not tried.
const PAIRS: usize = 1024;

/// Sets of rules of the two profiles to try, the simplest first. Each is only a proposal.
pub(super) fn candidates([one, two]: [&[CallRule]; 2]) -> Vec<Vec<CallRule>> {
    vec![
        one.to_vec(),
        two.to_vec(),
        together(one, two),
        together(two, one),
        // What one of them denies, beside what the other one permits.
        together(one, &denied(two)),
        together(two, &denied(one)),
        turned(one, two),
        turned(two, one),
    ]
}

/// Of a call that one profile permits whatever its arguments are: where the other one does not deny it, as rules that
/// permit it. Beside a rule without conditions, libseccomp drops those with conditions.
fn turned(permitting: &[CallRule], denying: &[CallRule]) -> Vec<CallRule> {
    let [CallRule { verdict, conditions }] = permitting else { return Vec::new() };
    let (true, [denied]) = (conditions.is_empty(), &denied(denying)[..]) else { return Vec::new() };
    // It is denied only where all conditions hold.
    let opposites = denied.conditions.iter().map(|condition| {
        let conditions = vec![condition.opposite()?];
        Some(CallRule { verdict: *verdict, conditions })
    });
    opposites.collect::<Option<_>>().unwrap_or_default()
}

/// Further sets, which take longer to make: of rules that apply where one of each profile does.
pub(super) fn paired_candidates(
    operation: Operation,
    [one, two]: [&[CallRule]; 2],
) -> Result<Vec<Vec<CallRule>>, TooComplex> {
    if one.len() * two.len() > PAIRS {
        return Ok(Vec::new());
    }
    let pairs = pairs(operation, one, two)?;
    Ok(vec![together(&together(&denied(one), &denied(two)), &pairs), pairs])
}

/// The rules of both, each once.
fn together(first: &[CallRule], second: &[CallRule]) -> Vec<CallRule> {
    let mut all: Vec<CallRule> = Vec::new();
    for rule in first.iter().chain(second) {
        if !all.contains(rule) {
            all.push(rule.clone());
        }
    }
    all
}

fn denied(rules: &[CallRule]) -> Vec<CallRule> {
    rules.iter().filter(|rule| rule.verdict.permission() < Permission::Log).cloned().collect()
}

/// A rule for each two rules: it applies where both do.
fn pairs(operation: Operation, one: &[CallRule], two: &[CallRule]) -> Result<Vec<CallRule>, TooComplex> {
    let mut found: Vec<CallRule> = Vec::new();
    for first in one {
        for second in two {
            let verdict = operation.of(first.verdict, second.verdict);
            if let Some(conditions) = both(&first.conditions, &second.conditions)? {
                let rule = CallRule { verdict, conditions };
                if !found.contains(&rule) {
                    found.push(rule);
                }
            }
        }
    }
    Ok(found)
}

/// The conditions of a rule that applies where two others do, if there is one.
fn both(one: &[Condition], two: &[Condition]) -> Result<Option<Vec<Condition>>, TooComplex> {
    let mut conditions = Vec::new();
    for index in 0..=profile::limits::ARGUMENT_INDEX {
        let on = |conditions: &[Condition]| {
            conditions.iter().find(|condition| condition.index() == index).copied()
        };
        match (on(one), on(two)) {
            (Some(first), Some(second)) => match meet(first, second)? {
                Some(condition) => conditions.push(condition),
                None => return Ok(None),
            },
            (first, second) => conditions.extend(first.or(second)),
        }
    }
    Ok(Some(conditions))
}

/// One condition on an argument that is true where two others are.
fn meet(one: Condition, two: Condition) -> Result<Option<Condition>, TooComplex> {
    let mut forest = Forest::default();
    let [first, second] = [forest.condition(one, 64)?, forest.condition(two, 64)?];
    let both = forest.both(first, second)?;
    let found = match both {
        never if never == Forest::always(false) => None,
        both if both == first => Some(one),
        both if both == second => Some(two),
        both => masks(one, two).filter(|condition| is(*condition, both, &mut forest)),
    };
    Ok(found)
}

fn is(condition: Condition, node: Node, forest: &mut Forest) -> bool {
    forest.condition(condition, 64) == Ok(node)
}

/// Two masks together.
fn masks(one: Condition, two: Condition) -> Option<Condition> {
    let masked = [one, two].iter().all(|condition| condition.comparison() == Comparison::MaskedEqual);
    let (mask, value) = (one.value() | two.value(), one.value_two() | two.value_two());
    Condition::new(one.index(), Comparison::MaskedEqual, mask, value).filter(|_| masked)
}
