//! The flow of control inside one function, and how far the stack has grown at each instruction.

use std::collections::BTreeMap;

use iced_x86::{FlowControl, Instruction, Mnemonic, OpKind, Register};

use crate::branch::{falls_through, near_target};
use crate::code::Code;
use crate::functions::Function;
use crate::limits;
use crate::reach::is_call;
use crate::space::Space;

/// A function.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) code: Vec<Instruction>,
    /// By target: the jumps to it.
    jumps: BTreeMap<usize, Vec<usize>>,
    /// By jump: its targets.
    targets: BTreeMap<usize, Vec<usize>>,
    /// Jumps that may lead to anywhere in the function.
    open: Vec<usize>,
    /// Before each instruction: the stack pointer, relative to that at the start.
    stack: Vec<Option<i64>>,
    /// The same of the frame pointer.
    frame: Vec<Option<i64>>,
    /// Places on the stack whose address the function uses.
    addressed: Vec<i64>,
    /// Whether Go's compiler made it, whose functions restore no register.
    pub(crate) is_go: bool,
    /// Whether all jumps inside the function are known.
    pub(crate) is_certain: bool,
    /// Whether it returns to an address that its caller has not pushed: it writes the return address, calls a place inside
    /// of itself, or does not return from where the stack was at its start.
    pub(crate) is_odd: bool,
    /// Where exceptions lead that pass through the function, if that is known and all in the function.
    pub(crate) pads: Option<Vec<usize>>,
}

impl Flow {
    /// `None` if the function is too large.
    pub(crate) fn new(space: &Space, function: &Function) -> Option<Self> {
        let code = Code::of(space, function, limits::FUNCTION_INSTRUCTIONS)?;
        let mut flow = Self {
            jumps: BTreeMap::new(),
            targets: BTreeMap::new(),
            open: Vec::new(),
            stack: Vec::new(),
            frame: Vec::new(),
            addressed: Vec::new(),
            is_go: space.get(function.object).elf.go.is_some(),
            is_certain: code.is_certain && code.open_jumps.is_empty(),
            is_odd: false,
            pads: Some(Vec::new()),
            code: code.instructions,
        };
        for index in 0..flow.code.len() {
            let instruction = &flow.code[index];
            let is_call = matches!(instruction.flow_control(), FlowControl::Call | FlowControl::IndirectCall);
            let target = near_target(instruction).filter(|_| !is_call);
            let tables = code.tables.get(&instruction.ip()).into_iter().flatten().copied();
            let targets: Vec<_> = target.into_iter().chain(tables).filter_map(|it| flow.landed(it)).collect();
            for target in &targets {
                flow.jumps.entry(*target).or_default().push(index);
            }
            if !targets.is_empty() {
                flow.targets.insert(index, targets);
            }
        }
        flow.open = code.open_jumps.iter().filter_map(|it| flow.index(*it)).collect();
        flow.follow_stack(flow.index(function.start)?);
        flow.note_addresses();
        flow.is_odd = flow.returns_oddly(function);
        // A jump to another function leaves the stack as it was at the start. One that does not may be to a label.
        let is_away = |it: &u64| flow.index(*it).is_some_and(|index| flow.stack[index] == Some(0));
        flow.is_certain &= code.away.iter().all(is_away);
        Some(flow)
    }

    /// The instruction at an address.
    pub(crate) fn index(&self, address: u64) -> Option<usize> {
        self.code.binary_search_by_key(&address, Instruction::ip).ok()
    }

    /// The instruction to which a jump to an address leads. One behind the prefix that locks the bus is the same without it:
    /// glibc does so where there is one thread.
    pub(crate) fn landed(&self, address: u64) -> Option<usize> {
        let without_lock = || {
            let index = self.index(address.checked_sub(1)?)?;
            self.code[index].has_lock_prefix().then_some(index)
        };
        self.index(address).or_else(without_lock)
    }

    /// The address of the instruction at an index, or of what follows the last one.
    pub(crate) fn address(&self, index: usize) -> u64 {
        let last = || self.code.last().map_or(0, Instruction::next_ip);
        self.code.get(index).map_or_else(last, Instruction::ip)
    }

    /// The instructions after which this one can follow.
    pub(crate) fn before(&self, index: usize) -> Vec<usize> {
        let mut found: Vec<_> = self.jumps.get(&index).cloned().unwrap_or_default();
        if let Some(last) = index.checked_sub(1) {
            let it = &self.code[last];
            if goes_to_next(it) && it.next_ip() == self.address(index) {
                found.push(last);
            }
        }
        if found.is_empty() {
            found.extend(&self.open);
        }
        found
    }

    /// The instructions that can follow this one.
    pub(crate) fn after(&self, index: usize) -> Vec<usize> {
        let mut found = self.targets.get(&index).cloned().unwrap_or_default();
        let (it, next) = (&self.code[index], index + 1);
        if next < self.code.len() && goes_to_next(it) && self.code[next].ip() == it.next_ip() {
            found.push(next);
        }
        found
    }

    pub(crate) fn stack(&self, index: usize) -> Option<i64> {
        self.stack[index]
    }

    /// The place on the stack that the memory operand of an instruction means, relative to the stack pointer at the start.
    pub(crate) fn place(&self, index: usize) -> Option<i64> {
        let it = &self.code[index];
        if it.memory_index() != Register::None {
            return None;
        }
        Some(self.base(index, it.memory_base())? + it.memory_displacement64() as i64)
    }

    fn base(&self, index: usize, register: Register) -> Option<i64> {
        match register {
            Register::RSP => self.stack[index],
            Register::RBP => self.frame[index],
            _ => None,
        }
    }

    /// Whether the memory operand is on the stack, at a known place or not.
    pub(crate) fn is_on_stack(&self, index: usize) -> bool {
        let base = self.code[index].memory_base();
        base == Register::RSP || (base == Register::RBP && self.frame[index].is_some())
    }

    /// Whether others may write to a place on the stack.
    pub(crate) fn is_shared(&self, place: i64) -> bool {
        self.addressed.iter().any(|it| *it <= place)
    }

    fn returns_oddly(&self, function: &Function) -> bool {
        (0..self.code.len()).any(|index| {
            let it = &self.code[index];
            match it.flow_control() {
                FlowControl::Return => self.stack[index].is_some_and(|it| it != 0),
                FlowControl::Call if is_call(it) => near_target(it).is_some_and(|target| {
                    function.is_whole && function.start < target && target < function.end
                }),
                _ => {
                    it.op_count() > 0
                        && it.op0_kind() == OpKind::Memory
                        && writes(it)
                        && self.place(index) == Some(0)
                }
            }
        })
    }

    /// Whether an instruction reads the address to which the function returns, or has the address of it.
    pub(crate) fn has_own_return_address(&self) -> bool {
        (0..self.code.len()).any(|index| {
            let it = &self.code[index];
            let is_popped = it.mnemonic() == Mnemonic::Pop && self.stack[index] == Some(0);
            let has_memory = (0..it.op_count()).any(|operand| it.op_kind(operand) == OpKind::Memory);
            is_popped || has_memory && self.place(index) == Some(0)
        })
    }

    fn follow_stack(&mut self, start: usize) {
        let count = self.code.len();
        (self.stack, self.frame) = (vec![None; count], vec![None; count]);
        let mut open = vec![(start, 0i64, None::<i64>)];
        let mut seen = vec![false; count];
        while let Some((index, stack, frame)) = open.pop() {
            if std::mem::replace(&mut seen[index], true) {
                // Two ways with different heights: compilers do not write this, so nothing is known.
                if self.stack[index] != Some(stack) {
                    self.stack[index] = None;
                }
                if self.frame[index] != frame {
                    self.frame[index] = None;
                }
                continue;
            }
            (self.stack[index], self.frame[index]) = (Some(stack), frame);
            let it = &self.code[index];
            let Some((stack, frame)) = moved(it, stack, frame) else { continue };
            open.extend(self.after(index).into_iter().map(|next| (next, stack, frame)));
        }
    }

    fn note_addresses(&mut self) {
        let mut found = Vec::new();
        for (index, it) in self.code.iter().enumerate() {
            match it.mnemonic() {
                Mnemonic::Lea if it.op0_register().full_register() != Register::RSP => {
                    if let Some(base) = self.base(index, it.memory_base()) {
                        found.push(base + it.memory_displacement64() as i64);
                    }
                }
                Mnemonic::Mov
                    if it.op1_kind() == OpKind::Register
                        && it.op1_register() == Register::RSP
                        && !(it.op0_kind() == OpKind::Register && it.op0_register() == Register::RBP) =>
                {
                    found.extend(self.stack[index]);
                }
                _ => {}
            }
        }
        found.sort_unstable();
        found.dedup();
        self.addressed = found;
    }
}

/// Whether the instruction after this one can follow it. A handler of the signal that a breakpoint raises returns there.
fn goes_to_next(it: &Instruction) -> bool {
    falls_through(it) || it.mnemonic() == Mnemonic::Int3
}

/// Whether an instruction with memory as its first operand writes to it.
pub(super) fn writes(it: &Instruction) -> bool {
    let reads = matches!(
        it.mnemonic(),
        Mnemonic::Cmp | Mnemonic::Test | Mnemonic::Push | Mnemonic::Nop | Mnemonic::Bt
    );
    !reads && it.flow_control() == FlowControl::Next
}

/// The stack pointer and the frame pointer after an instruction; `None` if the stack pointer is unknown then.
fn moved(it: &Instruction, stack: i64, frame: Option<i64>) -> Option<(i64, Option<i64>)> {
    let writes = |register: Register| {
        it.op_count() > 0
            && it.op0_kind() == OpKind::Register
            && it.op0_register().full_register() == register
            && !matches!(it.mnemonic(), Mnemonic::Cmp | Mnemonic::Test | Mnemonic::Push)
    };
    let number = || {
        let is_number = it.op_count() == 2 && !matches!(it.op1_kind(), OpKind::Register | OpKind::Memory);
        is_number.then(|| it.immediate(1) as i64)
    };
    match it.mnemonic() {
        Mnemonic::Push | Mnemonic::Pushfq => Some((stack - 8, frame)),
        Mnemonic::Popfq => Some((stack + 8, frame)),
        Mnemonic::Pop if writes(Register::RBP) => Some((stack + 8, None)),
        Mnemonic::Pop if writes(Register::RSP) => None,
        Mnemonic::Pop => Some((stack + 8, frame)),
        Mnemonic::Leave => Some((frame? + 8, None)),
        Mnemonic::Sub if writes(Register::RSP) => Some((stack.checked_sub(number()?)?, frame)),
        Mnemonic::Add if writes(Register::RSP) => Some((stack.checked_add(number()?)?, frame)),
        Mnemonic::Lea if writes(Register::RSP) => {
            let base = match it.memory_base() {
                Register::RSP => stack,
                Register::RBP => frame?,
                _ => return None,
            };
            let base = (it.memory_index() == Register::None).then_some(base)?;
            Some((base.checked_add(it.memory_displacement64() as i64)?, frame))
        }
        Mnemonic::Mov if writes(Register::RSP) => {
            let is_frame = it.op1_kind() == OpKind::Register && it.op1_register() == Register::RBP;
            Some((frame.filter(|_| is_frame)?, frame))
        }
        Mnemonic::Mov if writes(Register::RBP) => {
            let is_stack = it.op1_kind() == OpKind::Register && it.op1_register() == Register::RSP;
            Some((stack, is_stack.then_some(stack)))
        }
        Mnemonic::Lea if writes(Register::RBP) && it.memory_base() == Register::RSP => {
            let place = stack.checked_add(it.memory_displacement64() as i64)?;
            Some((stack, (it.memory_index() == Register::None).then_some(place)))
        }
        _ if writes(Register::RSP) => None,
        _ if writes(Register::RBP) => Some((stack, None)),
        _ => Some((stack, frame)),
    }
}
