//! From the start of a function back to everything that calls it, and from a call to what the called function returns.

use std::rc::Rc;

use iced_x86::{FlowControl, Register};

use super::escape::calls_of_register;
use super::flow::Flow;
use super::place::{Place, innermost, replace_innermost};
use super::pointers::stack_address;
use super::solver::{Next, Open, Solver, State, Values};
use super::why::Why;
use crate::functions::FunctionId;

impl Solver<'_> {
    /// At the start of a function: whoever calls it.
    pub(super) fn enter(
        &mut self,
        flow: &Rc<Flow>,
        state: &State,
        values: &mut Values,
        next: &mut Vec<Next>,
    ) {
        let (from, index) = (state.function, state.index as usize);
        let target = flow.address(index);
        // What follows the last instruction is another function.
        if index == flow.code.len() {
            return;
        }
        let reach = self.reach;
        for taken in reach.taken_at(target) {
            let through = taken.from.and_then(|by| Some((by, self.flow(by)?)));
            let through = through.and_then(|(by, flow)| Some((by, calls_of_register(&flow, taken.at)?)));
            if through.is_none() && self.is_own_data(taken) {
                for (by, call, is_call) in self.calls_through(taken.at) {
                    self.caller(state, (by, call, is_call), values, next);
                }
                continue;
            }
            match through {
                Some((by, calls)) => {
                    for (call, is_call) in calls {
                        self.caller(state, (by, call, is_call), values, next);
                    }
                }
                None => values.open.push(Open {
                    at: taken.at,
                    from: taken.from.unwrap_or(from),
                    why: Why::IndirectCall,
                }),
            }
        }
        for call in reach.calls_to(target) {
            let Some(index) = self.flow(call.from).and_then(|flow| flow.index(call.at)) else {
                values.open.push(Open { at: call.at, from: call.from, why: Why::Unclear });
                continue;
            };
            self.caller(state, (call.from, index, call.is_call), values, next);
        }
        // An exception leads there from many places.
        let is_lost = reach.landing.binary_search(&target).is_ok();
        if is_lost {
            values.open.push(Open { at: target, from, why: Why::Unclear });
        }
    }

    /// What a place at the start of a function is where it is called.
    pub(super) fn caller(
        &mut self,
        state: &State,
        (from, index, is_call): (FunctionId, usize, bool),
        values: &mut Values,
        next: &mut Vec<Next>,
    ) {
        let Some(flow) = self.flow(from) else { return };
        let at = flow.code[index].ip();
        // One that goes on to the next function without a jump has an effect of its own.
        if flow.code[index].flow_control() == FlowControl::Next {
            if matches!(state.place.root(), Place::Stack(_)) {
                values.open.push(Open { at, from, why: Why::Memory });
                return;
            }
            let index = index as u32 + 1;
            next.push((State { function: from, index, ..state.clone() }, Some((from, at))));
            return;
        }
        let stack = flow.stack(index).map(|it| if is_call { it - 8 } else { it });
        let place = translated(&state.place, stack, is_call).map(|place| self.on_stack(&flow, index, place));
        let Some(place) = place else {
            values.open.push(Open { at, from, why: Why::Memory });
            return;
        };
        let state = State { function: from, index: index as u32, place, mask: state.mask };
        next.push((state, Some((from, at))));
    }

    /// What is behind a register that has the address of a variable on the stack is the variable.
    pub(super) fn on_stack(&mut self, flow: &Flow, index: usize, place: Place) -> Place {
        let (Place::Register(register), Some(offset)) = (place.root(), innermost(&place)) else {
            return place;
        };
        let address = stack_address(flow, index, *register, &mut self.info);
        let variable = address.and_then(|it| it.checked_add(offset)).map(Place::Stack);
        variable.and_then(|variable| replace_innermost(&place, variable)).unwrap_or(place)
    }

    /// What a called function returns.
    pub(super) fn returned(
        &mut self,
        flow: &Rc<Flow>,
        state: &State,
        index: usize,
        values: &mut Values,
        next: &mut Vec<Next>,
    ) {
        let (at, from) = (flow.code[index].ip(), state.function);
        let unknown = Open { at, from, why: Why::Returned };
        let Some((called, flow)) = self.called(from, at).and_then(|id| Some((id, self.flow(id)?))) else {
            values.open.push(unknown);
            return;
        };
        // Where it goes on to another function, that one returns.
        let leaves = self.reach.leaves(called);
        let returns = flow.code.iter().enumerate();
        let returns: Vec<_> = returns.filter(|(_, it)| it.flow_control() == FlowControl::Return).collect();
        if leaves
            || returns.is_empty()
            || flow.code.iter().any(|it| it.flow_control() == FlowControl::IndirectBranch)
        {
            values.open.push(unknown);
            return;
        }
        for (index, _) in returns {
            let place = Place::Register(Register::RAX);
            let state = State { function: called, index: index as u32, place, mask: state.mask };
            next.push((state, Some((from, at))));
        }
    }
}

/// A place at the start of a function, as its caller names it before the call. `stack` is the stack pointer at the start of
/// the called function, relative to that of the caller.
fn translated(place: &Place, stack: Option<i64>, is_call: bool) -> Option<Place> {
    match place {
        Place::Register(_) | Place::Memory(_) => Some(place.clone()),
        Place::Stack(at) => {
            // Below is what the called function has not yet written, and the return address.
            let first = if is_call { 8 } else { 0 };
            (*at >= first).then_some(())?;
            stack?.checked_add(*at).map(Place::Stack)
        }
        Place::Behind(inner, offset) => translated(inner, stack, is_call)?.behind(*offset),
    }
}
