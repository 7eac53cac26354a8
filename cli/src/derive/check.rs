//! A profile beside what a program can reach.

use std::collections::BTreeSet;

use filter::diagram::Forest;
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
    unreached: Vec<&'static str>,
    /// Calls of runtimes without which no container starts.
    needed_to_start: Vec<&'static str>,
}

impl Check {
    /// `by_runtime` are calls that are made before the program begins: a profile may permit them.
    pub(super) fn of(
        profile: &Profile,
        reached: &BTreeSet<Syscall>,
        by_runtime: &BTreeSet<Syscall>,
    ) -> Result<Self, DeriveCommandError> {
        let filter = filter(profile)?;
        let mut found = Self { needed_to_start: refused(&filter, by_runtime)?, ..Self::default() };
        for call in Syscall::all() {
            let Some((always, never)) = permits(&filter, call)? else { continue };
            match reached.contains(&call) {
                true if never => found.refused.push(call.name()),
                true if !always => found.partly.push(call.name()),
                false if !never && !by_runtime.contains(&call) => found.unreached.push(call.name()),
                _ => {}
            }
        }
        Ok(found)
    }

    /// Whether the profile permits exactly what the program can reach.
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
            + &line("permitted and not reached", &self.unreached)
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
        if let Some((_, true)) = permits(filter, *call)? {
            names.push(call.name());
        }
    }
    Ok(names)
}

/// Whether a filter permits a call whatever its arguments are, and whether it never does; `None` if x86_64 has no such call.
fn permits(filter: &Filter, call: Syscall) -> Result<Option<(bool, bool)>, DeriveCommandError> {
    let Some(number) = call.number(Architecture::X86_64) else { return Ok(None) };
    let mut forest = Forest::default();
    let node = filter.verdicts(profile::Architecture::X86_64, number, &mut forest)?;
    let verdicts = forest.verdicts_of(node);
    let permits = |verdict: &Verdict| verdict.permission() >= Permission::Log;
    Ok(Some((verdicts.iter().all(permits), !verdicts.iter().any(permits))))
}
