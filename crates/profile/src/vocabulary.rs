//! The names in the OCI runtime specification: actions, architectures, comparisons, flags.
//!
//! Source: `config-linux.md`, section Seccomp, of the runtime specification 1.3.

use crate::limits;

/// Defines an enum whose variants are names in the specification, with conversions in both directions.
macro_rules! vocabulary {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
        pub enum $name { $($(#[$doc])* #[serde(rename = $word)] $variant,)+ }

        impl $name {
            /// Every name, in the order of the specification.
            pub const NAMES: &'static [&'static str] = &[$($word),+];

            /// The value with this `name`, if it is one of [`Self::NAMES`].
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($word => Some(Self::$variant),)+ _ => None }
            }

            /// The name in the specification.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }
    };
}

vocabulary! {
    /// What the kernel does with a system call.
    Action {
        /// Ends the calling thread: the older name of [`Action::KillThread`].
        Kill = "SCMP_ACT_KILL",
        /// Ends the whole process.
        KillProcess = "SCMP_ACT_KILL_PROCESS",
        /// Ends the calling thread.
        KillThread = "SCMP_ACT_KILL_THREAD",
        /// Sends SIGSYS.
        Trap = "SCMP_ACT_TRAP",
        /// Fails the call with an errno: `errnoRet`, or EPERM.
        Errno = "SCMP_ACT_ERRNO",
        /// Asks a tracer; without one the call fails with ENOSYS.
        Trace = "SCMP_ACT_TRACE",
        /// Allows the call.
        Allow = "SCMP_ACT_ALLOW",
        /// Allows the call and logs it.
        Log = "SCMP_ACT_LOG",
        /// Asks the seccomp agent that listens on the profile's socket; without one the call fails with ENOSYS.
        Notify = "SCMP_ACT_NOTIFY",
    }
}

impl Action {
    /// The names of the actions that can be a profile's default: all but [`Action::Notify`], because runc would have to
    /// wait for an answer before it has sent the listener to the agent (`InitSeccomp` in its
    /// libcontainer/seccomp/seccomp_linux.go).
    pub const DEFAULT_NAMES: &'static [&'static str] = match Self::NAMES.split_last() {
        Some((_, others)) => others,
        None => &[],
    };

    /// Whether this action uses an `errnoRet`. For other actions crun refuses it, and runc and youki ignore it (crun
    /// 1.28, runc 1.5.2, youki 0.7.0).
    #[must_use]
    pub fn takes_errno(self) -> bool {
        self.highest_errno().is_some()
    }

    /// The highest `errnoRet` of this action with which a filter can be loaded; `None` if it takes none.
    #[must_use]
    pub fn highest_errno(self) -> Option<u16> {
        match self {
            Self::Errno => Some(limits::ERRNO),
            Self::Trace => Some(limits::TRACE),
            _ => None,
        }
    }
}

vocabulary! {
    /// A system call table.
    ///
    /// The specification also has PARISC, PARISC64, M68K, SH and SHEB; runc 1.5 refuses to start a container whose
    /// profile names one of them (`libcontainer/seccomp/config.go`), and Kubernetes runs on none.
    Architecture {
        /// 32-bit x86.
        X86 = "SCMP_ARCH_X86",
        /// 64-bit x86.
        X86_64 = "SCMP_ARCH_X86_64",
        /// 64-bit x86 with 32-bit pointers.
        X32 = "SCMP_ARCH_X32",
        /// 32-bit ARM.
        Arm = "SCMP_ARCH_ARM",
        /// 64-bit ARM.
        Aarch64 = "SCMP_ARCH_AARCH64",
        /// 32-bit MIPS, big endian.
        Mips = "SCMP_ARCH_MIPS",
        /// 64-bit MIPS, big endian.
        Mips64 = "SCMP_ARCH_MIPS64",
        /// 64-bit MIPS with 32-bit pointers, big endian.
        Mips64n32 = "SCMP_ARCH_MIPS64N32",
        /// 32-bit MIPS, little endian.
        Mipsel = "SCMP_ARCH_MIPSEL",
        /// 64-bit MIPS, little endian.
        Mipsel64 = "SCMP_ARCH_MIPSEL64",
        /// 64-bit MIPS with 32-bit pointers, little endian.
        Mipsel64n32 = "SCMP_ARCH_MIPSEL64N32",
        /// 32-bit PowerPC.
        Ppc = "SCMP_ARCH_PPC",
        /// 64-bit PowerPC, big endian.
        Ppc64 = "SCMP_ARCH_PPC64",
        /// 64-bit PowerPC, little endian.
        Ppc64le = "SCMP_ARCH_PPC64LE",
        /// 31-bit S/390.
        S390 = "SCMP_ARCH_S390",
        /// 64-bit S/390.
        S390x = "SCMP_ARCH_S390X",
        /// 64-bit RISC-V.
        Riscv64 = "SCMP_ARCH_RISCV64",
        /// 64-bit LoongArch.
        Loongarch64 = "SCMP_ARCH_LOONGARCH64",
    }
}

impl Architecture {
    /// Whether the architecture is big-endian. libseccomp refuses a filter for both byte orders (EDOM), because no
    /// machine runs both.
    #[must_use]
    pub const fn is_big_endian(self) -> bool {
        matches!(
            self,
            Self::Mips | Self::Mips64 | Self::Mips64n32 | Self::Ppc | Self::Ppc64 | Self::S390 | Self::S390x
        )
    }
}

vocabulary! {
    /// How an argument of a call is compared with a value.
    Comparison {
        /// Not equal.
        NotEqual = "SCMP_CMP_NE",
        /// Less than.
        Less = "SCMP_CMP_LT",
        /// Less than or equal.
        LessOrEqual = "SCMP_CMP_LE",
        /// Equal.
        Equal = "SCMP_CMP_EQ",
        /// Greater than or equal.
        GreaterOrEqual = "SCMP_CMP_GE",
        /// Greater than.
        Greater = "SCMP_CMP_GT",
        /// Equal to `valueTwo` once masked with `value`.
        MaskedEqual = "SCMP_CMP_MASKED_EQ",
    }
}

vocabulary! {
    /// A flag of `seccomp(2)`.
    Flag {
        /// Applies the filter to every thread of the process.
        Tsync = "SECCOMP_FILTER_FLAG_TSYNC",
        /// Logs every action but allow.
        Log = "SECCOMP_FILTER_FLAG_LOG",
        /// Leaves speculative store bypass on.
        SpecAllow = "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
        /// While a seccomp agent handles a call, only fatal signals end the wait for its answer (Linux 5.19).
        WaitKillableRecv = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
    }
}
