//! Follows a value back through functions and their callers.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use iced_x86::{Instruction, InstructionInfoFactory, Mnemonic, OpKind, Register};

use super::flow::Flow;
use super::place::Place;
use super::pointers;
use super::step::{Operand, Operation, Step};
use super::why::Why;
use crate::functions::FunctionId;
use crate::limits;
use crate::reach::{Reach, is_call};
use crate::space::Space;

/// Where a number was set, and how it got to where it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) at: u64,
    pub(crate) from: FunctionId,
    /// The calls on the way, from the origin to the use.
    pub(crate) calls: Vec<(FunctionId, u64)>,
}

/// A value that is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Open {
    pub(crate) at: u64,
    pub(crate) from: FunctionId,
    pub(crate) why: Why,
}

/// What a place can have.
#[derive(Debug, Clone, Default)]
pub(crate) struct Values {
    pub(crate) known: BTreeMap<u64, Origin>,
    pub(crate) open: Vec<Open>,
}

/// A place before an instruction, and the bits of it that count.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub(super) function: FunctionId,
    pub(super) index: u32,
    pub(super) place: Place,
    pub(super) mask: u64,
}

/// Follows values.
pub(crate) struct Solver<'a> {
    pub(super) space: &'a Space,
    pub(super) reach: &'a Reach,
    /// Functions that were asked for lately, and those that cannot be followed.
    flows: HashMap<FunctionId, Option<Rc<Flow>>>,
    /// The instructions in `flows`.
    kept: usize,
    /// The functions that were asked for and have room in [`limits::FOLLOWED_INSTRUCTIONS`].
    known: HashSet<FunctionId>,
    /// Whether calls of addresses return, as far as it was asked for.
    pub(super) returning: HashMap<u64, bool>,
    /// What is calculated at the moment, so that a loop is noticed.
    active: Vec<State>,
    pub(super) info: InstructionInfoFactory,
    steps: usize,
    /// The instructions of the functions in `known`.
    followed: usize,
    /// The instructions that were decoded anew.
    again: usize,
    /// How many instructions are gone back through for one value.
    most: usize,
    /// Whether a value counts only if nothing is assumed about memory and about jumps.
    pub(super) is_strict: bool,
    /// Whether functions are looked up by names that are not known.
    pub(super) by_name: bool,
    /// Functions of which it was asked whether they may be looked up so.
    pub(super) looked_up: HashMap<u64, bool>,
}

/// Where to go on, and the call that was passed on the way.
pub(super) type Next = (State, Option<(FunctionId, u64)>);

/// A call or jump to the start of a function: the function, the instruction, and whether it pushes a return address.
pub(super) type Site = (FunctionId, u64, bool);

/// What is still to be followed, and what was passed on the way.
enum Task {
    State(State, Option<usize>),
    /// The state at the start of a function, and what calls it. Of most functions that everything calls only few calls are
    /// come to before there are too many ways.
    Site(Rc<State>, Site, Option<usize>),
}

/// The calls that a value has passed, as a list from the last to the first.
#[derive(Debug, Clone, Copy)]
struct Passed {
    call: (FunctionId, u64),
    next: Option<usize>,
}

impl<'a> Solver<'a> {
    /// The reach must be finished.
    pub(crate) fn new(space: &'a Space, reach: &'a Reach, most: usize) -> Self {
        let info = InstructionInfoFactory::new();
        Self {
            space,
            reach,
            flows: HashMap::new(),
            kept: 0,
            known: HashSet::new(),
            returning: HashMap::new(),
            active: Vec::new(),
            info,
            steps: 0,
            followed: 0,
            again: 0,
            most,
            is_strict: false,
            by_name: false,
            looked_up: HashMap::new(),
        }
    }

    /// What a register can have before an instruction.
    pub(crate) fn register(&mut self, from: FunctionId, at: u64, register: Register, mask: u64) -> Values {
        let mut values = Values::default();
        let index = self.flow(from).and_then(|flow| flow.index(at));
        match index {
            Some(index) => {
                let place = Place::Register(register);
                self.solve(State { function: from, index: index as u32, place, mask }, 0, &mut values);
            }
            None => values.open.push(Open { at, from, why: Why::Unclear }),
        }
        values.open.sort_unstable();
        values.open.dedup();
        values
    }

    pub(super) fn flow(&mut self, id: FunctionId) -> Option<Rc<Flow>> {
        if let Some(known) = self.flows.get(&id) {
            return known.clone();
        }
        if self.kept > limits::KEPT_INSTRUCTIONS {
            self.flows.retain(|_, flow| flow.is_none());
            self.kept = 0;
        }
        let is_known = self.known.contains(&id);
        let has_room = match is_known {
            true => self.again < limits::INSTRUCTIONS_AGAIN,
            false => self.followed < limits::FOLLOWED_INSTRUCTIONS,
        };
        let mut flow = has_room.then(|| Flow::new(self.space, self.reach.functions.get(id))).flatten();
        if let Some(flow) = &mut flow {
            let pads = self.reach.functions.landing_pads(self.space, id);
            flow.pads = pads.into_iter().map(|pad| flow.index(pad)).collect();
        }
        let flow = flow.map(Rc::new);
        let cost = flow.as_ref().map_or(1, |flow| flow.code.len() + 1);
        self.kept += cost;
        match is_known {
            true => self.again += cost,
            false if has_room => {
                self.known.insert(id);
                self.followed += cost;
            }
            false => {}
        }
        self.flows.insert(id, flow.clone());
        flow
    }

    fn solve(&mut self, start: State, depth: usize, values: &mut Values) {
        let mut passed: Vec<Passed> = Vec::new();
        let mut seen = HashSet::from([start.clone()]);
        let mut open = vec![Task::State(start, None)];
        let mut steps = 0;
        while let Some(task) = open.pop() {
            let mut next = Vec::new();
            let (state, trail) = match task {
                Task::State(state, trail) => (state, trail),
                Task::Site(state, site, trail) => {
                    self.steps += 1;
                    if self.steps > limits::ALL_STEPS {
                        let (from, at, _) = site;
                        values.open.push(Open { at, from, why: Why::TooManyWays });
                        return;
                    }
                    self.call_site(&state, site, values, &mut next);
                    follow(next, trail, &mut seen, &mut passed, &mut open);
                    continue;
                }
            };
            let from = state.function;
            let Some(flow) = self.flow(from) else {
                values.open.push(Open { at: self.reach.functions.get(from).start, from, why: Why::Unclear });
                continue;
            };
            let at = flow.address(state.index as usize);
            steps += 1;
            self.steps += 1;
            let too_many = steps > self.most || self.steps > limits::ALL_STEPS;
            if too_many || values.known.len() > limits::VALUES || depth > limits::DEPTH {
                values.open.push(Open { at, from, why: Why::TooManyWays });
                return;
            }
            if let Some(why) = self.doubt(&flow, &state).filter(|_| self.is_strict) {
                values.open.push(Open { at, from, why });
                continue;
            }
            if let Place::Memory(address) = *state.place.root() {
                self.memory(&state, at, address, values, &mut next);
            } else {
                let mut sites = Vec::new();
                self.enter(&flow, &state, values, &mut sites, &mut next);
                if !sites.is_empty() {
                    if open.len() + sites.len() > limits::OPEN_SITES {
                        values.open.push(Open { at, from, why: Why::TooManyWays });
                        return;
                    }
                    let state = Rc::new(state.clone());
                    open.extend(sites.into_iter().map(|site| Task::Site(Rc::clone(&state), site, trail)));
                }
                for before in flow.before(state.index as usize) {
                    if let Some((number, at)) = self.compared(&flow, &state, before) {
                        let origin = || Origin { at, from, calls: calls(&passed, trail) };
                        values.known.entry(number & state.mask).or_insert_with(origin);
                        continue;
                    }
                    self.back(&flow, &state, before, trail, depth, (values, &passed), &mut next);
                }
            }
            follow(next, trail, &mut seen, &mut passed, &mut open);
        }
    }

    /// Goes back over one instruction.
    #[expect(clippy::too_many_arguments, reason = "one step of `solve`, which has the state")]
    fn back(
        &mut self,
        flow: &Rc<Flow>,
        state: &State,
        before: usize,
        trail: Option<usize>,
        depth: usize,
        (values, passed): (&mut Values, &[Passed]),
        next: &mut Vec<Next>,
    ) {
        let from = state.function;
        let at = flow.code[before].ip();
        let with = |place: Place, mask: u64| State { function: from, index: before as u32, place, mask };
        let mut found = |numbers: &mut dyn Iterator<Item = u64>, mask: u64| {
            for number in numbers {
                let origin = || Origin { at, from, calls: calls(passed, trail) };
                values.known.entry(number & mask).or_insert_with(origin);
            }
        };
        // Code after a call that never returns is reached only from elsewhere.
        if is_call(&flow.code[before]) && self.is_last_call(flow, before) {
            return;
        }
        let step = pointers::back(flow, before, &state.place, state.mask, &mut self.info);
        if let (Step::Unknown(Why::Overwritten), Place::Register(register)) = (&step, &state.place)
            && self.called(&flow.code[before]).is_some_and(|called| self.keeps(called, *register))
        {
            next.push((with(state.place.clone(), state.mask), None));
            return;
        }
        match step {
            Step::Same => next.push((with(state.place.clone(), state.mask), None)),
            Step::From(places) => {
                let mask = state.mask & written(&flow.code[before], &state.place);
                next.extend(places.into_iter().map(|place| (with(place, mask), None)));
            }
            Step::Numbers(numbers) => {
                found(&mut numbers.into_iter(), state.mask & written(&flow.code[before], &state.place));
            }
            Step::Part(numbers, mask) if state.mask & !mask == 0 => {
                found(&mut numbers.into_iter(), state.mask);
            }
            Step::Part(numbers, mask) => {
                let own = self.operand(
                    with(state.place.clone(), state.mask & !mask),
                    &Operand::Place(state.place.clone()),
                    depth,
                );
                values.open.extend(&own.open);
                for (high, origin) in own.known {
                    for low in &numbers {
                        values.known.entry((high | low) & state.mask).or_insert_with(|| origin.clone());
                    }
                }
            }
            Step::Calculated(operation, operands, bits) => {
                let width = if bits >= 64 { u64::MAX } else { (1 << bits) - 1 };
                // How far it is shifted is not looked at bit by bit, nor the sign of what is widened.
                let is_shifted = matches!(operation, Operation::ShiftLeft | Operation::ShiftRight)
                    && matches!(operands[1], Operand::Place(_));
                let is_widened = matches!(flow.code[before].mnemonic(), Mnemonic::Movsxd | Mnemonic::Cdqe)
                    && state.mask > u64::from(u32::MAX);
                if is_shifted || is_widened && self.is_strict {
                    values.open.push(Open { at, from, why: Why::Calculated });
                    return;
                }
                let needed = needed(operation, &operands, state.mask & width) & width;
                let [one, other] =
                    operands.map(|operand| self.operand(with(state.place.clone(), needed), &operand, depth));
                values.open.extend(one.open.iter().chain(&other.open));
                let pairs = one.known.len().saturating_mul(other.known.len());
                if pairs > limits::VALUES {
                    values.open.push(Open { at, from, why: Why::TooManyWays });
                    return;
                }
                for left in one.known.keys() {
                    for right in other.known.keys() {
                        let number = calculate(operation, *left, *right) & width;
                        found(&mut std::iter::once(number), state.mask);
                    }
                }
            }
            Step::Returned => self.returned(flow, state, before, values, next),
            Step::Unknown(why) => match self.asked_of_all_threads(from) {
                Some(asking) => next.extend(asking.map(|(function, index)| {
                    let place = Place::Register(Register::RAX);
                    let call = Some((from, at));
                    (State { function, index: index as u32, place, mask: state.mask }, call)
                })),
                None => values.open.push(Open { at, from, why }),
            },
        }
    }

    /// In the function of Go by which a thread makes the calls that another thread asks all of them for: the function that
    /// asks, if the program has it. Its first argument is the number.
    fn asked_of_all_threads(&mut self, id: FunctionId) -> Option<Option<(FunctionId, usize)>> {
        let function = self.reach.functions.get(id);
        let object = self.space.get(function.object);
        let go = object.elf.go.as_ref()?;
        if go.per_thread? + object.base != function.start {
            return None;
        }
        let asking = go.all_threads.map(|it| it + object.base);
        let asking = asking.and_then(|it| Some((self.reach.functions.known_at(self.space, it)?, it)));
        let Some((id, start)) = asking else { return Some(None) };
        Some(Some((id, self.flow(id)?.index(start)?)))
    }

    /// The values of an operand before an instruction.
    fn operand(&mut self, state: State, operand: &Operand, depth: usize) -> Values {
        let mut values = Values::default();
        let at = State {
            place: match operand {
                Operand::Number(number) => {
                    let (at, from) = (0, state.function);
                    values.known.insert(*number, Origin { at, from, calls: Vec::new() });
                    return values;
                }
                Operand::Place(place) => place.clone(),
            },
            ..state
        };
        if self.active.contains(&at) {
            // It is calculated from itself: a loop that counts.
            let from = at.function;
            let place = self.flow(from).map_or(0, |flow| flow.address(at.index as usize));
            values.open.push(Open { at: place, from, why: Why::Calculated });
            return values;
        }
        self.active.push(at.clone());
        self.solve(at, depth + 1, &mut values);
        self.active.pop();
        values
    }
}

/// The bits of a register that an instruction sets from its operand; the others are zero then.
fn written(it: &Instruction, place: &Place) -> u64 {
    let is_half = matches!(place, Place::Register(_))
        && it.op_count() > 0
        && it.op0_kind() == OpKind::Register
        && it.op0_register().size() == 4;
    if is_half { u64::from(u32::MAX) } else { u64::MAX }
}

/// Adds what was not yet seen to what is to be followed.
fn follow(
    next: Vec<Next>,
    trail: Option<usize>,
    seen: &mut HashSet<State>,
    passed: &mut Vec<Passed>,
    open: &mut Vec<Task>,
) {
    for (state, call) in next.into_iter().filter(|(state, _)| seen.insert(state.clone())) {
        let trail = match call {
            None => trail,
            Some(call) => {
                passed.push(Passed { call, next: trail });
                Some(passed.len() - 1)
            }
        };
        open.push(Task::State(state, trail));
    }
}

fn calls(passed: &[Passed], mut trail: Option<usize>) -> Vec<(FunctionId, u64)> {
    let mut found = Vec::new();
    while let Some(Passed { call, next }) = trail.and_then(|it| passed.get(it)) {
        found.push(*call);
        trail = *next;
    }
    found
}

/// The bits of the operands that decide about these bits of the result.
fn needed(operation: Operation, operands: &[Operand; 2], mask: u64) -> u64 {
    let number = operands.iter().find_map(|it| match it {
        Operand::Number(number) => Some(*number),
        Operand::Place(_) => None,
    });
    match operation {
        Operation::And => mask & number.unwrap_or(u64::MAX),
        Operation::Or => mask & !number.unwrap_or(0),
        Operation::Xor => mask,
        // A carry comes from below.
        Operation::Add | Operation::AddScaled(..) | Operation::Subtract | Operation::ShiftLeft => {
            u64::MAX.checked_shr(mask.leading_zeros()).unwrap_or(0)
        }
        Operation::ShiftRight => u64::MAX,
    }
}

fn calculate(operation: Operation, left: u64, right: u64) -> u64 {
    match operation {
        Operation::Add => left.wrapping_add(right),
        Operation::AddScaled(scale, more) => left.wrapping_add(right << scale).wrapping_add(more),
        Operation::Subtract => left.wrapping_sub(right),
        Operation::And => left & right,
        Operation::Or => left | right,
        Operation::Xor => left ^ right,
        Operation::ShiftLeft => left.wrapping_shl(right as u32),
        Operation::ShiftRight => left.wrapping_shr(right as u32),
    }
}

#[cfg(test)]
mod tests;
