//! The instructions of a function.

use std::collections::{BTreeMap, BTreeSet};

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic};

use crate::branch::{falls_through, is_open_branch, named_address, near_target};
use crate::functions::Function;
use crate::limits;
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
    /// Indirect jumps through registers and pointers that are taken for calls of other functions.
    pub(crate) away: Vec<u64>,
    /// Whether all places are known to which tables lead.
    pub(crate) is_certain: bool,
}

impl Code {
    /// Decodes a function; `None` if it has more than `most` instructions.
    pub(crate) fn of(space: &Space, function: &Function, most: usize) -> Option<Self> {
        let mut code = Self { is_certain: true, ..Self::default() };
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
        let is_inside = |it: &u64| (function.start..function.end).contains(it);
        let mut found = BTreeMap::new();
        let mut open = vec![function.start];
        let mut jumps = BTreeSet::new();
        let mut listed = 0;
        loop {
            let known = found.len();
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
                    open.extend(target.filter(|it| !is_call && is_inside(it)));
                    if is_open_branch(&instruction) {
                        jumps.insert(instruction.ip());
                    }
                    if !falls_through(&instruction) {
                        break;
                    }
                }
            }
            if found.len() == known {
                return Some(());
            }
            // A table is found in what was decoded around the jump, so that each round of tables may show more of the
            // others.
            listed += found.len();
            if listed > most.saturating_mul(limits::ROUNDS_OF_DESCENDING) {
                return None;
            }
            self.instructions = found.values().copied().collect();
            self.tables.clear();
            self.open_jumps.clear();
            self.away.clear();
            self.is_certain = true;
            for jump in &jumps {
                if let Ok(index) = self.instructions.binary_search_by_key(jump, Instruction::ip) {
                    self.note_jump(space, function, index);
                }
            }
            open.extend(self.tables.values().flatten().filter(|it| is_inside(it)));
        }
    }

    fn note_jump(&mut self, space: &Space, function: &Function, index: usize) {
        let ip = self.instructions[index].ip();
        match table_targets(space, function, &self.instructions, index) {
            Jump::Table { targets, is_certain } => {
                self.tables.insert(ip, targets);
                self.is_certain &= is_certain;
            }
            Jump::Open => self.open_jumps.push(ip),
            Jump::Array => self.is_certain = false,
            Jump::Away => self.away.push(ip),
        }
    }
}

fn bytes(space: &Space, start: u64, end: u64) -> Option<&[u8]> {
    let (_, object) = space.at(start)?;
    let bytes = object.elf.at(start - object.base)?;
    Some(bytes.get(..usize::try_from(end.checked_sub(start)?).ok()?).unwrap_or(bytes))
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
