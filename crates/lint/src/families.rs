//! Calls that can do what others can.

/// Calls of which each newer one can do what the older ones can, the oldest first.
pub(crate) const FAMILIES: &[&[&str]] = &[
    &["creat", "open", "openat", "openat2"],
    &["mkdir", "mkdirat"],
    &["mknod", "mknodat"],
    &["unlink", "unlinkat"],
    &["link", "linkat"],
    &["symlink", "symlinkat"],
    &["rename", "renameat", "renameat2"],
    &["chmod", "fchmodat", "fchmodat2"],
    &["fchmod", "fchmodat2"],
    &["chown", "chown32", "fchownat"],
    &["lchown", "lchown32", "fchownat"],
    &["fchown", "fchown32", "fchownat"],
    &["rmdir", "unlinkat"],
    &["readlink", "readlinkat"],
    &["access", "faccessat", "faccessat2"],
    &["stat", "stat64", "newfstatat", "fstatat64", "statx"],
    &["lstat", "lstat64", "newfstatat", "fstatat64", "statx"],
    &["fstat", "fstat64", "newfstatat", "fstatat64", "statx"],
    &["ustat", "statfs", "statfs64"],
    &["fstatfs", "fstatfs64"],
    &["utime", "utimes", "futimesat", "utimensat", "utimensat_time64"],
    &["setxattr", "setxattrat"],
    &["lsetxattr", "setxattrat"],
    &["fsetxattr", "setxattrat"],
    &["getxattr", "getxattrat"],
    &["lgetxattr", "getxattrat"],
    &["fgetxattr", "getxattrat"],
    &["removexattr", "removexattrat"],
    &["lremovexattr", "removexattrat"],
    &["fremovexattr", "removexattrat"],
    &["listxattr", "listxattrat"],
    &["llistxattr", "listxattrat"],
    &["flistxattr", "listxattrat"],
    &["truncate", "truncate64"],
    &["ftruncate", "ftruncate64"],
    &["lseek", "_llseek"],
    &["fcntl", "fcntl64"],
    &["sendfile", "sendfile64"],
    &["fadvise64", "fadvise64_64", "arm_fadvise64_64"],
    &["sync_file_range", "sync_file_range2", "arm_sync_file_range"],
    &["quotactl", "quotactl_fd"],
    &["mmap", "mmap2"],
    &["execve", "execveat"],
    &["fork", "vfork", "clone", "clone3"],
    &["waitpid", "wait4", "waitid"],
    &["dup2", "dup3"],
    &["pipe", "pipe2"],
    &["accept", "accept4"],
    &["send", "sendto"],
    &["recv", "recvfrom"],
    &["sendmsg", "sendmmsg"],
    &["recvmsg", "recvmmsg", "recvmmsg_time64"],
    &["epoll_create", "epoll_create1"],
    &["epoll_wait", "epoll_pwait", "epoll_pwait2"],
    &["poll", "ppoll", "ppoll_time64"],
    &["select", "_newselect", "pselect6", "pselect6_time64"],
    &["pause", "ppoll", "ppoll_time64"],
    &["alarm", "setitimer"],
    &["getpgrp", "getpgid"],
    &["eventfd", "eventfd2"],
    &["signalfd", "signalfd4"],
    &["inotify_init", "inotify_init1"],
    &["readdir", "getdents", "getdents64"],
    &["preadv", "preadv2"],
    &["pwritev", "pwritev2"],
    &["mlock", "mlock2"],
    &["nice", "setpriority"],
    &["setrlimit", "prlimit64"],
    &["getrlimit", "ugetrlimit", "prlimit64"],
    &["init_module", "finit_module"],
    &["kexec_load", "kexec_file_load"],
    &["umount", "umount2"],
    &["signal", "sigaction", "rt_sigaction"],
    &["sigpending", "rt_sigpending"],
    &["sigprocmask", "rt_sigprocmask"],
    &["sigsuspend", "rt_sigsuspend"],
    &["vm86old", "vm86"],
    // Of 32-bit architectures, for users and groups above 65535.
    &["getuid", "getuid32"],
    &["getgid", "getgid32"],
    &["geteuid", "geteuid32"],
    &["getegid", "getegid32"],
    &["getresuid", "getresuid32"],
    &["getresgid", "getresgid32"],
    &["getgroups", "getgroups32"],
    &["setuid", "setuid32"],
    &["setgid", "setgid32"],
    &["setreuid", "setreuid32"],
    &["setregid", "setregid32"],
    &["setresuid", "setresuid32"],
    &["setresgid", "setresgid32"],
    &["setfsuid", "setfsuid32"],
    &["setfsgid", "setfsgid32"],
    &["setgroups", "setgroups32"],
    // Of 32-bit architectures, for times after 2038.
    &["stime", "settimeofday", "clock_settime", "clock_settime64"],
    &["adjtimex", "clock_adjtime", "clock_adjtime64"],
    &["time", "gettimeofday", "clock_gettime", "clock_gettime64"],
    &["clock_getres", "clock_getres_time64"],
    &["clock_nanosleep", "clock_nanosleep_time64"],
    &["timer_settime", "timer_settime64"],
    &["timer_gettime", "timer_gettime64"],
    &["timerfd_settime", "timerfd_settime64"],
    &["timerfd_gettime", "timerfd_gettime64"],
    &["futex", "futex_time64"],
    &["io_pgetevents", "io_pgetevents_time64"],
    &["mq_timedreceive", "mq_timedreceive_time64"],
    &["mq_timedsend", "mq_timedsend_time64"],
    &["rt_sigtimedwait", "rt_sigtimedwait_time64"],
    &["sched_rr_get_interval", "sched_rr_get_interval_time64"],
    &["semtimedop", "semtimedop_time64"],
];

/// Newer calls with an older one that can do what they can.
pub(crate) const AS_GOOD: &[&[&str]] = &[
    &["finit_module", "init_module"],
    &["kexec_file_load", "kexec_load"],
    &["sendmmsg", "sendmsg"],
    &["recvmmsg", "recvmsg"],
];

/// A call, and others that together can do what it can.
pub(crate) const TOGETHER: &[(&str, &[&str])] =
    &[("mount", &["fsmount", "open_tree", "move_mount", "mount_setattr"])];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use syscalls::{Architecture, Syscall};

    use super::*;

    /// Calls that 64-bit ARM or RISC-V lacks and that are in no family, with the reason.
    const WITHOUT_TWIN: &[(&str, &[&str])] = &[
        (
            "of one architecture, about its own processors",
            &[
                "arch_prctl",
                "breakpoint",
                "cacheflush",
                "get_thread_area",
                "get_tls",
                "ioperm",
                "iopl",
                "modify_ldt",
                "pciconfig_iobase",
                "pciconfig_read",
                "pciconfig_write",
                "riscv_flush_icache",
                "riscv_hwprobe",
                "rtas",
                "s390_guarded_storage",
                "s390_pci_mmio_read",
                "s390_pci_mmio_write",
                "s390_runtime_instr",
                "s390_sthyi",
                "set_thread_area",
                "set_tls",
                "spu_create",
                "spu_run",
                "subpage_prot",
                "swapcontext",
                "switch_endian",
                "sys_debug_setcontext",
                "uprobe",
                "uretprobe",
                "usr26",
                "usr32",
            ],
        ),
        (
            "not implemented, at least not any more",
            &[
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
                "mpx",
                "multiplexer",
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
            ],
        ),
        (
            "no C library of the last twenty years makes it, and the newer form is in a family",
            &["oldfstat", "oldlstat", "oldolduname", "oldstat", "olduname", "sgetmask", "ssetmask"],
        ),
        ("no other call does the same", &["sysfs", "uselib"]),
        ("the kernel chose it when it delivered the signal", &["sigreturn"]),
        ("several calls in one: condition-of-multiplexed-call is about them", &["ipc", "socketcall"]),
    ];

    /// Pairs of names that look like twins and are not, with the reason.
    const NO_TWINS: &[(&str, &[[&str; 2]])] = &[
        (
            "each names what the other one cannot: any free number or a given one, a descriptor or a path",
            &[["dup", "dup2"], ["dup", "dup3"], ["fchmod", "fchmodat"]],
        ),
        ("the kernel chose it when it delivered the signal", &[["sigreturn", "rt_sigreturn"]]),
        (
            "a path and a link, or a path and a descriptor: in families of their own",
            &[
                ["chown", "lchown"],
                ["chown32", "lchown32"],
                ["stat", "lstat"],
                ["stat64", "lstat64"],
                ["getxattr", "lgetxattr"],
                ["setxattr", "lsetxattr"],
                ["listxattr", "llistxattr"],
                ["removexattr", "lremovexattr"],
            ],
        ),
        (
            "the names only look alike",
            &[["time", "utime"], ["times", "utimes"], ["stat", "ustat"], ["mount", "umount"]],
        ),
    ];

    fn families() -> Vec<BTreeSet<&'static str>> {
        FAMILIES.iter().map(|family| family.iter().copied().collect()).collect()
    }

    #[test]
    fn every_name_of_a_family_is_known() {
        let together = TOGETHER.iter().flat_map(|(name, others)| others.iter().chain([name]));
        for name in FAMILIES.iter().chain(AS_GOOD).copied().flatten().chain(together) {
            assert!(Syscall::from_name(name).is_some(), "{name}");
        }
    }

    #[test]
    fn every_call_that_newer_architectures_lack_has_a_twin_or_a_reason() {
        let families = families();
        let new = [Architecture::Aarch64, Architecture::Riscv64];
        let mut with_reason: BTreeSet<&str> =
            WITHOUT_TWIN.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        for call in Syscall::all() {
            let exists = |architecture: &Architecture| call.number(*architecture).is_some();
            let is_lacking = !new.iter().all(exists) && Architecture::ALL.iter().any(exists);
            let has_twin = families.iter().any(|family| family.contains(call.name()));
            if is_lacking {
                assert_ne!(has_twin, with_reason.remove(call.name()), "{}", call.name());
            }
        }
        assert_eq!(with_reason, BTreeSet::new());
    }

    #[test]
    fn every_name_with_the_ending_of_a_newer_call_is_in_a_family_with_the_older_one_or_has_a_reason() {
        const ENDINGS: [&str; 13] =
            ["32", "64", "_64", "_time64", "at", "at2", "v2", "1", "2", "3", "4", "6", "_fd"];
        let families = families();
        let mut with_reason: BTreeSet<[&str; 2]> =
            NO_TWINS.iter().flat_map(|(_, pairs)| pairs.iter().copied()).collect();
        for newer in Syscall::all().map(Syscall::name) {
            let ended = ENDINGS.iter().filter_map(|ending| newer.strip_suffix(ending));
            let prefixed =
                ["_", "_new", "rt_", "u", "l"].into_iter().filter_map(|prefix| newer.strip_prefix(prefix));
            let older: BTreeSet<&str> = ended.chain(prefixed).collect();
            for older in older.into_iter().filter_map(Syscall::from_name).map(Syscall::name) {
                let are_twins =
                    families.iter().any(|family| family.contains(older) && family.contains(newer));
                assert_ne!(are_twins, with_reason.remove(&[older, newer]), "{older} and {newer}");
            }
        }
        assert_eq!(with_reason, BTreeSet::new());
    }
}
