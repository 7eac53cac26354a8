//! Jumps through tables, as compilers write them for `switch`.

use iced_x86::{Instruction, Mnemonic, OpKind, Register};

use crate::functions::Function;
use crate::limits;
use crate::space::Space;

/// What an indirect jump is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Jump {
    /// To places of the function, by a table.
    Table(Vec<u64>),
    /// To places of the function, by a table that was not found.
    Open,
    /// To another function.
    Away,
}

/// How many instructions before the jump its parts are looked for.
const NEAR: usize = 32;

/// What the indirect jump at an index leads to.
pub(crate) fn table_targets(space: &Space, function: &Function, code: &[Instruction], index: usize) -> Jump {
    let jump = &code[index];
    if jump.op0_kind() == OpKind::Memory {
        return match jump.memory_index() {
            Register::None => Jump::Away,
            _ => absolute(space, function, code, index, jump),
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
            let mut found = Vec::new();
            for table in &tables {
                for start in &starts {
                    if relative == base && table != start {
                        continue;
                    }
                    found.extend(entries(space, function, *table, 4, bound, Some(*start)));
                }
            }
            finished(found)
        }
        Mnemonic::Mov if write.op1_kind() == OpKind::Memory => match write.memory_index() {
            Register::None => Jump::Away,
            _ => absolute(space, function, code, written, write),
        },
        Mnemonic::Mov | Mnemonic::Lea | Mnemonic::Pop => Jump::Away,
        _ => Jump::Open,
    }
}

/// A table of addresses, which this instruction reads.
fn absolute(
    space: &Space,
    function: &Function,
    code: &[Instruction],
    index: usize,
    load: &Instruction,
) -> Jump {
    let base = load.memory_base().full_register();
    let tables = match base {
        Register::None => vec![load.memory_displacement64()],
        base => addresses(code, index, base),
    };
    let bound = bound(code, index);
    let found = tables.iter().flat_map(|table| entries(space, function, *table, 8, bound, None)).collect();
    match finished(found) {
        // An array of functions.
        Jump::Open => Jump::Away,
        found => found,
    }
}

fn finished(mut found: Vec<u64>) -> Jump {
    found.sort_unstable();
    found.dedup();
    if found.is_empty() { Jump::Open } else { Jump::Table(found) }
}

/// The instruction before an index that writes a register, if it is near.
pub(crate) fn last_write(code: &[Instruction], index: usize, register: Register) -> Option<usize> {
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
