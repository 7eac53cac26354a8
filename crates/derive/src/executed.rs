//! Which other programs a program starts, where their names are constants.

use std::collections::BTreeSet;

use iced_x86::Register::{self, R8, R9, RCX, RDI, RDX, RSI};

use crate::arguments::{Arguments, Site, Texts, sites, taken};
use crate::chain::{Chains, Step};
use crate::numbers::Origin;
use crate::reach::Reach;
use crate::result::{Finding, FindingKind, Started, Starts};
use crate::script::is_shell;
use crate::space::{ObjectId, Role, Space};

/// How a function is given what it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Given {
    /// By a path.
    Path,
    /// By a path that may begin at a directory which the program has open.
    PathAt,
    /// By a name, which is looked for in the directories of `PATH`.
    Name,
    /// By a command for a shell.
    Command,
    /// By a descriptor of a file that the program has open.
    Descriptor,
}

/// A function of the C library that starts programs.
struct Starting {
    name: &'static str,
    given: Given,
    /// The argument by which it is given.
    what: Register,
    /// The arguments that the program gets, without the first one, which is its own name; as far as they are in registers.
    /// Empty if they are in memory.
    arguments: &'static [Register],
}

const fn by(name: &'static str, given: Given, what: Register) -> Starting {
    Starting { name, given, what, arguments: &[] }
}

const fn listed(name: &'static str, given: Given) -> Starting {
    Starting { name, given, what: RDI, arguments: &[RDX, RCX, R8, R9] }
}

const STARTING: &[Starting] = &[
    by("execve", Given::Path, RDI),
    by("execv", Given::Path, RDI),
    listed("execl", Given::Path),
    listed("execle", Given::Path),
    by("execveat", Given::PathAt, RSI),
    by("fexecve", Given::Descriptor, RDI),
    by("posix_spawn", Given::Path, RSI),
    by("pidfd_spawn", Given::Path, RSI),
    by("execvp", Given::Name, RDI),
    by("execvpe", Given::Name, RDI),
    listed("execlp", Given::Name),
    by("posix_spawnp", Given::Name, RSI),
    by("pidfd_spawnp", Given::Name, RSI),
    by("system", Given::Command, RDI),
    by("popen", Given::Command, RDI),
    // It runs what is in `$(…)`.
    by("wordexp", Given::Command, RDI),
];
/// The function of the C library that makes a call by its number.
const BY_NUMBER: &str = "syscall";
/// execve, execveat, and in which argument of [`BY_NUMBER`] they have the path.
const CALLS: [(u32, Given, Register); 2] = [(59, Given::Path, RSI), (322, Given::PathAt, RDX)];
/// execve, execveat.
pub(crate) const EXECUTING: [u32; 2] = [CALLS[0].0, CALLS[1].0];

/// An instruction by which the kernel is asked to start a program, and where its number was set.
pub(crate) type Executing = (u64, Origin);

/// What a program starts, and where it starts something whose name is not known.
pub(crate) fn executed(
    space: &Space,
    reach: &Reach,
    chains: &mut Chains<'_>,
    executing: &[Executing],
) -> (Vec<Starts>, Vec<Finding>) {
    let mut executed = Executed {
        space,
        reach,
        arguments: Arguments::new(space, reach),
        library: space.find_all("__libc_start_main").into_iter().map(|(id, _)| id).collect(),
        starting: STARTING.iter().flat_map(|it| space.find_all(it.name)).map(|(_, at)| at).collect(),
        starts: Vec::new(),
        open: Vec::new(),
    };
    if !executing.is_empty() {
        STARTING.iter().for_each(|it| executed.function(it));
        executed.kernel(executing);
    }
    let Executed { starts, open, .. } = executed;
    let starts = starts.into_iter().map(|(at, what)| Starts { what, place: chains.link(Step::Call, at) });
    let starts = starts.collect();
    let finding = |(step, at)| Finding { kind: FindingKind::OpenProgram, place: chains.link(step, at) };
    (starts, open.into_iter().map(finding).collect())
}

struct Executed<'a> {
    space: &'a Space,
    reach: &'a Reach,
    arguments: Arguments<'a>,
    /// The C library.
    library: BTreeSet<ObjectId>,
    /// The addresses of the functions of [`STARTING`].
    starting: BTreeSet<u64>,
    starts: Vec<(u64, Started)>,
    open: Vec<(Step, u64)>,
}

impl Executed<'_> {
    /// Whether an object is the C library, or the loader, which starts a program only if it is asked to on a command line.
    fn is_library(&self, id: ObjectId) -> bool {
        let is_loader = self.space.interpreter == Some(id);
        is_loader || (self.library.contains(&id) && self.space.get(id).role != Role::Program)
    }

    /// The calls of a function that starts programs.
    fn function(&mut self, function: &Starting) {
        for site in sites(self.space, self.reach, function.name) {
            // The C library's own functions call one another with what they were given.
            if site.by == site.of && self.is_library(site.by) {
                continue;
            }
            let first = self.open.len();
            self.call(&site, function.given, function.what, function.arguments);
            // So does a library that has such functions in front of the C library's.
            if self.starting.contains(&self.reach.functions.get(site.from).start) {
                self.open.truncate(first);
            }
        }
        self.taken(function.name);
    }

    /// Whoever has the address of such a function calls it with names that are not followed.
    fn taken(&mut self, name: &str) {
        let taken = taken(self.space, self.reach, name);
        self.open.extend(taken.into_iter().map(|it| (Step::Address, it.at)));
    }

    fn call(&mut self, site: &Site, given: Given, what: Register, arguments: &[Register]) {
        let Texts { known, is_open, .. } = match given {
            Given::Descriptor => Texts { is_open: true, ..Texts::default() },
            _ => self.arguments.texts(site, what),
        };
        let mut is_open = is_open;
        let mut has_shell = false;
        for text in known {
            has_shell |= given != Given::Command && is_shell(&text);
            let started = match given {
                Given::PathAt if !text.starts_with('/') => {
                    is_open = true;
                    continue;
                }
                Given::Path | Given::PathAt | Given::Descriptor => Started::Path(text),
                Given::Name => Started::Name(text),
                Given::Command => Started::Command(text),
            };
            self.starts.push((site.at, started));
        }
        if has_shell {
            is_open |= arguments.is_empty() || self.shell(site, arguments);
        }
        if is_open {
            self.open.push((Step::Call, site.at));
        }
    }

    /// The commands and scripts among the arguments of a shell. Whether there can be others.
    fn shell(&mut self, site: &Site, arguments: &[Register]) -> bool {
        for argument in arguments {
            let texts = self.arguments.texts(site, *argument);
            let is_last = texts.is_null && texts.known.is_empty();
            let commands = texts.known.into_iter().filter(|it| !it.starts_with('-'));
            self.starts.extend(commands.map(|it| (site.at, Started::Command(it))));
            if texts.is_open || is_last {
                return texts.is_open;
            }
        }
        // The others are on the stack.
        true
    }

    /// Where the kernel is asked without one of the functions.
    fn kernel(&mut self, executing: &[Executing]) {
        let by_number: BTreeSet<_> = self.space.find_all(BY_NUMBER).into_iter().map(|(_, at)| at).collect();
        let mut is_by_number = false;
        for (at, origin) in executing {
            let (object, function) = (self.space.at(*at), self.reach.functions.known_at(self.space, *at));
            if !object.is_some_and(|(id, _)| self.is_library(id)) {
                self.open.push((Step::Kernel, *at));
            } else if function.is_some_and(|it| by_number.contains(&self.reach.functions.get(it).start)) {
                is_by_number = true;
            } else if !self.is_library(self.reach.functions.get(origin.from).object) {
                self.open.push((Step::Call, origin.at));
            }
        }
        if !is_by_number {
            return;
        }
        for site in sites(self.space, self.reach, BY_NUMBER) {
            if self.is_library(site.by) {
                continue;
            }
            let numbers = self.arguments.numbers(&site, RDI, u32::MAX.into());
            for (number, given, what) in CALLS {
                if numbers.known.contains_key(&number.into()) {
                    self.call(&site, given, what, &[]);
                }
            }
        }
        self.taken(BY_NUMBER);
    }
}
