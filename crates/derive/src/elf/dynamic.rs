//! The dynamic table: what the loader needs to load and start an object.

use std::collections::BTreeMap;

use object::LittleEndian as LE;
use object::elf;
use object::pod::slice_from_all_bytes;

use super::{Elf, slice};
use crate::error::DeriveError;
use crate::limits;

/// The dynamic table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Dynamic {
    /// The first value of each tag.
    values: BTreeMap<i64, u64>,
    pub(crate) needed: Vec<String>,
    pub(crate) soname: Option<String>,
    pub(crate) rpath: Vec<String>,
    pub(crate) runpath: Vec<String>,
}

impl Dynamic {
    pub(super) fn read(file: &Elf, offset: u64, size: u64) -> Result<Self, DeriveError> {
        let wrong = || file.malformed("dynamic table", offset);
        let table = slice(&file.bytes, offset, size - size % 16).ok_or_else(wrong)?;
        let entries: &[elf::Dyn64<LE>] = slice_from_all_bytes(table).map_err(|()| wrong())?;
        let mut found = Self::default();
        let (mut needed, mut count) = (Vec::new(), 0);
        for entry in entries {
            let (tag, value) = (entry.d_tag.get(LE), entry.d_val.get(LE));
            if tag == elf::DT_NULL {
                break;
            }
            count += 1;
            if count > limits::DYNAMIC_ENTRIES {
                return Err(file.too_large("entries of the dynamic table", limits::DYNAMIC_ENTRIES));
            }
            if tag == elf::DT_NEEDED {
                needed.push(value);
            } else {
                found.values.entry(tag).or_insert(value);
            }
        }
        let string = |offset: u64| found.string(file, offset).ok_or_else(|| file.malformed("string", offset));
        let one = |tag| found.values.get(&tag).map(|offset| string(*offset)).transpose();
        let paths = |tag| one(tag).map(|it| it.map_or_else(Vec::new, |text| split(&text)));
        let needed = needed.into_iter().map(string).collect::<Result<_, _>>()?;
        let (soname, rpath, runpath) = (one(elf::DT_SONAME)?, paths(elf::DT_RPATH)?, paths(elf::DT_RUNPATH)?);
        Ok(Self { needed, soname, rpath, runpath, ..found })
    }

    /// The first value of a tag.
    pub(crate) fn get(&self, tag: i64) -> Option<u64> {
        self.values.get(&tag).copied()
    }

    /// A table: its address and its size in bytes.
    pub(crate) fn table(&self, address: i64, size: i64) -> Option<(u64, u64)> {
        Some((self.get(address)?, self.get(size)?))
    }

    /// A string of the table of strings.
    pub(super) fn string(&self, file: &Elf, offset: u64) -> Option<String> {
        let text = file.at(self.get(elf::DT_STRTAB)?.checked_add(offset)?)?;
        let text = text.get(..::files::PATH_BYTES).unwrap_or(text);
        let end = text.iter().position(|byte| *byte == 0)?;
        Some(String::from_utf8_lossy(&text[..end]).into_owned())
    }
}

fn split(paths: &str) -> Vec<String> {
    paths.split(':').filter(|path| !path.is_empty()).map(str::to_owned).collect()
}
