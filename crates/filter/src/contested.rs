//! Calls for which several rules come together.

use profile::{Architecture, Profile, SyscallName};

use crate::assemble::{Key, Part, architectures, call_rules, parts_of};
use crate::hash::{HashMap, HashSet};
use crate::multiplexer::{Multiplexed, has_multiplexers, is_multiplexer};
use crate::setting::Setting;
use crate::tree::CallRule;

/// The rules of a call on an architecture: at least two, of which one has conditions. Others cannot disturb each other.
pub(crate) struct Contested<'a, 'p> {
    pub(crate) architecture: Architecture,
    /// Where the profile names the call.
    pub(crate) parts: &'a [(Key<'p>, Part<'p>)],
    /// The same as libseccomp takes them.
    pub(crate) rules: Vec<CallRule>,
}

/// Calls `visit` with each contested call of a profile in this setting; without `multiplexers`, not with all rules of these.
/// There is none where no filter is loaded because of the architectures.
pub(crate) fn contested(
    profile: &Profile,
    setting: &Setting<'_>,
    multiplexers: bool,
    mut visit: impl FnMut(Contested<'_, '_>),
) {
    let names = Names::of(profile, multiplexers);
    if names.several.is_empty() && names.multiplexed.is_empty() {
        return;
    }
    for architecture in architectures(profile, setting).unwrap_or_default() {
        // Each rule for a call that can be made through a multiplexer is one for the multiplexer, too, where it meets those of
        // other calls and those that name the multiplexer itself.
        let multiplexes = has_multiplexers(architecture);
        if names.several.is_empty() && !multiplexes {
            continue;
        }
        let is_wanted = |name: &SyscallName| {
            names.several.contains(name.as_str()) || multiplexes && names.multiplexed.contains(name.as_str())
        };
        for (_, parts) in parts_of(profile, architecture, setting, is_wanted).calls() {
            let rules = call_rules(parts);
            if rules.len() > 1 && rules.iter().any(|rule| !rule.conditions.is_empty()) {
                visit(Contested { architecture, parts, rules });
            }
        }
    }
}

/// Names whose rules may come together.
struct Names<'p> {
    /// Those with several rules, of which one has arguments.
    several: HashSet<&'p str>,
    /// Multiplexers and the calls that can be made through them. A rule without arguments has a condition on the multiplexer.
    multiplexed: HashSet<&'p str>,
}

impl<'p> Names<'p> {
    fn of(profile: &'p Profile, multiplexers: bool) -> Self {
        let mut rules: HashMap<&str, (usize, bool)> = HashMap::default();
        for rule in profile.rules() {
            for name in rule.names() {
                let (number, is_conditional) = rules.entry(name.as_str()).or_default();
                *number += 1;
                *is_conditional |= !rule.arguments().is_empty();
            }
        }
        // The calls of a multiplexer are the same on every architecture that has it.
        let is_multiplexed = |name: &str| {
            multiplexers && (Multiplexed::of(name, Architecture::X86).is_some() || is_multiplexer(name))
        };
        let several = rules.iter().filter(|(_, (number, is_conditional))| *number > 1 && *is_conditional);
        let several = several.map(|(name, _)| *name).collect();
        Self { several, multiplexed: rules.into_keys().filter(|name| is_multiplexed(name)).collect() }
    }
}
