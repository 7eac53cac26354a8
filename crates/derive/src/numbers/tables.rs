//! Functions whose addresses only data of their own object has, such as structures of functions.
//!
//! Such a function is called by the indirect calls of the object that read the address from a structure in which it can be:
//! those that read it at the same distance from a place whose address the object uses.

use std::collections::BTreeSet;

use iced_x86::{Instruction, Mnemonic, OpKind, Register};

use super::flow::Flow;
use super::solver::Solver;
use crate::code::named_address;
use crate::functions::FunctionId;
use crate::reach::Taken;
use crate::space::Space;
use crate::tables::last_write;

/// How far from its beginning a structure has functions.
const FAR: u64 = 4096;

impl Solver<'_> {
    /// Whether an address is in data of the function's own object, and no other object can find the function by a name.
    pub(super) fn is_own_data(&self, taken: &Taken) -> bool {
        let (Some((owner, object)), Some((holder, _))) =
            (self.space.at(taken.target), self.space.at(taken.at))
        else {
            return false;
        };
        let offset = taken.target - object.base;
        let is_exported =
            || object.elf.symbols.all().iter().any(|it| it.is_exported() && it.address == offset);
        taken.is_data && owner == holder && !is_exported()
    }

    /// The indirect calls of an object that may read the word at an address of its data, each with its function and whether
    /// it pushes a return address.
    pub(super) fn calls_through(&mut self, word: u64) -> Vec<(FunctionId, usize, bool)> {
        let Some((object, _)) = self.space.at(word) else { return Vec::new() };
        let reach = self.reach;
        let near = |all: &[u64]| {
            let first = all.partition_point(|it| *it < word.saturating_sub(FAR));
            let last = all.partition_point(|it| *it <= word);
            all[first..last].iter().map(|it| word - it).collect::<BTreeSet<_>>()
        };
        let mut distances = near(&reach.data_addresses);
        distances.extend(near(self.space.pointers()));
        let first = reach.indirect.partition_point(|it| it.object < object);
        let own = reach.indirect[first..].iter().take_while(|it| it.object == object);
        let mut found = Vec::new();
        for call in own {
            let Some(flow) = self.flow(call.from) else { continue };
            let Some(index) = flow.index(call.at) else { continue };
            if may_read(self.space, &flow, index, &distances) {
                found.push((call.from, index, call.is_call));
            }
        }
        found
    }
}

/// Whether a call may be one of a function at one of these distances from the beginning of a structure.
fn may_read(space: &Space, flow: &Flow, index: usize, distances: &BTreeSet<u64>) -> bool {
    let reads = |it: &Instruction| match named_address(it) {
        // A variable may have any address, and an entry of the table of the linker has its own.
        Some(address) => space.slot(address).is_none_or(|slot| !slot.is_private) && !is_table(space, address),
        None => it.memory_index() != Register::None || distances.contains(&it.memory_displacement64()),
    };
    let call = &flow.code[index];
    if call.op0_kind() == OpKind::Memory {
        return reads(call);
    }
    let load = last_write(&flow.code, index, call.op0_register().full_register()).map(|it| &flow.code[it]);
    load.filter(|it| it.mnemonic() == Mnemonic::Mov && it.op1_kind() == OpKind::Memory).is_none_or(reads)
}

/// Whether an address is in the table of the linker, also where it has found nothing for an entry.
fn is_table(space: &Space, address: u64) -> bool {
    let section = space.at(address).and_then(|(_, it)| it.elf.section(address - it.base));
    section.is_some_and(|section| section.name.starts_with(".got"))
}
