//! The filters of a combined profile beside those of the two profiles.

use profile::{Architecture, Profile, SyscallName};

use super::call::{Combination, is_looser, is_narrower, only};
use super::{Combined, Draft, Narrower, Operation, Uncombinable};
use crate::abi::is_x86_64;
use crate::diagram::{Forest, difference};
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
        let all = settings.iter().map(|setting| Filter::new(profile, setting));
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
        for (setting, (one, two)) in settings.iter().zip(one.iter().zip(&two)) {
            looser = match Filter::new(&profile, setting) {
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
    for (architecture, number) in numbers(&[one, two, combined]) {
        let mut forest = Forest::default();
        let first = one.verdicts(architecture, number, &mut forest)?;
        let second = two.verdicts(architecture, number, &mut forest)?;
        let exact = forest.combine(first, second, |first, second| operation.of(first, second))?;
        let found = combined.verdicts(architecture, number, &mut forest)?;
        let call = |arguments| Call { architecture, number, arguments };
        if let Some(pair) = difference((&forest, exact), (&forest, found), is_looser)? {
            return Ok(Some(call(pair.arguments)));
        }
        let is_named = |(name, combination): (&SyscallName, &Combination)| {
            !combination.is_exact && has_number(name, setting, architecture, number)
        };
        if combined.calls(architecture, number).is_none() || draft.calls.iter().any(is_named) {
            continue;
        }
        if let Some(pair) = difference((&forest, exact), (&forest, found), is_narrower)? {
            let found =
                Narrower::Call { call: call(pair.arguments), exact: pair.first, combined: pair.second };
            if !narrower.contains(&found) {
                narrower.push(found);
            }
        }
    }
    Ok(None)
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
