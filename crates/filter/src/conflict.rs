//! Rules for one call that make no filter together.

use std::collections::{HashMap, HashSet};

use profile::{Architecture, Profile, SyscallName};

use crate::abi::width;
use crate::assemble::{architectures, call_rules, parts_of};
use crate::multiplexer::Multiplexed;
use crate::setting::Setting;
use crate::tree::{CallRule, Refusal, Tree};

/// A rule that makes no filter beside the others for the call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The index of the profile's rule.
    pub rule: usize,
    /// The index of the call's name in that rule.
    pub name: usize,
    /// The architecture on which it is so.
    pub architecture: Architecture,
    /// What libseccomp does.
    pub refusal: Refusal,
}

/// The conflicts of a profile in this setting: the first of each call on each architecture. None is found where no filter is
/// loaded because of the architectures.
#[must_use]
pub fn conflicts(profile: &Profile, setting: &Setting<'_>) -> Vec<Conflict> {
    let several = named_several_times(profile);
    let mut found = Vec::new();
    if several.is_empty() {
        return found;
    }
    for architecture in architectures(profile, setting).unwrap_or_default() {
        // Each rule for a call that can be made through a multiplexer is one for the multiplexer, too.
        let is_wanted = |name: &SyscallName| {
            several.contains(name.as_str()) || Multiplexed::of(name.as_str(), architecture).is_some()
        };
        let mut known: HashMap<Vec<CallRule>, Option<Refusal>> = HashMap::new();
        for (_, parts) in parts_of(profile, architecture, setting, is_wanted).calls() {
            let rules = call_rules(parts);
            if rules.iter().all(|rule| rule.conditions.is_empty()) || rules.len() < 2 {
                continue;
            }
            let refusal = *known.entry(rules).or_insert_with_key(|rules| {
                Tree::new(rules, width(architecture), setting.library.merging).err()
            });
            let Some(refusal) = refusal else { continue };
            let last = parts.len() - 1;
            if let Some((_, part)) = parts.get(refusal.rule().min(last)) {
                found.push(Conflict { rule: part.rule, name: part.place, architecture, refusal });
            }
        }
    }
    found
}

/// The names with several rules of which one has arguments, or with one that has, if it may concern a multiplexer: on it, rules
/// for different calls come together.
fn named_several_times(profile: &Profile) -> HashSet<&str> {
    let mut rules: HashMap<&str, (usize, bool)> = HashMap::new();
    if profile.rules().iter().all(|rule| rule.arguments().is_empty()) {
        return HashSet::new();
    }
    for rule in profile.rules() {
        for name in rule.names() {
            let (number, is_conditional) = rules.entry(name.as_str()).or_default();
            *number += 1;
            *is_conditional |= !rule.arguments().is_empty();
        }
    }
    let multiplexed = |name: &str| Multiplexed::of(name, Architecture::X86).is_some();
    let found = rules
        .into_iter()
        .filter(|(name, (number, is_conditional))| *is_conditional && (*number > 1 || multiplexed(name)));
    found.map(|(name, _)| name).collect()
}
