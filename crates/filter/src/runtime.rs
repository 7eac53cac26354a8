//! Runtimes and libraries, as far as they determine what a profile means. Versions are data: a new one is a constant.

use std::collections::BTreeSet;

use profile::{Action, Architecture, Flag, Profile};
use syscalls::{Libseccomp, Syscall};

use crate::Verdict;
use crate::abi::table;
use crate::tree::Merging;

/// A container runtime that loads profiles with libseccomp.
///
/// gVisor reads profiles differently (it ignores errnos and architectures, and the first rule decides), so it is none
/// of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Runtime {
    /// Its name and versions, for messages.
    pub name: &'static str,
    /// Which calls the runtime answers with ENOSYS before the filter.
    pub stub: Stub,
    /// What it does with `flags`.
    pub flags: Flags,
    /// How many names a profile's rules need at least to make it ask for a binary tree of syscalls. It has no influence
    /// on what a rule means by itself.
    pub sorted_from: Option<usize>,
}

/// runc puts a *stub* before the filter of a profile that denies by default: it answers ENOSYS to every call whose number
/// is higher than that of any call which the rules name, so that programs treat it as a call of a newer kernel. A rule
/// counts even if it repeats the default and is therefore left out of the filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stub {
    /// None.
    Absent,
    /// For the architectures that the profile lists.
    Listed,
    /// For these and the node's native architecture.
    ListedAndNative,
}

/// What a runtime does with `flags`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flags {
    /// It refuses every flag, and loads filters without any.
    Refused,
    /// It sets the profile's flags. For a profile without `flags` it sets the one that leaves speculative store bypass on.
    Set,
}

impl Runtime {
    /// runc 1.1.3 to 1.1.14 (measured: 1.1.5; the others by their source).
    pub const RUNC_1_1: Self =
        Self { name: "runc 1.1.3 to 1.1.14", stub: Stub::Listed, flags: Flags::Refused, sorted_from: None };

    /// runc 1.1.15 (measured).
    pub const RUNC_1_1_15: Self =
        Self { name: "runc 1.1.15", stub: Stub::ListedAndNative, flags: Flags::Refused, sorted_from: None };

    /// runc 1.2 to 1.6 (measured: 1.3.6, 1.5.2 and 1.6.0-rc.1; 1.2 by its source).
    pub const RUNC_1_2: Self = Self {
        name: "runc 1.2 to 1.6",
        stub: Stub::ListedAndNative,
        flags: Flags::Set,
        sorted_from: Some(33),
    };

    /// crun (measured: 1.8.1, 1.21 and 1.28).
    pub const CRUN: Self =
        Self { name: "crun 1.8 to 1.28", stub: Stub::Absent, flags: Flags::Set, sorted_from: None };

    /// Every runtime of the model.
    pub const ALL: [Self; 4] = [Self::RUNC_1_1, Self::RUNC_1_1_15, Self::RUNC_1_2, Self::CRUN];

    /// The flags with which the filter is loaded; `None` if the runtime refuses the profile because of its flags.
    ///
    /// An empty list counts as absent, because the canonical bytes omit it.
    #[must_use]
    pub fn loads_with(self, profile: &Profile) -> Option<BTreeSet<Flag>> {
        match (self.flags, profile.flags()) {
            (Flags::Refused, []) => Some(BTreeSet::new()),
            (Flags::Refused, _) => None,
            (Flags::Set, []) => Some(BTreeSet::from([Flag::SpecAllow])),
            (Flags::Set, flags) => Some(flags.iter().copied().collect()),
        }
    }

    /// Whether the runtime asks libseccomp for a binary tree of the profile's calls.
    pub(crate) fn is_sorted(self, profile: &Profile) -> bool {
        let names = profile.rules().iter().map(|rule| rule.names().len()).sum::<usize>();
        self.sorted_from.is_some_and(|from| names >= from)
    }

    /// Whether the runtime puts its stub before the filter: not if the default permits calls, asks a tracer, or is
    /// ENOSYS itself.
    #[must_use]
    pub fn has_stub(self, profile: &Profile) -> bool {
        let denies = match profile.default_action() {
            Action::Errno => Verdict::from(profile.default_effect()) != ENOSYS,
            Action::Kill | Action::KillProcess | Action::KillThread | Action::Trap => true,
            Action::Allow | Action::Log | Action::Trace | Action::Notify => false,
        };
        self.stub != Stub::Absent && denies
    }
}

/// The stub's answer.
pub const ENOSYS: Verdict = Verdict::Errno(38);

/// A version of libseccomp. Which names it knows is not stated here but by the numbers that a filter is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Library {
    /// Its versions, for messages.
    pub name: &'static str,
    /// How it merges rules.
    pub merging: Merging,
    /// Architectures that it does not know: no container starts whose profile lists one of them.
    pub lacks: &'static [Architecture],
}

impl Library {
    /// libseccomp 2.5.4 to 2.5.6 (measured: 2.5.4; the others by their source).
    pub const V2_5_4: Self = Self {
        name: "libseccomp 2.5.4 to 2.5.6",
        merging: Merging::Until2_6_0,
        lacks: &[Architecture::Loongarch64],
    };
    /// libseccomp 2.6.0 (measured with crun 1.21; the merging by its source).
    pub const V2_6_0: Self = Self { name: "libseccomp 2.6.0", merging: Merging::Until2_6_0, lacks: &[] };
    /// libseccomp 2.6.1 (measured).
    pub const V2_6_1: Self = Self { name: "libseccomp 2.6.1", merging: Merging::Since2_6_1, lacks: &[] };
}

impl From<Libseccomp> for Library {
    fn from(libseccomp: Libseccomp) -> Self {
        match libseccomp {
            Libseccomp::V2_5_4 | Libseccomp::V2_5_4Debian12 => Self::V2_5_4,
            Libseccomp::V2_6_0 => Self::V2_6_0,
            Libseccomp::V2_6_1 => Self::V2_6_1,
        }
    }
}

/// The numbers that a measured libseccomp knows, for [`Setting::number`](crate::Setting). An architecture without a table
/// has none, so that a filter for it has no rules; see [`syscalls::Architecture`].
pub fn numbers(libseccomp: Libseccomp) -> impl Fn(&str, Architecture) -> Option<u32> {
    move |name, architecture| {
        let architecture = table(architecture)?;
        Syscall::from_name(name).filter(|it| it.resolved_by(libseccomp, architecture))?.number(architecture)
    }
}
