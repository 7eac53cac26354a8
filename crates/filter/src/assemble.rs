//! From a profile's rules to the trees of each architecture.

use std::collections::hash_map::Entry;
use std::rc::Rc;

use profile::{Architecture, Profile, SyscallName};

use crate::abi::width;
use crate::hash::HashMap;
use crate::mention::Mention;
use crate::multiplexer::{Multiplexed, has_multiplexers};
use crate::setting::{Setting, Unloadable};
use crate::tree::{CallRule, Tree};
use crate::{Condition, Verdict};

/// The trees of one architecture, by the number of the call.
#[derive(Clone)]
pub(crate) struct Table {
    pub(crate) architecture: Architecture,
    pub(crate) trees: Vec<(u32, Rc<Tree>)>,
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

impl Part<'_> {
    /// Where the profile names the call.
    pub(crate) fn mention(&self) -> Mention {
        Mention { rule: self.rule, name: self.place }
    }
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

/// What runtimes hand to libseccomp for one architecture.
pub(crate) struct Parts<'p> {
    /// By the call, and for each call in the order of the profile.
    sorted: Vec<(Key<'p>, Part<'p>)>,
    /// The highest number that a rule names.
    pub(crate) highest: Option<u32>,
}

impl<'p> Parts<'p> {
    /// The rules of each call.
    pub(crate) fn calls(&self) -> impl Iterator<Item = (&Key<'p>, &[(Key<'p>, Part<'p>)])> {
        let calls = self.sorted.chunk_by(|(one, _), (two, _)| one == two);
        calls.filter_map(|rules| Some((&rules.first()?.0, rules)))
    }
}

/// The rules of one call as libseccomp takes them.
pub(crate) fn call_rules(rules: &[(Key<'_>, Part<'_>)]) -> Vec<CallRule> {
    rules.iter().map(|(_, part)| part.call_rule.clone()).collect()
}

/// What runtimes hand to libseccomp for one architecture.
pub(crate) fn parts<'p>(
    profile: &'p Profile,
    architecture: Architecture,
    setting: &Setting<'_>,
) -> Parts<'p> {
    parts_of(profile, architecture, setting, |_| true)
}

/// The same of some names only.
pub(crate) fn parts_of<'p>(
    profile: &'p Profile,
    architecture: Architecture,
    setting: &Setting<'_>,
    is_wanted: impl Fn(&SyscallName) -> bool,
) -> Parts<'p> {
    let default = profile.default_effect();
    let has_multiplexers = has_multiplexers(architecture);
    let mut highest = None;
    let mut sorted = Vec::new();
    for (rule, of) in profile.rules().iter().enumerate() {
        let conditions: Vec<Condition> = of.arguments().iter().map(Condition::from).collect();
        let verdict = Verdict::from(of.effect());
        for (place, name) in of.names().iter().enumerate().filter(|(_, name)| is_wanted(name)) {
            let number = (setting.number)(name.as_str(), architecture);
            highest = highest.max(number);
            // Runtimes skip a rule that repeats the default.
            if of.effect() == default {
                continue;
            }
            let mut add = |key, conditions| {
                sorted.push((key, Part { name, rule, place, call_rule: CallRule { verdict, conditions } }));
            };
            let multiplexed = Multiplexed::of(name.as_str(), architecture);
            if let Some(multiplexed) = multiplexed
                && let Some(number) = (setting.number)(multiplexed.through, architecture)
            {
                add(Key::Number(number), multiplexed.conditions(&conditions));
            }
            match number {
                Some(number) => add(Key::Number(number), conditions.clone()),
                None if multiplexed.is_none() && has_multiplexers => {}
                None => add(Key::Lacking(name), conditions.clone()),
            }
        }
    }
    // Stable, so that the rules of a call keep their order.
    sorted.sort_by(|(one, _), (two, _)| one.cmp(two));
    Parts { sorted, highest }
}

/// The tables of all architectures of the filter. They are the same under every runtime.
pub(crate) fn tables(profile: &Profile, setting: &Setting<'_>) -> Result<Vec<Table>, Unloadable> {
    let architectures = architectures(profile, setting)?.into_iter();
    architectures.map(|architecture| table(profile, architecture, setting)).collect()
}

fn table(profile: &Profile, architecture: Architecture, setting: &Setting<'_>) -> Result<Table, Unloadable> {
    let parts = parts(profile, architecture, setting);
    let width = width(architecture);
    let (mut trees, mut lacking) = (Vec::new(), Vec::new());
    // Most calls have one rule, without conditions.
    let mut always: Vec<(Verdict, Rc<Tree>)> = Vec::new();
    // Rules with many conditions often name many calls, and to merge them takes long.
    let mut known: HashMap<Vec<CallRule>, Rc<Tree>> = HashMap::default();
    for (key, of) in parts.calls() {
        let made = |rules: &[CallRule]| {
            let made = Tree::new(rules, width, setting.library.merging).map_err(|refusal| {
                let last = of.len().saturating_sub(1);
                let part = of.get(refusal.rule().min(last)).map(|(_, part)| part);
                Unloadable::Rules {
                    architecture,
                    name: part.map(|part| part.name.clone()),
                    mention: part.map(Part::mention),
                    refusal,
                }
            });
            made.map(Rc::new)
        };
        let tree = match of {
            [(_, Part { call_rule: rule, .. })] if rule.conditions.is_empty() => {
                match always.iter().find(|(verdict, _)| *verdict == rule.verdict) {
                    Some((_, tree)) => Rc::clone(tree),
                    None => {
                        let tree = made(std::slice::from_ref(rule))?;
                        always.push((rule.verdict, Rc::clone(&tree)));
                        tree
                    }
                }
            }
            _ => match known.entry(call_rules(of)) {
                Entry::Occupied(tree) => Rc::clone(tree.get()),
                Entry::Vacant(place) => {
                    let tree = made(place.key())?;
                    Rc::clone(place.insert(tree))
                }
            },
        };
        match key {
            Key::Number(number) => trees.push((*number, tree)),
            Key::Lacking(_) => lacking.push(tree),
        }
    }
    Ok(Table { architecture, trees, lacking, highest: parts.highest })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "this is a test")]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::runtime::{Library, Runtime};

    /// To merge hundreds of rules takes a second, and a profile may name 48 calls in each of them.
    #[test]
    fn calls_with_the_same_rules_share_one_tree() {
        let comparison = |rule: u64, index: u64| {
            let value = (rule * 6 + index).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            json!({ "index": index, "value": value.to_string(), "op": "SCMP_CMP_EQ" })
        };
        let names: Vec<_> = (0..24).map(|call| format!("c{call}")).collect();
        let rule = |rule| {
            let args: Vec<_> = (0..6).map(|index| comparison(rule, index)).collect();
            json!({ "names": names, "action": "SCMP_ACT_ALLOW", "args": args })
        };
        let rules: Vec<_> =
            (0..20).map(rule).chain([json!({ "names": ["c24"], "action": "SCMP_ACT_LOG" })]).collect();
        let profile = json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules });
        let profile = Profile::from_value(&profile).unwrap();
        let number = |name: &str, of: Architecture| {
            name.strip_prefix('c')?.parse().ok().filter(|_| of == Architecture::X86_64)
        };
        let setting = Setting {
            runtime: Runtime::CRUN,
            library: Library::V2_6_1,
            native: Architecture::X86_64,
            number: &number,
        };
        let tables = tables(&profile, &setting).unwrap();
        let [Table { trees, .. }] = &tables[..] else { unreachable!("one architecture") };
        let [first, others @ .., (24, other)] = &trees[..] else { unreachable!("25 calls") };
        assert_eq!(others.len(), 23);
        assert!(others.iter().all(|(_, tree)| Rc::ptr_eq(tree, &first.1)));
        assert!(!Rc::ptr_eq(other, &first.1));
    }
}
