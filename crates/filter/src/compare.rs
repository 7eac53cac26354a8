//! Compares the effects of two profiles.
//!
//! Profiles with different text may be the same filter: rules may be reordered, split or joined, an errno may be the
//! runtime's default, a rule may repeat the default. The comparison is about what happens to each syscall. The order of
//! conditional rules with different actions may matter, so another order counts as a difference. Effects that the
//! profiles alone do not determine are listed as [`Uncompared`], so no possible difference is hidden.
//!
//! The effects are those in runc, crun and youki; gVisor interprets rules differently.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use profile::{Action, Architecture, Argument, Effect, Flag, Listener, Profile, Rule, SyscallName};
use serde::Serialize;

/// All changes from one profile to another; empty if both are known to be the same filter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Changes {
    /// What happens to every syscall that no rule names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<Change<Effect>>,
    /// The system call tables that the filter covers in addition to the native one.
    #[serde(skip_serializing_if = "SetChange::is_empty")]
    pub architectures: SetChange<Architecture>,
    /// The flags for `seccomp(2)`, including the one that runtimes set if a profile names none.
    #[serde(skip_serializing_if = "SetChange::is_empty")]
    pub flags: SetChange<Flag>,
    /// The listener, because another seccomp agent may decide differently.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener: Option<Change<Option<Listener>>>,
    /// The syscalls with a different treatment, grouped by their change.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub syscalls: Vec<SyscallChange>,
    /// Further possible differences, which the two profiles alone do not determine.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub uncompared: Vec<Uncompared>,
}

/// A possible difference between two filters, which the profiles alone do not determine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "what")]
pub enum Uncompared {
    /// The calls for which runc returns ENOSYS instead of the default: those with a number above the highest of all
    /// names in the rules, on each architecture. The rules name other syscalls, so the highest may be another one; this
    /// depends on the libseccomp of the node.
    EnosysBorder {
        /// The syscalls that only the second profile's rules name.
        added: Vec<SyscallName>,
        /// The syscalls that only the first profile's rules name.
        removed: Vec<SyscallName>,
    },
    /// Whether containers start at all: only one of the profiles names flags, and runc before 1.2 refuses every flag.
    FlagSupport,
}

/// A value before and after.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Change<T> {
    /// In the first profile.
    pub before: T,
    /// In the second.
    pub after: T,
}

/// The difference of two sets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SetChange<T> {
    /// The elements that only the second profile has.
    pub added: Vec<T>,
    /// The elements that only the first profile has.
    pub removed: Vec<T>,
}

/// Syscalls with a different treatment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SyscallChange {
    /// The syscalls, by name.
    pub names: Vec<SyscallName>,
    /// The direction of the change.
    pub direction: Direction,
    /// How.
    #[serde(flatten)]
    pub change: Change<Treatment>,
}

/// Whether a change permits more or less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Everything that was permitted still is, and something more is permitted.
    Looser,
    /// The opposite: something is denied that was permitted, and nothing more is permitted.
    Tighter,
    /// Neither, or it depends on the arguments.
    Other,
}

/// What happens to one syscall.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Treatment {
    /// The effects under conditions, in the order of the rules if the order may matter.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub branches: Vec<Branch>,
    /// The effect if no branch applies.
    pub otherwise: Effect,
    /// Whether `otherwise` is the profile's default.
    pub by_default: bool,
}

/// What happens to a call whose arguments meet the conditions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Branch {
    /// Comparisons that must all be true, by argument; at least one.
    pub when: Vec<Argument>,
    /// What happens then.
    pub effect: Effect,
}

impl Changes {
    /// The changes from `before` to `after`.
    #[must_use]
    pub fn between(before: &Profile, after: &Profile) -> Self {
        let (old, new) = (Treatments::of(before), Treatments::of(after));
        let mut alike: BTreeMap<Change<Treatment>, Vec<SyscallName>> = BTreeMap::new();
        for name in old.by_name.keys().chain(new.by_name.keys()).copied().collect::<BTreeSet<_>>() {
            let change = Change { before: old.treatment(name), after: new.treatment(name) };
            if !change.before.same_rules(&change.after) {
                alike.entry(change).or_default().push(name.clone());
            }
        }
        let mut syscalls: Vec<_> = alike
            .into_iter()
            .map(|(change, names)| SyscallChange { names, direction: change.direction(), change })
            .collect();
        syscalls.sort_unstable_by(|one, other| one.names.cmp(&other.names));
        Self {
            default: (old.default != new.default)
                .then_some(Change { before: old.default, after: new.default }),
            architectures: SetChange::between(before.architectures(), after.architectures()),
            flags: SetChange::between(flags(before), flags(after)),
            listener: (before.listener() != after.listener())
                .then(|| Change { before: before.listener().cloned(), after: after.listener().cloned() }),
            syscalls,
            uncompared: enosys_border(before, after).into_iter().chain(flag_support(before, after)).collect(),
        }
    }

    /// Whether both profiles are known to be the same filter.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The flags with which a runtime loads the filter: for a profile without flags, runc (since 1.2) and crun set the flag
/// that leaves speculative store bypass on; otherwise they set exactly the profile's flags. An empty list counts as
/// absent, because the canonical bytes omit it.
fn flags(profile: &Profile) -> &[Flag] {
    if profile.flags().is_empty() { &[Flag::SpecAllow] } else { profile.flags() }
}

fn flag_support(before: &Profile, after: &Profile) -> Option<Uncompared> {
    (before.flags().is_empty() != after.flags().is_empty()).then_some(Uncompared::FlagSupport)
}

/// Whether runc adds its stub before the filter, which returns ENOSYS for every call above the highest that a rule
/// names. It does not if the default permits calls, asks a tracer or returns ENOSYS itself. (`PatchAndLoad` and
/// `findLastSyscalls` in libcontainer/seccomp/patchbpf of runc 1.1 to 1.6.)
fn has_stub(profile: &Profile) -> bool {
    const ENOSYS: u16 = 38;
    match profile.default_action() {
        Action::Errno => profile.default_errno_ret() != Some(ENOSYS),
        Action::Kill | Action::KillProcess | Action::KillThread | Action::Trap => true,
        _ => false,
    }
}

/// A rule that repeats the default is skipped by runtimes, but counts towards the highest number.
fn enosys_border(before: &Profile, after: &Profile) -> Option<Uncompared> {
    fn names(profile: &Profile) -> BTreeSet<&SyscallName> {
        profile.rules().iter().flat_map(Rule::names).collect()
    }
    if !(has_stub(before) && has_stub(after)) {
        return None;
    }
    let (before, after) = (names(before), names(after));
    let only = |these: &BTreeSet<&SyscallName>, those: &BTreeSet<&SyscallName>| -> Vec<SyscallName> {
        these.difference(those).map(|name| (*name).clone()).collect()
    };
    let (added, removed) = (only(&after, &before), only(&before, &after));
    (before != after).then_some(Uncompared::EnosysBorder { added, removed })
}

impl Change<Effect> {
    /// The direction of the change.
    #[must_use]
    pub fn direction(&self) -> Direction {
        let only = |effect: Effect| (effect.leniency(), effect.leniency());
        direction(only(self.before), only(self.after))
    }
}

impl Change<Treatment> {
    /// The direction of the change.
    #[must_use]
    pub fn direction(&self) -> Direction {
        direction(bounds(self.before.effects()), bounds(self.after.effects()))
    }
}

/// The direction is known only if the strictest effect of one side is at least as lenient as the most lenient of the
/// other.
fn direction(before: (u8, u8), after: (u8, u8)) -> Direction {
    if before == after && before.0 == before.1 {
        Direction::Other
    } else if after.0 >= before.1 {
        Direction::Looser
    } else if after.1 <= before.0 {
        Direction::Tighter
    } else {
        Direction::Other
    }
}

/// The leniency of the strictest and of the most lenient effect.
fn bounds(effects: impl Iterator<Item = Effect>) -> (u8, u8) {
    effects.map(Effect::leniency).fold((u8::MAX, 0), |(least, most), it| (least.min(it), most.max(it)))
}

impl<T> Default for SetChange<T> {
    fn default() -> Self {
        Self { added: Vec::new(), removed: Vec::new() }
    }
}

impl<T: Copy + Ord> SetChange<T> {
    fn between(before: &[T], after: &[T]) -> Self {
        let set = |items: &[T]| items.iter().copied().collect::<BTreeSet<_>>();
        let (before, after) = (set(before), set(after));
        Self {
            added: after.difference(&before).copied().collect(),
            removed: before.difference(&after).copied().collect(),
        }
    }
}

impl<T> SetChange<T> {
    /// Whether the sets are the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }
}

impl Treatment {
    /// Whether the rules of two profiles treat a syscall in the same way; both may leave it to their defaults.
    fn same_rules(&self, other: &Self) -> bool {
        self.branches == other.branches
            && (self.otherwise == other.otherwise || self.by_default && other.by_default)
    }

    fn effects(&self) -> impl Iterator<Item = Effect> {
        self.branches.iter().map(|branch| branch.effect).chain([self.otherwise])
    }
}

/// The treatment of each syscall that a profile's rules name.
struct Treatments<'a> {
    default: Effect,
    by_name: BTreeMap<&'a SyscallName, Treatment>,
}

impl<'a> Treatments<'a> {
    fn of(profile: &'a Profile) -> Self {
        let default = profile.default_effect();
        let mut found = Self { default, by_name: BTreeMap::new() };
        for rule in profile.rules() {
            let effect = rule.effect();
            // Runtimes skip a rule that repeats the default.
            if effect == default {
                continue;
            }
            let when = rule.comparisons();
            for name in rule.names() {
                found.by_name.entry(name).or_insert_with(|| left_to(default)).add(&when, effect);
            }
        }
        found.by_name.values_mut().for_each(Treatment::settle);
        found
    }

    fn treatment(&self, name: &SyscallName) -> Treatment {
        self.by_name.get(name).cloned().unwrap_or_else(|| left_to(self.default))
    }
}

fn left_to(default: Effect) -> Treatment {
    Treatment { branches: Vec::new(), otherwise: default, by_default: true }
}

impl Treatment {
    /// Adds a rule as libseccomp does (see `clash.rs` in the crate `profile`): a rule without comparisons replaces all
    /// others, and the first such rule wins; a rule that begins with all comparisons of an earlier one is ignored.
    fn add(&mut self, when: &[Argument], effect: Effect) {
        if !self.by_default || self.branches.iter().any(|earlier| when.starts_with(&earlier.when)) {
            return;
        }
        if when.is_empty() {
            *self = Self { branches: Vec::new(), otherwise: effect, by_default: false };
        } else {
            self.branches.push(Branch { when: when.to_vec(), effect });
        }
    }

    /// Sorts branches that all have the same effect, because their order does not matter.
    fn settle(&mut self) {
        if self.branches.windows(2).all(|two| two[0].effect == two[1].effect) {
            self.branches.sort_unstable();
        }
    }
}

impl fmt::Display for Treatment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for branch in &self.branches {
            write!(f, "{branch}; ")?;
        }
        if !self.branches.is_empty() {
            f.write_str("else ")?;
        }
        write!(f, "{}", self.otherwise)?;
        if self.by_default { f.write_str(" by default") } else { Ok(()) }
    }
}

impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} if ", self.effect)?;
        for (i, argument) in self.when.iter().enumerate() {
            if i > 0 {
                f.write_str(" and ")?;
            }
            write!(f, "{argument}")?;
        }
        Ok(())
    }
}
