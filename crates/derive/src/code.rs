//! The instructions of a function.

use std::collections::{BTreeMap, BTreeSet};

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register};

use crate::functions::Function;
use crate::space::Space;
use crate::tables::{Jump, table_targets};

/// The instructions of a function, by address, and what its jumps through tables lead to.
#[derive(Debug, Default)]
pub(crate) struct Code {
    pub(crate) instructions: Vec<Instruction>,
    /// For each indirect jump: its targets, if they are known.
    pub(crate) tables: BTreeMap<u64, Vec<u64>>,
    /// Indirect jumps that may lead to anywhere in the function.
    pub(crate) open_jumps: Vec<u64>,
}

impl Code {
    /// Decodes a function; `None` if it has more than `most` instructions.
    pub(crate) fn of(space: &Space, function: &Function, most: usize) -> Option<Self> {
        let mut code = Self::default();
        if function.is_whole {
            code.sweep(space, function, most)?;
        } else {
            code.descend(space, function, most)?;
        }
        Some(code)
    }

    /// Everything from the first byte to the last one.
    fn sweep(&mut self, space: &Space, function: &Function, most: usize) -> Option<()> {
        let Some(bytes) = bytes(space, function.start, function.end) else { return Some(()) };
        // Most instructions have about four bytes.
        self.instructions.reserve(bytes.len() / 4);
        for instruction in Decoder::with_ip(64, bytes, function.start, DecoderOptions::NONE) {
            if self.instructions.len() >= most {
                return None;
            }
            self.instructions.push(instruction);
        }
        for index in 0..self.instructions.len() {
            if is_open_branch(&self.instructions[index]) {
                self.note_jump(space, function, index);
            }
        }
        Some(())
    }

    /// Whatever can be reached from the start without a call.
    fn descend(&mut self, space: &Space, function: &Function, most: usize) -> Option<()> {
        let mut found = BTreeMap::new();
        let mut open = vec![function.start];
        let mut jumps = BTreeSet::new();
        loop {
            while let Some(start) = open.pop() {
                let Some(bytes) = bytes(space, start, function.end) else { continue };
                for instruction in Decoder::with_ip(64, bytes, start, DecoderOptions::NONE) {
                    if found.contains_key(&instruction.ip()) || instruction.is_invalid() {
                        break;
                    }
                    if found.len() >= most {
                        return None;
                    }
                    found.insert(instruction.ip(), instruction);
                    let target = near_target(&instruction);
                    let is_call = instruction.flow_control() == FlowControl::Call;
                    open.extend(target.filter(|it| !is_call && (function.start..function.end).contains(it)));
                    if is_open_branch(&instruction) {
                        jumps.insert(instruction.ip());
                    }
                    if !falls_through(&instruction) {
                        break;
                    }
                }
            }
            // A table is found in what was decoded before the jump.
            let Some(jump) = jumps.pop_first() else { break };
            self.instructions = found.values().copied().collect();
            let Ok(index) = self.instructions.binary_search_by_key(&jump, Instruction::ip) else { continue };
            self.note_jump(space, function, index);
            let targets = self.tables.get(&jump).into_iter().flatten();
            open.extend(targets.filter(|it| (function.start..function.end).contains(it)));
        }
        self.instructions = found.into_values().collect();
        Some(())
    }

    fn note_jump(&mut self, space: &Space, function: &Function, index: usize) {
        let ip = self.instructions[index].ip();
        match table_targets(space, function, &self.instructions, index) {
            Jump::Table(targets) => _ = self.tables.insert(ip, targets),
            Jump::Open => self.open_jumps.push(ip),
            Jump::Away => {}
        }
    }
}

fn bytes(space: &Space, start: u64, end: u64) -> Option<&[u8]> {
    let (_, object) = space.at(start)?;
    let bytes = object.elf.at(start - object.base)?;
    Some(bytes.get(..usize::try_from(end.checked_sub(start)?).ok()?).unwrap_or(bytes))
}

/// Whether the instruction after this one can follow it.
pub(crate) fn falls_through(instruction: &Instruction) -> bool {
    use FlowControl::{Exception, IndirectBranch, Return, UnconditionalBranch};
    let ends =
        matches!(instruction.flow_control(), UnconditionalBranch | IndirectBranch | Return | Exception);
    !ends && !matches!(instruction.mnemonic(), Mnemonic::Hlt | Mnemonic::Int3)
}

/// The target of a direct jump or call.
pub(crate) fn near_target(instruction: &Instruction) -> Option<u64> {
    let is_near = instruction.op_count() == 1
        && matches!(
            instruction.op0_kind(),
            OpKind::NearBranch64 | OpKind::NearBranch32 | OpKind::NearBranch16
        );
    is_near.then(|| instruction.near_branch_target())
}

/// The address that an instruction names relative to itself, or absolutely.
pub(crate) fn named_address(instruction: &Instruction) -> Option<u64> {
    if instruction.is_ip_rel_memory_operand() {
        return Some(instruction.ip_rel_memory_address());
    }
    let has_memory = (0..instruction.op_count()).any(|it| instruction.op_kind(it) == OpKind::Memory);
    let is_absolute = has_memory
        && instruction.memory_base() == Register::None
        && instruction.memory_index() == Register::None
        && instruction.segment_prefix() == Register::None;
    is_absolute.then(|| instruction.memory_displacement64())
}

/// An indirect jump through a register, or through memory at an address that is calculated.
fn is_open_branch(instruction: &Instruction) -> bool {
    instruction.flow_control() == FlowControl::IndirectBranch && named_address(instruction).is_none()
}

/// The slot through which a function only jumps on, if it does nothing else.
pub(crate) fn thunk(space: &Space, address: u64) -> Option<u64> {
    let bytes = bytes(space, address, address.checked_add(32)?)?;
    for instruction in Decoder::with_ip(64, bytes, address, DecoderOptions::NONE).iter().take(2) {
        match instruction.flow_control() {
            FlowControl::IndirectBranch => return named_address(&instruction),
            FlowControl::Next if instruction.mnemonic() == Mnemonic::Endbr64 => {}
            _ => return None,
        }
    }
    None
}
