//! What a profile is on a node.

use std::collections::{BTreeMap, BTreeSet};

use profile::{Architecture, Flag, Profile};

use crate::abi::{X32, is_x86_64};
use crate::assemble::{Table, tables};
use crate::group::Group;
use crate::runtime::{ENOSYS, Stub};
use crate::setting::{Setting, Unloadable};
use crate::tree::Program;
use crate::{Arguments, Verdict};

/// A call: what a filter sees of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Call {
    /// The system call table. x86_64 and x32 are one for the kernel; the number says which is meant.
    pub architecture: Architecture,
    /// The number; for x32, with the bit that marks its calls.
    pub number: u32,
    /// The arguments.
    pub arguments: Arguments,
}

/// What a profile is on a node: the verdict of every call.
///
/// - A call of an architecture that is neither native nor listed ends the thread, whatever the default is.
/// - Before the filter, runc's stub may answer (see [`Stub`]).
/// - A call with rules has the verdict of its tree (see [`crate::tree`]), every other call the default.
#[derive(Debug, Clone)]
pub struct Filter {
    native: Architecture,
    default: Verdict,
    flags: BTreeSet<Flag>,
    tables: BTreeMap<Architecture, Calls>,
    program: Program,
}

/// The calls of one architecture.
#[derive(Debug, Clone, Default)]
pub(crate) struct Calls {
    /// The tree of the program for each number that has rules.
    trees: BTreeMap<u32, usize>,
    /// Calls above this number are answered by the stub.
    pub(crate) stub: Option<u32>,
    /// On S/390 the stub also answers the number 0.
    zero: bool,
}

/// libseccomp's answer to calls of other architectures.
const OTHER_ARCHITECTURE: Verdict = Verdict::KillThread;

impl Filter {
    /// The filter that the runtime loads for this profile.
    ///
    /// # Errors
    ///
    /// If no container starts with the profile.
    pub fn new(profile: &Profile, setting: &Setting<'_>) -> Result<Self, Unloadable> {
        // Before anything else, as the runtime does.
        setting.runtime.loads_with(profile).ok_or(Unloadable::Flags { runtime: setting.runtime.name })?;
        Self::with(profile, setting, tables(profile, setting)?)
    }

    /// The filter of a profile with these tables.
    fn with(profile: &Profile, setting: &Setting<'_>, tables_of: Vec<Table>) -> Result<Self, Unloadable> {
        let runtime = setting.runtime;
        let flags = runtime.loads_with(profile).ok_or(Unloadable::Flags { runtime: runtime.name })?;
        let default = Verdict::from(profile.default_effect());
        let has_stub = runtime.has_stub(profile);
        let sorted = runtime.is_sorted(profile);

        let mut tables: BTreeMap<Architecture, Calls> = BTreeMap::new();
        let mut groups: Vec<Group> = Vec::new();
        for table in tables_of {
            let architecture = table.architecture;
            let listed = profile.architectures().contains(&architecture);
            let has_stub = has_stub && (listed || runtime.stub == Stub::ListedAndNative);
            // runc takes 0 for "no call".
            let stub = table.highest.filter(|highest| has_stub && *highest > 0);
            let zero = stub.is_some() && matches!(architecture, Architecture::S390 | Architecture::S390x);
            tables.insert(architecture, Calls { trees: BTreeMap::new(), stub, zero });
            match groups.iter_mut().find(|group| is_x86_64(architecture) && group.of_x86_64()) {
                Some(group) => group.add(table),
                None => groups.push(Group::from(table)),
            }
        }
        let trees: Vec<_> = groups.into_iter().flat_map(|group| group.written(sorted)).collect();
        let program = Program::new(trees.iter().map(|(_, _, tree)| &**tree), default);
        for (at, (architecture, number, _)) in trees.iter().enumerate() {
            tables.entry(*architecture).or_default().trees.insert(*number, at);
        }
        Ok(Self { native: setting.native, default, flags, tables, program })
    }

    /// The filters of a profile in some settings, in their order. Those that follow each other and only differ by the
    /// runtime have the same tables, which take the most time: they are made once.
    ///
    /// # Errors
    ///
    /// For each setting, if no container starts with the profile there.
    pub fn in_all(profile: &Profile, settings: &[Setting<'_>]) -> Vec<Result<Self, Unloadable>> {
        let mut last: Option<(&Setting<'_>, Vec<Table>)> = None;
        let mut found = Vec::new();
        for setting in settings {
            let known = last.take().filter(|(known, _)| known.differs_only_by_runtime(setting));
            let tables_of = match known {
                Some((_, known)) => Ok(known),
                None => tables(profile, setting),
            };
            found.push(match tables_of {
                Ok(tables_of) => {
                    let filter = Self::with(profile, setting, tables_of.clone());
                    last = Some((setting, tables_of));
                    filter
                }
                Err(_) => Self::new(profile, setting),
            });
        }
        found
    }

    /// The verdict of a call.
    #[must_use]
    pub fn decide(&self, call: &Call) -> Verdict {
        let Some(calls) = self.calls(call.architecture, call.number) else {
            // A tracer sets the number -1 to skip a call; libseccomp lets it pass where it would be one of x32.
            let skipped = call.number == u32::MAX && self.tables.contains_key(&Architecture::X86_64);
            return if skipped && is_x86_64(call.architecture) { self.default } else { OTHER_ARCHITECTURE };
        };
        match self.tree(calls, call.number) {
            Known::Verdict(verdict) => verdict,
            Known::Tree(tree) => self.program.decide(tree, &call.arguments).unwrap_or(self.default),
        }
    }

    /// The flags with which the filter is loaded.
    #[must_use]
    pub fn flags(&self) -> &BTreeSet<Flag> {
        &self.flags
    }

    /// The verdict of calls that no rule names and no stub answers.
    #[must_use]
    pub fn default(&self) -> Verdict {
        self.default
    }

    /// The architecture of the node.
    #[must_use]
    pub fn native(&self) -> Architecture {
        self.native
    }

    /// The highest number of a call on this architecture that the runtime's stub does not answer; `None` if the stub
    /// answers none.
    #[must_use]
    pub fn highest(&self, architecture: Architecture) -> Option<u32> {
        self.tables.get(&architecture)?.stub
    }

    /// Whether the filter covers this architecture: the native one and those that the profile lists.
    #[must_use]
    pub fn covers(&self, architecture: Architecture) -> bool {
        self.tables.contains_key(&architecture)
    }

    /// Whether rules decide the calls of this number; for x32, with the bit that marks its calls.
    #[must_use]
    pub fn has_rules(&self, architecture: Architecture, number: u32) -> bool {
        self.calls(architecture, number).is_some_and(|calls| calls.trees.contains_key(&number))
    }

    pub(crate) fn program(&self) -> &Program {
        &self.program
    }

    /// The table of a call, if the filter has it.
    pub(crate) fn calls(&self, architecture: Architecture, number: u32) -> Option<&Calls> {
        self.table_of(architecture, number).map(|(_, calls)| calls)
    }

    /// The same, with the architecture that the number belongs to.
    pub(crate) fn table_of(&self, architecture: Architecture, number: u32) -> Option<(Architecture, &Calls)> {
        let architecture = match architecture {
            it if is_x86_64(it) && number & X32 != 0 => Architecture::X32,
            it if is_x86_64(it) => Architecture::X86_64,
            other => other,
        };
        self.tables.get(&architecture).map(|calls| (architecture, calls))
    }

    /// What is known of a call before its arguments.
    pub(crate) fn tree(&self, calls: &Calls, number: u32) -> Known {
        if calls.is_stubbed(number) {
            return Known::Verdict(ENOSYS);
        }
        let Some(tree) = calls.trees.get(&number) else { return Known::Verdict(self.default) };
        self.program.constant(*tree).map_or(Known::Tree(*tree), Known::Verdict)
    }
}

/// What is known of a call before its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    Verdict(Verdict),
    Tree(usize),
}

impl Calls {
    /// Whether the stub answers the call with this number.
    pub(crate) fn is_stubbed(&self, number: u32) -> bool {
        self.stub.is_some_and(|highest| number > highest) || self.zero && number == 0
    }

    pub(crate) fn numbers(&self) -> impl Iterator<Item = u32> {
        self.trees.keys().copied()
    }
}
