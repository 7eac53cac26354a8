//! What a program opens while it runs: libraries whose names are constants, and what the C library opens by the root's
//! configuration (name services, character sets, the unwinder).

use iced_x86::Register;

use crate::error::DeriveError;
use crate::files::{Files, directory, text};
use crate::limits;
use crate::numbers::Solver;
use crate::reach::Reach;
use crate::space::{ObjectId, Space};

/// The functions that open a library; its name is the argument at this place.
const OPENING: &[(&str, Register)] =
    &[("dlopen", Register::RDI), ("dlmopen", Register::RSI), ("__libc_dlopen_mode", Register::RDI)];
/// The functions that find a function by its name.
const FINDING: &[(&str, Register)] =
    &[("dlsym", Register::RSI), ("dlvsym", Register::RSI), ("__libc_dlsym", Register::RSI)];
/// What glibc opens to end threads and for backtraces.
const UNWINDER: &str = "libgcc_s.so.1";
/// Where glibc's modules for character sets are.
const CHARACTER_SETS: &[&str] = &["/usr/lib/x86_64-linux-gnu/gconv", "/usr/lib64/gconv"];

/// A call that opens or finds something, and the names that it can have.
pub(crate) struct Named {
    pub(crate) at: u64,
    pub(crate) by: ObjectId,
    /// The object that has the function.
    pub(crate) of: ObjectId,
    pub(crate) names: Vec<String>,
    /// Whether it can have others.
    pub(crate) is_open: bool,
}

/// The calls that open libraries.
pub(crate) fn opened(space: &Space, reach: &Reach) -> Vec<Named> {
    named(space, reach, OPENING)
}

/// The calls that find functions.
pub(crate) fn found(space: &Space, reach: &Reach) -> Vec<Named> {
    named(space, reach, FINDING)
}

/// The calls of functions, with the names that an argument of them can be.
pub(crate) fn named(space: &Space, reach: &Reach, functions: &[(&str, Register)]) -> Vec<Named> {
    let mut solver = Solver::new(space, reach, limits::NAME_STEPS);
    let mut found = Vec::new();
    for (name, register) in functions {
        let Some((of, target)) = space.find(name) else { continue };
        for site in reach.calls_to(target) {
            let values = solver.register(site.from, site.at, *register, u64::MAX);
            let strings: Vec<_> = values.known.keys().map(|address| string(space, *address)).collect();
            let is_open = !values.open.is_empty() || strings.iter().any(|it| it == &Text::Unknown);
            let names = strings.into_iter().filter_map(|it| match it {
                Text::Known(name) => Some(name),
                Text::None | Text::Unknown => None,
            });
            let by = reach.functions.get(site.from).object;
            found.push(Named { at: site.at, by, of, names: names.collect(), is_open });
        }
    }
    found
}

#[derive(Debug, PartialEq, Eq)]
enum Text {
    Known(String),
    /// No name: the program itself.
    None,
    Unknown,
}

fn string(space: &Space, address: u64) -> Text {
    const MOST: usize = 256;
    if address == 0 {
        return Text::None;
    }
    let read = || {
        let (_, object) = space.at(address)?;
        let offset = address - object.base;
        object.elf.segment(offset).filter(|it| !it.writable)?;
        let bytes = object.elf.at(offset)?;
        let bytes = &bytes[..bytes.iter().take(MOST).position(|byte| *byte == 0)?];
        std::str::from_utf8(bytes).ok().map(str::to_owned)
    };
    read().map_or(Text::Unknown, Text::Known)
}

/// What glibc opens on its own account, by the configuration of the root; nothing if the program has another C library.
pub(crate) fn configured(files: &dyn Files, space: &mut Space) -> Result<Vec<ObjectId>, DeriveError> {
    let Some((libc, _)) = space.find("__libc_early_init").or_else(|| space.find("gnu_get_libc_version"))
    else {
        return Ok(Vec::new());
    };
    let mut names = vec![UNWINDER.to_owned()];
    for line in text(files, "/etc/nsswitch.conf").lines() {
        let line = line.split('#').next().unwrap_or_default();
        let Some((_, services)) = line.split_once(':') else { continue };
        // What is in brackets says what to do if a service has no answer.
        let services = services.split_whitespace().filter(|it| !it.contains(['[', ']', '=', '/']));
        names.extend(services.map(|service| format!("libnss_{service}.so.2")));
    }
    for place in CHARACTER_SETS.iter().filter_map(|it| directory(files, it)) {
        let modules = files.names(&place);
        names.extend(modules.iter().filter(|it| it.ends_with(".so")).map(|it| format!("{place}/{it}")));
    }
    names.sort();
    names.dedup();
    let mut new = Vec::new();
    for name in names {
        // What the root does not have cannot be opened.
        new.extend(space.open(files, &name, Some(libc))?.into_iter().flatten());
    }
    Ok(new)
}
