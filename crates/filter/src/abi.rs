//! How architectures differ for a filter.

use profile::Architecture;

use crate::tree::Width;

/// The table of system calls of an architecture, if there is one.
pub(crate) fn table(architecture: Architecture) -> Option<syscalls::Architecture> {
    use Architecture::{Aarch64, Arm, Loongarch64, Ppc64le, Riscv64, S390x, X32, X86, X86_64};
    Some(match architecture {
        X86_64 => syscalls::Architecture::X86_64,
        X86 => syscalls::Architecture::I386,
        X32 => syscalls::Architecture::X32,
        Aarch64 => syscalls::Architecture::Aarch64,
        Arm => syscalls::Architecture::Arm,
        Riscv64 => syscalls::Architecture::Riscv64,
        S390x => syscalls::Architecture::S390x,
        Ppc64le => syscalls::Architecture::Ppc64le,
        Loongarch64 => syscalls::Architecture::Loongarch64,
        _ => return None,
    })
}

/// The bit in the number of a call that marks it as one of x32.
pub(crate) const X32: u32 = 1 << 30;

/// Whether the kernel gives calls of this architecture to filters as those of x86_64; x32 differs by [`X32`] only.
pub(crate) fn is_x86_64(architecture: Architecture) -> bool {
    matches!(architecture, Architecture::X86_64 | Architecture::X32)
}

/// Whether libseccomp compares only the lower halves of the arguments of this call. It then also drops the upper halves of
/// the values in the rules, so that a condition with a greater value is another one there.
#[must_use]
pub fn compares_lower_halves(architecture: Architecture, number: u32) -> bool {
    let is_x32 = is_x86_64(architecture) && number & X32 != 0;
    width(if is_x32 { Architecture::X32 } else { architecture }) == Width::Bits32
}

/// How many bits of an argument libseccomp compares (`arch_def` in its src/arch-*.c).
pub(crate) fn width(architecture: Architecture) -> Width {
    use Architecture::{Arm, Mips, Mips64n32, Mipsel, Mipsel64n32, Ppc, S390, X32, X86};
    match architecture {
        Arm | Mips | Mips64n32 | Mipsel | Mipsel64n32 | Ppc | S390 | X32 | X86 => Width::Bits32,
        _ => Width::Bits64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_that_of_the_architecture_with_the_same_name() {
        for name in Architecture::NAMES {
            let architecture = Architecture::from_name(name).unwrap();
            assert_eq!(table(architecture), syscalls::Architecture::from_oci_name(name), "{name}");
        }
    }
}
