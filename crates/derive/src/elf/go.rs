//! Go's own table of functions (`.gopclntab`), which programs keep when they are stripped.
//!
//! Go's linker keeps only functions that can be reached, also by interfaces and reflection, so all of them count as
//! reachable. Format: `runtime.pcHeader` in `src/runtime/symtab.go` of Go 1.16 to 1.26.

use super::Elf;
use crate::limits;

/// What is known of a program that Go's compiler made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Go {
    /// The addresses of all functions; none if the table cannot be read.
    pub(crate) functions: Vec<u64>,
    /// The function that makes a call which another thread has asked for (`runtime.runPerThreadSyscall`).
    pub(crate) per_thread: Option<u64>,
    /// The function that asks all threads for a call (`runtime.doAllThreadsSyscall`); the number is its first argument.
    pub(crate) all_threads: Option<u64>,
}

const PER_THREAD: &[u8] = b"runtime.runPerThreadSyscall";
const ALL_THREADS: &[u8] = b"syscall.runtime_doAllThreadsSyscall";

/// What is known of it, if Go's compiler made the program.
pub(super) fn read(file: &Elf) -> Option<Go> {
    let section = file.sections.iter().find(|it| it.name.ends_with(".gopclntab"))?;
    let text = file.sections.iter().find(|it| it.name == ".text")?;
    let (start, end) = (text.address, text.address.checked_add(text.size)?);
    Some(table(file, section.address, start, end).unwrap_or_default())
}

fn table(file: &Elf, table: u64, start: u64, end: u64) -> Option<Go> {
    let word = |index: u64| file.word(table.checked_add(8 + index * 8)?);
    // From Go 1.18 on, the offsets are 32 bits wide and relative to the start of the text.
    let (fields, is_relative) = match file.half(table)? {
        0xffff_fffa => (6, false),
        0xffff_fff0 | 0xffff_fff1 => (7, true),
        _ => return None,
    };
    let count = usize::try_from(word(0)?).ok().filter(|count| *count <= limits::SYMBOLS)?;
    let entries = table.checked_add(word(fields)?)?;
    let names = table.checked_add(word(fields - 4)?)?;
    // With code of C before it, the text of Go begins later. Newer linkers leave the field empty.
    let base = word(2).filter(|it| is_relative && (start..end).contains(it)).unwrap_or(start);
    let bytes = file.at(entries)?;
    // The address of each function, and where the rest about it is.
    let found: Vec<(u64, u64)> = if is_relative {
        let (pairs, _) = bytes.get(..count.checked_mul(8)?)?.as_chunks::<8>();
        let pair = |it: &[u8; 8]| {
            let both = u64::from_le_bytes(*it);
            (base.wrapping_add(both & u64::from(u32::MAX)), both >> 32)
        };
        pairs.iter().map(pair).collect()
    } else {
        let (words, _) = bytes.get(..count.checked_mul(16)?)?.as_chunks::<8>();
        let (pairs, _) = words.as_chunks::<2>();
        pairs.iter().map(|[one, other]| (u64::from_le_bytes(*one), u64::from_le_bytes(*other))).collect()
    };
    if !found.is_sorted() || found.iter().any(|(it, _)| !(start..end).contains(it)) {
        return None;
    }
    let width = if is_relative { 4 } else { 8 };
    let has_name = |rest: u64, name: &[u8]| {
        let place = entries.checked_add(rest)?.checked_add(width)?;
        let offset = file.half(place)?;
        let text = file.at(names.checked_add(offset.into())?)?;
        Some(text.get(..name.len())? == name && text.get(name.len()) == Some(&0))
    };
    let named = |name: &[u8]| {
        let found = found.iter().find(|(_, rest)| has_name(*rest, name) == Some(true));
        found.map(|(address, _)| *address)
    };
    let (per_thread, all_threads) = (named(PER_THREAD), named(ALL_THREADS));
    Some(Go { functions: found.into_iter().map(|(address, _)| address).collect(), per_thread, all_threads })
}
