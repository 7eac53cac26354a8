//! Where an indirect call reads the address of what it calls.

use iced_x86::{FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register};

use crate::branch::{named_address, near_target};
use crate::code::Code;
use crate::space::Space;

/// How far from its beginning a structure has functions.
pub(crate) const FAR: u16 = 4096;
/// How many instructions before the call its address is read.
const NEAR: usize = 32;

/// Where an indirect call reads the address, as far as it says which structures it may be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// Where no structure has it: in a table of the linker.
    Elsewhere,
    /// At this distance from some address. The instruction that reads it is at `read`, and only what follows it leads to
    /// the call, unless another function jumps between them.
    At { distance: u16, read: u64 },
    /// Anywhere.
    Any,
}

/// Where the indirect calls of a function read.
pub(crate) struct Sources<'c> {
    space: &'c Space,
    code: &'c Code,
    known: Option<Known>,
}

/// What is known of a function that has an indirect call.
struct Known {
    /// Where its jumps lead, sorted.
    targets: Vec<u64>,
    /// The registers that it calculates, or uses for variables on the stack.
    calculated: Vec<Register>,
    info: InstructionInfoFactory,
}

impl<'c> Sources<'c> {
    pub(crate) fn new(space: &'c Space, code: &'c Code) -> Self {
        Self { space, code, known: None }
    }

    /// The source of the call or jump at an index.
    pub(crate) fn of(&mut self, index: usize) -> Source {
        let call = &self.code.instructions[index];
        if call.op0_kind() == OpKind::Memory {
            return self.read(call);
        }
        match self.load(index, call.op0_register().full_register()) {
            Some(load) => self.read(&self.code.instructions[load]),
            None => Source::Any,
        }
    }

    fn known(&mut self) -> &mut Known {
        self.known.get_or_insert_with(|| Known::new(self.code))
    }

    /// The instruction that loads a register from memory, if nothing else can lead from there to an index.
    fn load(&mut self, index: usize, register: Register) -> Option<usize> {
        let code = &self.code.instructions;
        // Without a table, it may lead anywhere.
        if !self.code.open_jumps.is_empty() {
            return None;
        }
        for at in (index.saturating_sub(NEAR)..index).rev() {
            let it = &code[at];
            let known = self.known();
            let is_straight = matches!(it.flow_control(), FlowControl::Next | FlowControl::ConditionalBranch)
                && it.next_ip() == code[at + 1].ip()
                && known.targets.binary_search(&it.next_ip()).is_err();
            if !is_straight {
                return None;
            }
            let is_written = known.info.info(it).used_registers().iter().any(|used| {
                used.register().full_register() == register
                    && !matches!(used.access(), OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess)
            });
            if is_written {
                let is_load = it.mnemonic() == Mnemonic::Mov
                    && it.op0_kind() == OpKind::Register
                    && it.op0_register() == register
                    && it.op1_kind() == OpKind::Memory;
                return is_load.then_some(at);
            }
        }
        None
    }

    fn read(&mut self, it: &Instruction) -> Source {
        match named_address(it) {
            // A variable may have any address, and an entry of the table of the linker has its own.
            Some(address) if is_linkers(self.space, address) => return Source::Elsewhere,
            Some(_) => return Source::Any,
            None => {}
        }
        let base = it.memory_base();
        let distance = u16::try_from(it.memory_displacement64()).ok().filter(|it| *it <= FAR);
        match distance {
            Some(distance)
                if it.memory_index() == Register::None
                    && it.segment_prefix() == Register::None
                    && !self.known().calculated.contains(&base) =>
            {
                Source::At { distance, read: it.ip() }
            }
            // From an array, or behind what the pointer leads to.
            _ => Source::Any,
        }
    }
}

impl Known {
    fn new(code: &Code) -> Self {
        let all = &code.instructions;
        let is_jump = |it: &&Instruction| it.flow_control() != FlowControl::Call;
        let mut targets: Vec<_> = all.iter().filter(is_jump).filter_map(near_target).collect();
        targets.extend(code.tables.values().flatten());
        targets.sort_unstable();
        let mut calculated = vec![Register::RSP];
        if all.iter().any(is_frame) {
            calculated.push(Register::RBP);
        }
        let stack = calculated.clone();
        // A variable on the stack may be calculated in its place.
        let is_on_stack = |it: &Instruction| stack.contains(&it.memory_base());
        let has_variables = all.iter().any(|it| {
            let is_changed =
                matches!(it.mnemonic(), Mnemonic::Add | Mnemonic::Sub | Mnemonic::Inc | Mnemonic::Dec);
            is_changed && it.op0_kind() == OpKind::Memory && is_on_stack(it)
        });
        let is_variable = |it: &Instruction| {
            has_variables
                && it.mnemonic() == Mnemonic::Mov
                && it.op1_kind() == OpKind::Memory
                && is_on_stack(it)
        };
        for it in all.iter().filter(|it| is_calculation(it) || is_variable(it)) {
            let register = it.op0_register().full_register();
            if !calculated.contains(&register) {
                calculated.push(register);
            }
        }
        Self { targets, calculated, info: InstructionInfoFactory::new() }
    }
}

/// Whether an instruction makes the frame pointer.
fn is_frame(it: &Instruction) -> bool {
    let is_from_stack = match it.mnemonic() {
        Mnemonic::Mov => it.op1_kind() == OpKind::Register && it.op1_register() == Register::RSP,
        Mnemonic::Lea => it.memory_base() == Register::RSP,
        Mnemonic::Enter => return true,
        _ => false,
    };
    is_from_stack && it.op0_kind() == OpKind::Register && it.op0_register() == Register::RBP
}

/// Whether an instruction calculates an address from another one, or from the stack pointer.
fn is_calculation(it: &Instruction) -> bool {
    match it.mnemonic() {
        _ if it.op_count() == 0 || it.op0_kind() != OpKind::Register => false,
        Mnemonic::Mov => it.op1_kind() == OpKind::Register && it.op1_register() == Register::RSP,
        Mnemonic::Lea => !it.is_ip_rel_memory_operand(),
        Mnemonic::Add | Mnemonic::Sub | Mnemonic::Inc | Mnemonic::Dec => true,
        _ => false,
    }
}

/// Whether an address is in the table of the linker, also where it has found nothing for an entry.
fn is_linkers(space: &Space, address: u64) -> bool {
    let section = space.at(address).and_then(|(_, it)| it.elf.section(address - it.base));
    space.slot(address).is_some_and(|slot| slot.is_private)
        || section.is_some_and(|section| section.name.starts_with(".got"))
}
