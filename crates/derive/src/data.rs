//! Which words of data reached code can read: functions whose addresses only other words have are not reached.
//!
//! Code gets to data by an address that it has, or that data has which it can read. Where the thing ends that is at the
//! address, a stripped file does not say, and a part of it may have an address too. So from an address code reads up to the
//! end of the section, and [`BEFORE`] bytes before.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::functions::FunctionId;
use crate::space::{Object, ObjectId, Slot, Space};

/// How far before an address data is read: compilers subtract the lowest index of an array.
pub(crate) const BEFORE: u64 = 4096;

/// What code can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    /// The thing at an address.
    Thing(u64),
    /// As many bytes.
    Bytes(u64, u64),
}

/// What can be read, and what is still to be followed.
#[derive(Debug, Default)]
pub(crate) struct Data {
    open: Vec<(Part, Option<FunctionId>)>,
    seen: HashSet<Part>,
    /// For each slot of an object whether it can be read.
    read: BTreeMap<ObjectId, Vec<bool>>,
    /// By the end of what is read up to it: from where it is read.
    starts: HashMap<u64, u64>,
}

impl Data {
    /// A function, or what the loader does, reads a part.
    pub(crate) fn refer(&mut self, part: Part, from: Option<FunctionId>) {
        if self.seen.insert(part) {
            self.open.push((part, from));
        }
    }

    /// The slots that can be read by what was referred to, and who referred to each; empty if nothing is open.
    pub(crate) fn take(&mut self, space: &Space) -> Vec<(Slot, Option<FunctionId>)> {
        let mut found = Vec::new();
        for (part, from) in std::mem::take(&mut self.open) {
            let address = match part {
                Part::Thing(address) | Part::Bytes(address, _) => address,
            };
            let Some((id, object)) = space.at(address).filter(|(_, it)| !it.slots.is_empty()) else {
                continue;
            };
            let (start, end) = match part {
                Part::Bytes(address, count) => (address, address.saturating_add(count)),
                Part::Thing(address) => {
                    let (start, end) = extent(object, address);
                    let known = self.starts.entry(end).or_insert(end);
                    let before = *known;
                    *known = start.min(before);
                    (start, before)
                }
            };
            let read = self.read.entry(id).or_insert_with(|| vec![false; object.slots.len()]);
            let first = object.slots.partition_point(|slot| slot.address < start);
            let last = object.slots.partition_point(|slot| slot.address < end).max(first);
            for (slot, read) in object.slots[first..last].iter().zip(&mut read[first..last]) {
                if !slot.is_private && !std::mem::replace(read, true) {
                    found.push((*slot, from));
                }
            }
        }
        found
    }
}

/// From where to where code reads that has an address.
fn extent(object: &Object, address: u64) -> (u64, u64) {
    let offset = address - object.base;
    let end = match object.elf.section(offset) {
        Some(section) => section.address.saturating_add(section.size),
        None => object.elf.segment(offset).map_or(offset, |it| it.address.saturating_add(it.memory)),
    };
    (address.saturating_sub(BEFORE), object.base.saturating_add(end))
}
