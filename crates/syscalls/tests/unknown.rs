//! What is not known of calls, with the reason: a newer table with a call of which nothing is known fails here.

#![allow(clippy::unwrap_used, reason = "this file is a test")]

use std::collections::BTreeSet;

use syscalls::{Architecture, Syscall};

/// Numbers that Linux keeps for calls that it does not have, or has not had for long: the call fails with ENOSYS.
const NOT_IMPLEMENTED: [&str; 27] = [
    "_sysctl",
    "afs_syscall",
    "bdflush",
    "break",
    "create_module",
    "epoll_ctl_old",
    "epoll_wait_old",
    "ftime",
    "get_kernel_syms",
    "getpmsg",
    "gtty",
    "idle",
    "lock",
    "lookup_dcookie",
    "mpx",
    "multiplexer",
    "nfsservctl",
    "prof",
    "profil",
    "putpmsg",
    "query_module",
    "security",
    "stty",
    "timerfd",
    "tuxcall",
    "ulimit",
    "vserver",
];

/// Calls about the processors of one architecture, which take what they want from its registers.
const OF_ONE_ARCHITECTURE: [&str; 20] = [
    "breakpoint",
    "cacheflush",
    "get_tls",
    "pciconfig_iobase",
    "pciconfig_read",
    "pciconfig_write",
    "riscv_flush_icache",
    "s390_guarded_storage",
    "s390_pci_mmio_read",
    "s390_pci_mmio_write",
    "s390_runtime_instr",
    "s390_sthyi",
    "set_tls",
    "subpage_prot",
    "swapcontext",
    "switch_endian",
    "sys_debug_setcontext",
    "sigsuspend",
    "usr26",
    "usr32",
];

fn on(architecture: Architecture, calls: impl Iterator<Item = Syscall>) -> BTreeSet<&'static str> {
    calls.filter(|call| call.number(architecture).is_some()).map(Syscall::name).collect()
}

#[test]
fn the_arguments_of_every_call_are_known_or_there_is_a_reason() {
    let reasons: [(&str, &[&str]); 6] = [
        ("not implemented", &NOT_IMPLEMENTED),
        ("of one architecture", &OF_ONE_ARCHITECTURE),
        ("several calls in one", &["ipc", "socketcall"]),
        (
            "the kernel takes nothing of their arguments: it reads the program's stack",
            &["rt_sigreturn", "sigreturn"],
        ),
        ("it has none", &["sgetmask"]),
        ("only some architectures' arguments are known", &["iopl", "modify_ldt", "vm86"]),
    ];
    let mut with_reason: BTreeSet<&str> =
        reasons.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    let mut unknown = BTreeSet::new();
    for architecture in Architecture::ALL {
        // x32 has two registers for the offset where the others have one, and both are not known.
        let of_x32 = |name: &str| {
            architecture == Architecture::X32 && ["preadv", "preadv2", "pwritev", "pwritev2"].contains(&name)
        };
        let calls = on(architecture, Syscall::all().filter(|call| call.registers(architecture).is_none()));
        unknown.extend(calls.into_iter().filter(|name| !of_x32(name)));
    }
    with_reason.retain(|name| !unknown.remove(name));
    assert_eq!((unknown, with_reason), (BTreeSet::new(), BTreeSet::new()));
}

#[test]
fn the_release_of_every_call_is_known_or_there_is_a_reason() {
    let reasons: [(&str, &[&str]); 3] = [
        ("not implemented, so that it never appeared", &NOT_IMPLEMENTED),
        (
            "not in syscalls(2), because it is of one architecture",
            &["arm_fadvise64_64", "arm_sync_file_range", "riscv_hwprobe"],
        ),
        ("newer than the sources of the releases", &["listns", "rseq_slice_yield", "uprobe"]),
    ];
    let with_reason: BTreeSet<&str> = reasons.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    for architecture in Architecture::ALL {
        let unknown = on(architecture, Syscall::all().filter(|call| call.appeared_in().is_none()));
        assert_eq!(
            unknown.difference(&with_reason).collect::<Vec<_>>(),
            Vec::<&&str>::new(),
            "{architecture}"
        );
    }
}
