//! From the differences on each kind of node to those that a view shows.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use filter::diagram::TooComplex;
use filter::{
    CallChange, ChangedCalls, Consequence, Filter, Origin, Runtime, compares_lower_halves, is_exempt,
};
use lint::Nodes;
use profile::{Architecture, Profile, SyscallName};
use syscalls::{Libseccomp, Syscall};

use super::{
    CallDifference, Calls, Change, DiffView, Example, FlagDifference, ListenerDifference, NamedProfile, Side,
    StartFailure, Treatment, Uncompared, WrittenRule,
};
use crate::call::name_of;
use crate::error::CliError;
use crate::node_settings::{NodeOptions, NodeSetting, Place, only};

/// The filters of both profiles on one kind of node.
struct Compared {
    setting: NodeSetting,
    filters: [Filter; 2],
}

/// What changed for some calls, and where.
type Found = Vec<(Calls, Vec<(Place, Change)>)>;

pub(super) fn compare(
    before: &NamedProfile,
    after: &NamedProfile,
    nodes: &NodeOptions,
) -> Result<DiffView, CliError> {
    let profiles = [&before.profile, &after.profile];
    let settings = nodes.settings(&profiles, &[Libseccomp::V2_6_1]);
    let (compared, starts) = load(&settings, [before, after])?;
    let side =
        |of: &NamedProfile| Side { name: of.name.clone(), hash: of.profile.canonical().hash().to_string() };
    let mut view = DiffView {
        before: side(before),
        after: side(after),
        same: false,
        nodes: settings.iter().map(|setting| setting.place(setting.native)).collect(),
        starts,
        calls: calls(&compared, profiles)?,
        flags: flags(&compared),
        listener: (before.profile.listener() != after.profile.listener()).then(|| ListenerDifference {
            before: before.profile.listener().cloned(),
            after: after.profile.listener().cloned(),
        }),
        uncompared: unknown_names(&settings, profiles)
            .into_iter()
            .chain(flag_support(&settings, profiles))
            .collect(),
        notes: notes(&settings, [before, after]),
    };
    // Where neither profile has a filter, there is nothing that could be the same.
    view.same = !compared.is_empty()
        && view.calls.is_empty()
        && view.flags.is_empty()
        && view.listener.is_none()
        && view.uncompared.is_empty()
        && view.starts.iter().all(|it| it.is_certain && it.before.is_some() && it.after.is_some());
    Ok(view)
}

/// The filters, and the nodes on which one of the profiles cannot be loaded.
fn load(
    settings: &[NodeSetting],
    profiles: [&NamedProfile; 2],
) -> Result<(Vec<Compared>, Vec<StartFailure>), CliError> {
    let (mut compared, mut starts): (_, Vec<StartFailure>) = (Vec::new(), Vec::new());
    for setting in settings {
        let faults = match profiles.map(|it| setting.filter(&it.profile)) {
            [Ok(one), Ok(two)] => {
                compared.push(Compared { setting: *setting, filters: [one, two] });
                continue;
            }
            [one, two] => [one.err(), two.err()],
        };
        let mut is_certain = true;
        for (fault, NamedProfile { name, .. }) in faults.iter().zip(profiles) {
            let Some(fault) = fault else { continue };
            match fault.consequence() {
                Consequence::NoStart => {}
                Consequence::Chance => is_certain = false,
                Consequence::Unknown => {
                    return Err(CliError::Unloadable { file: name.clone(), error: fault.clone() });
                }
            }
        }
        let place = setting.place(setting.native);
        let [before, after] = faults.map(|fault| fault.map(|fault| fault.to_string()));
        match starts.iter_mut().find(|known| known.before == before && known.after == after) {
            Some(known) => known.places.push(place),
            None => starts.push(StartFailure { before, after, places: vec![place], is_certain }),
        }
    }
    Ok((compared, starts))
}

fn calls(compared: &[Compared], profiles: [&Profile; 2]) -> Result<Vec<CallDifference>, TooComplex> {
    let mut found: Found = Vec::new();
    for Compared { setting, filters } in compared {
        for change in filters[0].changes(&filters[1])?.into_iter().filter(is_decided) {
            for (calls, architecture) in subjects(&change, filters) {
                let place = (setting.place(architecture), shown(&change, &calls, architecture, profiles));
                match found.iter_mut().find(|(known, _)| *known == calls) {
                    Some((_, places)) => places.push(place),
                    None => found.push((calls, vec![place])),
                }
            }
        }
    }
    let mut all: Vec<CallDifference> = Vec::new();
    for (calls, places) in found {
        let everywhere = everywhere(&calls, compared);
        for (change, places) in alike(places) {
            let only = only(&places, &everywhere);
            let same = all.iter_mut().find(|known| known.change == change && known.only == only);
            match (same, &calls) {
                (
                    Some(CallDifference { calls: Calls::Names(known), places: all, .. }),
                    Calls::Names(more),
                ) => {
                    known.extend(more.iter().cloned());
                    all.extend(
                        places.iter().filter(|place| !all.contains(place)).copied().collect::<Vec<_>>(),
                    );
                }
                _ => all.push(CallDifference { calls: calls.clone(), change, places, only }),
            }
        }
    }
    for difference in &mut all {
        if let Calls::Names(names) = &mut difference.calls {
            names.sort_unstable();
        }
    }
    all.sort_by(|one, other| (one.change.direction, &one.calls).cmp(&(other.change.direction, &other.calls)));
    Ok(all)
}

/// Whether filters decide the calls of a change.
fn is_decided(change: &CallChange) -> bool {
    let ChangedCalls::Named { architecture, number } = change.calls else { return true };
    !name_of(architecture, number).is_some_and(is_exempt)
}

/// Why runtimes of these nodes may not load one of the profiles, although it has a filter there.
fn notes(settings: &[NodeSetting], profiles: [&NamedProfile; 2]) -> Vec<String> {
    let architecture = |it: &NodeSetting| syscalls::Architecture::from_oci_name(it.native.name());
    let nodes = Nodes {
        runtimes: each_once(settings.iter().map(|it| it.runtime)),
        libseccomps: each_once(settings.iter().map(|it| it.libseccomp)),
        architectures: each_once(settings.iter().filter_map(architecture)),
    };
    let of = |it: &NamedProfile| {
        let findings = lint::check_loading(&it.profile, &nodes).into_iter();
        findings.map(|finding| format!("{}: {}", it.name, finding.message)).collect::<Vec<_>>()
    };
    profiles.into_iter().flat_map(of).collect()
}

fn each_once<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut found = Vec::new();
    for item in items {
        if !found.contains(&item) {
            found.push(item);
        }
    }
    found
}

/// The calls of a change as a view names them, each with its architecture. Calls without rules that runc's stub answers
/// before or after are named one by one.
fn subjects(change: &CallChange, filters: &[Filter; 2]) -> Vec<(Calls, Architecture)> {
    match &change.calls {
        ChangedCalls::Architecture(architecture) => vec![(Calls::Architecture(*architecture), *architecture)],
        ChangedCalls::Named { architecture, number } => vec![(named(*architecture, *number), *architecture)],
        ChangedCalls::Unnamed { architecture, numbers } => {
            if [&change.before, &change.after].iter().all(|it| it.origin == Origin::Default) {
                return vec![(Calls::Unnamed, *architecture)];
            }
            let calls = numbers.iter().flat_map(|range| one_by_one(*architecture, range, filters));
            calls.map(|calls| (calls, *architecture)).collect()
        }
    }
}

fn named(architecture: Architecture, number: u32) -> Calls {
    match name_of(architecture, number) {
        Some(name) => Calls::Names(vec![name.to_owned()]),
        None => Calls::Numbers { from: number, to: number },
    }
}

/// The calls without rules in a range: the known ones by name, the others by number.
fn one_by_one(architecture: Architecture, range: &RangeInclusive<u32>, filters: &[Filter; 2]) -> Vec<Calls> {
    let table = syscalls::Architecture::from_oci_name(architecture.name());
    let numbers = Syscall::all().filter_map(|call| call.number(table?)).filter(|it| range.contains(it));
    let mut numbers: Vec<u32> = numbers.collect();
    numbers.sort_unstable();
    let (mut found, mut next) = (Vec::new(), Some(*range.start()));
    for number in numbers {
        if let Some(from) = next.filter(|from| *from < number) {
            found.push(Calls::Numbers { from, to: number - 1 });
        }
        if filters.iter().all(|filter| !filter.has_rules(architecture, number)) {
            found.push(named(architecture, number));
        }
        next = number.checked_add(1);
    }
    if let Some(from) = next.filter(|from| from <= range.end()) {
        found.push(Calls::Numbers { from, to: *range.end() });
    }
    found
}

/// The change as a view shows it.
fn shown(change: &CallChange, calls: &Calls, architecture: Architecture, profiles: [&Profile; 2]) -> Change {
    let name = match calls {
        Calls::Names(names) => names.first().map(String::as_str),
        _ => None,
    };
    let number = match &change.calls {
        ChangedCalls::Named { number, .. } => *number,
        ChangedCalls::Unnamed { numbers, .. } => numbers.first().map_or(0, |range| *range.start()),
        ChangedCalls::Architecture(_) => 0,
    };
    let is_narrow = compares_lower_halves(architecture, number);
    let treatment = |it: &filter::Treatment, profile: &Profile| {
        let several = it.verdicts.len() > 1;
        let mut rules = name.filter(|_| several).map_or(Vec::new(), |name| written(profile, name));
        if is_narrow {
            rules.iter_mut().flat_map(|rule| &mut rule.when).for_each(|when| *when = when.lower_half());
        }
        let otherwise = (!rules.is_empty()).then(|| profile.default_effect());
        Treatment { verdicts: it.verdicts.clone(), by: it.origin, rules, otherwise }
    };
    let (before, after) = (treatment(&change.before, profiles[0]), treatment(&change.after, profiles[1]));
    let several = [&before, &after].iter().any(|it| it.verdicts.len() > 1);
    let examples = change.witnesses.iter().filter(|_| several).map(|witness| {
        let number = witness.call.number;
        let by_name = || name_of(architecture, number).map_or_else(|| number.to_string(), str::to_owned);
        Example {
            call: matches!(calls, Calls::Architecture(_)).then(by_name),
            arguments: witness.call.arguments,
            before: witness.before,
            after: witness.after,
        }
    });
    Change { direction: change.direction, examples: examples.collect(), before, after }
}

/// The rules of a profile for a call that do not repeat its default.
fn written(profile: &Profile, name: &str) -> Vec<WrittenRule> {
    let is_named = |rule: &&profile::Rule| rule.names().iter().any(|it| it.as_str() == name);
    let rules =
        profile.rules().iter().filter(is_named).filter(|rule| rule.effect() != profile.default_effect());
    rules.map(|rule| WrittenRule { effect: rule.effect(), when: rule.comparisons() }).collect()
}

/// Every place in which these calls could have changed.
fn everywhere(calls: &Calls, compared: &[Compared]) -> Vec<Place> {
    let mut all = Vec::new();
    for Compared { setting, filters: [one, two] } in compared {
        for table in syscalls::Architecture::ALL {
            let Some(architecture) = Architecture::from_name(table.oci_name()) else { continue };
            let by_both = one.covers(architecture) && two.covers(architecture);
            let is_possible = match calls {
                Calls::Architecture(of) => *of == architecture && (one.covers(*of) || two.covers(*of)),
                Calls::Names(names) => {
                    let exists = |name: &String| Syscall::from_name(name)?.number(table);
                    by_both && names.iter().any(|name| exists(name).is_some())
                }
                Calls::Unnamed | Calls::Numbers { .. } => by_both,
            };
            if is_possible {
                all.push(setting.place(architecture));
            }
        }
    }
    all
}

/// The places in which the same changed.
fn alike<C: PartialEq>(places: Vec<(Place, C)>) -> Vec<(C, Vec<Place>)> {
    let mut found: Vec<(C, Vec<Place>)> = Vec::new();
    for (place, change) in places {
        match found.iter_mut().find(|(known, _)| *known == change) {
            Some((_, places)) => places.push(place),
            None => found.push((change, vec![place])),
        }
    }
    found
}

fn flags(compared: &[Compared]) -> Vec<FlagDifference> {
    let place = |it: &Compared| it.setting.place(it.setting.native);
    let everywhere: Vec<_> = compared.iter().map(place).collect();
    let changes = compared.iter().map(|it| {
        let [one, two] = [0, 1].map(|side: usize| it.filters[side].flags());
        let added: Vec<_> = two.difference(one).copied().collect();
        (place(it), (added, one.difference(two).copied().collect::<Vec<_>>()))
    });
    let changes = changes.filter(|(_, (added, removed))| !added.is_empty() || !removed.is_empty()).collect();
    alike(changes)
        .into_iter()
        .map(|((added, removed), places)| {
            let only = only(&places, &everywhere);
            FlagDifference { added, removed, places, only }
        })
        .collect()
}

/// Names with different rules that no library knows, so that they have no effect on these nodes.
fn unknown_names(settings: &[NodeSetting], profiles: [&Profile; 2]) -> Option<Uncompared> {
    let is_known = |name: &SyscallName| {
        let call = Syscall::from_name(name.as_str());
        call.is_some_and(|call| settings.iter().any(|setting| call.known_to(setting.libseccomp)))
    };
    let [one, two] = profiles.map(|profile| {
        let mut rules: BTreeMap<SyscallName, Vec<WrittenRule>> = BTreeMap::new();
        for name in profile.rules().iter().flat_map(profile::Rule::names).filter(|name| !is_known(name)) {
            rules.entry(name.clone()).or_insert_with(|| written(profile, name.as_str()));
        }
        rules
    });
    let mut names: Vec<_> =
        one.keys().chain(two.keys()).filter(|name| one.get(name) != two.get(name)).cloned().collect();
    names.sort_unstable();
    names.dedup();
    (!names.is_empty()).then_some(Uncompared::UnknownNames { names })
}

/// Whether only one of the profiles starts under a runtime that refuses flags, and the comparison has no such runtime.
fn flag_support(settings: &[NodeSetting], [before, after]: [&Profile; 2]) -> Option<Uncompared> {
    let loads = |profile, runtime: Runtime| runtime.loads_with(profile).is_some();
    let differs = |runtime: &Runtime| loads(before, *runtime) != loads(after, *runtime);
    let is_compared = settings.iter().any(|setting| differs(&setting.runtime));
    (!is_compared && Runtime::ALL.iter().any(differs)).then_some(Uncompared::FlagSupport)
}
