//! Rules for one call that make no filter together.

use profile::{Architecture, Profile};

use crate::abi::width;
use crate::contested::contested;
use crate::hash::HashMap;
use crate::setting::Setting;
use crate::tree::{CallRule, Refusal, Tree, Width};

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

/// The conflicts of a profile in this setting: the first of each call on each architecture. Where a filter can be made, there
/// is none, and where its rules are the reason that it cannot, there is at least one. None is found where no filter is loaded
/// because of the architectures or flags.
#[must_use]
pub fn conflicts(profile: &Profile, setting: &Setting<'_>) -> Vec<Conflict> {
    let mut found = Vec::new();
    let mut known: HashMap<(Width, Vec<CallRule>), Option<Refusal>> = HashMap::default();
    contested(profile, setting, true, |call| {
        let (width, merging) = (width(call.architecture), setting.library.merging);
        let refusal = *known
            .entry((width, call.rules))
            .or_insert_with_key(|(width, rules)| Tree::new(rules, *width, merging).err());
        let Some(refusal) = refusal else { return };
        let last = call.parts.len() - 1;
        if let Some((_, part)) = call.parts.get(refusal.rule().min(last)) {
            let architecture = call.architecture;
            found.push(Conflict { rule: part.rule, name: part.place, architecture, refusal });
        }
    });
    found
}
