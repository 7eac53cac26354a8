//! What the registers of a call hold on an architecture.

use crate::{Architecture, ArgumentType};

/// What a register of a call holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Register {
    /// An argument.
    Whole(ArgumentType),
    /// The lower 32 bits of an argument of 64 bits.
    LowerHalf,
    /// The upper 32 bits of that argument.
    UpperHalf,
    /// Nothing: it is left out so that the two halves that follow begin at an even register.
    Unused,
}

/// The registers of arguments of these types. 32-bit architectures pass 64 bits in two registers, the lower half first on
/// those with a table, and 32-bit ARM begins them at an even register (`syscall(2)`, "Architecture-specific requirements").
pub(crate) fn registers(types: &[ArgumentType], architecture: Architecture) -> Vec<Register> {
    let is_split = matches!(architecture, Architecture::I386 | Architecture::Arm);
    let mut registers = Vec::new();
    for argument in types {
        if *argument == ArgumentType::Wide && is_split {
            if architecture == Architecture::Arm && !registers.len().is_multiple_of(2) {
                registers.push(Register::Unused);
            }
            registers.extend([Register::LowerHalf, Register::UpperHalf]);
        } else {
            registers.push(Register::Whole(*argument));
        }
    }
    registers
}
