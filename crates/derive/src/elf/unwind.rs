//! Where functions begin and end: the table by which exceptions unwind the stack (`.eh_frame`), which compilers write for
//! every function and which programs keep when they are stripped.

use super::{Elf, slice};
use crate::error::DeriveError;
use crate::limits;

/// A function, or a part of one that the compiler has put elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unwound {
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// The address of the table of its landing pads.
    pub(crate) landing: Option<u64>,
}

const OMITTED: u8 = 0xff;

/// The functions by address, without overlaps. A table that contradicts itself ends where it does so: it is for exceptions,
/// and where it has nothing, functions are found otherwise.
pub(super) fn read(file: &Elf, header: Option<u64>) -> Result<Vec<Unwound>, DeriveError> {
    // Programs without a loader may have the table and no header that leads there.
    let section = || file.sections.iter().find(|it| it.name == ".eh_frame").map(|it| it.address);
    let start = header.and_then(|header| frames(file, header)).or_else(section);
    let Some(start) = start else { return Ok(Vec::new()) };
    let Some(bytes) = file.at(start) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    let mut common: Option<(u64, Common)> = None;
    let mut at = 0u64;
    while let Some(record) = Record::read(bytes, at) {
        let place = record.content + 4;
        if record.id != 0 {
            // How far before this field the common part is.
            let Some(base) = record.content.checked_sub(u64::from(record.id)) else { break };
            if common.as_ref().is_none_or(|(known, _)| *known != base) {
                let Some(read) = Record::read(bytes, base).and_then(|it| Common::read(bytes, &it)) else {
                    break;
                };
                common = Some((base, read));
            }
            let Some((_, common)) = &common else { break };
            if let Some(function) = function(file, bytes, start, place, record.end, common) {
                found.push(function);
            }
        }
        if found.len() > limits::UNWOUND_FUNCTIONS {
            return Err(file.too_large("functions with unwind information", limits::UNWOUND_FUNCTIONS));
        }
        at = record.end;
    }
    found.retain(|it| it.start < it.end && file.is_code(it.start) && file.is_code(it.end - 1));
    found.sort_by_key(|it| (it.start, it.end));
    found.dedup_by_key(|it| it.start);
    for index in 1..found.len() {
        let start = found[index].start;
        found[index - 1].end = found[index - 1].end.min(start);
    }
    Ok(found)
}

/// The address of `.eh_frame`, from the header that leads there.
fn frames(file: &Elf, header: u64) -> Option<u64> {
    let bytes = file.at(header)?;
    if bytes.first() != Some(&1) {
        return None;
    }
    let encoding = *bytes.get(1)?;
    Cursor { bytes, at: 4, end: bytes.len() as u64, base: header }.pointer(file, encoding)
}

struct Record {
    /// Where the field after the length is.
    content: u64,
    end: u64,
    id: u32,
}

impl Record {
    fn read(bytes: &[u8], at: u64) -> Option<Self> {
        let word = |at: u64| slice(bytes, at, 4)?.first_chunk().map(|it| u32::from_le_bytes(*it));
        let (length, content) = match word(at)? {
            // The end, or the form for more than 4 GiB.
            0 | u32::MAX => return None,
            length => (u64::from(length), at + 4),
        };
        let end = content.checked_add(length)?;
        (end <= bytes.len() as u64 && length >= 4).then_some(Self { content, end, id: word(content)? })
    }
}

/// What several functions have in common.
struct Common {
    pointers: u8,
    landing: u8,
    has_augmentation: bool,
    /// Whether the function returns from a signal handler.
    is_signal: bool,
}

impl Common {
    fn read(bytes: &[u8], record: &Record) -> Option<Self> {
        if record.id != 0 {
            return None;
        }
        let mut cursor = Cursor { bytes, at: record.content + 4, end: record.end, base: 0 };
        let version = cursor.byte()?;
        let text = slice(bytes, cursor.at, record.end.checked_sub(cursor.at)?)?;
        let augmentation = &text[..text.iter().position(|byte| *byte == 0)?];
        cursor.at += augmentation.len() as u64 + 1;
        cursor.unsigned()?;
        cursor.unsigned()?;
        if version == 1 {
            cursor.byte()?;
        } else {
            cursor.unsigned()?;
        }
        let mut found = Self { pointers: 0, landing: OMITTED, has_augmentation: false, is_signal: false };
        for letter in augmentation {
            match letter {
                b'z' => {
                    cursor.unsigned()?;
                    found.has_augmentation = true;
                }
                b'R' => found.pointers = cursor.byte()?,
                b'L' => found.landing = cursor.byte()?,
                b'P' => {
                    let encoding = cursor.byte()?;
                    cursor.skip(encoding)?;
                }
                b'S' => found.is_signal = true,
                b'B' => {}
                _ => return None,
            }
        }
        Some(found)
    }
}

fn function(file: &Elf, bytes: &[u8], base: u64, at: u64, end: u64, common: &Common) -> Option<Unwound> {
    let mut cursor = Cursor { bytes, at, end, base };
    let start = cursor.pointer(file, common.pointers)?;
    let size = cursor.raw(common.pointers & 0x0f)?;
    let mut landing = None;
    if common.has_augmentation {
        let length = cursor.unsigned()?;
        if common.landing != OMITTED && length > 0 {
            landing = cursor.pointer(file, common.landing);
        }
    }
    // Who unwinds looks a byte before the address to which a function returns, so the entry of a function to which signal
    // handlers return without having been called begins a byte early (glibc's `sigaction.c`).
    let first = start.checked_add(common.is_signal.into())?;
    Some(Unwound { start: first, end: start.checked_add(size)?, landing })
}

/// Reads encoded values.
pub(super) struct Cursor<'b> {
    pub(super) bytes: &'b [u8],
    pub(super) at: u64,
    pub(super) end: u64,
    /// The address of the first byte.
    pub(super) base: u64,
}

impl Cursor<'_> {
    fn take(&mut self, size: u64) -> Option<&[u8]> {
        let next = self.at.checked_add(size).filter(|next| *next <= self.end)?;
        let found = slice(self.bytes, self.at, size)?;
        self.at = next;
        Some(found)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    /// A number of seven bits a byte.
    pub(super) fn unsigned(&mut self) -> Option<u64> {
        let (mut value, mut shift) = (0u64, 0);
        loop {
            let byte = self.byte()?;
            if shift < 64 {
                value |= u64::from(byte & 0x7f) << shift;
            }
            if byte & 0x80 == 0 {
                return Some(value);
            }
            shift += 7;
        }
    }

    /// A value of this format, without what it is relative to.
    pub(super) fn raw(&mut self, format: u8) -> Option<u64> {
        let bytes = |found: &[u8], signed: bool| {
            let mut wide = [if signed && found.last()? & 0x80 != 0 { 0xff } else { 0 }; 8];
            wide[..found.len()].copy_from_slice(found);
            Some(u64::from_le_bytes(wide))
        };
        match format {
            0x01 => self.unsigned(),
            0x02 => bytes(self.take(2)?, false),
            0x03 => bytes(self.take(4)?, false),
            0x0a => bytes(self.take(2)?, true),
            0x0b => bytes(self.take(4)?, true),
            0x00 | 0x04 | 0x0c => bytes(self.take(8)?, false),
            _ => None,
        }
    }

    /// An address.
    pub(super) fn pointer(&mut self, file: &Elf, encoding: u8) -> Option<u64> {
        let place = self.base.wrapping_add(self.at);
        let value = self.raw(encoding & 0x0f)?;
        if value == 0 {
            return None;
        }
        let address = match encoding & 0x70 {
            0x00 => value,
            0x10 => place.wrapping_add(value),
            // Relative to the header of the table.
            0x30 => self.base.wrapping_add(value),
            _ => return None,
        };
        if encoding & 0x80 == 0 { Some(address) } else { file.word(address) }
    }

    fn skip(&mut self, encoding: u8) -> Option<()> {
        self.raw(encoding & 0x0f).map(|_| ())
    }
}
