//! What one profile does differently from another.
//!
//! Two profiles may be spelt differently and be one filter: rules in another order, split or joined, an errno that
//! runtimes take anyway, a rule that says what the default says. What is compared is what happens to each syscall. Of
//! conditional rules with different actions the order may matter, so that another order counts as a difference. What
//! cannot be decided by the profiles alone is said as [`Uncompared`]: nothing that could be a difference is left out.
//!
//! Compared is what runc, crun and youki make of a profile; gVisor reads rules in another way.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use profile::{Action, Architecture, Argument, Effect, Flag, Listener, Profile, Rule, SyscallName};
use serde::Serialize;

/// All that changes from one profile to another; empty where both are known to be one filter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Changes {
    /// What happens to every syscall that no rule is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<Change<Effect>>,
    /// The system call tables that the filter covers beside the native one.
    #[serde(skip_serializing_if = "SetChange::is_empty")]
    pub architectures: SetChange<Architecture>,
    /// The flags for `seccomp(2)`, with the one that runtimes set where a profile names none.
    #[serde(skip_serializing_if = "SetChange::is_empty")]
    pub flags: SetChange<Flag>,
    /// Who is asked about calls; one that is asked instead of another may answer anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener: Option<Change<Option<Listener>>>,
    /// The syscalls that are treated differently, those with the same change together.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub syscalls: Vec<SyscallChange>,
    /// What may differ besides, and cannot be decided by the two profiles alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub uncompared: Vec<Uncompared>,
}

/// Something in which two filters may differ, and which the profiles alone do not tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "what")]
pub enum Uncompared {
    /// Which calls runc answers with ENOSYS instead of the default: those with a number above the highest of all names
    /// in the rules, on each architecture. The rules name other syscalls, so that the highest may be another one; which
    /// one it is depends on the libseccomp of the node.
    EnosysBorder {
        /// The syscalls that only the rules of the second profile name.
        added: Vec<SyscallName>,
        /// Those that only the rules of the first name.
        removed: Vec<SyscallName>,
    },
    /// Whether containers start at all: only one of the two names flags, and runc before 1.2 refuses every flag.
    FlagSupport,
}

/// Something before and after.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Change<T> {
    /// In the first profile.
    pub before: T,
    /// In the second.
    pub after: T,
}

/// What a set has more and what less.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SetChange<T> {
    /// What only the second profile has.
    pub added: Vec<T>,
    /// What only the first has.
    pub removed: Vec<T>,
}

/// Syscalls that are treated differently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SyscallChange {
    /// The syscalls, by name.
    pub names: Vec<SyscallName>,
    /// Which way it goes.
    pub direction: Direction,
    /// How.
    #[serde(flatten)]
    pub change: Change<Treatment>,
}

/// Whether a change lets more through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Nothing is held back that was let through, and something is let through that was held back.
    Looser,
    /// The other way round.
    Tighter,
    /// Neither, or it depends on the arguments.
    Other,
}

/// What happens to one syscall.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Treatment {
    /// What happens under conditions, in the order of the rules where that may matter.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub branches: Vec<Branch>,
    /// What happens where no branch applies.
    pub otherwise: Effect,
    /// Whether that is the profile's default.
    pub by_default: bool,
}

/// What happens to a call whose arguments are as they are compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Branch {
    /// Comparisons that all hold, by argument; at least one.
    pub when: Vec<Argument>,
    /// What then happens.
    pub effect: Effect,
}

impl Changes {
    /// What changes from `before` to `after`.
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

    /// Whether both profiles are known to be one filter.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The flags that a filter is loaded with: runc (since 1.2) and crun take a profile without flags for one that leaves
/// speculative store bypass on, and a profile with flags at its word. An empty list is as if it were absent here: the
/// canonical bytes have no place for it.
fn flags(profile: &Profile) -> &[Flag] {
    if profile.flags().is_empty() { &[Flag::SpecAllow] } else { profile.flags() }
}

fn flag_support(before: &Profile, after: &Profile) -> Option<Uncompared> {
    (before.flags().is_empty() != after.flags().is_empty()).then_some(Uncompared::FlagSupport)
}

/// Whether runc puts its stub before the filter, which answers ENOSYS to every call above the highest that a rule
/// names: not where the default lets calls through, asks a tracer or is ENOSYS itself. (`PatchAndLoad` and
/// `findLastSyscalls` in libcontainer/seccomp/patchbpf of runc 1.1 to 1.6.)
fn has_stub(profile: &Profile) -> bool {
    const ENOSYS: u16 = 38;
    match profile.default_action() {
        Action::Errno => profile.default_errno_ret() != Some(ENOSYS),
        Action::Kill | Action::KillProcess | Action::KillThread | Action::Trap => true,
        _ => false,
    }
}

/// A rule counts for the border although it says what the default says and is skipped.
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
    /// Which way it goes.
    #[must_use]
    pub fn direction(&self) -> Direction {
        let only = |effect: Effect| (effect.leniency(), effect.leniency());
        direction(only(self.before), only(self.after))
    }
}

impl Change<Treatment> {
    /// Which way it goes.
    #[must_use]
    pub fn direction(&self) -> Direction {
        direction(bounds(self.before.effects()), bounds(self.after.effects()))
    }
}

/// It is sure only where the strictest on one side is as lenient as the most lenient on the other.
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

/// How lenient the strictest and the most lenient effect are.
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
    /// Whether the rules about a syscall come to the same in two profiles; both may leave it to their defaults.
    fn same_rules(&self, other: &Self) -> bool {
        self.branches == other.branches
            && (self.otherwise == other.otherwise || self.by_default && other.by_default)
    }

    fn effects(&self) -> impl Iterator<Item = Effect> {
        self.branches.iter().map(|branch| branch.effect).chain([self.otherwise])
    }
}

/// What a profile does with the syscalls that its rules name.
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
            // Runtimes skip a rule that says what the default says.
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
    /// One more rule. As libseccomp does it (see `clash.rs` in the crate `profile`): a rule without comparisons replaces all others, of
    /// two the first counts, and a rule is dropped whose first comparisons are all those of an earlier one.
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

    /// Of branches with one effect it does not matter which comes first.
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
