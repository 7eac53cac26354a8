//! # io-uring-permitted
//!
//! A program may use io_uring, whose operations no filter sees.
//!
//! With io_uring a program hands operations such as opening, reading and connecting to the kernel in shared memory. The
//! kernel does not make them as system calls, and a seccomp filter does not see them: whatever the other rules deny of
//! these, a program that may call `io_uring_setup` can do. containerd's and Docker's defaults do not permit it. In a profile
//! that permits by default, the rule finds this only if another rule denies something that a ring can do. The fix removes
//! the name from the rule that permits it, or that rule if it has no other name; it is unsafe, because a program may need it.
//!
//! ## Bad
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ERRNO
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [read, write, exit_group, io_uring_setup, io_uring_enter]
//!     action: SCMP_ACT_ALLOW
//! ```
//!
//! ## Good
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ERRNO
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [read, write, exit_group]
//!     action: SCMP_ACT_ALLOW
//! ```

use std::collections::BTreeSet;

use profile::{Action, Effect};

use crate::finding::Found;
use crate::fix::{Fix, Safety};
use crate::place;
use crate::rule::Rule;
use crate::severity::{Confidence, Severity};
use crate::subject::{Subject, permits};
use crate::wording;

pub(super) static RULE: Rule = Rule {
    id: "io-uring-permitted",
    severity: Severity::Warning,
    confidence: Confidence::Medium,
    summary: "A program may use io_uring, whose operations no filter sees.",
    check,
};

const SETUP: &str = "io_uring_setup";

/// Calls whose work a ring can do (`enum io_uring_op` in `linux/io_uring.h` of Linux 7.2).
const IN_A_RING: &[&str] = &[
    "accept", "accept4", "bind", "close", "connect", "epoll_ctl", "epoll_wait", "fadvise64", "fallocate", "fdatasync",
    "fgetxattr", "fsetxattr", "fsync", "ftruncate", "futex", "getxattr", "link", "linkat", "listen", "madvise", "mkdir",
    "mkdirat", "open", "openat", "openat2", "pipe", "pipe2", "poll", "pread64", "preadv", "preadv2", "pwrite64",
    "pwritev", "pwritev2", "read", "readv", "recv", "recvfrom", "recvmsg", "rename", "renameat", "renameat2", "rmdir",
    "send", "sendmsg", "sendto", "setxattr", "shutdown", "socket", "splice", "statx", "symlink", "symlinkat",
    "sync_file_range", "tee", "unlink", "unlinkat", "waitid", "write", "writev",
];

fn check(subject: &Subject<'_>) -> Vec<Found> {
    let profile = subject.profile;
    let Some(treatment) = subject.treatment(SETUP) else {
        return permits(profile.default_effect()).then(|| by_default(subject)).flatten().into_iter().collect();
    };
    let lets = |effect: Effect| permits(effect) && effect.action() != Action::Notify;
    let names = profile.rules().iter().flat_map(|rule| rule.names());
    let once = names.filter(|name| name.as_str() == SETUP).count() == 1;
    let winner = treatment.unconditional.as_slice();
    let mentions = if winner.is_empty() { &treatment.conditional } else { winner };
    mentions
        .iter()
        .filter(|mention| lets(mention.effect))
        .map(|mention| {
            let message = format!("operations in a ring of {SETUP} are not system calls, and no filter sees them");
            let found = Found::new(place::name(mention.rule, mention.name), message);
            if once && !permits(profile.default_effect()) {
                found.with(Fix::without_name(Safety::Unsafe, profile, *mention))
            } else {
                found
            }
        })
        .collect()
}

/// A default that permits everything is on purpose. It is a surprise beside a rule that denies what a ring can do.
fn by_default(subject: &Subject<'_>) -> Option<Found> {
    let denying = subject.profile.rules().iter().filter(|rule| !permits(rule.effect()));
    let names: BTreeSet<&str> = denying.flat_map(|rule| rule.names()).map(|name| name.as_str()).collect();
    let undone: Vec<_> = IN_A_RING.iter().copied().filter(|name| names.contains(name)).collect();
    let message = format!(
        "{SETUP} is permitted by default, and a ring can do what the rules deny: {}",
        wording::names(undone.iter().copied())
    );
    (!undone.is_empty()).then(|| Found::new(place::field("defaultAction"), message))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::paths;

    #[test]
    fn permission_by_a_rule_or_by_the_default_is_found() {
        let named = json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            { "names": ["io_uring_enter", "io_uring_setup"], "action": "SCMP_ACT_ALLOW" },
        ] });
        assert_eq!(paths(&RULE, named), ["syscalls[0].names[1]"]);
        let default = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            { "names": ["socket"], "action": "SCMP_ACT_ERRNO" },
        ] });
        assert_eq!(paths(&RULE, default), ["defaultAction"]);
    }

    #[test]
    fn every_call_in_the_list_is_known() {
        for name in IN_A_RING {
            assert!(syscalls::Syscall::from_name(name).is_some(), "{name}");
        }
    }

    #[test]
    fn denied_rings_and_filters_that_deny_nothing_are_not() {
        let denied = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            { "names": ["io_uring_setup", "socket"], "action": "SCMP_ACT_ERRNO" },
        ] });
        // A ring cannot do this.
        let other = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            { "names": ["kexec_load"], "action": "SCMP_ACT_ERRNO" },
        ] });
        for profile in [denied, other, json!({ "defaultAction": "SCMP_ACT_ALLOW" }), json!({ "defaultAction": "SCMP_ACT_ERRNO" })] {
            assert_eq!(paths(&RULE, profile), Vec::<String>::new());
        }
        // Entering a ring needs one that somebody has set up.
        let enter = json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            { "names": ["io_uring_enter"], "action": "SCMP_ACT_ALLOW" },
        ] });
        assert_eq!(paths(&RULE, enter), Vec::<String>::new());
    }
}
