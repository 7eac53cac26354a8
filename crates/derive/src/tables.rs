//! Jumps through tables, as compilers write them for `switch`.

use iced_x86::{Instruction, Mnemonic, OpKind, Register};

use crate::branch::near_target;
use crate::functions::Function;
use crate::limits;
use crate::space::Space;

/// What an indirect jump is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Jump {
    /// To places of the function, by a table.
    Table {
        targets: Vec<u64>,
        /// Whether the code before the jump shows where the table begins and ends.
        is_certain: bool,
    },
    /// To places of the function, by a table that was not found.
    Open,
    /// To another function.
    Away,
    /// To another function, by an array, or to places of this one, by a table that was not found.
    Array,
}

/// How many instructions before the jump its parts are looked for.
const NEAR: usize = 32;

/// What the indirect jump at an index leads to.
pub(crate) fn table_targets(space: &Space, function: &Function, code: &[Instruction], index: usize) -> Jump {
    let jump = &code[index];
    if jump.op0_kind() == OpKind::Memory {
        return match jump.memory_index() {
            Register::None => Jump::Away,
            _ => absolute(space, function, code, index, index),
        };
    }
    let target = jump.op0_register().full_register();
    let Some(written) = last_write(code, index, target) else { return Jump::Open };
    let write = &code[written];
    match write.mnemonic() {
        // An offset of a table and the address that it is relative to.
        Mnemonic::Add if write.op1_kind() == OpKind::Register => {
            let other = write.op1_register().full_register();
            let load = [target, other].into_iter().find_map(|register| {
                let load = last_write(code, written, register)?;
                let it = &code[load];
                (it.mnemonic() == Mnemonic::Movsxd && it.op1_kind() == OpKind::Memory).then_some(load)
            });
            let Some(load) = load else { return Jump::Open };
            let (base, loaded) = (code[load].memory_base().full_register(), code[load].op0_register());
            // The address of the table is usually also what its offsets are relative to.
            let relative = if loaded.full_register() == target { other } else { target };
            let tables = addresses(code, load, base);
            let starts = addresses(code, written, relative);
            let bound = bound(code, load);
            let is_certain = is_certain(code, index, load, base) && tables == starts;
            let mut found = Vec::new();
            for table in &tables {
                for start in &starts {
                    if relative == base && table != start {
                        continue;
                    }
                    found.extend(entries(space, function, *table, 4, bound, Some(*start)));
                }
            }
            let is_whole = bound == Some(found.len());
            finished(found, is_certain && is_whole)
        }
        Mnemonic::Mov if write.op1_kind() == OpKind::Memory => match write.memory_index() {
            Register::None => Jump::Away,
            _ => absolute(space, function, code, index, written),
        },
        Mnemonic::Mov | Mnemonic::Lea | Mnemonic::Pop => Jump::Away,
        _ => Jump::Open,
    }
}

/// Whether the indirect call or jump at an index goes to an address that it calculates, as far as it is not known that it
/// reads it.
pub(crate) fn is_calculated(code: &[Instruction], index: usize) -> bool {
    let call = &code[index];
    if call.op0_kind() != OpKind::Register {
        return false;
    }
    let Some(written) = last_write(code, index, call.op0_register().full_register()) else { return true };
    let write = &code[written];
    let is_read = write.mnemonic() == Mnemonic::Mov && write.op1_kind() == OpKind::Memory;
    let is_named = write.mnemonic() == Mnemonic::Lea && write.is_ip_rel_memory_operand();
    !is_read && !is_named
}

/// The places of code to which an array of distances leads that begins at an address.
pub(crate) fn places_by_distance(space: &Space, function: &Function, array: u64) -> Vec<u64> {
    entries(space, function, array, 4, Some(limits::TABLE_ENTRIES), Some(array))
}

/// A table of addresses, which the instruction at an index reads for a jump.
fn absolute(space: &Space, function: &Function, code: &[Instruction], jump: usize, index: usize) -> Jump {
    let load = &code[index];
    let base = load.memory_base().full_register();
    let tables = match base {
        Register::None => vec![load.memory_displacement64()],
        base => addresses(code, index, base),
    };
    let bound = bound(code, index);
    let entries = |table: &u64| entries(space, function, *table, 8, bound, None);
    let found: Vec<_> = tables.iter().flat_map(entries).collect();
    let is_certain = bound == Some(found.len()) && is_certain(code, jump, index, base);
    match finished(found, is_certain) {
        Jump::Open => Jump::Array,
        found => found,
    }
}

fn finished(mut targets: Vec<u64>, is_certain: bool) -> Jump {
    targets.sort_unstable();
    targets.dedup();
    if targets.is_empty() { Jump::Open } else { Jump::Table { targets, is_certain } }
}

/// Whether the code before a jump shows where its table begins and ends: the index is compared with a number and a larger one
/// is sent elsewhere, the address of the table is loaded, and nothing else leads to what follows. Where it does not, some
/// targets of the jump may not be known.
fn is_certain(code: &[Instruction], jump: usize, load: usize, base: Register) -> bool {
    let first = load.saturating_sub(NEAR);
    let Some(compare) = (first..load).rev().find(|it| code[*it].mnemonic() == Mnemonic::Cmp) else {
        return false;
    };
    let mut index = code[load].memory_index().full_register();
    let mut is_checked = false;
    for it in code[compare + 1..load].iter().rev() {
        let is_written = it.op_count() > 0
            && it.op0_kind() == OpKind::Register
            && it.op0_register().full_register() == index
            && it.mnemonic() != Mnemonic::Test;
        match it.mnemonic() {
            Mnemonic::Ja | Mnemonic::Jae => is_checked = true,
            _ if it.is_jcc_short_or_near() => return false,
            // The jump goes by another comparison.
            _ if is_checked && it.rflags_modified() != 0 => return false,
            Mnemonic::Mov | Mnemonic::Movzx if is_written && it.op1_kind() == OpKind::Register => {
                index = it.op1_register().full_register();
            }
            _ if is_written => return false,
            _ => {}
        }
    }
    let compared = &code[compare];
    let is_compared = compared.op0_kind() == OpKind::Register
        && compared.op0_register().full_register() == index
        && !matches!(compared.op1_kind(), OpKind::Register | OpKind::Memory);
    let start = match base {
        Register::None => Some(compare),
        base => last_write(code, load, base)
            .filter(|it| code[*it].mnemonic() == Mnemonic::Lea && code[*it].is_ip_rel_memory_operand()),
    };
    let Some(start) = start else { return false };
    let (start, end) = (code[start.min(compare)].ip(), code[jump].ip());
    let is_entered = || code.iter().filter_map(near_target).any(|it| it > start && it <= end);
    is_checked && is_compared && !is_entered()
}

/// The instruction before an index that writes a register, if it is near.
fn last_write(code: &[Instruction], index: usize, register: Register) -> Option<usize> {
    let first = index.saturating_sub(NEAR);
    (first..index).rev().find(|it| {
        let instruction = &code[*it];
        instruction.op_count() > 0
            && instruction.op0_kind() == OpKind::Register
            && instruction.op0_register().full_register() == register
            && !matches!(instruction.mnemonic(), Mnemonic::Cmp | Mnemonic::Test | Mnemonic::Push)
    })
}

/// The addresses that the function gives a register anywhere; the one that is nearest before the index alone if it is in
/// the same run of instructions.
fn addresses(code: &[Instruction], index: usize, register: Register) -> Vec<u64> {
    let is_address = |it: &&Instruction| {
        it.mnemonic() == Mnemonic::Lea
            && it.op0_register().full_register() == register
            && it.is_ip_rel_memory_operand()
    };
    if let Some(near) = last_write(code, index, register) {
        let near = &code[near];
        if is_address(&near) {
            return vec![near.ip_rel_memory_address()];
        }
    }
    let mut found: Vec<_> = code.iter().filter(is_address).map(Instruction::ip_rel_memory_address).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// The number of entries, by the comparison before the jump.
fn bound(code: &[Instruction], index: usize) -> Option<usize> {
    let first = index.saturating_sub(NEAR);
    let compare = code[first..index].iter().rev().find(|it| it.mnemonic() == Mnemonic::Cmp)?;
    let is_number = !matches!(compare.op1_kind(), OpKind::Register | OpKind::Memory);
    let number = is_number.then(|| compare.immediate(1))?;
    usize::try_from(number).ok()?.checked_add(1).filter(|it| *it <= limits::TABLE_ENTRIES)
}

/// The entries of a table that are addresses of code.
fn entries(
    space: &Space,
    function: &Function,
    table: u64,
    size: u64,
    bound: Option<usize>,
    relative: Option<u64>,
) -> Vec<u64> {
    let Some((id, object)) = space.at(table) else { return Vec::new() };
    if id != function.object || object.elf.is_code(table - object.base) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for index in 0..bound.unwrap_or(limits::TABLE_ENTRIES) as u64 {
        let place = table + index * size;
        let target = match relative {
            Some(start) => {
                let Some(offset) = object.elf.half(place - object.base) else { break };
                start.wrapping_add(i64::from(offset as i32) as u64)
            }
            None => match space.slot(place) {
                Some(slot) => slot.value,
                None => {
                    let Some(word) = object.elf.word(place - object.base) else { break };
                    word
                }
            },
        };
        let is_inside = (function.start..function.end).contains(&target);
        if !is_inside && (bound.is_none() || !space.is_code(target)) {
            break;
        }
        found.push(target);
    }
    found
}
