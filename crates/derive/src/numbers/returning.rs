//! Whether functions return, and what they leave as it was.

use iced_x86::{FlowControl, Register};

use super::flow::Flow;
use super::place::Place;
use super::solver::Solver;
use super::step::{Step, step};
use crate::functions::FunctionId;

impl Solver<'_> {
    /// Whether an instruction is a call of a function that never returns, so that nothing follows it.
    pub(super) fn is_last_call(&mut self, flow: &Flow, from: FunctionId, index: usize) -> bool {
        let it = &flow.code[index];
        if !matches!(it.flow_control(), FlowControl::Call | FlowControl::IndirectCall) {
            return false;
        }
        self.called(from, it.ip()).is_some_and(|called| !self.returns(called, 0))
    }

    /// The function that an instruction of a function calls.
    pub(super) fn called(&self, from: FunctionId, at: u64) -> Option<FunctionId> {
        let call = self.reach.call_at(from, at)?;
        self.reach.functions.known_at(self.space, call.target)
    }

    /// Whether a function that calls no other leaves a register as it is. Compilers rely on it inside one file.
    pub(super) fn keeps(&mut self, id: FunctionId, register: Register) -> bool {
        let Some(flow) = self.flow(id) else { return false };
        let place = Place::Register(register);
        let is_simple = flow.code.iter().all(|it| {
            let is_kernel = it.code() == iced_x86::Code::Syscall;
            is_kernel
                || !matches!(
                    it.flow_control(),
                    FlowControl::Call | FlowControl::IndirectCall | FlowControl::IndirectBranch
                )
        });
        is_simple
            && !self.reach.leaves(id)
            && (0..flow.code.len()).all(|index| step(&flow, index, &place, &mut self.info) == Step::Same)
    }

    /// Whether a function may return. Where it is not clear, it does.
    pub(super) fn returns(&mut self, id: FunctionId, depth: usize) -> bool {
        /// How many functions deep it is looked for.
        const DEEP: usize = 8;
        if let Some(known) = self.returning.get(&id) {
            return *known;
        }
        // One that calls itself returns by another way, or not at all.
        self.returning.insert(id, true);
        let found = depth >= DEEP || self.reaches_return(id, depth);
        if depth < DEEP {
            self.returning.insert(id, found);
        } else {
            self.returning.remove(&id);
        }
        found
    }

    pub(super) fn reaches_return(&mut self, id: FunctionId, depth: usize) -> bool {
        let function = *self.reach.functions.get(id);
        let Some(flow) = self.flow(id) else { return true };
        let Some(start) = flow.index(function.start) else { return true };
        // Something else may begin in its middle.
        let first = self.reach.calls.partition_point(|it| it.target <= function.start);
        if function.is_whole && self.reach.calls.get(first).is_some_and(|it| it.target < function.end) {
            return true;
        }
        let (mut open, mut seen) = (vec![start], vec![false; flow.code.len()]);
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
                    if let Some(called) = self.called(id, it.ip())
                        && !self.returns(called, depth + 1)
                    {
                        continue;
                    }
                }
                FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch => {
                    let target = crate::code::near_target(it);
                    if target.and_then(|target| flow.index(target)).is_none() {
                        let away = target.and_then(|it| self.reach.functions.known_at(self.space, it));
                        if away.is_none_or(|away| away == id || self.returns(away, depth + 1)) {
                            return true;
                        }
                    }
                }
                _ => {}
            }
            let after = flow.after(index);
            // What follows it is a part of another function.
            if after.is_empty() && crate::code::falls_through(it) && !is_call(it) {
                return true;
            }
            open.extend(after);
        }
        false
    }
}

fn is_call(it: &iced_x86::Instruction) -> bool {
    matches!(it.flow_control(), FlowControl::Call | FlowControl::IndirectCall)
        && it.code() != iced_x86::Code::Syscall
}
