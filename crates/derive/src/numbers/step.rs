//! One instruction, gone through backwards: where the value of a place comes from.

use iced_x86::{
    Code as Opcode, ConditionCode, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess,
    OpKind, Register,
};

use super::flow::{Flow, writes};
use super::place::{Place, bytes_of};
use super::why::Why;

/// What is calculated from one value or two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Add,
    /// Both are added, the second one multiplied by a power of two, and a number.
    AddScaled(u32, u64),
    Subtract,
    And,
    Or,
    Xor,
    ShiftLeft,
    ShiftRight,
}

/// A value of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Operand {
    Number(u64),
    Place(Place),
}

/// Where the value of a place before the next instruction comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// From the same place, before this instruction.
    Same,
    /// From one of these places.
    From(Vec<Place>),
    /// It is one of these numbers.
    Numbers(Vec<u64>),
    /// These bits of it are one of these numbers, and the others were there before.
    Part(Vec<u64>, u64),
    /// It is calculated, and has this many bits.
    Calculated(Operation, [Operand; 2], u32),
    /// It is what a function returns.
    Returned,
    Unknown(Why),
}

/// Goes back over the instruction at an index; not for what is behind a pointer.
pub(crate) fn step(flow: &Flow, index: usize, place: &Place, info: &mut InstructionInfoFactory) -> Step {
    match place {
        Place::Register(register) => of_register(flow, index, *register, info),
        Place::Stack(at) => of_stack(flow, index, *at, u64::MAX),
        // All writes to it are looked for, wherever they are.
        Place::Memory(_) => Step::Same,
        // `pointers` goes back through these.
        Place::Behind(..) => Step::Unknown(Why::Memory),
    }
}

fn of_register(flow: &Flow, index: usize, register: Register, info: &mut InstructionInfoFactory) -> Step {
    let it = &flow.code[index];
    if matches!(it.code(), Opcode::Syscall | Opcode::Sysenter) {
        let is_changed = matches!(register, Register::RAX | Register::RCX | Register::R11);
        return if is_changed { Step::Unknown(Why::Returned) } else { Step::Same };
    }
    if matches!(it.flow_control(), FlowControl::Call | FlowControl::IndirectCall) {
        return match register {
            Register::RSP => Step::Same,
            Register::RBX | Register::RBP | Register::R12 | Register::R13 | Register::R14 | Register::R15
                if !flow.is_go =>
            {
                Step::Same
            }
            Register::RAX => Step::Returned,
            _ => Step::Unknown(Why::Overwritten),
        };
    }
    let used = info.info(it).used_registers();
    let writes = used.iter().filter(|used| {
        used.register().full_register() == register
            && matches!(
                used.access(),
                OpAccess::Write | OpAccess::ReadWrite | OpAccess::CondWrite | OpAccess::ReadCondWrite
            )
    });
    if writes.count() == 0 {
        return Step::Same;
    }
    if it.mnemonic() == Mnemonic::Cdqe {
        let low = [Operand::Place(Place::Register(Register::RAX)), Operand::Number(u64::from(u32::MAX))];
        return Step::Calculated(Operation::And, low, u64::BITS);
    }
    if it.op_count() == 0
        || it.op0_kind() != OpKind::Register
        || it.op0_register().full_register() != register
    {
        return Step::Unknown(Why::Calculated);
    }
    written(flow, index, register)
}

/// What an instruction writes to its first operand, a register.
fn written(flow: &Flow, index: usize, register: Register) -> Step {
    let it = &flow.code[index];
    let own = || Operand::Place(Place::Register(register));
    let bits = it.op0_register().size() as u32 * 8;
    let calculated =
        |operation, one: Operand, other: Operand| Step::Calculated(operation, [one, other], bits);
    let unknown = Step::Unknown(Why::Calculated);
    let is_itself =
        it.op_count() >= 2 && it.op1_kind() == OpKind::Register && it.op1_register() == it.op0_register();
    // A part of a register: the other bits stay.
    if bits < 32 {
        if is_high_byte(it.op0_register()) {
            return unknown;
        }
        let mask = if bits == 8 { 0xff } else { 0xffff };
        return match (it.mnemonic(), operand(flow, index, 1)) {
            (Mnemonic::Mov, Some(Operand::Number(number))) => Step::Part(vec![number & mask], mask),
            _ if is_set(it) => Step::Part(vec![0, 1], mask),
            _ => unknown,
        };
    }
    match it.mnemonic() {
        Mnemonic::Mov => match operand(flow, index, 1) {
            Some(Operand::Number(number)) => Step::Numbers(vec![number]),
            Some(Operand::Place(place)) => Step::From(vec![place]),
            None => Step::Unknown(Why::Memory),
        },
        Mnemonic::Movzx | Mnemonic::Movsx | Mnemonic::Movsxd => {
            let is_register = it.op1_kind() == OpKind::Register;
            let size = if is_register { it.op1_register().size() } else { it.memory_size().size() };
            let mask = match size {
                1 => 0xff,
                2 => 0xffff,
                4 => u64::from(u32::MAX),
                _ => return Step::Unknown(Why::Memory),
            };
            if is_register && it.op1_register().is_gpr8() && is_high_byte(it.op1_register()) {
                return unknown;
            }
            let is_signed = it.mnemonic() == Mnemonic::Movsx;
            match operand(flow, index, 1) {
                Some(from) if !is_signed => calculated(Operation::And, from, Operand::Number(mask)),
                None if !is_register => Step::Unknown(Why::Memory),
                _ => unknown,
            }
        }
        Mnemonic::Xor | Mnemonic::Sub if is_itself => Step::Numbers(vec![0]),
        Mnemonic::Sbb if is_itself => Step::Numbers(vec![0, u64::MAX]),
        Mnemonic::Lea => lea(flow, index),
        Mnemonic::Inc => calculated(Operation::Add, own(), Operand::Number(1)),
        Mnemonic::Dec => calculated(Operation::Subtract, own(), Operand::Number(1)),
        Mnemonic::Not => calculated(Operation::Xor, own(), Operand::Number(u64::MAX)),
        Mnemonic::Neg => calculated(Operation::Subtract, Operand::Number(0), own()),
        Mnemonic::Pop => match flow.stack(index) {
            Some(at) => Step::From(vec![Place::Stack(at)]),
            None => Step::Unknown(Why::Memory),
        },
        _ if is_conditional_move(it) => match operand(flow, index, 1) {
            Some(Operand::Place(place)) => Step::From(vec![place, Place::Register(register)]),
            _ => unknown,
        },
        mnemonic => {
            let operation = match mnemonic {
                Mnemonic::Add => Operation::Add,
                Mnemonic::Sub => Operation::Subtract,
                Mnemonic::And => Operation::And,
                Mnemonic::Or => Operation::Or,
                Mnemonic::Xor => Operation::Xor,
                Mnemonic::Shl => Operation::ShiftLeft,
                Mnemonic::Shr => Operation::ShiftRight,
                _ => return unknown,
            };
            if it.op_count() != 2 {
                return unknown;
            }
            match operand(flow, index, 1) {
                Some(Operand::Number(u64::MAX)) if operation == Operation::Or => {
                    Step::Numbers(vec![u64::MAX])
                }
                // The processor takes only these bits of a count.
                Some(Operand::Number(count))
                    if matches!(operation, Operation::ShiftLeft | Operation::ShiftRight) =>
                {
                    let most = if bits == 64 { 63 } else { 31 };
                    calculated(operation, own(), Operand::Number(count & most))
                }
                Some(other) => calculated(operation, own(), other),
                None => unknown,
            }
        }
    }
}

/// An operand that is read.
fn operand(flow: &Flow, index: usize, number: u32) -> Option<Operand> {
    let it = &flow.code[index];
    Some(match it.op_kind(number) {
        OpKind::Register => {
            let register = it.op_register(number).full_register();
            if !register.is_gpr64() {
                return None;
            }
            Operand::Place(Place::Register(register))
        }
        OpKind::Memory => Operand::Place(memory(flow, index)?),
        OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64 => return None,
        _ => Operand::Number(it.try_immediate(number).ok()?),
    })
}

/// The memory operand as a place.
pub(crate) fn memory(flow: &Flow, index: usize) -> Option<Place> {
    let it = &flow.code[index];
    if it.segment_prefix() != Register::None {
        return None;
    }
    if let Some(address) = crate::branch::named_address(it) {
        return Some(Place::Memory(address));
    }
    if flow.is_on_stack(index) {
        return flow.place(index).map(Place::Stack);
    }
    if it.memory_index() != Register::None || !it.memory_base().is_gpr64() {
        return None;
    }
    Place::Register(it.memory_base()).behind(it.memory_displacement64() as i64)
}

fn lea(flow: &Flow, index: usize) -> Step {
    let it = &flow.code[index];
    if it.is_ip_rel_memory_operand() {
        return Step::Numbers(vec![it.ip_rel_memory_address()]);
    }
    let bits = it.op0_register().size() as u32 * 8;
    let scaled = it.memory_index();
    if !flow.is_on_stack(index) && scaled.is_gpr64() {
        let base = match it.memory_base() {
            Register::None => Operand::Number(0),
            base if base.is_gpr64() => Operand::Place(Place::Register(base)),
            _ => return Step::Unknown(Why::Calculated),
        };
        let scale = it.memory_index_scale().trailing_zeros();
        let operation = Operation::AddScaled(scale, it.memory_displacement64());
        return Step::Calculated(operation, [base, Operand::Place(Place::Register(scaled))], bits);
    }
    if flow.is_on_stack(index) || scaled != Register::None || !it.memory_base().is_gpr64() {
        return Step::Unknown(Why::Calculated);
    }
    let base = Operand::Place(Place::Register(it.memory_base()));
    Step::Calculated(Operation::Add, [base, Operand::Number(it.memory_displacement64())], bits)
}

/// Goes back over one instruction from a place on the stack, of which only these bits count.
pub(super) fn of_stack(flow: &Flow, index: usize, at: i64, mask: u64) -> Step {
    let bytes = i64::from(bytes_of(mask));
    let it = &flow.code[index];
    let is_call = matches!(it.flow_control(), FlowControl::Call | FlowControl::IndirectCall)
        && !matches!(it.code(), Opcode::Syscall | Opcode::Sysenter);
    if is_call {
        return if flow.is_shared(at) { Step::Unknown(Why::Memory) } else { Step::Same };
    }
    if it.mnemonic() == Mnemonic::Push {
        return match flow.stack(index) {
            Some(stack) if stack - 8 == at => value(flow, index, 0),
            Some(_) => Step::Same,
            None => Step::Unknown(Why::Memory),
        };
    }
    if it.op_count() == 0 || it.op0_kind() != OpKind::Memory || !writes(it) {
        return Step::Same;
    }
    if !flow.is_on_stack(index) {
        // Through a pointer, which may be one to this place.
        return if flow.is_shared(at) && crate::branch::named_address(it).is_none() {
            Step::Unknown(Why::Memory)
        } else {
            Step::Same
        };
    }
    let Some(place) = flow.place(index) else { return Step::Unknown(Why::Memory) };
    let size = it.memory_size().size() as i64;
    if place == at && matches!(it.mnemonic(), Mnemonic::Mov) {
        return value(flow, index, 1);
    }
    let is_apart = place.checked_add(size).is_some_and(|end| end <= at)
        || at.checked_add(bytes).is_some_and(|end| end <= place);
    if is_apart { Step::Same } else { Step::Unknown(Why::Memory) }
}

fn value(flow: &Flow, index: usize, number: u32) -> Step {
    match operand(flow, index, number) {
        Some(Operand::Number(number)) => Step::Numbers(vec![number]),
        Some(Operand::Place(place)) => Step::From(vec![place]),
        None => Step::Unknown(Why::Memory),
    }
}

fn is_high_byte(register: Register) -> bool {
    matches!(register, Register::AH | Register::BH | Register::CH | Register::DH)
}

/// Whether an instruction sets a byte to 0 or 1 by a condition.
fn is_set(it: &Instruction) -> bool {
    it.condition_code() != ConditionCode::None && it.op_count() == 1
}

/// Whether an instruction moves something or nothing, by a condition.
fn is_conditional_move(it: &Instruction) -> bool {
    it.condition_code() != ConditionCode::None && it.op_count() == 2
}
