//! Derives the calls of one program.

use std::collections::{BTreeMap, BTreeSet};

use iced_x86::Register;
use object::elf;

use crate::asked::Asked;
use crate::bounds::bounds;
use crate::chain::{Chains, Step};
use crate::data::Part;
use crate::error::DeriveError;
use crate::executed::{self, Executing};
use crate::files::Files;
use crate::limits;
use crate::modules::{self, Named};
use crate::numbers::{Open, Origin, Solver};
use crate::reach::{How, KernelEntry, Reach};
use crate::request::Request;
use crate::result::{Call, Derived, Finding, FindingKind};
use crate::search::Level;
use crate::space::{ObjectId, Role, Space};

/// What the loader and the C library call by name: the C library's start, and the functions that the loader uses for
/// memory once the C library is there (glibc's `rtld.c` and `dl-minimal.c`).
const BY_NAME: &[&str] = &["__libc_early_init", "malloc", "calloc", "realloc", "free"];

/// The call by which the kernel goes on with one of [`RESTARTED`] after a signal that stopped the program.
const RESTART: u32 = 219;
/// poll, nanosleep, futex, clock_nanosleep.
const RESTARTED: [u32; 4] = [7, 35, 202, 230];

/// Derives the calls of a program from its files.
///
/// # Errors
/// A file is absent, malformed, too large, or for another architecture.
pub fn derive(files: &dyn Files, request: &Request) -> Result<Derived, DeriveError> {
    let (mut derived, mut open) = on(files, request, Level::default())?;
    let mut known = BTreeSet::new();
    // Which libraries are loaded depends on the processor.
    while let Some(level) = open.pop_first() {
        if known.insert(level) {
            let (more, levels) = on(files, request, level)?;
            derived.add(more);
            open.extend(levels);
        }
    }
    Ok(derived)
}

/// Derives the calls of a program on a processor of one level, and tells on which levels other libraries are loaded.
fn on(files: &dyn Files, request: &Request, level: Level) -> Result<(Derived, BTreeSet<Level>), DeriveError> {
    let mut space = Space::load(files, request, level)?;
    let mut reach = Reach::new(&request.program);
    let first: Vec<_> = space.ids().collect();
    begin(&space, &mut reach, &first)?;
    for module in &request.modules {
        let new = space.open(files, module, None)?;
        let needed_by = request.program.clone();
        let new = new.ok_or_else(|| DeriveError::Missing { object: module.clone(), needed_by })?;
        begin(&space, &mut reach, &new)?;
    }
    let new = modules::configured(files, &mut space)?;
    begin(&space, &mut reach, &new)?;
    let opened = open_modules(files, &mut space, &mut reach)?;
    let by_name: Vec<_> = opened.iter().filter(|it| it.2 == FindingKind::OpenSymbol).map(|it| it.1).collect();
    let asked = Asked::new(&space, &reach, &by_name);
    let mut chains = Chains::new(&space, &reach);
    let mut findings = Vec::new();
    for named in opened {
        let (step, at, kind) = named;
        findings.push(Finding { kind, place: chains.link(step, at) });
    }
    let Calls { mut calls, made, executing } = calls(&space, &reach, asked, &mut chains, &mut findings);
    if request.examine_arguments {
        let mut found = bounds(&space, &reach, &mut chains, &made, !by_name.is_empty());
        calls.iter_mut().for_each(|it| it.arguments = found.remove(&it.number).unwrap_or_default());
    }
    let (starts, of_starts) = executed::executed(&space, &reach, &mut chains, &executing);
    findings.extend(of_starts);
    let objects = space.ids().map(|id| space.get(id).elf.path.clone()).collect();
    let mut derived = Derived { program: request.program.clone(), objects, calls, starts, findings };
    derived.sort();
    Ok((derived, space.levels))
}

/// Follows what begins in objects.
pub(crate) fn begin(space: &Space, reach: &mut Reach, objects: &[ObjectId]) -> Result<(), DeriveError> {
    objects.iter().for_each(|id| reach.functions.add_object(space, *id));
    // What the program itself does comes first, so that chains begin there where they can.
    for id in objects.iter().filter(|id| space.get(**id).role == Role::Program) {
        let object = space.get(*id);
        let entry = object.base.wrapping_add(object.elf.entry);
        reach.root(space, How::Entry, entry, entry);
        reach.run(space)?;
        constructors(space, reach, *id);
        reach.run(space)?;
        data(space, reach, *id);
        reach.run(space)?;
    }
    for id in objects {
        let object = space.get(*id);
        if object.elf.go.is_some() {
            reach.keep_all(space, *id);
        }
        if Some(*id) == space.interpreter {
            let entry = object.base.wrapping_add(object.elf.entry);
            reach.root(space, How::Loader, entry, entry);
        }
        constructors(space, reach, *id);
        if object.role == Role::Module {
            exported(space, reach, *id);
        }
    }
    reach.run(space)?;
    for name in BY_NAME {
        if let Some((_, address)) = space.find(name) {
            reach.root(space, How::ByName, address, address);
        }
    }
    reach.run(space)?;
    objects.iter().for_each(|id| data(space, reach, *id));
    reach.run(space)
}

/// The functions that the loader calls when it loads and unloads an object.
fn constructors(space: &Space, reach: &mut Reach, id: ObjectId) {
    let object = space.get(id);
    let dynamic = &object.elf.dynamic;
    for tag in [elf::DT_INIT, elf::DT_FINI] {
        if let Some(offset) = dynamic.get(tag) {
            let address = object.base.wrapping_add(offset);
            reach.root(space, How::Constructor, address, address);
        }
    }
    let arrays = [
        (elf::DT_PREINIT_ARRAY, elf::DT_PREINIT_ARRAYSZ),
        (elf::DT_INIT_ARRAY, elf::DT_INIT_ARRAYSZ),
        (elf::DT_FINI_ARRAY, elf::DT_FINI_ARRAYSZ),
    ];
    for (start, size) in arrays.into_iter().filter_map(|(start, size)| dynamic.table(start, size)) {
        let count = (size / 8).min(limits::RELOCATIONS as u64);
        for place in (0..count).map(|index| object.base.wrapping_add(start).wrapping_add(index * 8)) {
            if let Some(slot) = space.slot(place) {
                reach.root(space, How::Constructor, place, slot.value);
            }
        }
    }
    let resolvers = object.slots.iter().filter(|slot| slot.is_indirect);
    resolvers.for_each(|slot| reach.run_resolver(space, slot.address, slot.value));
}

/// Data of an object that can be read although nothing in the object may have its address.
fn data(space: &Space, reach: &mut Reach, id: ObjectId) {
    let object = space.get(id);
    // Where the addresses are fixed, no relocation says which words are addresses of data; and Go's compiler keeps
    // addresses in tables of its own.
    if object.elf.is_fixed || object.elf.go.is_some() {
        for slot in object.slots.iter().filter(|slot| !slot.is_private) {
            match space.is_code(slot.value) {
                true => reach.pointer(space, *slot, None),
                false => reach.refer(Part::Thing(slot.value)),
            }
        }
    }
    if let Some((start, size)) = object.elf.thread_data {
        reach.refer(Part::Bytes(object.base.wrapping_add(start), size));
    }
    space.copied.iter().for_each(|it| reach.refer(Part::Thing(*it)));
}

/// The functions that whoever opens an object can find.
fn exported(space: &Space, reach: &mut Reach, id: ObjectId) {
    let object = space.get(id);
    for symbol in object.elf.symbols.all().iter().filter(|it| it.is_exported()) {
        let address = object.base.wrapping_add(symbol.address);
        match space.is_code(address) {
            true => reach.root(space, How::ByName, address, address),
            false => reach.refer(Part::Thing(address)),
        }
    }
}

/// Loads what the program opens by constant names, until there is nothing new. Returns what is left to say.
fn open_modules(
    files: &dyn Files,
    space: &mut Space,
    reach: &mut Reach,
) -> Result<Vec<(Step, u64, FindingKind)>, DeriveError> {
    let mut names = BTreeSet::new();
    loop {
        space.finish();
        reach.finish();
        let mut findings = Vec::new();
        let (mut new, mut is_more) = (Vec::new(), false);
        for Named { step, at, by, names, is_open } in modules::opened(space, reach) {
            if is_open {
                findings.push((step, at, FindingKind::OpenLibrary));
            }
            for name in names {
                match space.open(files, &name, Some(by)) {
                    Ok(Some(opened)) => new.extend(opened),
                    Ok(None) => findings.push((step, at, FindingKind::AbsentLibrary(name))),
                    Err(error @ (DeriveError::TooLarge { .. } | DeriveError::Missing { .. })) => {
                        return Err(error);
                    }
                    Err(error) => {
                        findings.push((step, at, FindingKind::UnreadableLibrary(error.to_string())));
                    }
                }
            }
        }
        begin(space, reach, &new)?;
        space.finish();
        reach.finish();
        for found in modules::found(space, reach) {
            if found.is_open {
                findings.push((found.step, found.at, FindingKind::OpenSymbol));
            }
            for name in found.names.into_iter().filter(|name| names.insert(name.clone())) {
                for id in space.ids().collect::<Vec<_>>() {
                    if let Some((_, address, _)) = space.find_in(id, name.as_bytes(), None) {
                        reach.root(space, How::ByName, found.at, address);
                        reach.refer(Part::Thing(address));
                        is_more = true;
                    }
                }
            }
        }
        reach.run(space)?;
        if new.is_empty() && !is_more {
            reach.finish();
            return Ok(findings);
        }
    }
}

/// What calls there are.
struct Calls {
    calls: Vec<Call>,
    /// By number: the instructions that may make the call.
    made: BTreeMap<u32, Vec<KernelEntry>>,
    /// The instructions that start other programs.
    executing: Vec<Executing>,
}

/// The calls, each with its shortest chain, and the instructions that start other programs.
fn calls(
    space: &Space,
    reach: &Reach,
    mut asked: Asked<'_>,
    chains: &mut Chains<'_>,
    findings: &mut Vec<Finding>,
) -> Calls {
    const NUMBER: u64 = u32::MAX as u64;
    const LOWEST_ERROR: u64 = NUMBER - 4096;
    let mut solver = Solver::new(space, reach, limits::STEPS);
    let mut best: BTreeMap<u32, (usize, Origin, u64)> = BTreeMap::new();
    let mut executing = Vec::new();
    let mut made: BTreeMap<u32, Vec<KernelEntry>> = BTreeMap::new();
    for entry in &reach.kernel_entries {
        if !entry.is_syscall {
            findings
                .push(Finding { kind: FindingKind::OtherEntry, place: chains.link(Step::Kernel, entry.at) });
            continue;
        }
        let values = solver.register(entry.from, entry.at, Register::RAX, NUMBER);
        for Open { at, why, .. } in values.open {
            let at = chains.link(Step::Call, at);
            let kind = FindingKind::OpenNumber { why, at };
            findings.push(Finding { kind, place: chains.link(Step::Kernel, entry.at) });
        }
        for (number, origin) in values.known {
            // What was a negative number is an error that a function returns before it calls the kernel.
            if number > LOWEST_ERROR {
                continue;
            }
            made.entry(number as u32).or_default().push(*entry);
            if asked.is_unasked(number as u32, &origin) {
                continue;
            }
            if number > limits::HIGHEST_NUMBER {
                let kind = FindingKind::NoSuchCall(number);
                findings.push(Finding { kind, place: chains.link(Step::Kernel, entry.at) });
                continue;
            }
            if executed::EXECUTING.contains(&(number as u32)) {
                executing.push((entry.at, origin.clone()));
            }
            let length = chains.length(origin.from) + origin.calls.len();
            let known = best.get(&(number as u32));
            if known.is_none_or(|(shortest, ..)| length < *shortest) {
                best.insert(number as u32, (length, origin, entry.at));
            }
        }
    }
    let mut calls: Vec<_> = best
        .into_iter()
        .map(|(number, (_, origin, at))| Call {
            number,
            chain: chains.chain(&origin, at),
            arguments: Vec::new(),
        })
        .collect();
    let restarted = calls.iter().find(|call| RESTARTED.contains(&call.number)).cloned();
    if let Some(call) = restarted.filter(|_| calls.iter().all(|call| call.number != RESTART)) {
        calls.push(Call { number: RESTART, ..call });
        calls.sort_by_key(|call| call.number);
    }
    Calls { calls, made, executing }
}
