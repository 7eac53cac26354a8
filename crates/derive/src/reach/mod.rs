//! What code can be reached: from the program's entry point, over calls, jumps, addresses of functions and what the loader
//! calls.
//!
//! It is an over-approximation: a function counts as reached as soon as reached code, or data that reached code can read, has
//! its address, because an indirect call may then lead to it.

mod addresses;

use iced_x86::{Code as Opcode, FlowControl, Instruction};

use crate::branch::{falls_through, named_address, near_target};
use crate::code::{Code, thunk};
use crate::data::{Data, Part};
use crate::error::DeriveError;
use crate::functions::{FunctionId, Functions};
use crate::limits;
use crate::source::{Source, Sources};
use crate::space::{ObjectId, Slot, Space};

/// How code is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum How {
    /// Where the program begins.
    Entry,
    /// Where the loader begins.
    Loader,
    /// The loader calls it when it loads or unloads an object.
    Constructor,
    /// The loader or the C library finds it by its name.
    ByName,
    /// Data that can be read has its address; the place is that of the data.
    Pointer,
    /// Go's linker keeps only what can be reached.
    KeptByLinker,
    Call,
    Jump,
    /// By a table of jumps.
    Table,
    /// Code has its address.
    Address,
    /// It follows without a jump.
    Follows,
    /// It handles exceptions.
    Landing,
}

/// From where a function was reached first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parent {
    pub(crate) how: How,
    pub(crate) from: Option<FunctionId>,
    /// The address of the instruction or of the data.
    pub(crate) at: u64,
}

/// A call or jump to a function that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CallSite {
    /// The address that is called.
    pub(crate) target: u64,
    pub(crate) at: u64,
    pub(crate) from: FunctionId,
    /// Whether the return address is pushed.
    pub(crate) is_call: bool,
}

/// An instruction or data that has the address of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Taken {
    pub(crate) target: u64,
    pub(crate) at: u64,
    /// The function, if an instruction has it.
    pub(crate) from: Option<FunctionId>,
    /// Whether data has it.
    pub(crate) is_data: bool,
}

/// A call or jump to a function that is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct IndirectCall {
    pub(crate) object: ObjectId,
    pub(crate) at: u64,
    pub(crate) from: FunctionId,
    /// Whether the return address is pushed.
    pub(crate) is_call: bool,
    /// Where it reads the address of what it calls.
    pub(crate) source: Source,
}

/// An instruction by which the program calls the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KernelEntry {
    pub(crate) at: u64,
    pub(crate) from: FunctionId,
    pub(crate) is_syscall: bool,
}

/// A write to memory at an address that the instruction names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Store {
    pub(crate) address: u64,
    pub(crate) at: u64,
    pub(crate) from: FunctionId,
    /// How many bytes it writes.
    pub(crate) size: u64,
}

/// The most bytes that an instruction writes: with `xsave`, all that the processor keeps for a thread.
const LARGEST_STORE: u64 = 16 * 1024;

/// How far a function is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Depth {
    No,
    /// It runs, but nothing uses the address that it returns.
    Runs,
    Whole,
}

/// What is reached.
#[derive(Debug)]
pub(crate) struct Reach {
    pub(crate) functions: Functions,
    depths: Vec<Depth>,
    pub(crate) parents: Vec<Option<Parent>>,
    open: std::collections::VecDeque<FunctionId>,
    pub(crate) calls: Vec<CallSite>,
    pub(crate) indirect: Vec<IndirectCall>,
    pub(crate) taken: Vec<Taken>,
    pub(crate) kernel_entries: Vec<KernelEntry>,
    pub(crate) stores: Vec<Store>,
    /// Addresses of data that code has.
    pub(crate) data_addresses: Vec<u64>,
    /// Numbers in code at fixed addresses that can be addresses of data, such as that of an array with an index.
    pub(crate) fixed_addresses: Vec<u64>,
    data: Data,
    /// Where functions go on when an exception passes through them.
    pub(crate) landing: Vec<u64>,
    /// Functions that go on to another one without a call.
    leaving: Vec<FunctionId>,
    instructions: usize,
    program: String,
}

impl Reach {
    pub(crate) fn new(program: &str) -> Self {
        Self {
            functions: Functions::default(),
            depths: Vec::new(),
            parents: Vec::new(),
            open: std::collections::VecDeque::new(),
            calls: Vec::new(),
            indirect: Vec::new(),
            taken: Vec::new(),
            kernel_entries: Vec::new(),
            stores: Vec::new(),
            data_addresses: Vec::new(),
            fixed_addresses: Vec::new(),
            data: Data::default(),
            landing: Vec::new(),
            leaving: Vec::new(),
            instructions: 0,
            program: program.to_owned(),
        }
    }

    /// Follows everything that is open.
    pub(crate) fn run(&mut self, space: &Space) -> Result<(), DeriveError> {
        loop {
            while let Some(id) = self.open.pop_front() {
                self.scan(space, id)?;
            }
            let read = self.data.take(space);
            if read.is_empty() {
                return Ok(());
            }
            for (slot, from) in read {
                match space.is_code(slot.value) {
                    true => self.pointer(space, slot, from),
                    false => self.data.refer(Part::Thing(slot.value), from),
                }
            }
        }
    }

    /// Data at an address can be read.
    pub(crate) fn refer(&mut self, part: Part) {
        self.data.refer(part, None);
    }

    /// A word of data that can be read has the address of code. The function is the one by which it was reached.
    pub(crate) fn pointer(&mut self, space: &Space, slot: Slot, from: Option<FunctionId>) {
        if !self.functions.is_label(space, slot.value) {
            let (at, target) = (slot.address, final_target(space, slot.value));
            self.taken.push(Taken { target, at, from: None, is_data: true });
            self.reach(space, slot.value, Parent { how: How::Pointer, from, at }, Depth::Whole);
        }
    }

    /// Code whose address someone has. It may go on through a table of the linker.
    pub(crate) fn root(&mut self, space: &Space, how: How, at: u64, address: u64) {
        // Of what Go's linker keeps, all calls are in the program.
        if how != How::KeptByLinker {
            let target = final_target(space, address);
            self.taken.push(Taken { target, at, from: None, is_data: false });
        }
        self.reach(space, address, Parent { how, from: None, at }, Depth::Whole);
    }

    /// A function that the loader calls for the address of another.
    pub(crate) fn run_resolver(&mut self, space: &Space, at: u64, address: u64) {
        self.reach(space, address, Parent { how: How::Loader, from: None, at }, Depth::Runs);
    }

    /// The calls of an address, and the jumps to it.
    pub(crate) fn calls_to(&self, target: u64) -> &[CallSite] {
        let first = self.calls.partition_point(|it| it.target < target);
        let count = self.calls[first..].iter().take_while(|it| it.target == target).count();
        &self.calls[first..first + count]
    }

    /// Whether anything outside of their function leads to an instruction behind the first of two, up to the second.
    pub(crate) fn is_entered(&self, first: u64, second: u64) -> bool {
        let is_behind = |it: u64| it > first && it <= second;
        let call = self.calls.partition_point(|it| it.target <= first);
        let taken = self.taken.partition_point(|it| it.target <= first);
        let landing = self.landing.partition_point(|it| *it <= first);
        self.calls.get(call).is_some_and(|it| is_behind(it.target))
            || self.taken.get(taken).is_some_and(|it| is_behind(it.target))
            || self.landing.get(landing).is_some_and(|it| is_behind(*it))
    }

    /// What has an address of code.
    pub(crate) fn taken_at(&self, target: u64) -> &[Taken] {
        let first = self.taken.partition_point(|it| it.target < target);
        let count = self.taken[first..].iter().take_while(|it| it.target == target).count();
        &self.taken[first..first + count]
    }

    /// Whether a function goes on to another one without a call.
    pub(crate) fn leaves(&self, id: FunctionId) -> bool {
        self.leaving.binary_search(&id).is_ok()
    }

    /// The writes to so many bytes at an address, or to a part of them.
    pub(crate) fn stores_to(&self, address: u64, width: u64) -> impl Iterator<Item = &Store> {
        let first = self.stores.partition_point(|it| it.address < address.saturating_sub(LARGEST_STORE));
        let near =
            self.stores[first..].iter().take_while(move |it| it.address < address.saturating_add(width));
        near.filter(move |it| it.address.saturating_add(it.size) > address)
    }

    fn reach(&mut self, space: &Space, address: u64, parent: Parent, depth: Depth) {
        let address = final_target(space, address);
        let Some(id) = self.functions.at(space, address) else { return };
        let index = id.0 as usize;
        if self.depths.len() <= index {
            self.depths.resize(index + 1, Depth::No);
            self.parents.resize(index + 1, None);
        }
        if self.depths[index] >= depth {
            return;
        }
        // What only ran has been followed already, without what it returns.
        self.depths[index] = depth;
        self.parents[index].get_or_insert(parent);
        self.open.push_back(id);
    }

    fn scan(&mut self, space: &Space, id: FunctionId) -> Result<(), DeriveError> {
        let too_large = |program: &str| DeriveError::TooLarge {
            object: program.to_owned(),
            what: "instructions",
            limit: limits::INSTRUCTIONS,
        };
        let function = *self.functions.get(id);
        let cost = if function.is_whole { 1 } else { limits::COST_OF_DESCENDING };
        let left = (limits::INSTRUCTIONS - self.instructions) / cost;
        let code = Code::of(space, &function, left).ok_or_else(|| too_large(&self.program))?;
        self.instructions += code.instructions.len() * cost;
        let mut sources = Sources::new(space, &code);
        for (index, it) in code.instructions.iter().enumerate() {
            self.instruction(space, id, it, &mut || sources.of(index));
        }
        self.distances(space, id, &code);
        for (at, targets) in &code.tables {
            for target in targets.iter().filter(|it| !(function.start..function.end).contains(it)) {
                self.edge(space, How::Table, id, *at, *target);
                self.calls.push(CallSite { target: *target, at: *at, from: id, is_call: false });
            }
        }
        if !function.is_whole {
            return Ok(());
        }
        for pad in self.functions.landing_pads(space, id) {
            self.landing.push(pad);
            if !(function.start..function.end).contains(&pad) {
                self.edge(space, How::Landing, id, function.start, pad);
            }
        }
        // After a call at its end nothing follows: the called function does not return.
        let last = code.instructions.last();
        let last = last.filter(|it| falls_through(it) && !is_call(it) && !it.is_invalid());
        if let Some(last) = last {
            self.edge(space, How::Follows, id, last.ip(), last.next_ip());
            self.calls.push(CallSite { target: last.next_ip(), at: last.ip(), from: id, is_call: false });
        }
        Ok(())
    }

    fn edge(&mut self, space: &Space, how: How, from: FunctionId, at: u64, address: u64) {
        self.reach(space, address, Parent { how, from: Some(from), at }, Depth::Whole);
    }

    /// `source` tells where an indirect call reads the address.
    fn instruction(
        &mut self,
        space: &Space,
        id: FunctionId,
        it: &Instruction,
        source: &mut dyn FnMut() -> Source,
    ) {
        let at = it.ip();
        match it.code() {
            Opcode::Syscall | Opcode::Sysenter => {
                let is_syscall = it.code() == Opcode::Syscall;
                self.kernel_entries.push(KernelEntry { at, from: id, is_syscall });
                return;
            }
            Opcode::Int_imm8 if it.immediate8() == 0x80 => {
                self.kernel_entries.push(KernelEntry { at, from: id, is_syscall: false });
                return;
            }
            _ => {}
        }
        let flow = it.flow_control();
        if flow != FlowControl::Next {
            self.branch(space, id, it, source);
            return;
        }
        self.operands(space, id, it);
    }

    fn branch(
        &mut self,
        space: &Space,
        id: FunctionId,
        it: &Instruction,
        source: &mut dyn FnMut() -> Source,
    ) {
        let (at, flow) = (it.ip(), it.flow_control());
        let is_call = matches!(flow, FlowControl::Call | FlowControl::IndirectCall);
        let target = branch_target(space, it);
        let is_indirect = matches!(flow, FlowControl::IndirectCall | FlowControl::IndirectBranch);
        if is_indirect && target.as_ref().is_none_or(|it| !it.is_certain) {
            let object = self.functions.get(id).object;
            self.indirect.push(IndirectCall { object, at, from: id, is_call, source: source() });
        }
        let Some(target) = target.map(|it| it.address) else { return };
        let own = *self.functions.get(id);
        let is_inside = (own.start..own.end).contains(&target) && (own.is_whole || !is_call);
        if is_inside && !(is_call || target == own.start) {
            return;
        }
        let target = final_target(space, target);
        self.calls.push(CallSite { target, at, from: id, is_call });
        let how = if is_call { How::Call } else { How::Jump };
        self.edge(space, how, id, at, target);
    }

    /// Sorts what was found, to be searched.
    pub(crate) fn finish(&mut self) {
        self.calls.sort_unstable();
        self.calls.dedup();
        // Most of these are sorted from the last time.
        self.indirect.sort();
        self.indirect.dedup();
        self.taken.sort();
        self.taken.dedup();
        self.kernel_entries.sort_unstable();
        self.kernel_entries.dedup();
        self.stores.sort_unstable();
        self.stores.dedup();
        self.data_addresses.sort_unstable();
        self.data_addresses.dedup();
        self.fixed_addresses.sort_unstable();
        self.fixed_addresses.dedup();
        self.landing.sort_unstable();
        self.landing.dedup();
        self.leaving = self.calls.iter().filter(|it| !it.is_call).map(|it| it.from).collect();
        self.leaving.sort_unstable();
        self.leaving.dedup();
    }

    /// All functions of an object.
    pub(crate) fn keep_all(&mut self, space: &Space, object: ObjectId) {
        for start in self.functions.starts(space, object) {
            self.root(space, How::KeptByLinker, start, start);
        }
    }
}

/// Whether an instruction pushes a return address, and no entry to the kernel, which has the same kind for the decoder.
pub(crate) fn is_call(it: &Instruction) -> bool {
    matches!(it.flow_control(), FlowControl::Call | FlowControl::IndirectCall) && it.code() != Opcode::Syscall
}

/// Where a jump or call leads.
struct BranchTarget {
    address: u64,
    /// Whether it can lead nowhere else. A variable has this address only until the program writes another one.
    is_certain: bool,
}

/// Where a jump or call leads, as far as its address is known.
fn branch_target(space: &Space, it: &Instruction) -> Option<BranchTarget> {
    let near = near_target(it).map(|address| BranchTarget { address, is_certain: true });
    near.or_else(|| {
        let slot = space.slot(named_address(it)?)?;
        let target = BranchTarget { address: slot.value, is_certain: slot.is_private && !slot.is_indirect };
        space.is_code(slot.value).then_some(target)
    })
}

/// The address that a call arrives at, if it can be no other.
pub(crate) fn called_address(space: &Space, it: &Instruction) -> Option<u64> {
    let target = is_call(it).then(|| branch_target(space, it)).flatten().filter(|it| it.is_certain)?;
    Some(final_target(space, target.address))
}

/// Where a call arrives: a function that only jumps through a slot is the function whose address the slot has, unless the
/// slot is a variable, or the loader fills it with what that function returns.
fn final_target(space: &Space, address: u64) -> u64 {
    const MOST: usize = 8;
    let mut at = address;
    for _ in 0..MOST {
        let Some(slot) = thunk(space, at).and_then(|slot| space.slot(slot)) else { break };
        if !slot.is_private || slot.is_indirect || !space.is_code(slot.value) {
            break;
        }
        at = slot.value;
    }
    at
}
