//! Known values of arguments: of those that profiles compare most.
//!
//! (Numbers of Linux's `include/linux/socket.h` and of the headers `linux/sched.h`, `linux/personality.h`,
//! `linux/prctl.h`, `linux/net.h`, `linux/ipc.h`, `asm-generic/mman-common.h`, `asm-generic/ioctls.h`; those that all
//! architectures of the options share.)

/// What the values of an argument are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Values {
    /// One of these.
    One(&'static [(u64, &'static str)]),
    /// Bits, each with a name.
    Bits(&'static [(u64, &'static str)]),
}

/// The values of an argument of a call, if they are known.
pub(super) fn values(call: &str, index: u8) -> Option<Values> {
    match (call, index) {
        ("socket" | "socketpair", 0) => Some(Values::One(DOMAINS)),
        ("clone" | "unshare", 0) | ("setns", 1) => Some(Values::Bits(CLONE)),
        ("personality", 0) => Some(Values::One(PERSONALITIES)),
        ("mmap" | "mmap2" | "mprotect" | "pkey_mprotect", 2) => Some(Values::Bits(PROTECTIONS)),
        ("prctl", 0) => Some(Values::One(PRCTL)),
        ("ioctl", 1) => Some(Values::One(IOCTL)),
        ("socketcall", 0) => Some(Values::One(SOCKETCALL)),
        ("ipc", 0) => Some(Values::One(IPC)),
        _ => None,
    }
}

/// The number that names mean, joined by `|`, as [`Values::name`] gives them to an argument of a call; `None` if one is not
/// the argument's.
pub(crate) fn value_of_names(call: &str, index: u8, names: &str) -> Option<u64> {
    let (Values::One(known) | Values::Bits(known)) = values(call, index)?;
    let number = |name: &str| known.iter().find(|(_, known)| *known == name).map(|(number, _)| *number);
    names.split('|').map(str::trim).try_fold(0, |all, name| Some(all | number(name)?))
}

impl Values {
    /// The name of a value, or of the bits that are set in it; `None` if it has no name.
    pub(super) fn name(self, value: u64) -> Option<String> {
        match self {
            Self::One(known) => {
                let found = known.iter().find(|(known, _)| *known == value)?;
                Some(found.1.to_owned())
            }
            Self::Bits(known) => {
                let set = || known.iter().filter(|(bit, _)| value & bit != 0);
                let named = set().fold(0, |all, (bit, _)| all | bit);
                let names: Vec<_> = set().map(|(_, name)| *name).collect();
                (value != 0 && named == value).then(|| names.join(", "))
            }
        }
    }
}

#[rustfmt::skip]
const DOMAINS: &[(u64, &str)] = &[
    (0, "AF_UNSPEC"), (1, "AF_UNIX"), (2, "AF_INET"), (3, "AF_AX25"), (4, "AF_IPX"), (5, "AF_APPLETALK"),
    (6, "AF_NETROM"), (7, "AF_BRIDGE"), (8, "AF_ATMPVC"), (9, "AF_X25"), (10, "AF_INET6"), (11, "AF_ROSE"),
    (12, "AF_DECnet"), (13, "AF_NETBEUI"), (14, "AF_SECURITY"), (15, "AF_KEY"), (16, "AF_NETLINK"),
    (17, "AF_PACKET"), (18, "AF_ASH"), (19, "AF_ECONET"), (20, "AF_ATMSVC"), (21, "AF_RDS"), (22, "AF_SNA"),
    (23, "AF_IRDA"), (24, "AF_PPPOX"), (25, "AF_WANPIPE"), (26, "AF_LLC"), (27, "AF_IB"), (28, "AF_MPLS"),
    (29, "AF_CAN"), (30, "AF_TIPC"), (31, "AF_BLUETOOTH"), (32, "AF_IUCV"), (33, "AF_RXRPC"), (34, "AF_ISDN"),
    (35, "AF_PHONET"), (36, "AF_IEEE802154"), (37, "AF_CAIF"), (38, "AF_ALG"), (39, "AF_NFC"), (40, "AF_VSOCK"),
    (41, "AF_KCM"), (42, "AF_QIPCRTR"), (43, "AF_SMC"), (44, "AF_XDP"), (45, "AF_MCTP"),
];

#[rustfmt::skip]
const CLONE: &[(u64, &str)] = &[
    (0x80, "CLONE_NEWTIME"), (0x100, "CLONE_VM"), (0x200, "CLONE_FS"), (0x400, "CLONE_FILES"),
    (0x800, "CLONE_SIGHAND"), (0x1000, "CLONE_PIDFD"), (0x2000, "CLONE_PTRACE"), (0x4000, "CLONE_VFORK"),
    (0x8000, "CLONE_PARENT"), (0x1_0000, "CLONE_THREAD"), (0x2_0000, "CLONE_NEWNS"), (0x4_0000, "CLONE_SYSVSEM"),
    (0x8_0000, "CLONE_SETTLS"), (0x10_0000, "CLONE_PARENT_SETTID"), (0x20_0000, "CLONE_CHILD_CLEARTID"),
    (0x40_0000, "CLONE_DETACHED"), (0x80_0000, "CLONE_UNTRACED"), (0x100_0000, "CLONE_CHILD_SETTID"),
    (0x200_0000, "CLONE_NEWCGROUP"), (0x400_0000, "CLONE_NEWUTS"), (0x800_0000, "CLONE_NEWIPC"),
    (0x1000_0000, "CLONE_NEWUSER"), (0x2000_0000, "CLONE_NEWPID"), (0x4000_0000, "CLONE_NEWNET"),
    (0x8000_0000, "CLONE_IO"),
];

#[rustfmt::skip]
const PERSONALITIES: &[(u64, &str)] = &[
    (0, "PER_LINUX"), (8, "PER_LINUX32"), (0x2_0000, "UNAME26"), (0x2_0008, "PER_LINUX32 with UNAME26"),
    (0x4_0000, "ADDR_NO_RANDOMIZE"), (0xffff_ffff, "only a question"),
];

const PROTECTIONS: &[(u64, &str)] = &[(1, "PROT_READ"), (2, "PROT_WRITE"), (4, "PROT_EXEC")];

#[rustfmt::skip]
const PRCTL: &[(u64, &str)] = &[
    (1, "PR_SET_PDEATHSIG"), (2, "PR_GET_PDEATHSIG"), (3, "PR_GET_DUMPABLE"), (4, "PR_SET_DUMPABLE"),
    (7, "PR_GET_KEEPCAPS"), (8, "PR_SET_KEEPCAPS"), (15, "PR_SET_NAME"), (16, "PR_GET_NAME"), (21, "PR_GET_SECCOMP"),
    (22, "PR_SET_SECCOMP"), (23, "PR_CAPBSET_READ"), (24, "PR_CAPBSET_DROP"), (27, "PR_GET_SECUREBITS"),
    (28, "PR_SET_SECUREBITS"), (29, "PR_SET_TIMERSLACK"), (30, "PR_GET_TIMERSLACK"), (33, "PR_MCE_KILL"),
    (35, "PR_SET_MM"), (36, "PR_SET_CHILD_SUBREAPER"), (37, "PR_GET_CHILD_SUBREAPER"), (38, "PR_SET_NO_NEW_PRIVS"),
    (39, "PR_GET_NO_NEW_PRIVS"), (41, "PR_SET_THP_DISABLE"), (47, "PR_CAP_AMBIENT"), (52, "PR_GET_SPECULATION_CTRL"),
    (53, "PR_SET_SPECULATION_CTRL"), (59, "PR_SET_SYSCALL_USER_DISPATCH"), (62, "PR_SCHED_CORE"),
];

const IOCTL: &[(u64, &str)] =
    &[(0x5412, "TIOCSTI"), (0x541c, "TIOCLINUX"), (0x5413, "TIOCGWINSZ"), (0x541b, "FIONREAD")];

/// The calls that `socketcall` makes.
#[rustfmt::skip]
const SOCKETCALL: &[(u64, &str)] = &[
    (1, "socket"), (2, "bind"), (3, "connect"), (4, "listen"), (5, "accept"), (6, "getsockname"), (7, "getpeername"),
    (8, "socketpair"), (9, "send"), (10, "recv"), (11, "sendto"), (12, "recvfrom"), (13, "shutdown"),
    (14, "setsockopt"), (15, "getsockopt"), (16, "sendmsg"), (17, "recvmsg"), (18, "accept4"), (19, "recvmmsg"),
    (20, "sendmmsg"),
];

/// The calls that `ipc` makes.
#[rustfmt::skip]
const IPC: &[(u64, &str)] = &[
    (1, "semop"), (2, "semget"), (3, "semctl"), (4, "semtimedop"), (11, "msgsnd"), (12, "msgrcv"), (13, "msgget"),
    (14, "msgctl"), (21, "shmat"), (22, "shmdt"), (23, "shmget"), (24, "shmctl"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_bits_have_names() {
        let name = |call, index, value| values(call, index).and_then(|values| values.name(value));
        assert_eq!(name("socket", 0, 38).as_deref(), Some("AF_ALG"));
        assert_eq!(name("socket", 0, 999), None);
        assert_eq!(name("socket", 1, 1), None);
        assert_eq!(name("clone", 0, 0x1002_0000).as_deref(), Some("CLONE_NEWNS, CLONE_NEWUSER"));
        // One of the bits has no name.
        assert_eq!(name("clone", 0, 0x2_0001), None);
        assert_eq!(name("clone", 0, 0), None);
        assert_eq!(value_of_names("clone", 0, "CLONE_NEWNS|CLONE_NEWUSER"), Some(0x1002_0000));
        assert_eq!(value_of_names("clone", 0, "CLONE_NEWNS|PROT_EXEC"), None);
        assert!(DOMAINS.iter().enumerate().all(|(at, (value, _))| at as u64 == *value));
    }
}
