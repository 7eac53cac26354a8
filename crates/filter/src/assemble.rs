//! From a profile's rules to the trees of each architecture.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use profile::{Architecture, Profile, SyscallName};

use crate::abi::width;
use crate::multiplexer::{Multiplexed, has_multiplexers};
use crate::setting::{Setting, Unloadable};
use crate::tree::{CallRule, Tree};
use crate::{Condition, Verdict};

/// The trees of one architecture, by the number of the call.
pub(crate) struct Table {
    pub(crate) architecture: Architecture,
    pub(crate) trees: BTreeMap<u32, Rc<Tree>>,
    /// The trees of calls that the architecture lacks. libseccomp keeps them, and writes nothing for them.
    pub(crate) lacking: Vec<Rc<Tree>>,
    /// The highest number that a rule names.
    pub(crate) highest: Option<u32>,
}

/// A rule for one call, and where the profile names the call.
pub(crate) struct Part<'a> {
    pub(crate) name: &'a SyscallName,
    /// The index of the profile's rule.
    pub(crate) rule: usize,
    /// The index of the name in that rule.
    pub(crate) place: usize,
    pub(crate) call_rule: CallRule,
}

/// What a rule is about: libseccomp also keeps rules for calls that an architecture lacks, and refuses clashes there.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key<'a> {
    Number(u32),
    Lacking(&'a SyscallName),
}

/// The architectures of the filter, in the order in which libseccomp knows them: the native one first.
pub(crate) fn architectures(
    profile: &Profile,
    setting: &Setting<'_>,
) -> Result<Vec<Architecture>, Unloadable> {
    let Setting { native, library, .. } = *setting;
    let mut found = vec![native];
    for architecture in profile.architectures() {
        if library.lacks.contains(architecture) {
            return Err(Unloadable::Architecture { architecture: *architecture, library: library.name });
        }
        if architecture.is_big_endian() != native.is_big_endian() {
            return Err(Unloadable::ByteOrder { architecture: *architecture });
        }
        if !found.contains(architecture) {
            found.push(*architecture);
        }
    }
    Ok(found)
}

/// What runtimes hand to libseccomp for one architecture, call by call in the order of the profile, and the highest number
/// that a rule names.
pub(crate) fn parts<'p>(
    profile: &'p Profile,
    architecture: Architecture,
    setting: &Setting<'_>,
) -> (BTreeMap<Key<'p>, Vec<Part<'p>>>, Option<u32>) {
    let default = profile.default_effect();
    let mut highest = None;
    let mut parts: BTreeMap<Key<'_>, Vec<Part<'_>>> = BTreeMap::new();
    for (rule, of) in profile.rules().iter().enumerate() {
        let conditions: Vec<Condition> = of.arguments().iter().map(Condition::from).collect();
        let verdict = Verdict::from(of.effect());
        for (place, name) in of.names().iter().enumerate() {
            let number = (setting.number)(name.as_str(), architecture);
            highest = highest.max(number);
            // Runtimes skip a rule that repeats the default.
            if of.effect() == default {
                continue;
            }
            let mut add = |key, conditions| {
                let part = Part { name, rule, place, call_rule: CallRule { verdict, conditions } };
                parts.entry(key).or_default().push(part);
            };
            let multiplexed = Multiplexed::of(name.as_str(), architecture);
            if let Some(multiplexed) = multiplexed
                && let Some(number) = (setting.number)(multiplexed.through, architecture)
            {
                add(Key::Number(number), multiplexed.conditions(&conditions));
            }
            match number {
                Some(number) => add(Key::Number(number), conditions.clone()),
                None if multiplexed.is_none() && has_multiplexers(architecture) => {}
                None => add(Key::Lacking(name), conditions.clone()),
            }
        }
    }
    (parts, highest)
}

pub(crate) fn table(
    profile: &Profile,
    architecture: Architecture,
    setting: &Setting<'_>,
) -> Result<Table, Unloadable> {
    let (parts, highest) = parts(profile, architecture, setting);
    let width = width(architecture);
    let (mut trees, mut lacking) = (BTreeMap::new(), Vec::new());
    // Rules with many conditions often name many calls, and to merge them takes long.
    let mut known: HashMap<Vec<CallRule>, Rc<Tree>> = HashMap::new();
    for (key, parts) in parts {
        let rules: Vec<CallRule> = parts.iter().map(|part| part.call_rule.clone()).collect();
        let tree = match known.get(&rules) {
            Some(tree) => Rc::clone(tree),
            None => Rc::new(Tree::new(&rules, width, setting.library.merging).map_err(|refusal| {
                let last = parts.len().saturating_sub(1);
                let name = parts.get(refusal.rule().min(last)).map(|part| part.name.clone());
                Unloadable::Rules { architecture, name, refusal }
            })?),
        };
        if rules.len() > 1 {
            known.insert(rules, Rc::clone(&tree));
        }
        match key {
            Key::Number(number) => drop(trees.insert(number, tree)),
            Key::Lacking(_) => lacking.push(tree),
        }
    }
    Ok(Table { architecture, trees, lacking, highest })
}
