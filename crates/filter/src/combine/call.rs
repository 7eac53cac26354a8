//! The rules of one call in a combined profile.

use profile::Profile;

use super::candidates::{candidates, paired_candidates};
use super::{Operation, effect, written};
use crate::diagram::{Forest, Node, TooComplex, difference};
use crate::tree::{CallRule, Merging, Program, Tree, Width};
use crate::{Permission, Verdict};

/// The rules of one call.
#[derive(Debug, Clone)]
pub(super) struct Combination {
    pub(super) rules: Vec<CallRule>,
    /// Whether every libseccomp compiles them to the exact combination.
    pub(super) is_exact: bool,
}

/// How a filter's function of the arguments compares with the exact one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    Looser,
    Narrower,
    /// As permissive for all arguments.
    Exact,
    /// The same, with every errno.
    Same,
}

/// A way in which rules are compiled.
#[derive(Debug, Clone, Copy)]
struct Way {
    merging: Merging,
    width: Width,
    /// For a multiplexer, which takes the first argument away.
    is_multiplexed: bool,
}

/// Every way in which the model compiles the rules for a call.
fn ways(is_multiplexed: bool) -> impl Iterator<Item = Way> {
    let mergings = [Merging::Until2_6_0, Merging::Since2_6_1];
    let widths = [Width::Bits64, Width::Bits32];
    let calls = if is_multiplexed { &[false, true][..] } else { &[false] };
    mergings.into_iter().flat_map(move |merging| {
        widths.into_iter().flat_map(move |width| {
            calls.iter().map(move |is_multiplexed| Way { merging, width, is_multiplexed: *is_multiplexed })
        })
    })
}

/// The rules for a call that has these rules in two profiles with these defaults, in a profile with this default. `is_multiplexed`
/// says whether it can also be made through a multiplexer.
pub(super) fn combine(
    operation: Operation,
    rules: [&[CallRule]; 2],
    defaults: [Verdict; 2],
    default: Verdict,
    is_multiplexed: bool,
) -> Result<Combination, TooComplex> {
    // Most calls have the same verdict for all arguments: that of the first rule without conditions, or the default.
    let constant = |rules: &[CallRule], default| match rules {
        [] => Some(default),
        [first, ..] => first.conditions.is_empty().then_some(first.verdict),
    };
    if let (Some(one), Some(two)) = (constant(rules[0], defaults[0]), constant(rules[1], defaults[1])) {
        return Ok(Combination { rules: only(operation.of(one, two), default), is_exact: true });
    }
    let mut exact = Vec::new();
    for way in ways(is_multiplexed) {
        let mut forest = Forest::default();
        let Some(one) = function(rules[0], defaults[0], way, &mut forest)? else { continue };
        let Some(two) = function(rules[1], defaults[1], way, &mut forest)? else { continue };
        let node = forest.combine(one, two, |first, second| operation.of(first, second))?;
        exact.push((way, forest, node));
    }
    let strictest =
        exact.iter().flat_map(|(_, forest, node)| forest.verdicts_of(*node)).min_by_key(|it| rank(*it));
    let strictest = only(strictest.unwrap_or(default), default);
    let (mut close, mut narrower) = (None, None);
    for round in 0..3 {
        let proposed = match round {
            0 => vec![Vec::new(), strictest.clone()],
            1 => candidates(rules),
            _ => paired_candidates(operation, rules)?,
        };
        for candidate in proposed {
            let candidate: Vec<_> = candidate.into_iter().filter(|rule| rule.verdict != default).collect();
            let fit = fit(&candidate, default, &mut exact)?;
            // The parser also refuses some rules that libseccomp takes, as one of them compares what is always true.
            if fit != Fit::Looser && !are_accepted(&candidate, default) {
                continue;
            }
            match fit {
                Fit::Same => return Ok(Combination { rules: candidate, is_exact: true }),
                Fit::Exact => close = close.or(Some(candidate)),
                // The strictest verdict alone always fits, and is the last resort.
                Fit::Narrower if candidate != strictest => narrower = narrower.or(Some(candidate)),
                Fit::Narrower | Fit::Looser => {}
            }
        }
    }
    Ok(match close {
        Some(rules) => Combination { rules, is_exact: true },
        None => Combination { rules: narrower.unwrap_or(strictest), is_exact: false },
    })
}

/// Whether the parser accepts these rules for one call.
fn are_accepted(rules: &[CallRule], default: Verdict) -> bool {
    // A seccomp agent needs a listener. What counts here is which rules have the same action.
    let without_listener =
        |verdict| if verdict == Verdict::Notify { Verdict::Trace(u16::MAX) } else { verdict };
    let of = |rule: &CallRule| written(without_listener(rule.verdict), &rule.conditions, &["close"]);
    let mut profile = effect(without_listener(default), ["defaultAction", "defaultErrnoRet"]);
    profile["syscalls"] = rules.iter().map(of).collect();
    Profile::from_value(&profile).is_ok()
}

/// A rule without conditions, unless it would repeat the default.
pub(super) fn only(verdict: Verdict, default: Verdict) -> Vec<CallRule> {
    if verdict == default { Vec::new() } else { vec![CallRule { verdict, conditions: Vec::new() }] }
}

fn fit(rules: &[CallRule], default: Verdict, exact: &mut [(Way, Forest, Node)]) -> Result<Fit, TooComplex> {
    let mut all = Fit::Same;
    for (way, forest, node) in exact {
        let Some(found) = function(rules, default, *way, forest)? else { return Ok(Fit::Looser) };
        all = all.min(compared((forest, *node), found)?);
    }
    Ok(all)
}

/// How a function compares with the exact one.
pub(super) fn compared((forest, exact): (&Forest, Node), found: Node) -> Result<Fit, TooComplex> {
    let differs = |sought: &dyn Fn(Verdict, Verdict) -> bool| {
        Ok::<_, TooComplex>(difference((forest, exact), (forest, found), sought)?.is_some())
    };
    Ok(if differs(&is_looser)? {
        Fit::Looser
    } else if differs(&is_narrower)? {
        Fit::Narrower
    } else if differs(&|exact, found| exact != found)? {
        Fit::Exact
    } else {
        Fit::Same
    })
}

/// Whether a verdict permits more than the exact one, or decides otherwise whether another process is asked.
pub(super) fn is_looser(exact: Verdict, found: Verdict) -> bool {
    let asks_otherwise = found.permission() == Permission::Allow && found != exact;
    found.permission() > exact.permission() || found.permission() == exact.permission() && asks_otherwise
}

/// Whether a verdict permits less.
pub(super) fn is_narrower(exact: Verdict, found: Verdict) -> bool {
    found.permission() < exact.permission()
}

fn rank(verdict: Verdict) -> (Permission, bool) {
    (verdict.permission(), verdict.is_delegated())
}

/// What rules mean for all arguments; `None` if libseccomp refuses them.
fn function(
    rules: &[CallRule],
    default: Verdict,
    way: Way,
    forest: &mut Forest,
) -> Result<Option<Node>, TooComplex> {
    let mut rules = rules.to_vec();
    if way.is_multiplexed {
        rules.iter_mut().for_each(|rule| rule.conditions.retain(|condition| condition.index() != 0));
    }
    match Tree::new(&rules, way.width, way.merging) {
        Ok(tree) => Program::new([&tree], default).diagram(0, forest),
        Err(_) => Ok(None),
    }
}
