//! Relocations: which words of memory the loader sets, and to what.

use object::LittleEndian as LE;
use object::elf;
use object::pod::slice_from_all_bytes;

use super::Elf;
use crate::error::DeriveError;
use crate::limits;

/// What the loader writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RelocationKind {
    /// An address in the object itself: the addend.
    Relative,
    /// The address of a symbol and an addend, in data.
    Symbol,
    /// The address of a symbol, in a slot that only code with this slot's address reads.
    Slot,
    /// What the function at the addend returns.
    Indirect,
    /// The data of the symbol, which is copied from where another object has it.
    Copy,
}

/// A relocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Relocation {
    pub(crate) address: u64,
    pub(crate) kind: RelocationKind,
    pub(crate) symbol: u32,
    pub(crate) addend: i64,
}

/// All of them that set a word to an address.
pub(super) fn read(file: &Elf) -> Result<Vec<Relocation>, DeriveError> {
    let mut found = Vec::new();
    let dynamic = &file.dynamic;
    let tables = [(elf::DT_RELA, elf::DT_RELASZ), (elf::DT_JMPREL, elf::DT_PLTRELSZ)];
    for (address, size) in tables.into_iter().filter_map(|(address, size)| dynamic.table(address, size)) {
        let wrong = || file.malformed("relocations", address);
        let bytes = file.at(address).and_then(|it| it.get(..usize::try_from(size - size % 24).ok()?));
        let entries: &[elf::Rela64<LE>] =
            slice_from_all_bytes(bytes.ok_or_else(wrong)?).map_err(|()| wrong())?;
        if entries.len() > limits::RELOCATIONS {
            return Err(file.too_large("relocations", limits::RELOCATIONS));
        }
        for entry in entries {
            let kind = match entry.r_info.get(LE) as u32 {
                elf::R_X86_64_RELATIVE | elf::R_X86_64_RELATIVE64 => RelocationKind::Relative,
                elf::R_X86_64_64 => RelocationKind::Symbol,
                elf::R_X86_64_GLOB_DAT | elf::R_X86_64_JUMP_SLOT => RelocationKind::Slot,
                elf::R_X86_64_IRELATIVE => RelocationKind::Indirect,
                elf::R_X86_64_COPY => RelocationKind::Copy,
                // Thread-local storage: no address of a function.
                _ => continue,
            };
            let symbol = (entry.r_info.get(LE) >> 32) as u32;
            let (address, addend) = (entry.r_offset.get(LE), entry.r_addend.get(LE));
            found.push(Relocation { address, kind, symbol, addend });
        }
    }
    if let Some((address, size)) = dynamic.table(elf::DT_RELR, elf::DT_RELRSZ) {
        relative(file, address, size, &mut found)?;
    }
    Ok(found)
}

/// The compact table of relative relocations: an address, or 63 bits for the words after the last one.
fn relative(file: &Elf, address: u64, size: u64, found: &mut Vec<Relocation>) -> Result<(), DeriveError> {
    let bytes = file.at(address).and_then(|it| it.get(..usize::try_from(size).ok()?));
    let (words, _) = bytes.ok_or_else(|| file.malformed("relocations", address))?.as_chunks::<8>();
    let mut next = 0u64;
    for word in words {
        let word = u64::from_le_bytes(*word);
        if word & 1 == 0 {
            add(file, word, found);
            next = word.wrapping_add(8);
        } else {
            let set = (0..63).filter(|bit| word >> (bit + 1) & 1 == 1);
            set.for_each(|bit| add(file, next.wrapping_add(bit * 8), found));
            next = next.wrapping_add(63 * 8);
        }
        if found.len() > limits::RELOCATIONS {
            return Err(file.too_large("relocations", limits::RELOCATIONS));
        }
    }
    Ok(())
}

fn add(file: &Elf, address: u64, found: &mut Vec<Relocation>) {
    let Some(addend) = file.word(address) else { return };
    found.push(Relocation { address, kind: RelocationKind::Relative, symbol: 0, addend: addend as i64 });
}
