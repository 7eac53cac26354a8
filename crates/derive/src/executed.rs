//! Which other programs a program starts, where their names are constants.

use iced_x86::Register;

use crate::chain::{Chains, Step};
use crate::modules::{Named, named};
use crate::reach::Reach;
use crate::result::{Finding, FindingKind, Started, Starts};
use crate::space::{Role, Space};

/// The functions of the C library that take a path.
const BY_PATH: &[(&str, Register)] = &[
    ("execve", Register::RDI),
    ("execv", Register::RDI),
    ("execl", Register::RDI),
    ("execle", Register::RDI),
    ("posix_spawn", Register::RSI),
];
/// Those that take a name, which they look for in the directories of `PATH`.
const BY_NAME: &[(&str, Register)] = &[
    ("execvp", Register::RDI),
    ("execvpe", Register::RDI),
    ("execlp", Register::RDI),
    ("posix_spawnp", Register::RSI),
];
/// Those that give a command to a shell.
const BY_SHELL: &[(&str, Register)] = &[("system", Register::RDI), ("popen", Register::RDI)];
/// What a name that is given to a function stands for.
type Kind = fn(String) -> Started;
/// execve, execveat.
pub(crate) const EXECUTING: [u32; 2] = [59, 322];

/// What a program starts, and where it starts something whose name is not known. `executing` are the instructions by which
/// the kernel is asked to.
pub(crate) fn executed(
    space: &Space,
    reach: &Reach,
    chains: &mut Chains<'_>,
    executing: &[u64],
) -> (Vec<Starts>, Vec<Finding>) {
    let (mut starts, mut findings) = (Vec::new(), Vec::new());
    if executing.is_empty() {
        return (starts, findings);
    }
    let mut open = |place| findings.push(Finding { kind: FindingKind::OpenProgram, place });
    let kinds: [(_, Kind); 3] =
        [(BY_PATH, Started::Path), (BY_NAME, Started::Name), (BY_SHELL, Started::Command)];
    for (functions, started) in kinds {
        for Named { at, by, of, names, is_open } in named(space, reach, functions) {
            // The C library's own functions call one another with what they were given.
            if by == of && space.get(by).role != Role::Program {
                continue;
            }
            let place = chains.link(Step::Call, at);
            if is_open {
                open(place.clone());
            }
            starts.extend(names.into_iter().map(|name| Starts { what: started(name), place: place.clone() }));
        }
        for (name, _) in functions {
            let Some((of, address)) = space.find(name) else { continue };
            // Whoever has the address of such a function calls it with names that are not followed.
            let elsewhere = |at: u64| space.at(at).is_some_and(|(id, _)| id != of);
            let taken = reach.taken.iter().filter(|it| it.target == address && elsewhere(it.at));
            taken.for_each(|it| open(chains.link(Step::Address, it.at)));
        }
    }
    // The loader starts a program only if it is asked to on a command line.
    let of_library = space.find("execve").map(|(id, _)| id).filter(|id| space.get(*id).role != Role::Program);
    for at in executing {
        let object = space.at(*at).map(|(id, _)| id);
        if object != of_library && object != space.interpreter {
            open(chains.link(Step::Kernel, *at));
        }
    }
    let order = |it: &Starts| (it.place.object.clone(), it.place.address, it.what.clone());
    starts.sort_by_key(order);
    starts.dedup();
    (starts, findings)
}
