//! From the start of a function back to everything that calls it, and from a call to what the called function returns.

use std::rc::Rc;

use iced_x86::{FlowControl, Instruction, Register};

use super::flow::Flow;
use super::place::{Place, innermost, replace_innermost};
use super::pointers::stack_address;
use super::solver::{Next, Open, Site, Solver, State, Values};
use super::why::Why;
use crate::functions::FunctionId;
use crate::reach::is_call;

impl Solver<'_> {
    /// At the start of a function: whoever calls it.
    pub(super) fn enter(
        &mut self,
        flow: &Rc<Flow>,
        state: &State,
        values: &mut Values,
        sites: &mut Vec<Site>,
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
            let through = through.filter(|(_, flow)| flow.is_certain || !self.is_strict);
            let through =
                through.and_then(|(by, flow)| Some((by, self.calls_of_register(&flow, taken.at)?, flow)));
            if through.is_none() && !self.is_strict && self.is_own_data(taken) {
                let calls = self.calls_through(taken.at);
                sites.extend(calls.into_iter().map(|it| (it.from, it.at, it.is_call)));
                continue;
            }
            match through {
                Some((by, calls, flow)) => {
                    for (call, is_call) in calls {
                        self.caller(state, &flow, (by, call, is_call), values, next);
                    }
                }
                None => values.open.push(Open {
                    at: taken.at,
                    from: taken.from.unwrap_or(from),
                    why: Why::IndirectCall,
                }),
            }
        }
        if self.may_be_looked_up(target) {
            values.open.push(Open { at: target, from, why: Why::IndirectCall });
        }
        sites.extend(reach.calls_to(target).iter().map(|it| (it.from, it.at, it.is_call)));
        // An exception leads there from many places.
        let is_lost = reach.landing.binary_search(&target).is_ok();
        if is_lost {
            values.open.push(Open { at: target, from, why: Why::Unclear });
        }
    }

    /// What a place at the start of a function is where an instruction calls it.
    pub(super) fn call_site(
        &mut self,
        state: &State,
        (from, at, is_call): Site,
        values: &mut Values,
        next: &mut Vec<Next>,
    ) {
        match self.flow(from).and_then(|flow| Some((flow.index(at)?, flow))) {
            Some((index, flow)) => self.caller(state, &flow, (from, index, is_call), values, next),
            None => values.open.push(Open { at, from, why: Why::Unclear }),
        }
    }

    /// What a place at the start of a function is where it is called.
    fn caller(
        &mut self,
        state: &State,
        flow: &Rc<Flow>,
        (from, index, is_call): (FunctionId, usize, bool),
        values: &mut Values,
        next: &mut Vec<Next>,
    ) {
        let at = flow.code[index].ip();
        // One that goes on to the next function without a jump has an effect of its own.
        if goes_on(&flow.code[index]) {
            if matches!(state.place.root(), Place::Stack(_)) {
                values.open.push(Open { at, from, why: Why::Memory });
                return;
            }
            let index = index as u32 + 1;
            next.push((State { function: from, index, ..state.clone() }, Some((from, at))));
            return;
        }
        let stack = flow.stack(index).map(|it| if is_call { it - 8 } else { it });
        let place = translated(&state.place, stack, is_call).map(|place| self.on_stack(flow, index, place));
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
        let Some((called, flow)) = self.called(&flow.code[index]).and_then(|id| Some((id, self.flow(id)?)))
        else {
            values.open.push(unknown);
            return;
        };
        // Where it goes on to another function, that one returns. An exception may lead to another part of it.
        let leaves = self.reach.leaves(called) || flow.is_odd || self.returns_elsewhere(called, &flow);
        let returns = flow.code.iter().enumerate();
        let returns: Vec<_> = returns.filter(|(_, it)| it.flow_control() == FlowControl::Return).collect();
        // Of one that has its own return address, as of `setjmp`, it is not known how often it returns, and with what.
        let is_known = |(index, _): &(usize, &Instruction)| flow.stack(*index) == Some(0);
        let is_odd = self.is_strict && (!returns.iter().all(is_known) || flow.has_own_return_address());
        if leaves
            || is_odd
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

/// Whether an instruction only goes on to the next one. For the decoder, one that calls the kernel is a call.
pub(super) fn goes_on(it: &Instruction) -> bool {
    match it.flow_control() {
        FlowControl::Next | FlowControl::Interrupt => true,
        FlowControl::Call => !is_call(it),
        _ => false,
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
