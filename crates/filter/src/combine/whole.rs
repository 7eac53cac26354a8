//! The filters of a combined profile beside those of the two profiles.

use profile::{Architecture, Profile, SyscallName};

use super::call::{is_looser, is_narrower, only};
use super::{Combined, Draft, Narrower, Operation, Uncombinable, flags};
use crate::abi::is_x86_64;
use crate::diagram::{Forest, Pair, TooComplex, difference};
use crate::hash::HashMap;
use crate::multiplexer::Multiplexed;
use crate::relation::numbers;
use crate::tree::{Program, Start};
use crate::{Call, Filter, Setting, Unloadable, Verdict};

/// The filters of both profiles in all settings.
pub(super) fn load(
    [first, second]: [&Profile; 2],
    settings: &[Setting<'_>],
) -> Result<[Vec<Filter>; 2], Uncombinable> {
    let loaded = |profile: &Profile, first| {
        let all = Filter::in_all(profile, settings).into_iter();
        all.collect::<Result<Vec<_>, _>>().map_err(|fault| Uncombinable::Unloadable { first, fault })
    };
    Ok([loaded(first, true)?, loaded(second, false)?])
}

/// The one of the two profiles that is their exact combination, if one is.
pub(super) fn one_of_both(
    operation: Operation,
    profiles: [&Profile; 2],
    [one, two]: &[Vec<Filter>; 2],
) -> Option<Profile> {
    let [first, second] = profiles;
    let is_exact = |of: &[Filter]| {
        let mut known: Vec<Known> = Vec::new();
        let mut narrower = Vec::new();
        of.iter().zip(one.iter().zip(two)).all(|(it, (one, two))| {
            let filters = [one, two, it];
            let known = Known::among(&mut known, filters);
            let looser = look(operation, filters, |_, _| false, known, &mut narrower);
            looser == Ok(None) && narrower.is_empty()
        })
    };
    profiles.into_iter().zip([one, two]).find_map(|(profile, of)| {
        let is_loaded_alike = flags(first, second) == flags(profile, profile)
            && first.listener().or(second.listener()) == profile.listener();
        (is_loaded_alike && is_exact(of)).then(|| profile.clone())
    })
}

/// Makes the profile, and makes it stricter until it is nowhere looser.
pub(super) fn compare(
    draft: &mut Draft,
    operation: Operation,
    [first, second]: [&Profile; 2],
    [one, two]: &[Vec<Filter>; 2],
    settings: &[Setting<'_>],
) -> Result<Combined, Uncombinable> {
    let strictest = [first, second].into_iter().flat_map(|profile| {
        profile.rules().iter().map(|rule| rule.effect()).chain([profile.default_effect()]).map(Verdict::from)
    });
    let strictest = strictest.min_by_key(|verdict| verdict.permission()).unwrap_or(draft.default);
    // Each round makes at least one more call strict, or one time names fewer calls, so it ends.
    loop {
        let profile = draft.profile()?;
        let mut narrower = draft.narrower.clone();
        let inexact = draft.calls.iter().filter(|(_, call)| !call.is_exact).map(|(name, _)| name.clone());
        let inexact: Vec<SyscallName> = inexact.collect();
        narrower.extend(inexact.iter().map(|name| Narrower::Conditions { name: name.clone() }));
        let mut looser = None;
        let combined = Filter::in_all(&profile, settings);
        let mut known: Vec<Known> = Vec::new();
        for ((setting, combined), (one, two)) in settings.iter().zip(&combined).zip(one.iter().zip(two)) {
            looser = match combined {
                Ok(combined) => {
                    let filters = [one, two, combined];
                    let known = Known::among(&mut known, filters);
                    let is_named = |architecture, number| {
                        combined.calls(architecture, number).is_none()
                            || inexact.iter().any(|name| has_number(name, setting, architecture, number))
                    };
                    look(operation, filters, is_named, known, &mut narrower)?
                }
                Err(Unloadable::Rules { architecture, name: Some(name), .. }) => {
                    let number = (setting.number)(name.as_str(), *architecture).unwrap_or_default();
                    Some((Call { architecture: *architecture, number, arguments: [0; 6] }, None))
                }
                Err(fault) => return Err(Uncombinable::Unloadable { first: true, fault: fault.clone() }),
            };
            if let Some((call, verdicts)) = looser {
                let is_covered = profile.architectures().contains(&call.architecture)
                    || call.architecture == setting.native;
                let is_stricter = is_covered
                    && (make_strict(draft, strictest, setting, call) || std::mem::take(&mut draft.names_all));
                if is_stricter {
                    break;
                }
                return Err(Uncombinable::Looser { call, verdicts });
            }
        }
        if looser.is_none() {
            return Ok(Combined { profile, narrower });
        }
    }
}

/// A call, and what the exact combination and the combined profile do with it.
type Looser = (Call, Option<[Verdict; 2]>);

/// A call for which the third filter is looser than the first two combined. Adds the calls for which it is narrower, unless
/// their name or their architecture is among these already (`is_named`).
fn look(
    operation: Operation,
    [one, two, combined]: [&Filter; 3],
    is_named: impl Fn(Architecture, u32) -> bool,
    known: &mut Known<'_>,
    narrower: &mut Vec<Narrower>,
) -> Result<Option<Looser>, Uncombinable> {
    for (architecture, number) in numbers(&[one, two, combined]) {
        let found = known.differences([one, two, combined], operation, architecture, number);
        let call = |arguments| Call { architecture, number, arguments };
        if let Some(pair) = found.looser? {
            return Ok(Some((call(pair.arguments), Some([pair.first, pair.second]))));
        }
        if is_named(architecture, number) {
            continue;
        }
        if let Some(pair) = found.narrower? {
            let found = Narrower::Call {
                call: call(pair.arguments),
                exact: pair.first,
                combined: pair.second,
                is_unnamed: ![one, two, combined].iter().any(|it| it.has_rules(architecture, number)),
            };
            if !narrower.contains(&found) {
                narrower.push(found);
            }
        }
    }
    Ok(None)
}

/// Where the combined profile's verdicts for the calls of one number differ from those of the exact combination.
#[derive(Clone, Copy)]
struct Differences {
    looser: Result<Option<Pair>, TooComplex>,
    narrower: Result<Option<Pair>, TooComplex>,
}

/// The differences that were found. Many calls have the same rules, and in most settings the filters have the same blocks.
struct Known<'f> {
    programs: [&'f Program; 3],
    found: HashMap<[Start; 3], Differences>,
}

impl<'f> Known<'f> {
    fn of(filters: [&'f Filter; 3]) -> Self {
        Self { programs: filters.map(Filter::program), found: HashMap::default() }
    }

    /// That of these filters, which is added if it is not there.
    fn among<'k>(all: &'k mut Vec<Self>, filters: [&'f Filter; 3]) -> &'k mut Self {
        let place = all.iter().position(|known| known.is_of(filters)).unwrap_or(all.len());
        if place == all.len() {
            all.push(Self::of(filters));
        }
        &mut all[place]
    }

    /// Whether what was found also holds for these filters.
    fn is_of(&self, filters: [&Filter; 3]) -> bool {
        self.programs.iter().zip(filters).all(|(program, filter)| program.has_same_blocks(filter.program()))
    }

    fn differences(
        &mut self,
        filters: [&Filter; 3],
        operation: Operation,
        architecture: Architecture,
        number: u32,
    ) -> Differences {
        let starts = filters.map(|filter| filter.start(architecture, number));
        if let [Start::Verdict(one), Start::Verdict(two), Start::Verdict(found)] = starts {
            let exact = operation.of(one, two);
            let pair = Pair { arguments: [0; 6], first: exact, second: found };
            let find = |is_sought: bool| Ok(is_sought.then_some(pair));
            return Differences {
                looser: find(is_looser(exact, found)),
                narrower: find(is_narrower(exact, found)),
            };
        }
        *self.found.entry(starts).or_insert_with(|| {
            let find = || {
                let mut forest = Forest::default();
                let [first, second, found] = filters;
                let first = first.verdicts(architecture, number, &mut forest)?;
                let second = second.verdicts(architecture, number, &mut forest)?;
                let exact = forest.combine(first, second, |first, second| operation.of(first, second))?;
                let found = found.verdicts(architecture, number, &mut forest)?;
                Ok::<_, TooComplex>((forest, exact, found))
            };
            match find() {
                Err(fault) => Differences { looser: Err(fault), narrower: Err(fault) },
                Ok((forest, exact, found)) => {
                    let (exact, found) = ((&forest, exact), (&forest, found));
                    Differences {
                        looser: difference(exact, found, is_looser),
                        narrower: difference(exact, found, is_narrower),
                    }
                }
            }
        })
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
