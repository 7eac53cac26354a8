//! The address space of a program: every object at an address of its own, with what the loader writes into memory.
//!
//! An *object* is a file that is loaded: the program, its loader, a library, a module. A *slot* is a word of memory that
//! the loader sets to an address. A *scope* is the order in which the loader looks for symbols.

use std::collections::{BTreeMap, BTreeSet};

use object::elf;

use crate::elf::{Elf, RelocationKind, SymbolKind};
use crate::error::DeriveError;
use crate::files::{Files, read, text};
use crate::limits;
use crate::request::Request;
use crate::search::{Level, Search};

/// The first address for objects that can be anywhere.
const FIRST: u64 = 0x7000_0000_0000;
/// The distance between objects, beside what they take.
const GAP: u64 = 1 << 20;

/// The place of an object in [`Space`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ObjectId(pub(crate) u32);

/// Why an object is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Program,
    Library,
    /// Opened while the program runs: whoever opens it finds its functions by name.
    Module,
}

/// A word of memory with an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) address: u64,
    pub(crate) value: u64,
    /// Whether only instructions that name its address read it: an entry of the global offset table.
    pub(crate) is_private: bool,
    /// Whether the value is the address of a function that returns the address.
    pub(crate) is_indirect: bool,
}

/// An object at its address.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) elf: Elf,
    pub(crate) base: u64,
    pub(crate) role: Role,
    /// By address.
    pub(crate) slots: Vec<Slot>,
    /// Where symbols are looked for after the objects that the program was started with.
    local: Vec<ObjectId>,
}

/// All objects.
#[derive(Debug, Default)]
pub(crate) struct Space {
    objects: Vec<Object>,
    /// By address.
    order: Vec<ObjectId>,
    by_path: BTreeMap<String, ObjectId>,
    by_name: BTreeMap<String, ObjectId>,
    /// The objects that the program was started with, in the order of the loader.
    global: Vec<ObjectId>,
    pub(crate) interpreter: Option<ObjectId>,
    search: Search,
    /// The levels of processors on which other libraries are loaded than on those without a level.
    pub(crate) levels: BTreeSet<Level>,
    /// The values of all slots, sorted.
    pointers: Vec<u64>,
    /// Where data is that the loader copies into the program.
    pub(crate) copied: Vec<u64>,
    bytes: usize,
    next: u64,
}

impl Space {
    /// Loads the program of a request and what it needs, as on a processor of a level.
    pub(crate) fn load(files: &dyn Files, request: &Request, level: Level) -> Result<Self, DeriveError> {
        let mut space = Self { next: FIRST, ..Self::default() };
        let program = space.add(files, &request.program, Role::Program)?;
        let interpreter = space.get(program).elf.interpreter.clone();
        space.search = Search::new(files, interpreter.as_deref(), &request.directories, level);
        let mut first = vec![program];
        if interpreter.is_some() {
            let configured = text(files, "/etc/ld.so.preload");
            for name in request.preload.iter().map(String::as_str).chain(configured.split_whitespace()) {
                // The loader goes on without what it does not find.
                if let Some(path) = space.library(files, name, &[program]) {
                    first.push(space.add(files, &path, Role::Library)?);
                }
            }
        }
        if let Some(interpreter) = interpreter {
            let id = space.add(files, &interpreter, Role::Library)?;
            // Others need it by its name.
            space.interpreter = Some(id);
        }
        space.global = space.with_needed(files, &first)?;
        if let Some(interpreter) = space.interpreter.filter(|it| !space.global.contains(it)) {
            space.global.push(interpreter);
        }
        (0..space.objects.len()).for_each(|index| space.relocate(ObjectId(index as u32)));
        Ok(space)
    }

    /// Loads an object that the program opens; `Ok(None)` if there is none. Returns those that are new, or opened for the
    /// first time.
    pub(crate) fn open(
        &mut self,
        files: &dyn Files,
        name: &str,
        by: Option<ObjectId>,
    ) -> Result<Option<Vec<ObjectId>>, DeriveError> {
        let loaders = self.loaders(by);
        let Some(path) = self.library(files, name, &loaders) else { return Ok(None) };
        let (before, bytes, next) = (self.objects.len(), self.bytes, self.next);
        let opened = self.add(files, &path, Role::Module);
        let opened = opened.and_then(|first| Ok((first, self.with_needed(files, &[first])?)));
        let (first, local) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                // Whoever opens one of these later has to relocate it.
                self.forget(before);
                (self.bytes, self.next) = (bytes, next);
                return Err(error);
            }
        };
        let role = &mut self.objects[first.0 as usize].role;
        // One that is already there is opened too, and its functions can be found by name from now on.
        let is_opened = *role == Role::Library && (first.0 as usize) < before;
        *role = if *role == Role::Program { Role::Program } else { Role::Module };
        let mut new: Vec<_> = (before as u32..self.objects.len() as u32).map(ObjectId).collect();
        for id in &new {
            self.objects[id.0 as usize].local.clone_from(&local);
            self.relocate(*id);
        }
        new.extend(is_opened.then_some(first));
        Ok(Some(new))
    }

    /// Forgets the objects from a place on.
    fn forget(&mut self, first: usize) {
        let is_known = |id: &ObjectId| (id.0 as usize) < first;
        self.objects.truncate(first);
        self.order.retain(is_known);
        self.by_path.retain(|_, id| is_known(id));
        self.by_name.retain(|_, id| is_known(id));
    }

    /// The path of a library that is loaded by an object, which was loaded by the next one, and so on.
    fn library(&mut self, files: &dyn Files, name: &str, loaders: &[ObjectId]) -> Option<String> {
        let loaders: Vec<_> = loaders.iter().map(|id| &self.objects[id.0 as usize].elf).collect();
        self.levels.extend(self.search.levels(files, name, &loaders));
        self.search.find(files, name, &loaders)
    }

    fn loaders(&self, by: Option<ObjectId>) -> Vec<ObjectId> {
        let mut loaders: Vec<_> = by.into_iter().collect();
        loaders.extend(self.global.first().filter(|it| Some(**it) != by));
        loaders
    }

    fn add(&mut self, files: &dyn Files, path: &str, role: Role) -> Result<ObjectId, DeriveError> {
        let (path, bytes) = read(files, path)?;
        if let Some(id) = self.by_path.get(&path) {
            return Ok(*id);
        }
        self.bytes += bytes.len();
        if self.bytes > limits::CLOSURE_BYTES || self.objects.len() >= limits::OBJECTS {
            let (what, limit) = match self.bytes > limits::CLOSURE_BYTES {
                true => ("bytes in all files", limits::CLOSURE_BYTES),
                false => ("libraries", limits::OBJECTS),
            };
            return Err(DeriveError::TooLarge { object: path, what, limit });
        }
        let elf = Elf::parse(&path, bytes)?;
        let id = ObjectId(self.objects.len() as u32);
        let base = if elf.is_fixed { 0 } else { self.next };
        if elf.is_fixed && id.0 > 0 {
            let why = "a program cannot be loaded as a library";
            return Err(DeriveError::NotElf { object: path, why });
        }
        if !elf.is_fixed {
            self.next += (elf.end() + GAP) & !0xfff;
        }
        self.by_path.insert(path.clone(), id);
        let file_name = path.rsplit('/').next().unwrap_or_default().to_owned();
        let names = elf.dynamic.soname.iter().cloned().chain([file_name]);
        names.for_each(|name| _ = self.by_name.entry(name).or_insert(id));
        self.objects.push(Object { elf, base, role, slots: Vec::new(), local: Vec::new() });
        self.order.push(id);
        self.order.sort_by_key(|id| self.objects[id.0 as usize].base);
        Ok(id)
    }

    /// These objects and all that they need, breadth first.
    fn with_needed(&mut self, files: &dyn Files, first: &[ObjectId]) -> Result<Vec<ObjectId>, DeriveError> {
        let mut found = first.to_vec();
        let mut seen: BTreeSet<_> = found.iter().copied().collect();
        // Who has loaded it, for the paths that libraries inherit.
        let mut parents = BTreeMap::new();
        let mut index = 0;
        while let Some(id) = found.get(index).copied() {
            index += 1;
            for name in self.get(id).elf.dynamic.needed.clone() {
                let needed = match self.by_name.get(&name) {
                    Some(known) => *known,
                    None => {
                        let mut chain = vec![id];
                        while let Some(parent) = chain.last().and_then(|last| parents.get(last)) {
                            chain.push(*parent);
                        }
                        chain.extend(self.global.first().filter(|it| !chain.contains(it)).copied());
                        let path = self.library(files, &name, &chain).ok_or_else(|| {
                            let needed_by = self.get(id).elf.path.clone();
                            DeriveError::Missing { object: name.clone(), needed_by }
                        })?;
                        let needed = self.add(files, &path, Role::Library)?;
                        self.by_name.insert(name, needed);
                        needed
                    }
                };
                if seen.insert(needed) {
                    parents.insert(needed, id);
                    found.push(needed);
                }
            }
        }
        Ok(found)
    }

    pub(crate) fn get(&self, id: ObjectId) -> &Object {
        &self.objects[id.0 as usize]
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = ObjectId> + use<> {
        (0..self.objects.len() as u32).map(ObjectId)
    }

    /// The object with an address.
    pub(crate) fn at(&self, address: u64) -> Option<(ObjectId, &Object)> {
        let after = self.order.partition_point(|id| self.get(*id).base <= address);
        let id = *self.order[..after].last()?;
        let object = self.get(id);
        (address - object.base < object.elf.end()).then_some((id, object))
    }

    /// Sorts what was found, to be searched.
    pub(crate) fn finish(&mut self) {
        self.pointers.sort_unstable();
        self.pointers.dedup();
    }

    /// The addresses that data has, sorted.
    pub(crate) fn pointers(&self) -> &[u64] {
        &self.pointers
    }

    pub(crate) fn is_code(&self, address: u64) -> bool {
        self.at(address).is_some_and(|(_, object)| object.elf.is_code(address - object.base))
    }

    /// The slot at an address.
    pub(crate) fn slot(&self, address: u64) -> Option<&Slot> {
        let (_, object) = self.at(address)?;
        let index = object.slots.binary_search_by_key(&address, |slot| slot.address).ok()?;
        Some(&object.slots[index])
    }

    /// The definition of a symbol that a loader without an object of its own finds first.
    pub(crate) fn find(&self, name: &str) -> Option<(ObjectId, u64)> {
        let found = self.global.iter().find_map(|id| self.find_in(*id, name.as_bytes(), None));
        found.map(|(id, address, _)| (id, address))
    }

    /// Every definition of a function, in whichever object and of whichever version.
    pub(crate) fn find_all(&self, name: &str) -> Vec<(ObjectId, u64)> {
        let mut found = Vec::new();
        for id in self.ids() {
            let object = self.get(id);
            let same = object.elf.symbols.named(&object.elf, name.as_bytes());
            found.extend(same.iter().map(|symbol| (id, object.base.wrapping_add(symbol.address))));
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The definition of a symbol in one object.
    pub(crate) fn find_in(
        &self,
        id: ObjectId,
        name: &[u8],
        version: Option<&str>,
    ) -> Option<(ObjectId, u64, SymbolKind)> {
        let object = self.get(id);
        let symbol = object.elf.symbols.find(&object.elf, name, version)?;
        Some((id, object.base.wrapping_add(symbol.address), symbol.kind))
    }

    /// Sets the slots of an object.
    fn relocate(&mut self, id: ObjectId) {
        let object = self.get(id);
        let Object { elf, base, .. } = object;
        let scope: Vec<_> = self.global.iter().chain(&object.local).copied().collect();
        let others: Vec<_> = scope.iter().copied().filter(|it| *it != id).collect();
        let mut copied = Vec::new();
        let mut slots = Vec::with_capacity(elf.relocations.len());
        // Most relocations of a symbol are of few symbols.
        let mut known = BTreeMap::new();
        for relocation in &elf.relocations {
            let address = base.wrapping_add(relocation.address);
            let in_table = || elf.section(relocation.address).is_some_and(|it| it.name.starts_with(".got"));
            let (target, is_private, is_indirect) = match relocation.kind {
                RelocationKind::Relative => (Some((*base, false)), in_table(), false),
                RelocationKind::Indirect => (Some((*base, false)), in_table(), true),
                kind @ (RelocationKind::Symbol | RelocationKind::Slot) => {
                    let found = *known
                        .entry(relocation.symbol)
                        .or_insert_with(|| self.definition(&scope, id, relocation.symbol));
                    (found, kind == RelocationKind::Slot, false)
                }
                RelocationKind::Copy => {
                    copied.extend(self.definition(&others, id, relocation.symbol).map(|it| it.0));
                    (None, false, false)
                }
            };
            let Some((target, by_symbol)) = target else { continue };
            let value = target.wrapping_add(relocation.addend as u64);
            slots.push(Slot { address, value, is_private, is_indirect: is_indirect || by_symbol });
        }
        let variables = if elf.is_fixed { fixed_pointers(elf, &mut slots) } else { Vec::new() };
        // The loader's tables come in this order, and a later one overwrites.
        slots.sort_by_key(|slot| slot.address);
        slots.dedup_by_key(|slot| slot.address);
        let known = slots.iter().filter(|slot| !slot.is_private).map(|slot| slot.value);
        self.pointers.extend(known.chain(variables));
        self.copied.extend(copied);
        slots.shrink_to_fit();
        let object = &mut self.objects[id.0 as usize];
        object.slots = slots;
        object.elf.relocations = Vec::new();
    }

    /// The address of the symbol that a reference means, and whether it is that of a function that returns the address.
    fn definition(&self, scope: &[ObjectId], by: ObjectId, index: u32) -> Option<(u64, bool)> {
        let elf = &self.get(by).elf;
        let symbol = elf.symbols.get(index)?;
        let (name, version) = (symbol.name(elf), elf.symbols.version(symbol));
        if name.is_empty() {
            return None;
        }
        // A symbol that others cannot see is its own.
        let own = [by];
        let scope = if symbol.is_exported() || !symbol.is_defined { scope } else { &own };
        let (_, address, kind) = scope.iter().chain(&own).find_map(|id| self.find_in(*id, name, version))?;
        Some((address, kind == SymbolKind::Indirect))
    }
}

/// Adds the addresses of code in the data of a program with fixed addresses, which has no relocations for them, and returns
/// those of variables.
fn fixed_pointers(elf: &Elf, slots: &mut Vec<Slot>) -> Vec<u64> {
    let mut variables = Vec::new();
    let symbols = elf.dynamic.get(elf::DT_SYMTAB);
    let symbols = symbols.map(|start| start..start + elf.symbols.all().len() as u64 * 24);
    for segment in &elf.segments {
        let Some(bytes) = elf.at(segment.address) else { continue };
        // The headers have the address of the code, and are no data.
        let headers = elf.headers.saturating_sub(segment.offset).min(bytes.len() as u64);
        let first = segment.address + headers;
        let skipped = (first.next_multiple_of(8) - segment.address) as usize;
        let (words, _) = bytes.get(skipped..).unwrap_or_default().as_chunks::<8>();
        for (index, word) in words.iter().enumerate() {
            let (address, value) =
                (segment.address + skipped as u64 + index as u64 * 8, u64::from_le_bytes(*word));
            let is_known = || symbols.as_ref().is_some_and(|it| it.contains(&address));
            if value == 0 || elf.is_code(address) || is_known() {
                continue;
            }
            if !elf.is_code(value) {
                let is_variable = elf.segment(value).is_some_and(|it| it.writable);
                variables.extend(is_variable.then_some(value));
                continue;
            }
            let in_table = elf.section(address).is_some_and(|it| it.name.starts_with(".got"));
            slots.push(Slot { address, value, is_private: in_table, is_indirect: false });
        }
    }
    variables
}
