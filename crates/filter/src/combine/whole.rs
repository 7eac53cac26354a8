//! The filters of a combined profile beside those of the two profiles.

use profile::{Architecture, Profile, SyscallName};

use super::call::{is_looser, is_narrower, only};
use super::{Combined, Draft, Narrower, Operation, Uncombinable};
use crate::abi::is_x86_64;
use crate::diagram::{Forest, Node, Pair, TooComplex, difference};
use crate::filter::Known;
use crate::multiplexer::Multiplexed;
use crate::relation::numbers;
use crate::{Call, Filter, Setting, Unloadable, Verdict};

/// Makes the profile, and makes it stricter until it is nowhere looser.
pub(super) fn compare(
    draft: &mut Draft,
    operation: Operation,
    [first, second]: [&Profile; 2],
    settings: &[Setting<'_>],
) -> Result<Combined, Uncombinable> {
    let loaded = |profile: &Profile, first| {
        let all = Filter::in_all(profile, settings).into_iter();
        all.collect::<Result<Vec<_>, _>>().map_err(|fault| Uncombinable::Unloadable { first, fault })
    };
    let (one, two) = (loaded(first, true)?, loaded(second, false)?);
    let strictest = [first, second].into_iter().flat_map(|profile| {
        profile.rules().iter().map(|rule| rule.effect()).chain([profile.default_effect()]).map(Verdict::from)
    });
    let strictest = strictest.min_by_key(|verdict| verdict.permission()).unwrap_or(draft.default);
    // Each round makes at least one more call strict, or one time names fewer calls, so it ends.
    loop {
        let profile = draft.profile()?;
        let mut narrower = draft.narrower.clone();
        let inexact = draft.calls.iter().filter(|(_, call)| !call.is_exact);
        narrower.extend(inexact.map(|(name, _)| Narrower::Conditions { name: name.clone() }));
        let mut looser = None;
        let combined = Filter::in_all(&profile, settings);
        for ((setting, combined), (one, two)) in settings.iter().zip(combined).zip(one.iter().zip(&two)) {
            looser = match combined {
                Ok(combined) => look(operation, [one, two, &combined], draft, setting, &mut narrower)?,
                Err(Unloadable::Rules { architecture, name: Some(name), .. }) => {
                    let number = (setting.number)(name.as_str(), architecture).unwrap_or_default();
                    Some(Call { architecture, number, arguments: [0; 6] })
                }
                Err(fault) => return Err(Uncombinable::Unloadable { first: true, fault }),
            };
            if let Some(call) = looser {
                let is_covered = profile.architectures().contains(&call.architecture)
                    || call.architecture == setting.native;
                let is_stricter = is_covered
                    && (make_strict(draft, strictest, setting, call) || std::mem::take(&mut draft.names_all));
                if is_stricter {
                    break;
                }
                return Err(Uncombinable::Looser { call });
            }
        }
        if looser.is_none() {
            return Ok(Combined { profile, narrower });
        }
    }
}

/// A call for which the third filter is looser than the first two combined. Adds the calls for which it is narrower.
fn look(
    operation: Operation,
    [one, two, combined]: [&Filter; 3],
    draft: &Draft,
    setting: &Setting<'_>,
    narrower: &mut Vec<Narrower>,
) -> Result<Option<Call>, Uncombinable> {
    let inexact: Vec<&SyscallName> =
        draft.calls.iter().filter(|(_, call)| !call.is_exact).map(|(name, _)| name).collect();
    for (architecture, number) in numbers(&[one, two, combined]) {
        let functions = Functions::of([one, two, combined], operation, architecture, number)?;
        let call = |arguments| Call { architecture, number, arguments };
        if let Some(pair) = functions.find(is_looser)? {
            return Ok(Some(call(pair.arguments)));
        }
        if combined.calls(architecture, number).is_none()
            || inexact.iter().any(|name| has_number(name, setting, architecture, number))
        {
            continue;
        }
        if let Some(pair) = functions.find(is_narrower)? {
            let found =
                Narrower::Call { call: call(pair.arguments), exact: pair.first, combined: pair.second };
            if !narrower.contains(&found) {
                narrower.push(found);
            }
        }
    }
    Ok(None)
}

/// What the exact combination does with the calls of one number, and what the combined profile does. Most calls have the
/// same verdict for all arguments, and need no diagram.
enum Functions {
    Constant(Verdict, Verdict),
    Diagrams(Forest, Node, Node),
}

impl Functions {
    fn of(
        [one, two, combined]: [&Filter; 3],
        operation: Operation,
        architecture: Architecture,
        number: u32,
    ) -> Result<Self, TooComplex> {
        let known = [one, two, combined].map(|filter| filter.known(architecture, number));
        if let [Known::Verdict(one), Known::Verdict(two), Known::Verdict(found)] = known {
            return Ok(Self::Constant(operation.of(one, two), found));
        }
        let mut forest = Forest::default();
        let [first, second, found] = known;
        let first = one.all_arguments(first, &mut forest)?;
        let second = two.all_arguments(second, &mut forest)?;
        let exact = forest.combine(first, second, |first, second| operation.of(first, second))?;
        let found = combined.all_arguments(found, &mut forest)?;
        Ok(Self::Diagrams(forest, exact, found))
    }

    /// Arguments for which the verdicts of the exact combination and of the profile are in this relation.
    fn find(&self, sought: impl Fn(Verdict, Verdict) -> bool) -> Result<Option<Pair>, TooComplex> {
        match self {
            Self::Constant(first, second) => {
                let pair = Pair { arguments: [0; 6], first: *first, second: *second };
                Ok(sought(*first, *second).then_some(pair))
            }
            Self::Diagrams(forest, exact, found) => difference((forest, *exact), (forest, *found), sought),
        }
    }
}

/// Gives the calls with this number the strictest verdict; whether any had another one.
fn make_strict(draft: &mut Draft, strictest: Verdict, setting: &Setting<'_>, looser: Call) -> bool {
    let rules = only(strictest, draft.default);
    let mut changed = false;
    for (name, combination) in &mut draft.calls {
        if has_number(name, setting, looser.architecture, looser.number) && combination.rules != rules {
            combination.rules.clone_from(&rules);
            combination.is_exact = false;
            changed = true;
        }
    }
    changed
}

/// Whether a call has this number, by itself or through a multiplexer.
fn has_number(name: &SyscallName, setting: &Setting<'_>, architecture: Architecture, number: u32) -> bool {
    let is = |name| {
        let x32 = is_x86_64(architecture).then_some(Architecture::X32);
        [Some(architecture), x32].into_iter().flatten().any(|it| (setting.number)(name, it) == Some(number))
    };
    is(name.as_str()) || Multiplexed::of(name.as_str(), architecture).is_some_and(|it| is(it.through))
}
