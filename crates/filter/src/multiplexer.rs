//! Calls that 32-bit x86 and some others make through one number: `socketcall` and `ipc`.

use profile::{Architecture, Comparison};

use crate::Condition;

/// A call that can also be made through a multiplexer, whose first argument says which call it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Multiplexed {
    /// The name of the multiplexer.
    pub through: &'static str,
    /// Its first argument.
    pub code: u64,
}

/// The calls of `socketcall`, by their codes from 1 (`SYS_SOCKET` and others in linux/net.h).
const SOCKET: [&str; 20] = [
    "socket",
    "bind",
    "connect",
    "listen",
    "accept",
    "getsockname",
    "getpeername",
    "socketpair",
    "send",
    "recv",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "sendmsg",
    "recvmsg",
    "accept4",
    "recvmmsg",
    "sendmmsg",
];

/// The calls of `ipc` with their codes (`SEMOP` and others in linux/ipc.h).
const IPC: [(&str, u64); 12] = [
    ("semop", 1),
    ("semget", 2),
    ("semctl", 3),
    ("semtimedop", 4),
    ("msgsnd", 11),
    ("msgrcv", 12),
    ("msgget", 13),
    ("msgctl", 14),
    ("shmat", 21),
    ("shmdt", 22),
    ("shmget", 23),
    ("shmctl", 24),
];

impl Multiplexed {
    /// How libseccomp multiplexes this call on this architecture, if it does.
    #[must_use]
    pub fn of(name: &str, architecture: Architecture) -> Option<Self> {
        if !has_multiplexers(architecture) {
            return None;
        }
        let socket = SOCKET.iter().position(|known| *known == name);
        let socket = socket.map(|at| Self { through: "socketcall", code: at as u64 + 1 });
        let ipc = IPC.iter().find(|(known, _)| *known == name);
        socket.or(ipc.map(|(_, code)| Self { through: "ipc", code: *code }))
    }

    /// The conditions of a rule for the call on the multiplexer: its first argument is the code. Conditions on other
    /// arguments stay, although these arguments are no longer those of the call; so they do not hold.
    pub(crate) fn conditions(self, direct: &[Condition]) -> Vec<Condition> {
        let code = Condition::new(0, Comparison::Equal, self.code, 0);
        code.into_iter().chain(direct.iter().filter(|condition| condition.index() != 0).copied()).collect()
    }
}

/// The multiplexer through which programs of an architecture can also make a call: `socketcall` or `ipc`. Conditions of
/// rules for the call do not hold there.
#[must_use]
pub fn multiplexer(name: &str, architecture: Architecture) -> Option<&'static str> {
    Multiplexed::of(name, architecture).map(|multiplexed| multiplexed.through)
}

/// Whether this is the name of a multiplexer.
pub(crate) fn is_multiplexer(name: &str) -> bool {
    matches!(name, "socketcall" | "ipc")
}

/// Whether libseccomp knows the architecture as one with multiplexers (`abi_rule_add` in its src/syscalls.c).
pub(crate) fn has_multiplexers(architecture: Architecture) -> bool {
    use Architecture::{Mips, Mipsel, Ppc, Ppc64, Ppc64le, S390, S390x, X86};
    matches!(architecture, X86 | Mips | Mipsel | Ppc | Ppc64 | Ppc64le | S390 | S390x)
}
