//! The types of arguments.

/// The type of an argument: what the kernel uses of the 64 bits that a filter sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ArgumentType {
    /// An address. A filter sees where a value is, and not the value.
    Pointer,
    /// The lowest 16 bits.
    Short,
    /// The lowest 32 bits.
    Int,
    /// The whole register: 64 bits, and 32 on 32-bit architectures.
    Word,
    /// 64 bits on every architecture; 32-bit ones pass them in two registers ([`Register`](crate::Register)).
    Wide,
}
