//! The architectures with a table.

use std::fmt;

/// A table of system call numbers.
///
/// The OCI runtime specification has more architectures than these; nothing is known here about the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Architecture {
    /// 64-bit x86.
    X86_64,
    /// 32-bit x86.
    I386,
    /// 64-bit x86 with 32-bit pointers.
    X32,
    /// 64-bit ARM.
    Aarch64,
    /// 32-bit ARM.
    Arm,
    /// 64-bit RISC-V.
    Riscv64,
    /// 64-bit S/390.
    S390x,
    /// 64-bit PowerPC, little endian.
    Ppc64le,
    /// 64-bit LoongArch.
    Loongarch64,
}

impl Architecture {
    /// Every architecture, in the order of the generated tables.
    pub const ALL: [Self; 9] = [
        Self::X86_64,
        Self::I386,
        Self::X32,
        Self::Aarch64,
        Self::Arm,
        Self::Riscv64,
        Self::S390x,
        Self::Ppc64le,
        Self::Loongarch64,
    ];

    /// The name in the generated tables and in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::I386 => "i386",
            Self::X32 => "x32",
            Self::Aarch64 => "aarch64",
            Self::Arm => "arm",
            Self::Riscv64 => "riscv64",
            Self::S390x => "s390x",
            Self::Ppc64le => "ppc64le",
            Self::Loongarch64 => "loongarch64",
        }
    }

    /// The name in the OCI runtime specification.
    #[must_use]
    pub fn oci_name(self) -> &'static str {
        match self {
            Self::X86_64 => "SCMP_ARCH_X86_64",
            Self::I386 => "SCMP_ARCH_X86",
            Self::X32 => "SCMP_ARCH_X32",
            Self::Aarch64 => "SCMP_ARCH_AARCH64",
            Self::Arm => "SCMP_ARCH_ARM",
            Self::Riscv64 => "SCMP_ARCH_RISCV64",
            Self::S390x => "SCMP_ARCH_S390X",
            Self::Ppc64le => "SCMP_ARCH_PPC64LE",
            Self::Loongarch64 => "SCMP_ARCH_LOONGARCH64",
        }
    }

    /// The architecture with this name in the OCI runtime specification, if it has a table.
    #[must_use]
    pub fn from_oci_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|architecture| architecture.oci_name() == name)
    }

    /// The architecture with this name in Go (`GOARCH`), which Kubernetes uses for nodes, if it has a table.
    #[must_use]
    pub fn from_go_name(name: &str) -> Option<Self> {
        Some(match name {
            "amd64" => Self::X86_64,
            "386" => Self::I386,
            "arm64" => Self::Aarch64,
            "arm" => Self::Arm,
            "riscv64" => Self::Riscv64,
            "s390x" => Self::S390x,
            "ppc64le" => Self::Ppc64le,
            "loong64" => Self::Loongarch64,
            _ => return None,
        })
    }

    /// Its place in the generated tables.
    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
