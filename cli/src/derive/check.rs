//! A profile beside what a program can reach.

use std::collections::BTreeSet;

use filter::diagram::{Forest, difference};
use filter::{Filter, Permission, Verdict};
use profile::Profile;
use syscalls::{Architecture, Syscall};

use crate::derive_error::DeriveCommandError;
use crate::setting::SettingOptions;

/// What a profile refuses of what a program can reach, and what it permits beyond.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Check {
    refused: Vec<&'static str>,
    /// For some values of their arguments.
    partly: Vec<&'static str>,
    /// What the program does not reach, and overrides permit.
    refused_although_allowed: Vec<&'static str>,
    unreached: Vec<&'static str>,
    /// What the program reaches, and overrides refuse.
    permitted_although_denied: Vec<&'static str>,
    /// For values of their arguments with which they are not reached, or that overrides refuse.
    beyond: Vec<&'static str>,
    /// Calls of runtimes without which no container starts.
    needed_to_start: Vec<&'static str>,
}

impl Check {
    /// `derived` is the profile of what is `reached`, with the overrides. `by_runtime` are calls that are made before the
    /// program begins: a profile may permit them.
    pub(super) fn of(
        profile: &Profile,
        derived: &Profile,
        reached: &BTreeSet<Syscall>,
        by_runtime: &BTreeSet<Syscall>,
    ) -> Result<Self, DeriveCommandError> {
        let (wanted, given) = (filter(derived)?, filter(profile)?);
        let mut found = Self { needed_to_start: refused(&given, by_runtime)?, ..Self::default() };
        for call in Syscall::all() {
            let Some(number) = call.number(Architecture::X86_64) else { continue };
            let (is_reached, is_by_runtime) = (reached.contains(&call), by_runtime.contains(&call));
            let mut forest = Forest::default();
            let wanted = wanted.verdicts(profile::Architecture::X86_64, number, &mut forest)?;
            let given = given.verdicts(profile::Architecture::X86_64, number, &mut forest)?;
            let beyond = |one, other| {
                difference((&forest, one), (&forest, other), |one, other| permits(one) && !permits(other))
            };
            let never = |node| !forest.verdicts_of(node).into_iter().any(permits);
            let (lacks, exceeds) = (beyond(wanted, given)?.is_some(), beyond(given, wanted)?.is_some());
            if lacks && (is_reached || !is_by_runtime) {
                let list = match () {
                    () if !is_reached => &mut found.refused_although_allowed,
                    () if never(given) => &mut found.refused,
                    () => &mut found.partly,
                };
                list.push(call.name());
            }
            if exceeds && !is_by_runtime {
                let list = match () {
                    () if !never(wanted) => &mut found.beyond,
                    () if is_reached => &mut found.permitted_although_denied,
                    () => &mut found.unreached,
                };
                list.push(call.name());
            }
        }
        Ok(found)
    }

    /// Whether the profile permits exactly what the program can reach, with the overrides.
    pub(super) fn is_equal(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn text(&self) -> String {
        let line = |what: &str, names: &[&str]| match names {
            [] => String::new(),
            names => format!("{what} ({}): {}\n", names.len(), names.join(" ")),
        };
        let text = line("reached and refused", &self.refused)
            + &line("reached and refused for some arguments", &self.partly)
            + &line("permitted by the overrides and refused", &self.refused_although_allowed)
            + &line("permitted and not reached", &self.unreached)
            + &line("permitted and refused by the overrides", &self.permitted_although_denied)
            + &line("permitted for more arguments than it has to be", &self.beyond)
            + &line("made by the container runtime and refused", &self.needed_to_start);
        if text.is_empty() {
            "the profile permits exactly what the program can reach\n".to_owned()
        } else {
            text
        }
    }
}

/// Those of some calls that a profile refuses whatever their arguments are.
pub(super) fn refused_of(
    profile: &Profile,
    calls: &BTreeSet<Syscall>,
) -> Result<Vec<&'static str>, DeriveCommandError> {
    refused(&filter(profile)?, calls)
}

fn filter(profile: &Profile) -> Result<Filter, DeriveCommandError> {
    Ok(SettingOptions::default().apply(|setting| Filter::new(profile, setting))?)
}

fn refused(filter: &Filter, calls: &BTreeSet<Syscall>) -> Result<Vec<&'static str>, DeriveCommandError> {
    let mut names = Vec::new();
    for call in calls {
        // x86_64 has all that runtimes make there.
        let Some(number) = call.number(Architecture::X86_64) else { continue };
        let mut forest = Forest::default();
        let node = filter.verdicts(profile::Architecture::X86_64, number, &mut forest)?;
        if !forest.verdicts_of(node).into_iter().any(permits) {
            names.push(call.name());
        }
    }
    Ok(names)
}

fn permits(verdict: Verdict) -> bool {
    verdict.permission() >= Permission::Log
}
