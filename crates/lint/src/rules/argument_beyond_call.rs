//! # argument-beyond-call
//!
//! A comparison of an argument that the call does not have.
//!
//! A filter sees six registers, also for a call with fewer arguments. What is in the others is left from earlier
//! computations, so that whether the rule applies is chance, or up to the program. The index is counted from 0: the first
//! argument of a call is 0. The number of arguments is that of the kernel's headers (Linux 7.2); calls of which it is not
//! known are left out, and so are calls with 64-bit offsets, which 32-bit programs pass in two registers. There is no fix,
//! because only the author knows which argument was meant.
//!
//! ## Bad
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ALLOW
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [alarm]
//!     action: SCMP_ACT_ERRNO
//!     args: [{index: 1, value: 3600, op: SCMP_CMP_GT}]
//! ```
//!
//! ## Good
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ALLOW
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [alarm]
//!     action: SCMP_ACT_ERRNO
//!     args: [{index: 0, value: 3600, op: SCMP_CMP_GT}]
//! ```

use syscalls::Syscall;

use crate::finding::Found;
use crate::place;
use crate::rule::Rule;
use crate::severity::{Confidence, Severity};
use crate::subject::Subject;
use crate::wording;

pub(super) static RULE: Rule = Rule {
    id: "argument-beyond-call",
    severity: Severity::Error,
    confidence: Confidence::High,
    summary: "A comparison of an argument that the call does not have.",
    check,
};

/// Calls with an argument of 64 bits that 32-bit programs pass in two registers, on some architectures after an unused one.
const IN_TWO_REGISTERS: [&str; 8] = [
    "fadvise64",
    "fallocate",
    "fanotify_mark",
    "lookup_dcookie",
    "pread64",
    "pwrite64",
    "readahead",
    "sync_file_range",
];

fn check(subject: &Subject<'_>) -> Vec<Found> {
    let mut found = Vec::new();
    for (index, rule) in subject.rules().filter(|(_, rule)| !subject.skips(rule)) {
        for (at, argument) in rule.arguments().iter().enumerate() {
            let lacks = |name: &&str| {
                let call = Syscall::from_name(name).filter(|_| !IN_TWO_REGISTERS.contains(name));
                let types = call.and_then(Syscall::arguments);
                types.is_some_and(|types| types.len() <= usize::from(argument.index()))
            };
            let names: Vec<&str> = rule.names().iter().map(|name| name.as_str()).filter(lacks).collect();
            if !names.is_empty() {
                let message = format!(
                    "{} has no argument {}, counted from 0: what the filter compares is left from earlier computations",
                    wording::names(names),
                    argument.index()
                );
                found.push(Found::new(place::argument(index, at), message));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{findings, paths};

    fn found(names: &[&str], index: u8) -> Vec<String> {
        let rule = json!({ "names": names, "action": "SCMP_ACT_ALLOW",
                           "args": [{ "index": index, "value": 1, "op": "SCMP_CMP_EQ" }] });
        paths(&RULE, json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule] }))
    }

    #[test]
    fn arguments_that_a_call_does_not_have_are_found() {
        for (names, index) in [(&["close"][..], 1), (&["alarm"], 5), (&["getpid"], 0), (&["prctl", "lseek"], 3)] {
            assert_eq!(found(names, index), ["syscalls[0].args[0]"], "{names:?} {index}");
        }
        let rule = json!({ "names": ["prctl", "lseek"], "action": "SCMP_ACT_ALLOW",
                           "args": [{ "index": 3, "value": 1, "op": "SCMP_CMP_EQ" }] });
        let found = findings(&RULE, json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule] }));
        assert!(found[0].message.starts_with("lseek has no argument 3,"), "{}", found[0].message);
    }

    #[test]
    fn arguments_that_it_has_and_calls_of_which_that_is_not_known_are_not() {
        let none = Vec::<String>::new();
        for (names, index) in [(&["close"][..], 0), (&["clone"], 4), (&["futex"], 5), (&["pread64"], 5), (&["no_such"], 5)] {
            assert_eq!(found(names, index), none, "{names:?} {index}");
        }
    }
}
