//! Landing pads: where a function goes on when an exception passes through it. No instruction leads there.

use super::Elf;
use super::unwind::{Cursor, Unwound};
use crate::limits;

const OMITTED: u8 = 0xff;

/// The landing pads of a function.
pub(crate) fn landing_pads(file: &Elf, function: &Unwound) -> Vec<u64> {
    function.landing.and_then(|table| read(file, function.start, table)).unwrap_or_default()
}

fn read(file: &Elf, function: u64, table: u64) -> Option<Vec<u64>> {
    let bytes = file.at(table)?;
    let mut cursor = Cursor { bytes, at: 0, end: bytes.len() as u64, base: table };
    let start = match cursor.byte()? {
        OMITTED => function,
        // Compilers write the number 0 for pads that are addresses of their own.
        encoding => cursor.pointer(file, encoding).unwrap_or(0),
    };
    if cursor.byte()? != OMITTED {
        cursor.unsigned()?;
    }
    let encoding = cursor.byte()?;
    let size = cursor.unsigned()?;
    let end = cursor.at.checked_add(size)?.min(cursor.end);
    let mut found = Vec::new();
    while cursor.at < end && found.len() < limits::TABLE_ENTRIES * 16 {
        cursor.raw(encoding & 0x0f)?;
        cursor.raw(encoding & 0x0f)?;
        let pad = cursor.raw(encoding & 0x0f)?;
        cursor.unsigned()?;
        if pad != 0 {
            found.push(start.wrapping_add(pad));
        }
    }
    found.sort_unstable();
    found.dedup();
    Some(found)
}
