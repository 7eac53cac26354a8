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

/// The calls of `socketcall` with their codes (`SYS_SOCKET` and others in linux/net.h), by name.
const SOCKET: [(&str, u64); 20] = [
    ("accept", 5),
    ("accept4", 18),
    ("bind", 2),
    ("connect", 3),
    ("getpeername", 7),
    ("getsockname", 6),
    ("getsockopt", 15),
    ("listen", 4),
    ("recv", 10),
    ("recvfrom", 12),
    ("recvmmsg", 19),
    ("recvmsg", 17),
    ("send", 9),
    ("sendmmsg", 20),
    ("sendmsg", 16),
    ("sendto", 11),
    ("setsockopt", 14),
    ("shutdown", 13),
    ("socket", 1),
    ("socketpair", 8),
];

/// The calls of `ipc` with their codes (`SEMOP` and others in linux/ipc.h), by name.
const IPC: [(&str, u64); 12] = [
    ("msgctl", 14),
    ("msgget", 13),
    ("msgrcv", 12),
    ("msgsnd", 11),
    ("semctl", 3),
    ("semget", 2),
    ("semop", 1),
    ("semtimedop", 4),
    ("shmat", 21),
    ("shmctl", 24),
    ("shmdt", 22),
    ("shmget", 23),
];

impl Multiplexed {
    /// How libseccomp multiplexes this call on this architecture, if it does.
    #[must_use]
    pub fn of(name: &str, architecture: Architecture) -> Option<Self> {
        if !has_multiplexers(architecture) {
            return None;
        }
        // Many names are asked for, and most are those of neither.
        let code = |calls: &[(&str, u64)]| {
            let place = calls.binary_search_by_key(&name, |(known, _)| known).ok()?;
            calls.get(place).map(|(_, code)| *code)
        };
        let socket = code(&SOCKET).map(|code| Self { through: "socketcall", code });
        socket.or_else(|| code(&IPC).map(|code| Self { through: "ipc", code }))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_of_a_multiplexer_is_found_by_its_name() {
        let calls = SOCKET.map(|it| ("socketcall", it)).into_iter().chain(IPC.map(|it| ("ipc", it)));
        for (through, (name, code)) in calls {
            let found = Multiplexed::of(name, Architecture::X86).unwrap();
            assert_eq!((found.through, found.code), (through, code), "{name}");
        }
        assert_eq!(Multiplexed::of("socketcall", Architecture::X86), None);
    }
}
