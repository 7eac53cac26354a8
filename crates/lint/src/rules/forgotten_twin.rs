//! # forgotten-twin
//!
//! A call is denied or permitted, and another one that does the same is not.
//!
//! Linux got newer calls for many old ones, which can do the same: `openat` and `openat2` beside `open`, `renameat2` beside
//! `rename`, and on 32-bit architectures `clock_settime64` beside `clock_settime`, for times after 2038. In a profile that
//! permits by default, a rule that denies only the older one denies nothing: programs use the newer one. A rule that denies
//! only the newest one is no such case, because the older ones cannot do all that it can. In a profile that denies by default,
//! a rule that permits only the older one is not enough on architectures that lack it: 64-bit ARM and RISC-V have `openat` and
//! no `open`, so that no program there can open a file.
//!
//! The rule finds the first case where the older call is denied with every argument and no rule names a newer one, and the
//! second where a listed architecture has none of the permitted calls and has another one that no rule names. The fix
//! adds the name; it is unsafe, because it changes the filter.
//!
//! ## Bad
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ALLOW
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [kexec_load, io_uring_setup]
//!     action: SCMP_ACT_ERRNO
//! ```
//!
//! ## Good
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ALLOW
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [kexec_load, kexec_file_load, io_uring_setup]
//!     action: SCMP_ACT_ERRNO
//! ```

use syscalls::{Architecture, Syscall};

use crate::finding::Found;
use crate::fix::{Edit, Fix, Safety};
use crate::place;
use crate::rule::Rule;
use crate::severity::{Confidence, Severity};
use crate::subject::{Mention, Subject, permits};
use crate::wording;

pub(super) static RULE: Rule = Rule {
    id: "forgotten-twin",
    severity: Severity::Warning,
    confidence: Confidence::Medium,
    summary: "A call is denied or permitted, and another one that does the same is not.",
    check,
};

/// Calls of which each newer one can do what the older ones can, the oldest first.
const FAMILIES: &[&[&str]] = &[
    &["creat", "open", "openat", "openat2"],
    &["mkdir", "mkdirat"],
    &["mknod", "mknodat"],
    &["unlink", "unlinkat"],
    &["link", "linkat"],
    &["symlink", "symlinkat"],
    &["rename", "renameat", "renameat2"],
    &["chmod", "fchmodat", "fchmodat2"],
    &["chown", "fchownat"],
    &["chown32", "fchownat"],
    &["lchown", "fchownat"],
    &["lchown32", "fchownat"],
    &["rmdir", "unlinkat"],
    &["readlink", "readlinkat"],
    &["access", "faccessat", "faccessat2"],
    &["stat", "newfstatat", "statx"],
    &["lstat", "newfstatat", "statx"],
    &["fstat", "newfstatat", "statx"],
    &["stat64", "fstatat64", "statx"],
    &["lstat64", "fstatat64", "statx"],
    &["fstat64", "fstatat64", "statx"],
    &["ustat", "statfs"],
    &["utime", "utimes", "futimesat", "utimensat", "utimensat_time64"],
    &["setxattr", "setxattrat"],
    &["getxattr", "getxattrat"],
    &["removexattr", "removexattrat"],
    &["listxattr", "listxattrat"],
    &["execve", "execveat"],
    &["fork", "vfork", "clone", "clone3"],
    &["dup2", "dup3"],
    &["pipe", "pipe2"],
    &["accept", "accept4"],
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
    &["getdents", "getdents64"],
    &["preadv", "preadv2"],
    &["pwritev", "pwritev2"],
    &["mlock", "mlock2"],
    &["setrlimit", "prlimit64"],
    &["getrlimit", "ugetrlimit", "prlimit64"],
    &["init_module", "finit_module"],
    &["kexec_load", "kexec_file_load"],
    &["umount", "umount2"],
    // Of 32-bit architectures, for times after 2038.
    &["stime", "settimeofday", "clock_settime", "clock_settime64"],
    &["clock_adjtime", "clock_adjtime64"],
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
const AS_GOOD: &[&[&str]] = &[
    &["finit_module", "init_module"],
    &["kexec_file_load", "kexec_load"],
    &["sendmmsg", "sendmsg"],
    &["recvmmsg", "recvmsg"],
];

fn check(subject: &Subject<'_>) -> Vec<Found> {
    let permissive = permits(subject.profile.default_effect());
    if permissive {
        FAMILIES.iter().chain(AS_GOOD).filter_map(|family| denied_alone(subject, family)).collect()
    } else {
        FAMILIES.iter().filter_map(|family| permitted_in_vain(subject, family)).collect()
    }
}

/// A call that is denied while a later one of its family, which an architecture of the filter has, is permitted.
fn denied_alone(subject: &Subject<'_>, family: &[&str]) -> Option<Found> {
    let (at, name, mention) = family.iter().enumerate().find_map(|(at, name)| {
        let mention = subject.treatment(name)?.unconditional.filter(|mention| !permits(mention.effect))?;
        Some((at, *name, mention))
    })?;
    let exists = |name: &str| {
        Syscall::from_name(name)
            .is_some_and(|call| subject.covered().into_iter().any(|it| call.number(it).is_some()))
    };
    // What a rule decides about is not forgotten.
    let forgotten = |name: &str| subject.treatment(name).is_none() && exists(name);
    let permitted: Vec<_> = family.iter().skip(at + 1).copied().filter(|name| forgotten(name)).collect();
    if permitted.is_empty() {
        return None;
    }
    let others = wording::names(permitted.iter().copied());
    let message = format!("{name} is denied here, but not {others}, which can do the same");
    Some(found(mention, &permitted, message))
}

/// A call that is permitted, although a listed architecture lacks it and has another one of the family instead.
fn permitted_in_vain(subject: &Subject<'_>, family: &[&str]) -> Option<Found> {
    let has = |name: &str, architecture: Architecture| {
        Syscall::from_name(name).is_some_and(|call| call.number(architecture).is_some())
    };
    let permitted: Vec<(&str, Mention)> = family
        .iter()
        .filter_map(|name| {
            let treatment = subject.treatment(name)?;
            let mentions = treatment.unconditional.iter().chain(&treatment.conditional);
            Some((*name, *mentions.into_iter().find(|mention| permits(mention.effect))?))
        })
        .collect();
    let (name, mention) = *permitted.first()?;
    let mut missing = Vec::new();
    let mut lacking = Vec::new();
    // A profile that names no architectures is not for all of them.
    let covered = if subject.is_for_known_architectures() { subject.covered() } else { Vec::new() };
    for architecture in covered {
        let mut enough = permitted.iter().map(|(name, _)| *name).chain(missing.iter().copied());
        if enough.any(|name| has(name, architecture)) {
            continue;
        }
        let other = family.iter().find(|name| has(name, architecture) && subject.treatment(name).is_none());
        if let Some(other) = other {
            missing.push(*other);
            lacking.push(architecture.name());
        }
    }
    if missing.is_empty() {
        return None;
    }
    let message = format!(
        "{name} is permitted here, but not {}, which programs use on {}, where {name} does not exist",
        wording::names(missing.iter().copied()),
        wording::names(lacking)
    );
    Some(found(mention, &missing, message))
}

fn found(mention: Mention, twins: &[&str], message: String) -> Found {
    let values = twins.iter().map(|twin| (*twin).into()).collect();
    let edit = Edit::Append { path: place::rule_field(mention.rule, "names"), values };
    let title = format!("Add {}", wording::names(twins.iter().copied()));
    Found::new(place::name(mention.rule, mention.name), message).with(Fix::new(Safety::Unsafe, title, edit))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{findings, paths};

    fn profile(default: &str, names: &[&str], action: &str) -> serde_json::Value {
        json!({ "defaultAction": default, "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"], "syscalls": [
            { "names": names, "action": action },
        ] })
    }

    #[test]
    fn a_call_that_is_denied_without_its_twin_is_found() {
        let denied = |names: &[&str]| profile("SCMP_ACT_ALLOW", names, "SCMP_ACT_ERRNO");
        assert_eq!(paths(&RULE, denied(&["kexec_load"])), ["syscalls[0].names[0]"]);
        assert_eq!(paths(&RULE, denied(&["mount", "rename"])), ["syscalls[0].names[1]"]);
        assert_eq!(paths(&RULE, denied(&["kexec_load", "kexec_file_load"])), Vec::<String>::new());
        // These architectures have no umount.
        assert_eq!(paths(&RULE, denied(&["umount2", "mount"])), Vec::<String>::new());
    }

    #[test]
    fn the_newest_call_denied_alone_is_not_found_unless_an_older_one_can_do_the_same() {
        let denied = |name: &str| {
            json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], "syscalls": [
                { "names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": 38 },
            ] })
        };
        for name in ["clone3", "renameat2", "execveat", "pwritev2", "fchmodat2", "statx", "openat2", "faccessat2"] {
            assert_eq!(paths(&RULE, denied(name)), Vec::<String>::new(), "{name}");
        }
        for name in ["kexec_file_load", "finit_module", "lstat", "fstat64", "creat", "rmdir", "lchown32", "_newselect", "stime"] {
            assert_eq!(paths(&RULE, denied(name)), ["syscalls[0].names[0]"], "{name}");
        }
    }

    #[test]
    fn the_calls_of_32_bit_programs_for_later_times_count_where_the_filter_has_them() {
        let denied = |architectures: &[&str]| {
            json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": architectures, "syscalls": [
                { "names": ["clock_settime"], "action": "SCMP_ACT_ERRNO" },
            ] })
        };
        let found = findings(&RULE, denied(&["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]));
        assert_eq!(found[0].message, "clock_settime is denied here, but not clock_settime64, which can do the same");
        assert_eq!(paths(&RULE, denied(&["SCMP_ARCH_AARCH64"])), Vec::<String>::new());
        let permitted = json!({ "defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_ARM"], "syscalls": [
            { "names": ["clock_gettime"], "action": "SCMP_ACT_ALLOW" },
        ] });
        assert_eq!(paths(&RULE, permitted), Vec::<String>::new());
    }

    #[test]
    fn a_call_that_an_architecture_lacks_is_found_without_its_twin() {
        let permitted = |names: &[&str]| profile("SCMP_ACT_ERRNO", names, "SCMP_ACT_ALLOW");
        assert_eq!(paths(&RULE, permitted(&["read", "open"])), ["syscalls[0].names[1]"]);
        for name in ["creat", "lstat", "rmdir", "lchown", "getpgrp", "pause", "alarm", "time", "ustat"] {
            assert_eq!(paths(&RULE, permitted(&[name])), ["syscalls[0].names[0]"], "{name}");
        }
        let message = &findings(&RULE, permitted(&["dup2"]))[0].message;
        assert_eq!(message, "dup2 is permitted here, but not dup3, which programs use on aarch64, where dup2 does not exist");
        assert_eq!(paths(&RULE, permitted(&["open", "openat", "dup3"])), Vec::<String>::new());
    }

    #[test]
    fn an_architecture_that_no_node_has_counts_only_where_nothing_is_known_of_the_nodes() {
        let permitted = profile("SCMP_ACT_ERRNO", &["read", "open"], "SCMP_ACT_ALLOW");
        let on = |architectures: &[Architecture], contents: &serde_json::Value| {
            let nodes = crate::Nodes { architectures: architectures.to_vec(), ..crate::Nodes::default() };
            crate::testing::paths_on(&RULE, &nodes, contents.clone())
        };
        assert_eq!(on(&[Architecture::X86_64], &permitted), Vec::<String>::new());
        assert_eq!(on(&[Architecture::Aarch64], &permitted), ["syscalls[0].names[1]"]);
        let mut unnamed = permitted;
        unnamed["architectures"] = json!([]);
        assert_eq!(on(&[], &unnamed), Vec::<String>::new());
        assert_eq!(on(&[Architecture::Aarch64], &unnamed), ["syscalls[0].names[1]"]);
    }

    #[test]
    fn a_twin_that_a_rule_decides_about_is_not() {
        let when = json!([{ "index": 0, "value": 1, "op": "SCMP_CMP_EQ" }]);
        let decided = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            { "names": ["accept"], "action": "SCMP_ACT_ERRNO" },
            { "names": ["accept4"], "action": "SCMP_ACT_ERRNO", "args": when },
        ] });
        assert_eq!(paths(&RULE, decided), Vec::<String>::new());
    }

    #[test]
    fn every_name_of_a_family_is_known() {
        for name in FAMILIES.iter().copied().flatten() {
            assert!(Syscall::from_name(name).is_some(), "{name}");
        }
    }
}
