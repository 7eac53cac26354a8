//! The addresses that instructions have, and what code gets to by them.

use std::collections::BTreeSet;

use iced_x86::{FlowControl, Instruction, Mnemonic, OpKind};
use object::elf;

use super::{Depth, How, Reach, Store, Taken, final_target};
use crate::branch::named_address;
use crate::code::Code;
use crate::data::Part;
use crate::elf::Elf;
use crate::functions::FunctionId;
use crate::space::Space;
use crate::tables::{is_calculated, places_by_distance};

impl Reach {
    /// What the operands of an instruction that is no jump lead to.
    pub(super) fn operands(&mut self, space: &Space, id: FunctionId, it: &Instruction) {
        if let Some(address) = named_address(it) {
            self.address(space, id, it, address);
        }
        let object = space.get(self.functions.get(id).object);
        if let Some(distance) = distance_of_large_code(it)
            && let Some(base) = table_of_addresses(&object.elf)
        {
            self.named(space, id, it.ip(), object.base.wrapping_add(base).wrapping_add(distance));
        }
        if object.elf.is_fixed {
            self.fixed(space, id, it);
        }
    }

    fn fixed(&mut self, space: &Space, id: FunctionId, it: &Instruction) {
        for (value, is_number) in fixed_addresses(it) {
            if !space.is_code(value) {
                self.fixed_addresses.extend(space.at(value).map(|_| value));
            } else if is_number {
                self.taken(space, id, it.ip(), value);
            }
        }
    }

    fn address(&mut self, space: &Space, id: FunctionId, it: &Instruction, address: u64) {
        if it.mnemonic() == Mnemonic::Lea {
            if space.is_code(address) {
                self.taken(space, id, it.ip(), address);
            } else {
                self.thing(address, id);
            }
            return;
        }
        if self.linked(space, id, it.ip(), address) {
            return;
        }
        if it.op0_kind() == OpKind::Memory {
            let size = it.memory_size().size() as u64;
            self.stores.push(Store { address, at: it.ip(), from: id, size: size.max(1) });
        }
        self.data.refer(Part::Bytes(address, it.memory_size().size() as u64), Some(id));
    }

    /// An instruction has the address of code, of an entry of the linker's table, or of data.
    fn named(&mut self, space: &Space, id: FunctionId, at: u64, address: u64) {
        if space.is_code(address) {
            self.taken(space, id, at, address);
        } else if !self.linked(space, id, at, address) && space.at(address).is_some() {
            self.thing(address, id);
        }
    }

    /// Whether an address is that of an entry of the linker's table. If so, an instruction has what the entry has.
    fn linked(&mut self, space: &Space, id: FunctionId, at: u64, address: u64) -> bool {
        let Some(slot) = space.slot(address).filter(|slot| slot.is_private) else { return false };
        if space.is_code(slot.value) {
            self.taken(space, id, at, slot.value);
        } else {
            self.thing(slot.value, id);
        }
        true
    }

    fn thing(&mut self, address: u64, id: FunctionId) {
        self.data_addresses.push(address);
        self.data.refer(Part::Thing(address), Some(id));
    }

    /// The functions that a call can reach whose address is calculated from an array of distances: from each array whose
    /// address the calling function has, until it leads to something else.
    pub(super) fn distances(&mut self, space: &Space, id: FunctionId, code: &Code) {
        let all = &code.instructions;
        let is_open = |index: usize| {
            let it = &all[index];
            let is_call = it.flow_control() == FlowControl::IndirectCall;
            (is_call || code.open_jumps.contains(&it.ip())) && is_calculated(all, index)
        };
        let Some(first) = (0..all.len()).find(|index| is_open(*index)) else { return };
        let function = *self.functions.get(id);
        let is_fixed = space.get(function.object).elf.is_fixed;
        let mut arrays = BTreeSet::new();
        for it in all {
            arrays.extend(named_address(it).filter(|_| it.mnemonic() == Mnemonic::Lea));
            arrays.extend(fixed_addresses(it).map(|it| it.0).filter(|_| is_fixed));
        }
        for array in arrays {
            for target in places_by_distance(space, &function, array) {
                let called = self.functions.at(space, target).map(|id| *self.functions.get(id));
                if !called.is_some_and(|called| called.start == target || !called.is_whole) {
                    break;
                }
                self.taken(space, id, all[first].ip(), target);
            }
        }
    }

    /// An instruction has the address of code.
    pub(super) fn taken(&mut self, space: &Space, id: FunctionId, at: u64, address: u64) {
        let own = self.functions.get(id);
        // A place of its own, and no call of itself.
        if own.start < address && address < own.end && own.is_whole {
            return;
        }
        self.taken.push(Taken { target: final_target(space, address), at, from: Some(id), is_data: false });
        // Who only runs it does not use what it returns.
        if self.depths[id.0 as usize] == Depth::Runs {
            return;
        }
        self.edge(space, How::Address, id, at, address);
    }
}

/// The numbers of an instruction that are addresses if its program has fixed ones, and whether each is an operand of its own,
/// and no part of one such as the address of an array with an index.
fn fixed_addresses(it: &Instruction) -> impl Iterator<Item = (u64, bool)> {
    (0..it.op_count()).filter_map(|operand| match it.op_kind(operand) {
        OpKind::Immediate32 | OpKind::Immediate32to64 | OpKind::Immediate64 => {
            Some((it.immediate(operand), true))
        }
        OpKind::Memory if named_address(it).is_none() => Some((it.memory_displacement64(), false)),
        _ => None,
    })
}

/// The distance from the linker's table of addresses by which code of the large model (`-mcmodel=large`) names something: a
/// number of 64 bits that has room in 32, for which compilers write a shorter instruction otherwise.
fn distance_of_large_code(it: &Instruction) -> Option<u64> {
    let is_long = it.mnemonic() == Mnemonic::Mov && it.op1_kind() == OpKind::Immediate64;
    let number = is_long.then(|| it.immediate64())?;
    i32::try_from(number as i64).is_ok().then_some(number)
}

/// Where the linker's table of addresses begins (`_GLOBAL_OFFSET_TABLE_`), within an object.
fn table_of_addresses(elf: &Elf) -> Option<u64> {
    let section = |name: &str| elf.sections.iter().find(|it| it.name == name).map(|it| it.address);
    elf.dynamic.get(elf::DT_PLTGOT).or_else(|| section(".got.plt")).or_else(|| section(".got"))
}
