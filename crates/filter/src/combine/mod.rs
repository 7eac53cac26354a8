//! The intersection and the union of two profiles, as a profile.
//!
//! The *exact* intersection permits a call as much as the stricter of the two filters does, the exact union as much as
//! the more permissive one. Not every such function of calls is that of a profile: a rule has one comparison for each
//! argument, libseccomp merges rules in its own way, and a default, a stub and a list of architectures are those of a whole
//! profile. What comes out is therefore
//!
//! - never more permissive than the exact one, and never asks a tracer or a seccomp agent where the exact one does not;
//! - exact, or narrower for the calls in [`Combined::narrower`], each with its reason;
//! - the same in every version of libseccomp of the model, for 32-bit and 64-bit architectures.
//!
//! This is decided, not assumed: `candidates.rs` proposes rules for each call, and those are taken which compile to the
//! exact function or, failing that, to less (`call.rs`). `whole.rs` then compares the filters of the result with those of
//! both profiles for every setting that the caller names. Where that is not exact, one of the two profiles itself may be: the
//! intersection of a profile with one that permits more is the profile, whatever libseccomp makes of its rules.
//!
//! Where both verdicts permit the same, that of the first profile stays, except that between a tracer, a seccomp agent and
//! permission the intersection takes what the kernel does with two filters (it asks), and the union permits. Which errno
//! a call fails with is not part of exactness.

mod call;
mod candidates;
mod whole;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use profile::{Architecture, Effect, Flag, ParseError, Profile, SyscallName};
use serde_json::{Value, json};

use crate::diagram::TooComplex;
use crate::hash::HashMap;
use crate::multiplexer::Multiplexed;
use crate::tree::CallRule;
use crate::{Call, Condition, Setting, Unloadable, Verdict};

/// How two profiles are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// What both permit.
    Intersection,
    /// What one of them permits.
    Union,
}

/// A combined profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Combined {
    /// The profile.
    pub profile: Profile,
    /// Where it permits less than the exact combination; empty if it is exact.
    pub narrower: Vec<Narrower>,
}

/// Something for which a combined profile permits less than the exact combination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Narrower {
    /// No rules were found for the call that every libseccomp compiles to exactly this function of its arguments.
    Conditions {
        /// The name of the call.
        name: SyscallName,
    },
    /// Only one of the profiles lists the architecture. A profile that lists it would permit on it what the other
    /// profile permits elsewhere.
    Architecture {
        /// The architecture.
        architecture: Architecture,
    },
    /// What the runtime's stub answers, or the multiplexer through which a call can also be made, has no rules of its own.
    Call {
        /// A call that is permitted less.
        call: Call,
        /// What the exact combination does with it.
        exact: Verdict,
        /// What the profile does.
        combined: Verdict,
        /// Whether no profile has rules for it, so that the same happens to other calls without rules.
        is_unnamed: bool,
    },
}

/// Why two profiles cannot be combined.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Uncombinable {
    /// No container starts with one of the profiles.
    #[error("no container starts with the {} profile: {fault}", if *first { "first" } else { "second" })]
    Unloadable {
        /// Whether it is the first profile.
        first: bool,
        /// The reason.
        fault: Unloadable,
    },
    /// Both have a listener, and not the same one.
    #[error("the profiles name different listeners, and a filter has one")]
    Listeners,
    /// The conditions are too complex.
    #[error(transparent)]
    TooComplex(#[from] TooComplex),
    /// The result exceeds the bounds of a profile.
    #[error("together they are no profile: {0}")]
    Invalid(Box<ParseError>),
    /// The result would be looser for a call, and no rule prevents it. This happens where a call should do
    /// worse than fail: calls of an architecture that only one profile lists end the thread, not the process, and calls
    /// that no rule names may be above the border of runc's stub. It also happens if a tracer is asked under conditions that are not those of one rule.
    #[error("every profile would be more permissive than both for the call {} of {}", call.number, call.architecture.name())]
    Looser {
        /// The call.
        call: Call,
        /// What the exact combination does with it, and what the result would do; `None` if libseccomp refuses the rules for
        /// the call.
        verdicts: Option<[Verdict; 2]>,
    },
}

impl Operation {
    /// The verdict of two filters together.
    #[must_use]
    pub fn of(self, first: Verdict, second: Verdict) -> Verdict {
        // Of equally permissive verdicts: the order in which the kernel prefers them.
        let asks = |verdict| match verdict {
            Verdict::Notify => 0,
            Verdict::Trace(_) => 1,
            _ => 2,
        };
        let rank = |verdict: Verdict| (verdict.permission(), asks(verdict));
        let takes_first = match self {
            Self::Intersection => rank(first) <= rank(second),
            Self::Union => rank(first) >= rank(second),
        };
        if takes_first { first } else { second }
    }

    /// Combines two profiles. `settings` are the nodes on which the result is compared with the exact combination.
    ///
    /// # Errors
    ///
    /// If a profile cannot be loaded in one of the settings, or if they cannot be combined.
    pub fn combine(
        self,
        first: &Profile,
        second: &Profile,
        settings: &[Setting<'_>],
    ) -> Result<Combined, Uncombinable> {
        let natives: BTreeSet<_> = settings.iter().map(|setting| setting.native).collect();
        let loaded = whole::load([first, second], settings)?;
        let mut draft = Draft::new(self, first, second, natives)?;
        match whole::compare(&mut draft, self, [first, second], &loaded, settings) {
            Ok(combined) if combined.narrower.is_empty() => Ok(combined),
            inexact => match whole::one_of_both(self, [first, second], &loaded) {
                Some(profile) => Ok(Combined { profile, narrower: Vec::new() }),
                None => inexact,
            },
        }
    }
}

/// The parts of a combined profile.
struct Draft {
    default: Verdict,
    architectures: Vec<Architecture>,
    flags: BTreeSet<Flag>,
    listener: Value,
    calls: BTreeMap<SyscallName, call::Combination>,
    /// Whether calls that have no rules any more are still named, so that runc's stub knows them.
    names_all: bool,
    narrower: Vec<Narrower>,
}

impl Draft {
    fn new(
        operation: Operation,
        first: &Profile,
        second: &Profile,
        natives: BTreeSet<Architecture>,
    ) -> Result<Self, Uncombinable> {
        let default = operation.of(first.default_effect().into(), second.default_effect().into());
        let [one, two] =
            [first, second].map(|profile| profile.architectures().iter().copied().collect::<BTreeSet<_>>());
        let architectures: Vec<_> = one.intersection(&two).copied().collect();
        // Every filter covers the native architecture, listed or not.
        let only_one = one
            .symmetric_difference(&two)
            .filter(|architecture| operation == Operation::Union && !natives.contains(architecture));
        let narrower =
            only_one.map(|architecture| Narrower::Architecture { architecture: *architecture }).collect();
        let listener = match (first.listener(), second.listener()) {
            (Some(one), Some(two)) if one != two => return Err(Uncombinable::Listeners),
            (one, two) => one.or(two).map_or(Value::Null, |listener| {
                json!({ "listenerPath": listener.path(), "listenerMetadata": listener.metadata() })
            }),
        };
        let flags = flags(first, second);
        let [one, two] = [first, second].map(rules_by_name);
        let mut calls = BTreeMap::new();
        // Many calls have the same rules in both profiles.
        let mut known: HashMap<([&[CallRule]; 2], bool), call::Combination> = HashMap::default();
        for name in one.keys().chain(two.keys()).copied().collect::<BTreeSet<_>>() {
            let rules = [&one, &two].map(|rules| rules.get(name).map_or(&[][..], Vec::as_slice));
            let defaults = [first, second].map(|profile| Verdict::from(profile.default_effect()));
            let is_multiplexed =
                natives.iter().chain(&architectures).any(|it| Multiplexed::of(name.as_str(), *it).is_some());
            let combination = match known.entry((rules, is_multiplexed)) {
                Entry::Occupied(known) => known.get().clone(),
                Entry::Vacant(place) => {
                    let found = call::combine(operation, rules, defaults, default, is_multiplexed)?;
                    place.insert(found).clone()
                }
            };
            calls.insert(name.clone(), combination);
        }
        Ok(Self { default, architectures, flags, listener, calls, names_all: true, narrower })
    }

    /// The profile: rules that several calls share are written once.
    fn profile(&self) -> Result<Profile, Uncombinable> {
        let mut alike: BTreeMap<Vec<RuleKey>, Vec<&str>> = BTreeMap::new();
        for (name, combination) in &self.calls {
            let rules =
                combination.rules.iter().map(|rule| RuleKey(rule.verdict, rule.conditions.clone())).collect();
            alike.entry(rules).or_default().push(name.as_str());
        }
        // Rules without conditions come first, so that one for a multiplexer replaces those for its calls, as they may
        // clash with each other.
        let mut alike: Vec<_> = alike.into_iter().collect();
        alike.sort_by_key(|(rules, _)| rules.iter().any(|RuleKey(_, conditions)| !conditions.is_empty()));
        let mut syscalls = Vec::new();
        for (rules, names) in alike {
            if rules.is_empty() && !self.names_all {
                continue;
            }
            // A rule that repeats the default is none, but the stub still knows the calls.
            let rules = if rules.is_empty() { vec![RuleKey(self.default, Vec::new())] } else { rules };
            syscalls.extend(
                rules.iter().map(|RuleKey(verdict, conditions)| written(*verdict, conditions, &names)),
            );
        }
        let asks =
            self.calls.values().flat_map(|call| &call.rules).any(|rule| rule.verdict == Verdict::Notify);
        let mut profile = effect(self.default, ["defaultAction", "defaultErrnoRet"]);
        profile["architectures"] =
            self.architectures.iter().map(|architecture| architecture.name()).collect();
        profile["flags"] = self.flags.iter().map(|flag| flag.name()).collect();
        profile["syscalls"] = syscalls.into();
        if let (true, Value::Object(listener), Value::Object(profile)) = (asks, &self.listener, &mut profile)
        {
            profile.extend(listener.clone());
        }
        Profile::from_value(&profile).map_err(|fault| Uncombinable::Invalid(Box::new(fault)))
    }
}

/// A rule as a key.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct RuleKey(Verdict, Vec<Condition>);

/// The rules of each call that are not the default's.
fn rules_by_name(profile: &Profile) -> BTreeMap<&SyscallName, Vec<CallRule>> {
    let mut found: BTreeMap<_, Vec<CallRule>> = BTreeMap::new();
    for rule in profile.rules() {
        let conditions: Vec<_> = rule.arguments().iter().map(Condition::from).collect();
        for name in rule.names() {
            let rules = found.entry(name).or_default();
            if rule.effect() != profile.default_effect() {
                rules.push(CallRule { verdict: rule.effect().into(), conditions: conditions.clone() });
            }
        }
    }
    found
}

/// The flags with which both filters are loaded; speculative store bypass stays on only if both leave it on. The set is
/// never empty, and the flag that runtimes set for a profile without flags is not named alone.
fn flags(first: &Profile, second: &Profile) -> BTreeSet<Flag> {
    let [one, two] = [first, second].map(|profile| match profile.flags() {
        [] => BTreeSet::from([Flag::SpecAllow]),
        flags => flags.iter().copied().collect(),
    });
    let both = one.contains(&Flag::SpecAllow) && two.contains(&Flag::SpecAllow);
    let mut flags: BTreeSet<Flag> = one.union(&two).copied().collect();
    if !both {
        flags.remove(&Flag::SpecAllow);
    }
    if flags == BTreeSet::from([Flag::SpecAllow]) { BTreeSet::new() } else { flags }
}

/// A rule as a profile has it.
fn written(verdict: Verdict, conditions: &[Condition], names: &[&str]) -> Value {
    let mut rule = effect(verdict, ["action", "errnoRet"]);
    rule["names"] = json!(names);
    rule["args"] = conditions.iter().map(argument).collect();
    rule
}

fn effect(verdict: Verdict, [action, errno]: [&str; 2]) -> Value {
    let effect = Effect::from(verdict);
    let mut value = json!({ action: effect.action().name() });
    if let Some(number) = effect.errno() {
        value[errno] = number.into();
    }
    value
}

fn argument(condition: &Condition) -> Value {
    json!({
        "index": condition.index(),
        "value": condition.value(),
        "valueTwo": condition.value_two(),
        "op": condition.comparison().name(),
    })
}
