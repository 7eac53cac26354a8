//! Where one instruction goes on, and which address it names.

use iced_x86::{FlowControl, Instruction, Mnemonic, OpKind, Register};

/// Whether the instruction after this one can follow it.
pub(crate) fn falls_through(instruction: &Instruction) -> bool {
    use FlowControl::{Exception, IndirectBranch, Return, UnconditionalBranch};
    let ends =
        matches!(instruction.flow_control(), UnconditionalBranch | IndirectBranch | Return | Exception);
    !ends && !matches!(instruction.mnemonic(), Mnemonic::Hlt | Mnemonic::Int3)
}

/// The target of a direct jump or call.
pub(crate) fn near_target(instruction: &Instruction) -> Option<u64> {
    let is_near = instruction.op_count() == 1
        && matches!(
            instruction.op0_kind(),
            OpKind::NearBranch64 | OpKind::NearBranch32 | OpKind::NearBranch16
        );
    is_near.then(|| instruction.near_branch_target())
}

/// The address that an instruction names relative to itself, or absolutely.
pub(crate) fn named_address(instruction: &Instruction) -> Option<u64> {
    if instruction.is_ip_rel_memory_operand() {
        return Some(instruction.ip_rel_memory_address());
    }
    let has_memory = (0..instruction.op_count()).any(|it| instruction.op_kind(it) == OpKind::Memory);
    let is_absolute = has_memory
        && instruction.memory_base() == Register::None
        && instruction.memory_index() == Register::None
        && instruction.segment_prefix() == Register::None;
    is_absolute.then(|| instruction.memory_displacement64())
}

/// An indirect jump through a register, or through memory at an address that is calculated.
pub(crate) fn is_open_branch(instruction: &Instruction) -> bool {
    instruction.flow_control() == FlowControl::IndirectBranch && named_address(instruction).is_none()
}
