//! What a condition says about a register: on the way that is taken if the register equals a constant, it has this constant.

use iced_x86::{ConditionCode, FlowControl, Instruction, Mnemonic, OpAccess, OpKind, Register};

use super::flow::Flow;
use super::place::Place;
use super::solver::{Solver, State};

/// How many instructions a comparison can be before its jump.
const FAR: usize = 8;

impl Solver<'_> {
    /// What a place has after the jump `before`, on the way to the instruction of the state, and the address of the
    /// comparison that says so: `test` of the register with itself, or `cmp` of it with a constant. Between the comparison
    /// and the jump nothing changes the register or the flags, and nothing else leads there.
    pub(super) fn compared(&mut self, flow: &Flow, state: &State, before: usize) -> Option<(u64, u64)> {
        let Place::Register(register) = state.place else { return None };
        leads_if_equal(flow, before, state.index as usize).then_some(())?;
        let mut at = before;
        for _ in 0..FAR {
            let address = flow.address(at);
            let is_entered = !self.reach.calls_to(address).is_empty()
                || !self.reach.taken_at(address).is_empty()
                || self.reach.landing.binary_search(&address).is_ok();
            let last = at.checked_sub(1).filter(|last| !is_entered && flow.before(at) == [*last])?;
            let it = &flow.code[last];
            if it.flow_control() != FlowControl::Next {
                return None;
            }
            if it.rflags_modified() != 0 {
                let (number, width) = equal(it, register)?;
                return (state.mask & !width == 0).then_some((number & width, it.ip()));
            }
            let mut used = self.info.info(it).used_registers().iter();
            let is_written = used.any(|it| {
                it.register().full_register() == register
                    && !matches!(it.access(), OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess)
            });
            if is_written {
                return None;
            }
            at = last;
        }
        None
    }
}

/// Whether a jump leads to an instruction only if what was compared is equal.
fn leads_if_equal(flow: &Flow, jump: usize, to: usize) -> bool {
    let it = &flow.code[jump];
    if !it.is_jcc_short_or_near() {
        return false;
    }
    let (taken, next) = (it.near_branch_target(), it.next_ip());
    let to = flow.address(to);
    match it.condition_code() {
        ConditionCode::e => to == taken && taken != next,
        ConditionCode::ne => to == next && taken != next,
        _ => false,
    }
}

/// The number that a register has if a comparison finds it equal, and the bits that are compared.
fn equal(it: &Instruction, register: Register) -> Option<(u64, u64)> {
    if it.op_count() != 2 || it.op0_kind() != OpKind::Register {
        return None;
    }
    let compared = it.op0_register();
    let width = match compared.size() {
        4 => u64::from(u32::MAX),
        8 => u64::MAX,
        _ => return None,
    };
    if compared.full_register() != register {
        return None;
    }
    let number = match it.mnemonic() {
        Mnemonic::Test if it.op1_kind() == OpKind::Register && it.op1_register() == compared => 0,
        Mnemonic::Cmp => it.try_immediate(1).ok()?,
        _ => return None,
    };
    Some((number, width))
}
