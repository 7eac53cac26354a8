//! A system call as the kernel names it.

use std::fmt;
use std::str::FromStr;

use syscalls::{Architecture, Syscall};

/// Bit 30 of a number of 64-bit x86: a call with 32-bit pointers.
const X32: u32 = 0x4000_0000;

/// An architecture as the kernel's audit names it (`AUDIT_ARCH_*` of `linux/audit.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Arch(pub u32);

/// Those with a table. 64-bit x86 has two: the number says which.
const ARCHES: [(Arch, Architecture); 8] = [
    (Arch(0xc000_003e), Architecture::X86_64),
    (Arch(0x4000_0003), Architecture::I386),
    (Arch(0xc000_00b7), Architecture::Aarch64),
    (Arch(0x4000_0028), Architecture::Arm),
    (Arch(0xc000_00f3), Architecture::Riscv64),
    (Arch(0x8000_0016), Architecture::S390x),
    (Arch(0xc000_0015), Architecture::Ppc64le),
    (Arch(0xc000_0102), Architecture::Loongarch64),
];

/// What a filter did with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Ended the process.
    KillProcess,
    /// Ended the thread.
    KillThread,
    /// Sent the process SIGSYS.
    Trap,
    /// Returned an error.
    Errno,
    /// Asked another program.
    Notify,
    /// Asked a tracer.
    Trace,
    /// Permitted the call, and logged it.
    Log,
    /// Another action, by its number.
    Other(u32),
}

impl Action {
    /// All but [`Action::Other`], with their numbers (`SECCOMP_RET_*` of `linux/seccomp.h`) and their names in the OCI
    /// runtime specification.
    const ALL: [(Self, u32, &'static str); 7] = [
        (Self::KillProcess, 0x8000_0000, "SCMP_ACT_KILL_PROCESS"),
        (Self::KillThread, 0x0000_0000, "SCMP_ACT_KILL_THREAD"),
        (Self::Trap, 0x0003_0000, "SCMP_ACT_TRAP"),
        (Self::Errno, 0x0005_0000, "SCMP_ACT_ERRNO"),
        (Self::Notify, 0x7fc0_0000, "SCMP_ACT_NOTIFY"),
        (Self::Trace, 0x7ff0_0000, "SCMP_ACT_TRACE"),
        (Self::Log, 0x7ffc_0000, "SCMP_ACT_LOG"),
    ];

    /// The action with this number. The kernel leaves out what a filter returns with it, such as the error.
    #[must_use]
    pub fn from_code(code: u32) -> Self {
        Self::ALL
            .iter()
            .find(|(_, number, _)| *number == code & 0xffff_0000)
            .map_or(Self::Other(code), |it| it.0)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, Self::ALL.iter().find(|(action, ..)| action == self)) {
            (_, Some((.., name))) => f.write_str(name),
            (Self::Other(code), _) => write!(f, "{code:#x}"),
            (_, None) => Ok(()),
        }
    }
}

/// A text that is not the name of an architecture or of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("neither a name nor a hexadecimal number")]
pub struct UnknownWord;

impl FromStr for Action {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let named = Self::ALL.iter().find(|(.., name)| *name == text).map(|it| it.0);
        named.or_else(|| hexadecimal(text).map(Self::from_code)).ok_or(UnknownWord)
    }
}

fn hexadecimal(text: &str) -> Option<u32> {
    u32::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

/// A call with this number on this architecture, and what the filter did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Call {
    /// The architecture.
    pub arch: Arch,
    /// The number, as a filter sees it: that of an x32 call has bit 30 set.
    pub number: u32,
    /// What the filter did.
    pub action: Action,
}

impl Call {
    /// The architecture whose table has the number, if it has a table.
    #[must_use]
    pub fn architecture(&self) -> Option<Architecture> {
        let known = ARCHES.iter().find(|(arch, _)| *arch == self.arch).map(|it| it.1);
        match known {
            Some(Architecture::X86_64) if self.number & X32 != 0 => Some(Architecture::X32),
            known => known,
        }
    }

    /// The architecture's name or, without a table, its number in audit records.
    #[must_use]
    pub fn architecture_name(&self) -> String {
        self.architecture().map_or_else(|| format!("{:#x}", self.arch.0), |it| it.name().to_owned())
    }

    /// The call's name; `syscall_0x1c3` if none is known, as in the logs of strace.
    #[must_use]
    pub fn name(&self) -> String {
        let named =
            self.architecture().and_then(|architecture| Syscall::by_number(architecture, self.number));
        named.map_or_else(|| format!("syscall_{:#x}", self.number), |call| call.name().to_owned())
    }

    /// The call that has this architecture name, number and action.
    #[must_use]
    pub fn of(architecture: &str, number: u32, action: &str) -> Option<Self> {
        let architecture = if architecture == Architecture::X32.name() { "x86_64" } else { architecture };
        let named = ARCHES.iter().find(|(_, known)| known.name() == architecture).map(|it| it.0);
        let arch = named.or_else(|| hexadecimal(architecture).map(Arch))?;
        Some(Self { arch, number, action: action.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn call(arch: u32, number: u32) -> (String, String) {
        let call = Call { arch: Arch(arch), number, action: Action::Errno };
        (call.architecture_name(), call.name())
    }

    #[test]
    fn a_number_has_the_name_of_its_own_table() {
        let of = |arch: &str, name: &str| (arch.to_owned(), name.to_owned());
        assert_eq!(call(0xc000_003e, 110), of("x86_64", "getppid"));
        assert_eq!(call(0x4000_0003, 110), of("i386", "iopl"));
        assert_eq!(call(0xc000_003e, 0x4000_006e), of("x32", "getppid"));
        assert_eq!(call(0xc000_00b7, 129), of("aarch64", "kill"));
        assert_eq!(call(0xc000_003e, 5000), of("x86_64", "syscall_0x1388"));
        assert_eq!(call(0x1234, 1), of("0x1234", "syscall_0x1"));
    }

    proptest! {
        #[test]
        fn what_a_report_says_leads_back_to_the_call(
            arch in prop_oneof![any::<u32>(), proptest::sample::select(ARCHES.map(|it| it.0.0).to_vec())],
            number: u32,
            code in prop_oneof![any::<u32>(), proptest::sample::select(Action::ALL.map(|it| it.1).to_vec())],
        ) {
            let call = Call { arch: Arch(arch), number, action: Action::from_code(code) };
            prop_assert_eq!(Call::of(&call.architecture_name(), number, &call.action.to_string()), Some(call));
        }
    }
}
