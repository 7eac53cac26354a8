//! The architectures of nodes, and how other tools name them.

use std::fmt;
use std::str::FromStr;

use profile::Architecture;
use profile::wording::{advice, quote};

/// The architecture of a node, by the value of its label `kubernetes.io/arch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Machine {
    /// 64-bit x86.
    Amd64,
    /// 64-bit ARM.
    Arm64,
    /// 32-bit x86.
    I386,
    /// 32-bit ARM.
    Arm,
    /// 64-bit LoongArch.
    Loong64,
    /// 64-bit PowerPC, little endian.
    Ppc64le,
    /// 64-bit RISC-V.
    Riscv64,
    /// 64-bit S/390.
    S390x,
}

/// Words that `arches` of a rule may contain although no [`Machine`] has them: what Docker and Podman call other
/// architectures (`goToNative` in `seccomp_linux.go` of moby/profiles cd3bed8; `ScmpArch.String` of libseccomp-golang
/// 0.12).
const OTHER_WORDS: &[&str] = &[
    "x32",
    "mips",
    "mips64",
    "mips64n32",
    "mipsel",
    "mipsel64",
    "mipsel64n32",
    "mips3l64n32",
    "parisc",
    "parisc64",
    "ppc",
    "ppc64",
    "s390",
];

impl Machine {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Amd64,
        Self::Arm64,
        Self::I386,
        Self::Arm,
        Self::Loong64,
        Self::Ppc64le,
        Self::Riscv64,
        Self::S390x,
    ];

    /// The value of the label `kubernetes.io/arch`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
            Self::I386 => "386",
            Self::Arm => "arm",
            Self::Loong64 => "loong64",
            Self::Ppc64le => "ppc64le",
            Self::Riscv64 => "riscv64",
            Self::S390x => "s390x",
        }
    }

    /// The kernel's name, which other commands list: `x86_64` for `amd64`.
    fn kernel_name(self) -> Option<&'static str> {
        syscalls::Architecture::from_oci_name(self.native().name()).map(syscalls::Architecture::name)
    }

    /// The native architecture.
    #[must_use]
    pub fn native(self) -> Architecture {
        match self {
            Self::Amd64 => Architecture::X86_64,
            Self::Arm64 => Architecture::Aarch64,
            Self::I386 => Architecture::X86,
            Self::Arm => Architecture::Arm,
            Self::Loong64 => Architecture::Loongarch64,
            Self::Ppc64le => Architecture::Ppc64le,
            Self::Riscv64 => Architecture::Riscv64,
            Self::S390x => Architecture::S390x,
        }
    }

    /// Whether a word of `arches` means this architecture to Docker or to Podman.
    pub(crate) fn is_called(self, word: &str) -> bool {
        self.words().contains(&word)
    }

    fn words(self) -> &'static [&'static str] {
        match self {
            Self::Amd64 => &["amd64"],
            Self::Arm64 => &["arm64"],
            Self::I386 => &["x86"],
            Self::Arm => &["arm"],
            // Docker and Podman have different words.
            Self::Loong64 => &["loongarch64", "loong64"],
            Self::Ppc64le => &["ppc64le"],
            Self::Riscv64 => &["riscv64"],
            Self::S390x => &["s390x"],
        }
    }

    /// Every word that `arches` may contain.
    pub(crate) fn all_words() -> Vec<&'static str> {
        let ours = Self::ALL.into_iter().flat_map(Self::words);
        ours.chain(OTHER_WORDS).copied().collect()
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Text that is not the name of an architecture of nodes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown architecture {}; {}", quote(.0), advice(.0, &Machine::ALL.map(Machine::name)))]
pub struct UnknownMachine(String);

impl FromStr for Machine {
    type Err = UnknownMachine;

    /// Reads the value of the label `kubernetes.io/arch`, or the kernel's name.
    fn from_str(text: &str) -> Result<Self, UnknownMachine> {
        let known = Self::ALL
            .into_iter()
            .find(|machine| machine.name() == text || machine.kernel_name().is_some_and(|name| name == text));
        known.ok_or_else(|| UnknownMachine(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_names_of_an_architecture_are_known() {
        for (label, kernel) in
            [("amd64", "x86_64"), ("arm64", "aarch64"), ("386", "i386"), ("loong64", "loongarch64")]
        {
            assert_eq!(label.parse::<Machine>(), kernel.parse());
            assert_eq!(kernel.parse::<Machine>().unwrap().name(), label);
        }
        assert!("SCMP_ARCH_X86".parse::<Machine>().is_err());
    }
}
