//! Where functions begin and end.
//!
//! A *function* is code that is reached as a whole: what the unwind information or a symbol calls one. Code without either
//! (hand-written assembler, musl) is a function that begins where it is reached and has what follows by jumps.

use std::collections::{BTreeMap, HashMap};

use crate::elf::{Elf, Go, SymbolKind, Unwound, landing_pads};
use crate::space::{ObjectId, Space};

/// The place of a function in [`Functions`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FunctionId(pub(crate) u32);

/// A function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) object: ObjectId,
    pub(crate) start: u64,
    /// The end; of code with unknown borders the end of what it may be in.
    pub(crate) end: u64,
    /// Whether the borders are known.
    pub(crate) is_whole: bool,
}

/// The functions of all objects that were asked for.
#[derive(Debug, Default)]
pub(crate) struct Functions {
    tables: BTreeMap<ObjectId, Table>,
    known: HashMap<(ObjectId, u64), FunctionId>,
    all: Vec<Function>,
}

/// The functions with known borders of one object, by address in the file.
#[derive(Debug)]
struct Table {
    extents: Vec<Unwound>,
    has_unwind: bool,
    /// The addresses of symbols of functions.
    entries: Vec<u64>,
}

impl Functions {
    pub(crate) fn add_object(&mut self, space: &Space, id: ObjectId) {
        self.tables.entry(id).or_insert_with(|| Table::new(&space.get(id).elf));
    }

    pub(crate) fn get(&self, id: FunctionId) -> &Function {
        &self.all[id.0 as usize]
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// The function with an address.
    pub(crate) fn at(&mut self, space: &Space, address: u64) -> Option<FunctionId> {
        let (object, loaded) = space.at(address)?;
        let offset = address - loaded.base;
        if !loaded.elf.is_code(offset) {
            return None;
        }
        let table = self.tables.get(&object)?;
        let (start, end, is_whole) = table.extent(&loaded.elf, offset)?;
        let (start, end) = (loaded.base + start, loaded.base + end);
        let id = FunctionId(self.all.len() as u32);
        let id = *self.known.entry((object, start)).or_insert(id);
        if id.0 as usize == self.all.len() {
            self.all.push(Function { object, start, end, is_whole });
        }
        Some(id)
    }

    /// The function with an address, if it was asked for before.
    pub(crate) fn known_at(&self, space: &Space, address: u64) -> Option<FunctionId> {
        let (object, loaded) = space.at(address)?;
        let (start, _, _) = self.tables.get(&object)?.extent(&loaded.elf, address - loaded.base)?;
        self.known.get(&(object, loaded.base + start)).copied()
    }

    /// Whether an address in data is that of a place inside a function, to which only the function itself jumps.
    pub(crate) fn is_label(&self, space: &Space, address: u64) -> bool {
        // A function may begin after an instruction for branch protection, and that of signals after a byte.
        const AFTER: u64 = 8;
        let Some((object, loaded)) = space.at(address) else { return false };
        let Some(table) = self.tables.get(&object) else { return false };
        let offset = address - loaded.base;
        table.has_unwind
            && table.find(offset).is_some_and(|it| offset >= it.start + AFTER)
            && table.entries.binary_search(&offset).is_err()
    }

    /// Where a function goes on when an exception passes through it.
    pub(crate) fn landing_pads(&self, space: &Space, id: FunctionId) -> Vec<u64> {
        let function = self.get(id);
        let loaded = space.get(function.object);
        let found = self.tables.get(&function.object).and_then(|it| it.find(function.start - loaded.base));
        let pads = found.map(|it| landing_pads(&loaded.elf, it)).unwrap_or_default();
        pads.into_iter().map(|pad| loaded.base.wrapping_add(pad)).collect()
    }

    /// All functions with known borders of an object.
    pub(crate) fn starts(&self, space: &Space, id: ObjectId) -> Vec<u64> {
        let base = space.get(id).base;
        self.tables.get(&id).map_or_else(Vec::new, |it| it.extents.iter().map(|it| base + it.start).collect())
    }
}

impl Table {
    fn new(elf: &Elf) -> Self {
        let mut extents: Vec<_> =
            elf.unwound.iter().filter(|it| !is_linkage(elf, it.start)).copied().collect();
        let has_unwind = !extents.is_empty();
        let symbols = elf.names.all().iter().chain(elf.symbols.all());
        let is_function = |kind| kind == SymbolKind::Function || kind == SymbolKind::Indirect;
        let symbols = symbols.filter(|it| it.is_defined && is_function(it.kind));
        let mut entries: Vec<_> = symbols.clone().map(|it| it.address).collect();
        entries.sort_unstable();
        let symbols = symbols.filter(|it| it.size > 0).filter_map(|it| {
            let (start, end) = (it.address, it.address.checked_add(it.size)?);
            (elf.is_code(start) && elf.is_code(end - 1)).then_some(Unwound { start, end, landing: None })
        });
        let mut more: Vec<_> = symbols.collect();
        if let Some(Go { functions: starts, .. }) = &elf.go {
            let ends = starts.iter().skip(1).copied().chain(starts.last().map(|it| it + 1));
            let extent = |(start, end): (&u64, u64)| Unwound { start: *start, end, landing: None };
            more.extend(starts.iter().zip(ends).map(extent).filter(|it| it.start < it.end));
        }
        // Only in what the unwind information leaves free.
        more.retain(|it| {
            let after = extents.partition_point(|known| known.start < it.end);
            extents[..after].last().is_none_or(|known| known.end <= it.start)
        });
        more.sort_by_key(|it| (it.start, std::cmp::Reverse(it.end)));
        more.dedup_by_key(|it| it.start);
        extents.extend(more);
        extents.sort_by_key(|it| it.start);
        for index in 1..extents.len() {
            let start = extents[index].start;
            extents[index - 1].end = extents[index - 1].end.min(start);
        }
        Self { extents, has_unwind, entries }
    }

    fn find(&self, offset: u64) -> Option<&Unwound> {
        let after = self.extents.partition_point(|it| it.start <= offset);
        self.extents[..after].last().filter(|it| offset < it.end)
    }

    /// The start, the end, and whether these are known.
    fn extent(&self, elf: &Elf, offset: u64) -> Option<(u64, u64, bool)> {
        if let Some(found) = self.find(offset) {
            return Some((found.start, found.end, true));
        }
        let after = self.extents.partition_point(|it| it.start <= offset);
        let segment = elf.segment(offset)?;
        let mut end = segment.address + segment.size;
        end = end.min(self.extents.get(after).map_or(u64::MAX, |it| it.start));
        end = end.min(elf.section(offset).map_or(u64::MAX, |it| it.address + it.size));
        Some((offset, end, false))
    }
}

/// Whether an address is in a table of jumps to other objects, whose entries are functions of their own.
fn is_linkage(elf: &Elf, address: u64) -> bool {
    elf.section(address).is_some_and(|it| it.name.starts_with(".plt") || it.name == ".iplt")
}
