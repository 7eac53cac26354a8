//! # absent-on-listed-architectures
//!
//! None of the listed architectures has a call of this name.
//!
//! Runtimes ignore a name that an architecture does not have. If none of the profile's `architectures` has it, the name
//! has an effect only on a node whose own architecture is not listed, which the filter covers, too. A profile often has
//! such names because it was copied from one for more architectures: 64-bit ARM and RISC-V lack `open`, `stat` and other
//! older calls, and 64-bit x86 lacks the calls that 32-bit programs use, such as `mmap2`. There is no fix: either the name
//! or an architecture is wrong. The numbers are those of the headers of Linux 7.2. A call that programs of a listed
//! architecture make through `socketcall` or `ipc`, such as `recv` on 32-bit x86, counts as one that it has.
//!
//! ## Bad
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ERRNO
//! architectures: [SCMP_ARCH_AARCH64, SCMP_ARCH_ARM]
//! syscalls:
//!   - names: [read, write, exit_group, arch_prctl]
//!     action: SCMP_ACT_ALLOW
//! ```
//!
//! ## Good
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ERRNO
//! architectures: [SCMP_ARCH_AARCH64, SCMP_ARCH_ARM]
//! syscalls:
//!   - names: [read, write, exit_group]
//!     action: SCMP_ACT_ALLOW
//! ```

use filter::multiplexer;
use syscalls::Syscall;

use crate::finding::Found;
use crate::place;
use crate::rule::Rule;
use crate::severity::{Confidence, Severity};
use crate::subject::Subject;
use crate::wording;

pub(super) static RULE: Rule = Rule {
    id: "absent-on-listed-architectures",
    severity: Severity::Info,
    confidence: Confidence::Medium,
    summary: "None of the listed architectures has a call of this name.",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Found> {
    let architectures: Vec<_> = subject.architectures().collect();
    // Nothing is known about an architecture without a table.
    if architectures.is_empty() || architectures.len() < subject.profile.architectures().len() {
        return Vec::new();
    }
    let has = |call: Syscall| {
        architectures.iter().any(|architecture| call.number(*architecture).is_some())
            || subject.profile.architectures().iter().any(|it| multiplexer(call.name(), *it).is_some())
    };
    let mut found = Vec::new();
    for (index, rule) in subject.rules().filter(|(_, rule)| !subject.skips(rule)) {
        let absent: Vec<_> = rule
            .names()
            .iter()
            .enumerate()
            .filter(|(_, name)| Syscall::from_name(name.as_str()).is_some_and(|call| !has(call)))
            .map(|(at, name)| (at, name.as_str()))
            .collect();
        if let Some((at, _)) = absent.first() {
            let names = wording::names(absent.iter().map(|(_, name)| *name));
            let message = format!("no listed architecture has {names}");
            found.push(Found::new(place::name(index, *at), message));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{findings, paths};

    fn profile(architectures: &[&str], names: &[&str]) -> serde_json::Value {
        json!({ "defaultAction": "SCMP_ACT_ERRNO", "architectures": architectures, "syscalls": [
            { "names": names, "action": "SCMP_ACT_ALLOW" },
        ] })
    }

    #[test]
    fn names_that_no_listed_architecture_has_are_found_once_a_rule() {
        let arm = profile(&["SCMP_ARCH_AARCH64"], &["openat", "open", "stat"]);
        assert_eq!(paths(&RULE, arm.clone()), ["syscalls[0].names[1]"]);
        assert_eq!(findings(&RULE, arm)[0].message, "no listed architecture has open, stat");
        assert_eq!(paths(&RULE, profile(&["SCMP_ARCH_X86_64"], &["mmap2"])), ["syscalls[0].names[0]"]);
    }

    #[test]
    fn names_of_one_architecture_and_lists_that_are_not_known_are_not() {
        let both = profile(&["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], &["mmap2"]);
        assert_eq!(paths(&RULE, both), Vec::<String>::new());
        let through_socketcall = profile(&["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], &["accept", "recv", "semop"]);
        assert_eq!(paths(&RULE, through_socketcall), Vec::<String>::new());
        assert_eq!(paths(&RULE, profile(&["SCMP_ARCH_X86_64"], &["recv"])), ["syscalls[0].names[0]"]);
        assert_eq!(paths(&RULE, profile(&[], &["mmap2", "set_tls"])), Vec::<String>::new());
        let mips = profile(&["SCMP_ARCH_MIPSEL", "SCMP_ARCH_X86_64"], &["cachectl"]);
        assert_eq!(paths(&RULE, mips), Vec::<String>::new());
    }
}
