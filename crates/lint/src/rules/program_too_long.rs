//! # program-too-long
//!
//! The filter may have more instructions than the kernel loads, so that no container starts.
//!
//! Runtimes translate a profile into one program for all of its architectures, and Linux loads none with more than 4,096
//! instructions. A name takes one instruction on each architecture that has the call, and with runc since 1.2 a quarter
//! more, because it asks libseccomp for a search tree if a profile has 33 names or more; a condition takes some. 343 names
//! on ten architectures are 4,182 instructions with runc 1.5.2, which fails with "error loading seccomp filter: invalid
//! argument", and 3,318 with crun, which starts.
//!
//! The number in the message is an estimate that is never too low, and for long lists of names at most a tenth too high: a
//! profile without this finding fits into the limit. A filter that a container had before does not count. There is no fix:
//! list only the architectures of your nodes, and remove names.
//!
//! ## Bad
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ERRNO
//! architectures:
//!   [SCMP_ARCH_X86_64, SCMP_ARCH_X86, SCMP_ARCH_X32, SCMP_ARCH_AARCH64, SCMP_ARCH_ARM, SCMP_ARCH_RISCV64,
//!    SCMP_ARCH_PPC64LE, SCMP_ARCH_LOONGARCH64, SCMP_ARCH_MIPSEL, SCMP_ARCH_MIPSEL64, SCMP_ARCH_MIPSEL64N32]
//! syscalls:
//!   - action: SCMP_ACT_ALLOW
//!     names:
//!       [accept4, acct, add_key, adjtimex, bind, bpf, brk, cachestat, capget, capset, chdir, chroot,
//!        clock_adjtime, clock_getres, clock_gettime, clock_nanosleep, clock_settime, clone, clone3, close,
//!        close_range, connect, copy_file_range, delete_module, dup, dup3, epoll_create1, epoll_ctl, epoll_pwait,
//!        epoll_pwait2, eventfd2, execve, execveat, exit, exit_group, faccessat, faccessat2, fallocate,
//!        fanotify_init, fanotify_mark, fchdir, fchmod, fchmodat, fchmodat2, fchown, fchownat, fcntl, fdatasync,
//!        fgetxattr, file_getattr, file_setattr, finit_module, flistxattr, flock, fremovexattr, fsconfig,
//!        fsetxattr, fsmount, fsopen, fspick, fstat, fstatfs, fsync, ftruncate, futex, futex_requeue, futex_wait,
//!        futex_waitv, futex_wake, get_mempolicy, get_robust_list, getcpu, getcwd, getdents64, getegid, geteuid,
//!        getgid, getgroups, getitimer, getpeername, getpgid, getpid, getppid, getpriority, getrandom, getresgid,
//!        getresuid, getrusage, getsid, getsockname, getsockopt, gettid, gettimeofday, getuid, getxattr,
//!        getxattrat, init_module, inotify_add_watch, inotify_init1, inotify_rm_watch, io_cancel, io_destroy,
//!        io_getevents, io_pgetevents, io_setup, io_submit, io_uring_enter, io_uring_register, io_uring_setup,
//!        ioctl, ioprio_get, ioprio_set, kcmp, kexec_load, keyctl, kill, landlock_add_rule, lgetxattr, linkat,
//!        listen, listmount, listns, listxattr, listxattrat, llistxattr, lookup_dcookie, lremovexattr, lseek,
//!        lsetxattr, lsm_get_self_attr, lsm_list_modules, lsm_set_self_attr, madvise, map_shadow_stack, mbind,
//!        membarrier, memfd_create, migrate_pages, mincore, mkdirat, mknodat, mlock, mlock2, mlockall, mount,
//!        mount_setattr, move_mount, move_pages, mprotect, mq_getsetattr, mq_notify, mq_open, mq_timedreceive,
//!        mq_timedsend, mq_unlink, mremap, mseal, msgctl, msgget, msgrcv, msgsnd, msync, munlock, munlockall,
//!        munmap, name_to_handle_at, nanosleep, open_by_handle_at, open_tree, open_tree_attr, openat, openat2,
//!        perf_event_open, personality, pidfd_getfd, pidfd_open, pidfd_send_signal, pipe2, pivot_root, pkey_alloc,
//!        pkey_free, pkey_mprotect, ppoll, prctl, pread64, preadv, preadv2, prlimit64, process_madvise,
//!        process_mrelease, process_vm_readv, process_vm_writev, pselect6, ptrace, pwrite64, pwritev, pwritev2,
//!        quotactl, quotactl_fd, read, readahead, readlinkat, readv, reboot, recvfrom, recvmmsg, recvmsg,
//!        remap_file_pages, removexattr, removexattrat, renameat2, request_key, restart_syscall, rseq,
//!        rseq_slice_yield, rt_sigaction, rt_sigpending, rt_sigprocmask, rt_sigqueueinfo, rt_sigreturn,
//!        rt_sigsuspend, rt_sigtimedwait, rt_tgsigqueueinfo, sched_getaffinity, sched_getattr, sched_getparam,
//!        sched_setattr, sched_setparam, sched_yield, seccomp, semctl, semget, sendfile, sendmmsg, sendmsg,
//!        sendto, set_mempolicy, set_robust_list, set_tid_address, setdomainname, setfsgid, setfsuid, setgid,
//!        setgroups, sethostname, setitimer, setns, setpgid, setpriority, setregid, setresgid, setresuid,
//!        setreuid, setsid, setsockopt, settimeofday, setuid, setxattr, setxattrat, shmat, shmctl, shmdt, shmget,
//!        shutdown, sigaltstack, signalfd4, socket, socketpair, splice, statfs, statmount, statx, swapoff, swapon,
//!        symlinkat, sync, syncfs, sysinfo, syslog, tee, tgkill, timer_create, timer_delete, timer_getoverrun,
//!        timer_gettime, timer_settime, timerfd_create, timerfd_gettime, timerfd_settime, times, tkill, truncate,
//!        umask, umount2, uname, unlinkat, unshare, userfaultfd, utimensat, vhangup, vmsplice, wait4, waitid,
//!        write, writev]
//! ```
//!
//! ## Good
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ERRNO
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86, SCMP_ARCH_AARCH64, SCMP_ARCH_ARM]
//! syscalls:
//!   - names: [read, write, openat, close, exit_group]
//!     action: SCMP_ACT_ALLOW
//! ```

use std::collections::BTreeSet;

use filter::{Consequence, Library, MOST_INSTRUCTIONS, Runtime, Setting, Stub, most_instructions, numbers};
use profile::Architecture;

use crate::boundary;
use crate::finding::Found;
use crate::place;
use crate::rule::Rule;
use crate::severity::{Confidence, Severity};
use crate::subject::Subject;

pub(super) static RULE: Rule = Rule {
    id: "program-too-long",
    severity: Severity::Warning,
    confidence: Confidence::Medium,
    summary: "The filter may have more instructions than the kernel loads, so that no container starts.",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Found> {
    // runc's search tree and its stub make the longest program, so that no other runtime matters beside it.
    let runtimes = subject.nodes.runtimes.iter().copied();
    let Some(runtime) = runtimes.max_by_key(|it| (it.sorted_from.is_some(), it.stub != Stub::Absent)) else {
        return Vec::new();
    };
    let listed = subject.profile.architectures();
    let natives = subject.natives();
    let covered = |native: &Architecture| listed.len() + usize::from(!listed.contains(native));
    if natives.iter().all(|native| is_short(subject, covered(native))) {
        return Vec::new();
    }
    let longest = natives.into_iter().filter_map(|native| Some((most(subject, native, runtime)?, native)));
    let Some((most, native)) = longest.max().filter(|(most, _)| *most > MOST_INSTRUCTIONS) else {
        return Vec::new();
    };
    if most == usize::MAX {
        let message = "the rules for one call have so many conditions that the length of the filter was not worked out; the \
                       kernel loads at most 4096 instructions";
        return vec![Found::new(place::field("syscalls"), message.to_owned())];
    }
    let (covered, runtime) = (covered(&native), runtime.name);
    let (field, architectures) = if covered == 1 { ("syscalls", "architecture") } else { ("architectures", "architectures") };
    let message = format!(
        "under {runtime} the filter may have {most} instructions for {covered} {architectures}, and the kernel loads at \
         most {MOST_INSTRUCTIONS}"
    );
    let field = if listed.is_empty() { "syscalls" } else { field };
    vec![Found::new(place::field(field), message)]
}

/// Whether a profile is so small that its program need not be computed. With at most one argument, a rule takes at most 36
/// instructions for a name: six tests, as libseccomp adds one for a multiplexer, of four with a jump and its copy. Without, it
/// takes one, and a quarter for the search tree. What is far away from its jumps is there about every 250 instructions.
fn is_short(subject: &Subject<'_>, covered: usize) -> bool {
    let profile = subject.profile;
    if profile.rules().iter().any(|rule| rule.arguments().len() > 1) {
        return false;
    }
    let names = |rule: &profile::Rule| rule.names().len();
    let all: usize = profile.rules().iter().map(names).sum();
    let conditional = profile.rules().iter().filter(|rule| !rule.arguments().is_empty());
    let conditional: usize = conditional.map(names).sum();
    let effects: BTreeSet<_> = profile.rules().iter().map(|rule| rule.effect()).collect();
    let copies = 20 * (effects.len() + 12);
    covered * (all + all / 4 + 36 * conditional + 64) + copies <= MOST_INSTRUCTIONS
}

/// The maximum number of instructions on a node; the largest number if it was not worked out, and `None` if no container
/// starts there for another reason.
fn most(subject: &Subject<'_>, native: Architecture, runtime: Runtime) -> Option<usize> {
    let library = boundary::newest(subject);
    let number = numbers(library);
    let setting = Setting { runtime, library: Library::from(library), native, number: &number };
    match most_instructions(subject.profile, &setting) {
        Ok(most) => Some(most),
        Err(fault) => (fault.consequence() == Consequence::Unknown).then_some(usize::MAX),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use syscalls::Syscall;

    use super::*;
    use crate::nodes::Nodes;
    use crate::testing::{findings, paths, paths_on};

    const TEN: [&str; 10] = [
        "X86_64", "X86", "X32", "AARCH64", "ARM", "MIPSEL", "MIPSEL64", "MIPSEL64N32", "PPC64LE", "RISCV64",
    ];

    /// The calls of x86_64 up to 435, on some of these architectures, as one profile really tried.
    fn profile(architectures: usize) -> Value {
        let names = Syscall::all()
            .filter(|call| call.number(syscalls::Architecture::X86_64).is_some_and(|number| number <= 435))
            .map(Syscall::name);
        let architectures = TEN[..architectures].iter().map(|name| format!("SCMP_ARCH_{name}"));
        json!({
            "defaultAction": "SCMP_ACT_ERRNO", "architectures": architectures.collect::<Vec<_>>(),
            "syscalls": [{ "names": names.collect::<Vec<_>>(), "action": "SCMP_ACT_ALLOW" }],
        })
    }

    #[test]
    fn a_long_list_on_ten_architectures_is_found() {
        let found = findings(&RULE, profile(10));
        assert_eq!(found[0].path.to_string(), "architectures");
        assert!(found[0].message.starts_with("under runc 1.2 to 1.6 the filter may have 4"), "{}", found[0].message);
        let conditions = |rules: u64| {
            let rule = |at: u64| {
                let args: Vec<_> = (0..6).map(|index| json!({ "index": index, "value": at * 7 + index, "op": "SCMP_CMP_EQ" })).collect();
                json!({ "names": ["ioctl"], "action": "SCMP_ACT_ALLOW", "args": args })
            };
            let rules: Vec<_> = (0..rules).map(rule).collect();
            json!({ "defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": rules })
        };
        assert_eq!(paths(&RULE, conditions(170)), ["syscalls"]);
        assert_eq!(paths(&RULE, conditions(20)), Vec::<String>::new());
    }

    #[test]
    fn eight_architectures_and_runtimes_without_a_search_tree_are_not() {
        assert_eq!(paths(&RULE, profile(8)), Vec::<String>::new());
        let crun = Nodes { runtimes: vec![Runtime::CRUN], ..Nodes::default() };
        assert_eq!(paths_on(&RULE, &crun, profile(10)), Vec::<String>::new());
    }
}
