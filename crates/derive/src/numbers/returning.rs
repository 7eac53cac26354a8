//! Whether functions return, and what they leave as it was.

use iced_x86::{FlowControl, Instruction, Register};

use super::flow::Flow;
use super::place::Place;
use super::solver::Solver;
use super::step::{Step, step};
use crate::branch::{falls_through, near_target};
use crate::functions::FunctionId;
use crate::reach::{called_address, is_call};

impl Solver<'_> {
    /// Whether an instruction is a call of a function that never returns, so that nothing follows it.
    pub(super) fn is_last_call(&mut self, flow: &Flow, index: usize) -> bool {
        let called = called_address(self.space, &flow.code[index]);
        called.is_some_and(|called| !self.returns(called, 0))
    }

    /// The function that an instruction calls.
    pub(super) fn called(&self, it: &Instruction) -> Option<FunctionId> {
        self.reach.functions.known_at(self.space, called_address(self.space, it)?)
    }

    /// Whether a function that calls no other leaves a register as it is. Compilers rely on it inside one file.
    pub(super) fn keeps(&mut self, id: FunctionId, register: Register) -> bool {
        let Some(flow) = self.flow(id) else { return false };
        let place = Place::Register(register);
        let calls_or_leaves =
            |it: &Instruction| is_call(it) || it.flow_control() == FlowControl::IndirectBranch;
        !flow.code.iter().any(calls_or_leaves)
            && !flow.is_odd
            && !self.reach.leaves(id)
            && (0..flow.code.len()).all(|index| step(&flow, index, &place, &mut self.info) == Step::Same)
    }

    /// Whether a call of an address may return. Where it is not clear, it does.
    pub(super) fn returns(&mut self, address: u64, depth: usize) -> bool {
        /// How many functions deep it is looked for.
        const DEEP: usize = 8;
        if let Some(known) = self.returning.get(&address) {
            return *known;
        }
        // One that calls itself returns by another way, or not at all.
        self.returning.insert(address, true);
        let found = depth >= DEEP || self.reaches_return(address, depth);
        if depth < DEEP {
            self.returning.insert(address, found);
        } else {
            self.returning.remove(&address);
        }
        found
    }

    fn reaches_return(&mut self, address: u64, depth: usize) -> bool {
        let Some(id) = self.reach.functions.known_at(self.space, address) else { return true };
        let Some(flow) = self.flow(id) else { return true };
        let Some(start) = flow.index(address) else { return true };
        let (mut open, mut seen) = (vec![start], vec![false; flow.code.len()]);
        // An exception that passes through the function leads to these.
        for pad in self.reach.functions.landing_pads(self.space, id) {
            match flow.index(pad) {
                Some(index) => open.push(index),
                None if self.returns(pad, depth + 1) => return true,
                None => {}
            }
        }
        while let Some(index) = open.pop() {
            if std::mem::replace(&mut seen[index], true) {
                continue;
            }
            let it = &flow.code[index];
            match it.flow_control() {
                FlowControl::Return | FlowControl::IndirectBranch | FlowControl::XbeginXabortXend => {
                    return true;
                }
                FlowControl::Call | FlowControl::IndirectCall => {
                    if let Some(called) = called_address(self.space, it)
                        && !self.returns(called, depth + 1)
                    {
                        continue;
                    }
                }
                FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch => {
                    let target = near_target(it);
                    if target.and_then(|target| flow.landed(target)).is_none()
                        && target.is_none_or(|target| self.returns(target, depth + 1))
                    {
                        return true;
                    }
                }
                _ => {}
            }
            let after = flow.after(index);
            // What follows it is a part of another function.
            if after.is_empty() && falls_through(it) && !is_call(it) {
                return true;
            }
            open.extend(after);
        }
        false
    }

    /// Whether an exception that passes through a function may lead to a return of another part of it.
    pub(super) fn returns_elsewhere(&mut self, id: FunctionId, flow: &Flow) -> bool {
        let pads = self.reach.functions.landing_pads(self.space, id);
        pads.into_iter().any(|pad| flow.index(pad).is_none() && self.returns(pad, 0))
    }
}
