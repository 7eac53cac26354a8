//! Symbols with their versions.

use std::collections::BTreeMap;
use std::ops::Range;

use object::LittleEndian as LE;
use object::elf;
use object::pod::{from_bytes, slice_from_all_bytes};

use super::{Elf, section_headers, slice};
use crate::error::DeriveError;
use crate::limits;

/// What a symbol is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SymbolKind {
    Function,
    /// A function that returns the address of the function.
    Indirect,
    Other,
}

/// A symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Symbol {
    /// The offset of its name in the file.
    name: u32,
    length: u16,
    pub(crate) kind: SymbolKind,
    pub(crate) is_defined: bool,
    is_local: bool,
    /// The index of its version, and bit 15: whether only who asks for this version gets it.
    version: u16,
    pub(crate) address: u64,
    pub(crate) size: u64,
}

/// A table of symbols.
#[derive(Debug, Clone, Default)]
pub(crate) struct Symbols {
    all: Vec<Symbol>,
    /// The defined ones, by name.
    by_name: Vec<u32>,
    /// The names of versions, by index.
    versions: BTreeMap<u16, String>,
    has_versions: bool,
}

/// Where the table for debuggers is: its symbols, and its strings.
pub(super) type DebugRange = (Range<u64>, Range<u64>);

pub(super) fn debug_range(bytes: &[u8], header: &elf::FileHeader64<LE>) -> Option<DebugRange> {
    let headers = section_headers(bytes, header)?;
    let table = headers.iter().find(|it| it.sh_type.get(LE) == elf::SHT_SYMTAB)?;
    let strings = headers.get(table.sh_link.get(LE) as usize)?;
    let range = |it: &elf::SectionHeader64<LE>| {
        let start = it.sh_offset.get(LE);
        Some(start..start.checked_add(it.sh_size.get(LE))?)
    };
    Some((range(table)?, range(strings)?))
}

impl Symbols {
    pub(super) fn debug(file: &Elf, (table, strings): DebugRange) -> Result<Self, DeriveError> {
        let mut found = Self::default();
        // It is for people: where it is wrong, it is as if it had been stripped.
        let Some(table) = slice(&file.bytes, table.start, table.end - table.start) else { return Ok(found) };
        found.add(file, table, strings)?;
        found.all.retain(|it| it.is_defined && it.kind != SymbolKind::Other);
        found.index(file);
        Ok(found)
    }

    pub(super) fn dynamic(file: &Elf) -> Result<Self, DeriveError> {
        let dynamic = &file.dynamic;
        let mut found = Self::default();
        let (Some(table), Some(strings)) = (dynamic.get(elf::DT_SYMTAB), dynamic.get(elf::DT_STRTAB)) else {
            return Ok(found);
        };
        let hashed = count(file).ok_or_else(|| file.malformed("hash table of symbols", table))?;
        // A program that exports nothing has an empty table of hashes, and symbols that it looks for.
        let used = file.relocations.iter().map(|it| u64::from(it.symbol) + 1).max();
        let count = hashed.max(used.unwrap_or(0));
        if count > limits::SYMBOLS as u64 {
            return Err(file.too_large("symbols", limits::SYMBOLS));
        }
        let wrong = || file.malformed("symbols", table);
        let bytes = file.at(table).and_then(|it| it.get(..count as usize * 24)).ok_or_else(wrong)?;
        let segment = file.segment(strings).ok_or_else(|| file.malformed("strings", strings))?;
        let start = segment.offset + (strings - segment.address);
        found.add(file, bytes, start..segment.offset + segment.size)?;
        found.read_versions(file);
        found.index(file);
        Ok(found)
    }

    fn add(&mut self, file: &Elf, table: &[u8], strings: Range<u64>) -> Result<(), DeriveError> {
        let table = &table[..table.len() - table.len() % 24];
        let symbols: &[elf::Sym64<LE>] =
            slice_from_all_bytes(table).map_err(|()| file.malformed("symbols", strings.start))?;
        if symbols.len() > limits::SYMBOLS {
            return Err(file.too_large("symbols", limits::SYMBOLS));
        }
        let end = (file.bytes.len() as u64).min(strings.end);
        self.all.reserve_exact(symbols.len());
        for symbol in symbols {
            let name = (strings.start + u64::from(symbol.st_name.get(LE))).min(end);
            let text = &file.bytes[name as usize..end as usize];
            let text = text.get(..::files::PATH_BYTES).unwrap_or(text);
            let length = text.iter().position(|byte| *byte == 0).unwrap_or(0);
            let kind = match symbol.st_info & 15 {
                elf::STT_FUNC => SymbolKind::Function,
                elf::STT_GNU_IFUNC => SymbolKind::Indirect,
                _ => SymbolKind::Other,
            };
            let section = symbol.st_shndx.get(LE);
            self.all.push(Symbol {
                name: name as u32,
                length: length as u16,
                kind,
                is_defined: section != elf::SHN_UNDEF && section != elf::SHN_ABS,
                is_local: symbol.st_info >> 4 == elf::STB_LOCAL,
                version: 1,
                address: symbol.st_value.get(LE),
                size: symbol.st_size.get(LE),
            });
        }
        Ok(())
    }

    fn index(&mut self, file: &Elf) {
        let is_found = |it: &u32| {
            let symbol = &self.all[*it as usize];
            symbol.is_defined && !symbol.is_local && symbol.length > 0
        };
        let mut by_name: Vec<_> = (0..self.all.len() as u32).filter(is_found).collect();
        by_name.sort_by_key(|it| self.all[*it as usize].name_bytes(file));
        self.by_name = by_name;
    }

    fn read_versions(&mut self, file: &Elf) {
        let Some(table) = file.dynamic.get(elf::DT_VERSYM) else { return };
        let Some(bytes) = file.at(table).and_then(|it| it.get(..self.all.len() * 2)) else { return };
        self.has_versions = true;
        let (versions, _) = bytes.as_chunks::<2>();
        for (symbol, version) in self.all.iter_mut().zip(versions) {
            symbol.version = u16::from_le_bytes(*version);
        }
        let (mut at, mut left) = (file.dynamic.get(elf::DT_VERDEF), limits::DYNAMIC_ENTRIES);
        while let Some((address, true)) = at.map(|at| (at, left > 0)) {
            let Some(entry) = file.value::<elf::Verdef<LE>>(address) else { break };
            let name = file.value::<elf::Verdaux<LE>>(address.wrapping_add(entry.vd_aux.get(LE).into()));
            let name = name.and_then(|it| file.dynamic.string(file, it.vda_name.get(LE).into()));
            self.versions.extend(name.map(|name| (entry.vd_ndx.get(LE), name)));
            at = next(address, entry.vd_next.get(LE));
            left -= 1;
        }
        let mut at = file.dynamic.get(elf::DT_VERNEED);
        while let Some((address, true)) = at.map(|at| (at, left > 0)) {
            let Some(entry) = file.value::<elf::Verneed<LE>>(address) else { break };
            let mut aux = next(address, entry.vn_aux.get(LE));
            while let Some((address, true)) = aux.map(|aux| (aux, left > 0)) {
                let Some(entry) = file.value::<elf::Vernaux<LE>>(address) else { break };
                let name = file.dynamic.string(file, entry.vna_name.get(LE).into());
                self.versions.extend(name.map(|name| (entry.vna_other.get(LE), name)));
                aux = next(address, entry.vna_next.get(LE));
                left -= 1;
            }
            at = next(address, entry.vn_next.get(LE));
            left = left.saturating_sub(1);
        }
    }

    pub(crate) fn get(&self, index: u32) -> Option<&Symbol> {
        self.all.get(index as usize)
    }

    pub(crate) fn all(&self) -> &[Symbol] {
        &self.all
    }

    /// The version that a reference asks for.
    pub(crate) fn version(&self, symbol: &Symbol) -> Option<&str> {
        self.versions.get(&(symbol.version & 0x7fff)).map(String::as_str)
    }

    /// The defined symbols of a name, of all versions.
    pub(crate) fn named(&self, file: &Elf, name: &[u8]) -> Vec<&Symbol> {
        let of = |index: &u32| &self.all[*index as usize];
        let start = self.by_name.partition_point(|it| of(it).name_bytes(file) < name);
        self.by_name[start..].iter().map(of).take_while(|it| it.name_bytes(file) == name).collect()
    }

    /// The defined symbol of a name that a reference with this version may mean (glibc's `do_lookup_x`).
    pub(crate) fn find(&self, file: &Elf, name: &[u8], version: Option<&str>) -> Option<&Symbol> {
        let mut same = self.named(file, name);
        if let (Some(version), true) = (version, self.has_versions) {
            return same.into_iter().find(|it| self.version(it).is_none_or(|found| found == version));
        }
        // Without a version: the oldest is meant by old programs, the default one by `dlsym`.
        same.sort_by_key(|it| it.version & 0x8000);
        same.first().copied()
    }
}

impl Symbol {
    fn name_bytes<'f>(&self, file: &'f Elf) -> &'f [u8] {
        let start = self.name as usize;
        file.bytes.get(start..start + usize::from(self.length)).unwrap_or_default()
    }

    /// The name.
    pub(crate) fn name<'f>(&self, file: &'f Elf) -> &'f [u8] {
        self.name_bytes(file)
    }

    /// Whether other objects can refer to it.
    pub(crate) fn is_exported(&self) -> bool {
        self.is_defined && !self.is_local && self.length > 0
    }
}

fn next(address: u64, offset: u32) -> Option<u64> {
    (offset != 0).then(|| address.checked_add(offset.into())).flatten()
}

/// The number of symbols that the loader knows, from the hash table by which it finds them.
fn count(file: &Elf) -> Option<u64> {
    if let Some(table) = file.dynamic.get(elf::DT_HASH) {
        return file.half(table.checked_add(4)?).map(u64::from);
    }
    let table = file.dynamic.get(elf::DT_GNU_HASH)?;
    let (header, _) = from_bytes::<elf::GnuHashHeader<LE>>(file.at(table)?).ok()?;
    let (buckets, base) = (u64::from(header.bucket_count.get(LE)), u64::from(header.symbol_base.get(LE)));
    let start = table.checked_add(16)?.checked_add(u64::from(header.bloom_count.get(LE)) * 8)?;
    let bytes = file.at(start)?.get(..usize::try_from(buckets * 4).ok()?)?;
    let (found, _) = bytes.as_chunks::<4>();
    let last = found.iter().map(|it| u64::from(u32::from_le_bytes(*it))).max().unwrap_or(0);
    if last < base {
        return Some(base);
    }
    let chain = file.at(start.checked_add(buckets * 4)?.checked_add((last - base) * 4)?)?;
    let (chain, _) = chain.as_chunks::<4>();
    let more = chain.iter().position(|it| u32::from_le_bytes(*it) & 1 == 1)?;
    Some(last + more as u64 + 1)
}
