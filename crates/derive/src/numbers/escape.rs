//! Functions whose address is loaded into a register only to be called: compilers do so where a function is called
//! several times and there is no table for calls to other objects.

use std::collections::BTreeSet;

use iced_x86::{FlowControl, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register};

use super::flow::Flow;
use super::place::Place;
use super::step::memory;
use crate::limits;

/// The calls through the register into which the instruction at this address loads, each with whether it pushes a return
/// address; `None` if the address gets anywhere else.
pub(super) fn calls_of_register(flow: &Flow, at: u64) -> Option<Vec<(usize, bool)>> {
    let start = flow.index(at)?;
    let load = &flow.code[start];
    if load.op_count() == 0 || load.op0_kind() != OpKind::Register {
        return None;
    }
    let mut info = InstructionInfoFactory::new();
    let mut found = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut open = vec![(start, Place::Register(load.op0_register().full_register()))];
    while let Some((index, place)) = open.pop() {
        if seen.len() > limits::STEPS {
            return None;
        }
        for next in flow.after(index) {
            if !seen.insert((next, place.clone())) {
                continue;
            }
            match forward(flow, next, &place, &mut info)? {
                Forward::Stays => open.push((next, place.clone())),
                Forward::Gone => {}
                Forward::AlsoIn(other) => {
                    open.push((next, place.clone()));
                    open.push((next, other));
                }
                Forward::Called { stays } => {
                    found.insert((next, true));
                    if stays {
                        open.push((next, place.clone()));
                    }
                }
                Forward::JumpedTo => _ = found.insert((next, false)),
            }
        }
    }
    Some(found.into_iter().collect())
}

enum Forward {
    Stays,
    Gone,
    AlsoIn(Place),
    Called { stays: bool },
    JumpedTo,
}

/// What an instruction does with the address that is in a place; `None` if the address gets elsewhere.
fn forward(flow: &Flow, index: usize, place: &Place, info: &mut InstructionInfoFactory) -> Option<Forward> {
    let it = &flow.code[index];
    let reads = |operand: u32| match (it.op_kind(operand), place) {
        (OpKind::Register, Place::Register(register)) => it.op_register(operand).full_register() == *register,
        (OpKind::Memory, Place::Stack(_)) => memory(flow, index).as_ref() == Some(place),
        _ => false,
    };
    let survives = match place {
        Place::Register(register) => is_restored(*register) && !flow.is_go,
        Place::Stack(at) => !flow.is_shared(*at),
        _ => false,
    };
    match it.flow_control() {
        FlowControl::IndirectCall if reads(0) => return Some(Forward::Called { stays: survives }),
        FlowControl::IndirectBranch if reads(0) => return Some(Forward::JumpedTo),
        FlowControl::Call | FlowControl::IndirectCall => {
            return match place {
                Place::Register(register) if is_argument(*register) => None,
                _ if survives => Some(Forward::Stays),
                _ => Some(Forward::Gone),
            };
        }
        FlowControl::Return => {
            let is_result = matches!(place, Place::Register(Register::RAX | Register::RDX));
            return if is_result { None } else { Some(Forward::Gone) };
        }
        FlowControl::Exception | FlowControl::Interrupt => return Some(Forward::Gone),
        FlowControl::Next | FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch => {}
        _ => return None,
    }
    if matches!(it.mnemonic(), Mnemonic::Cmp | Mnemonic::Test) {
        return Some(Forward::Stays);
    }
    if it.mnemonic() == Mnemonic::Mov && reads(1) {
        return match (it.op0_kind(), memory(flow, index)) {
            (OpKind::Register, _) => {
                let to = it.op0_register().full_register();
                to.is_gpr64().then_some(Forward::AlsoIn(Place::Register(to)))
            }
            (OpKind::Memory, Some(to @ Place::Stack(at))) if !flow.is_shared(at) => Some(Forward::AlsoIn(to)),
            _ => None,
        };
    }
    match place {
        Place::Register(register) => {
            let used = info.info(it).used_registers();
            let (mut is_read, mut is_written) = (false, false);
            for used in used.iter().filter(|it| it.register().full_register() == *register) {
                is_read |=
                    !matches!(used.access(), OpAccess::Write | OpAccess::CondWrite | OpAccess::NoMemAccess);
                is_written |= used.access() == OpAccess::Write;
            }
            match (is_read, is_written) {
                // What is saved at the start of a function is not this value; a push of it would be.
                (true, _) => None,
                (false, true) => Some(Forward::Gone),
                (false, false) => Some(Forward::Stays),
            }
        }
        Place::Stack(_) if memory(flow, index).as_ref() == Some(place) => {
            let is_overwritten = it.mnemonic() == Mnemonic::Mov && it.op0_kind() == OpKind::Memory;
            is_overwritten.then_some(Forward::Gone)
        }
        Place::Stack(_) => Some(Forward::Stays),
        _ => None,
    }
}

fn is_restored(register: Register) -> bool {
    use Register::{R12, R13, R14, R15, RBP, RBX};
    matches!(register, RBX | RBP | R12 | R13 | R14 | R15)
}

fn is_argument(register: Register) -> bool {
    use Register::{R8, R9, RCX, RDI, RDX, RSI};
    matches!(register, RDI | RSI | RDX | RCX | R8 | R9)
}
