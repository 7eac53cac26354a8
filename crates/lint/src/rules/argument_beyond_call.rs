//! # argument-beyond-call
//!
//! A comparison of an argument that the call does not have.
//!
//! A filter sees six registers, also for a call with fewer arguments. What is in the others is left from earlier
//! computations, so that whether the rule applies is chance, or up to the program. The index is counted from 0: the first
//! argument of a call is 0. The number of arguments is that of the kernel's headers (Linux 7.2); calls of which it is not
//! known are left out. There is no fix, because only the author knows which argument was meant.
//!
//! Some calls use more or other registers on some architectures, and the finding then names those where the register is
//! unused: on 32-bit x86 and on S/390, `mmap` takes the address of a structure with the six arguments. A value of 64 bits, as
//! the offset of `pread64`, takes two registers in 32-bit programs, on 32-bit ARM from an even one on, so that `pread64` does
//! not use register 3 there.
//!
//! ## Bad
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ALLOW
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [getrandom]
//!     action: SCMP_ACT_ERRNO
//!     args: [{index: 3, value: 256, op: SCMP_CMP_GT}]
//! ```
//!
//! ## Good
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ALLOW
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [getrandom]
//!     action: SCMP_ACT_ERRNO
//!     args: [{index: 1, value: 256, op: SCMP_CMP_GT}]
//! ```

use syscalls::Register;

use crate::finding::Found;
use crate::place;
use crate::register::calls_with;
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

fn check(subject: &Subject<'_>) -> Vec<Found> {
    let lacks = |register| matches!(register, None | Some(Register::Unused));
    let found = subject.comparisons().flat_map(|(index, rule, at, argument)| {
        calls_with(subject, rule, argument, lacks).into_iter().map(move |calls| {
            let message = format!(
                "{} has no argument {}{}, counted from 0: what the filter compares is left from earlier computations",
                wording::names(calls.names.iter().copied()),
                argument.index(),
                calls.place()
            );
            Found::new(place::argument(index, at), message)
        })
    });
    found.collect()
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
    fn registers_that_a_call_uses_on_some_architectures_only_are_found_where_it_does_not() {
        let on = |name: &str, index: u8, architectures: &[&str]| -> Vec<String> {
            let rule = json!({ "names": [name], "action": "SCMP_ACT_ALLOW",
                               "args": [{ "index": index, "value": 1, "op": "SCMP_CMP_EQ" }] });
            let profile =
                json!({ "defaultAction": "SCMP_ACT_ERRNO", "architectures": architectures, "syscalls": [rule] });
            let messages = findings(&RULE, profile).into_iter().map(|finding| finding.message);
            messages.map(|message| message.split_once(',').unwrap().0.to_owned()).collect()
        };
        let (x86, arm) = (["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]);
        assert_eq!(on("mmap", 2, &x86), ["mmap has no argument 2 on i386"]);
        assert_eq!(on("mmap", 2, &["SCMP_ARCH_S390X"]), ["mmap has no argument 2"]);
        assert_eq!(on("mmap", 5, &["SCMP_ARCH_AARCH64"]), Vec::<String>::new());
        // The upper half of the offset, and the register that ARM leaves out.
        assert_eq!(on("pread64", 4, &x86), ["pread64 has no argument 4 on x86_64"]);
        assert_eq!(on("pread64", 3, &x86), Vec::<String>::new());
        assert_eq!(on("pread64", 3, &arm), ["pread64 has no argument 3 on arm"]);
        assert_eq!(on("pread64", 5, &["SCMP_ARCH_ARM"]), Vec::<String>::new());
        assert_eq!(on("ftruncate64", 3, &["SCMP_ARCH_X86"]), ["ftruncate64 has no argument 3"]);
        for index in 0..6 {
            assert_eq!(on("fallocate", index, &["SCMP_ARCH_ARM"]), Vec::<String>::new());
        }
        // Of these it is not known on x32, or on which architectures they are.
        assert_eq!(on("preadv2", 5, &["SCMP_ARCH_X32"]), Vec::<String>::new());
        assert_eq!(on("mmap", 2, &[]), Vec::<String>::new());
        assert_eq!(on("pread64", 5, &[]), Vec::<String>::new());
    }

    #[test]
    fn arguments_that_it_has_and_calls_of_which_that_is_not_known_are_not() {
        let none = Vec::<String>::new();
        for (names, index) in [(&["close"][..], 0), (&["clone"], 4), (&["futex"], 5), (&["no_such"], 5)] {
            assert_eq!(found(names, index), none, "{names:?} {index}");
        }
    }
}
