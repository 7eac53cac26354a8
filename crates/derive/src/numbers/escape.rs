//! Functions whose address is loaded into a register only to be called: compilers do so where a function is called
//! several times and there is no table for calls to other objects.

use std::collections::BTreeSet;

use iced_x86::{FlowControl, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register};

use super::callers::goes_on;
use super::flow::Flow;
use super::place::Place;
use super::solver::Solver;
use super::step::memory;
use crate::branch::{falls_through, near_target};
use crate::limits;
use crate::reach::is_call;

impl Solver<'_> {
    /// The calls through the register into which the instruction at this address loads, each with whether it pushes a return
    /// address; `None` if the address gets anywhere else.
    pub(super) fn calls_of_register(&mut self, flow: &Flow, at: u64) -> Option<Vec<(usize, bool)>> {
        let start = flow.index(at)?;
        let load = &flow.code[start];
        // A call or a jump has calculated the address before.
        let is_load = load.flow_control() == FlowControl::Next;
        if !is_load || load.op_count() == 0 || load.op0_kind() != OpKind::Register {
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
            let is_call = is_call(&flow.code[index]);
            let mut after = flow.after(index);
            // The address goes along to where this jumps, or to the function that follows.
            let is_at_end = is_call && after.is_empty();
            if leaves(flow, index) || is_at_end && self.is_strict && !self.is_last_call(flow, index) {
                return None;
            }
            // Code after a call that never returns is reached only from elsewhere, where the register may have another value.
            if is_call && !is_at_end && self.is_last_call(flow, index) {
                after.clear();
            }
            match (&flow.pads, &place) {
                _ if !is_call => {}
                (Some(pads), _) if pads.is_empty() => {}
                // An exception leads there, with the registers that functions keep.
                (Some(pads), Place::Register(_)) => after.extend(pads),
                _ => return None,
            }
            for next in after {
                if !seen.insert((next, place.clone())) {
                    continue;
                }
                // A function that jumps to what a register has.
                let called = self.called(&flow.code[next]).filter(|_| matches!(place, Place::Register(_)));
                if called.and_then(|it| self.flow(it)).is_some_and(|it| it.is_odd) {
                    return None;
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
}

/// Whether an instruction goes on outside of the function without a call.
fn leaves(flow: &Flow, index: usize) -> bool {
    let it = &flow.code[index];
    let is_next = || flow.code.get(index + 1).is_some_and(|next| next.ip() == it.next_ip());
    match it.flow_control() {
        FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch => {
            near_target(it).is_none_or(|target| flow.landed(target).is_none())
        }
        _ => goes_on(it) && falls_through(it) && !is_next(),
    }
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
        FlowControl::IndirectCall if reads(0) => {
            return Some(Forward::Called { stays: survives });
        }
        FlowControl::IndirectBranch if reads(0) => return Some(Forward::JumpedTo),
        FlowControl::Call if !is_call(it) => {
            return match place {
                Place::Register(Register::RAX | Register::RCX | Register::R11) => Some(Forward::Gone),
                Place::Register(register) if !is_restored(*register) => None,
                _ => Some(Forward::Stays),
            };
        }
        FlowControl::Call | FlowControl::IndirectCall => {
            return match place {
                // It is an argument, on the stack too, or the called code jumps to what a register has.
                Place::Register(register) if !is_restored(*register) => None,
                Place::Stack(at) if flow.stack(index).is_none_or(|bottom| bottom <= *at) => None,
                _ if survives => Some(Forward::Stays),
                _ => Some(Forward::Gone),
            };
        }
        FlowControl::Return => {
            let is_result = matches!(place, Place::Register(Register::RAX | Register::RDX));
            // To a place that was written to the stack it jumps.
            let is_target = match place {
                Place::Stack(at) => flow.stack(index).is_none_or(|top| top == *at),
                _ => false,
            };
            return if is_result || is_target { None } else { Some(Forward::Gone) };
        }
        FlowControl::Interrupt => return Some(Forward::Stays),
        FlowControl::Exception => return Some(Forward::Gone),
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
