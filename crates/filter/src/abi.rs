//! How architectures differ for a filter.

use profile::Architecture;

use crate::tree::Width;

/// The bit in the number of a call that marks it as one of x32.
pub(crate) const X32: u32 = 1 << 30;

/// Whether the kernel gives calls of this architecture to filters as those of x86_64; x32 differs by [`X32`] only.
pub(crate) fn is_x86_64(architecture: Architecture) -> bool {
    matches!(architecture, Architecture::X86_64 | Architecture::X32)
}

/// How many bits of an argument libseccomp compares (`arch_def` in its src/arch-*.c).
pub(crate) fn width(architecture: Architecture) -> Width {
    use Architecture::{Arm, Mips, Mips64n32, Mipsel, Mipsel64n32, Ppc, S390, X32, X86};
    match architecture {
        Arm | Mips | Mips64n32 | Mipsel | Mipsel64n32 | Ppc | S390 | X32 | X86 => Width::Bits32,
        _ => Width::Bits64,
    }
}
