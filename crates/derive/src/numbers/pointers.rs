//! Pointers, gone back through: where the address comes from.

use std::collections::BTreeSet;

use iced_x86::{InstructionInfoFactory, Mnemonic, OpKind, Register};

use super::flow::Flow;
use super::place::{Place, innermost, replace_innermost};
use super::step::{Operand, Operation, Step, of_stack, step};
use super::why::Why;

/// Goes back over the instruction at an index. Of the place, only these bits count.
pub(super) fn back(
    flow: &Flow,
    index: usize,
    place: &Place,
    mask: u64,
    info: &mut InstructionInfoFactory,
) -> Step {
    match place {
        Place::Behind(..) => behind(flow, index, place, info),
        Place::Stack(at) => of_stack(flow, index, *at, mask),
        _ => step(flow, index, place, info),
    }
}

/// Memory behind a pointer: where the pointer comes from.
fn behind(flow: &Flow, index: usize, place: &Place, info: &mut InstructionInfoFactory) -> Step {
    let it = &flow.code[index];
    let root = place.root();
    let from = |root: Place| match place.with_root(root) {
        Some(place) => Step::From(vec![place]),
        None => Step::Unknown(Why::Memory),
    };
    // The address of a variable.
    if let (Place::Register(register), Mnemonic::Lea) = (root, it.mnemonic())
        && it.op0_register() == *register
        && (flow.is_on_stack(index) || it.is_ip_rel_memory_operand())
    {
        // What is written to a variable on the stack after this is not seen from here.
        let address = (!flow.is_on_stack(index)).then(|| it.ip_rel_memory_address());
        let address = address.zip(innermost(place)).map(|(base, offset)| base.wrapping_add(offset as u64));
        let outer = address.and_then(|address| replace_innermost(place, Place::Memory(address)));
        return outer.map_or(Step::Unknown(Why::Memory), |place| Step::From(vec![place]));
    }
    match step(flow, index, root, info) {
        Step::Same => Step::Same,
        Step::From(places) => {
            let places: Option<Vec<_>> = places.into_iter().map(|root| place.with_root(root)).collect();
            places.map_or(Step::Unknown(Why::Memory), Step::From)
        }
        Step::Numbers(numbers) => {
            let [address] = numbers[..] else { return Step::Unknown(Why::Memory) };
            let Some(offset) = innermost(place) else { return Step::Unknown(Why::Memory) };
            match replace_innermost(place, Place::Memory(address.wrapping_add(offset as u64))) {
                Some(place) => Step::From(vec![place]),
                None => Step::Unknown(Why::Memory),
            }
        }
        Step::Calculated(Operation::Add, [Operand::Place(base), Operand::Number(number)], 64)
            if !matches!(base, Place::Behind(..)) =>
        {
            match innermost(place).and_then(|it| it.checked_add(number as i64)) {
                Some(offset) => {
                    let outer = base.behind(offset).and_then(|inner| replace_innermost(place, inner));
                    outer.map_or(Step::Unknown(Why::Memory), |place| Step::From(vec![place]))
                }
                None => from(base),
            }
        }
        Step::Returned => Step::Unknown(Why::Returned),
        Step::Calculated(..) | Step::Part(..) => Step::Unknown(Why::Calculated),
        Step::Unknown(why) => Step::Unknown(why),
    }
}

/// The place on the stack whose address a register has before an instruction, if it is one and the same on all ways.
pub(crate) fn stack_address(
    flow: &Flow,
    index: usize,
    register: Register,
    info: &mut InstructionInfoFactory,
) -> Option<i64> {
    /// Compilers make such an address just before they use it.
    const MOST: usize = 256;
    let (mut open, mut seen, mut found) = (vec![(index, register)], BTreeSet::new(), None);
    while let Some((index, register)) = open.pop() {
        let before = flow.before(index);
        if before.is_empty() || seen.len() > MOST {
            return None;
        }
        for index in before.into_iter().filter(|it| seen.insert((*it, register))) {
            let it = &flow.code[index];
            let is_written = it.op_count() > 0
                && it.op0_kind() == OpKind::Register
                && it.op0_register() == register
                && matches!(it.mnemonic(), Mnemonic::Lea | Mnemonic::Mov);
            let from_stack_pointer = it.op1_kind() == OpKind::Register && it.op1_register() == Register::RSP;
            let address = match it.mnemonic() {
                Mnemonic::Lea if is_written && flow.is_on_stack(index) => Some(flow.place(index)?),
                Mnemonic::Mov if is_written && from_stack_pointer => Some(flow.stack(index)?),
                _ => None,
            };
            match address {
                Some(address) if found.is_none_or(|known| known == address) => found = Some(address),
                Some(_) => return None,
                None => match step(flow, index, &Place::Register(register), info) {
                    Step::Same => open.push((index, register)),
                    Step::From(places) => match places[..] {
                        [Place::Register(other)] => open.push((index, other)),
                        _ => return None,
                    },
                    _ => return None,
                },
            }
        }
    }
    found
}
