//! A profile beside what a program can reach.

use std::collections::BTreeSet;

use filter::diagram::Forest;
use filter::{Filter, Permission};
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
        let filter = SettingOptions::default().apply(|setting| Filter::new(profile, setting))?;
        let mut found = Self::default();
        for call in Syscall::all() {
            let Some(number) = call.number(Architecture::X86_64) else { continue };
            let mut forest = Forest::default();
            let node = filter.verdicts(profile::Architecture::X86_64, number, &mut forest)?;
            let verdicts = forest.verdicts_of(node);
            let permits = |verdict: &filter::Verdict| verdict.permission() >= Permission::Log;
            let (always, never) = (verdicts.iter().all(permits), !verdicts.iter().any(permits));
            if never && by_runtime.contains(&call) {
                found.needed_to_start.push(call.name());
            }
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
