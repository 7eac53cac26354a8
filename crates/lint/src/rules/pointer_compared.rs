//! # pointer-compared
//!
//! A comparison of an address: it differs from run to run, and the filter cannot read what is there.
//!
//! Many arguments are addresses: of a path, of a structure, of a buffer. A filter sees the address and not the memory, so
//! that a comparison with a number says nothing about the path or the structure; the kernel also places memory at random.
//! Only a comparison with 0, which means that there is no address, makes sense. The types are those of
//! the kernel's headers (Linux 7.2) for each architecture of the filter, since some calls differ: on 32-bit x86 and on
//! S/390, the only argument of `mmap` is the address of a structure. There is no fix.
//!
//! ## Bad
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ERRNO
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [read, write, exit_group]
//!     action: SCMP_ACT_ALLOW
//!   - names: [chdir]
//!     action: SCMP_ACT_ALLOW
//!     args: [{index: 0, value: 4096, op: SCMP_CMP_GE}]
//! ```
//!
//! ## Good
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ERRNO
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [read, write, exit_group, chdir]
//!     action: SCMP_ACT_ALLOW
//! ```

use profile::{Argument, Comparison};
use syscalls::{ArgumentType, Register};

use crate::finding::Found;
use crate::place;
use crate::register::calls_with;
use crate::rule::Rule;
use crate::severity::{Confidence, Severity};
use crate::subject::Subject;
use crate::wording;

pub(super) static RULE: Rule = Rule {
    id: "pointer-compared",
    severity: Severity::Error,
    confidence: Confidence::High,
    summary: "A comparison of an address: it differs from run to run, and the filter cannot read what is there.",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Found> {
    let is_address = |register| register == Some(Register::Whole(ArgumentType::Pointer));
    let compared = subject.comparisons().filter(|(_, _, _, argument)| !is_null_test(argument));
    let found = compared.flat_map(|(index, rule, at, argument)| {
        calls_with(subject, rule, argument, is_address).into_iter().map(move |calls| {
            let message = format!(
                "argument {} of {} is an address{}, and the filter cannot read what is there",
                argument.index(),
                wording::names(calls.names.iter().copied()),
                calls.place()
            );
            Found::new(place::argument(index, at), message)
        })
    });
    found.collect()
}

/// Whether a comparison asks only if there is an address.
fn is_null_test(argument: &Argument) -> bool {
    match argument.comparison() {
        Comparison::Equal | Comparison::NotEqual | Comparison::Greater | Comparison::LessOrEqual => argument.value() == 0,
        Comparison::Less | Comparison::GreaterOrEqual => argument.value() == 1,
        Comparison::MaskedEqual => (argument.value(), argument.value_two()) == (u64::MAX, 0),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{findings, paths};

    fn found(names: &[&str], index: u8, value: u64, op: &str) -> Vec<String> {
        let args = json!([{ "index": 5, "value": 1, "op": "SCMP_CMP_EQ" }, { "index": index, "value": value, "op": op }]);
        let rule = json!({ "names": names, "action": "SCMP_ACT_ALLOW", "args": args });
        paths(&RULE, json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule] }))
    }

    #[test]
    fn comparisons_of_addresses_are_found() {
        assert_eq!(found(&["chdir"], 0, 4096, "SCMP_CMP_GE"), ["syscalls[0].args[1]"]);
        assert_eq!(found(&["getpid", "openat"], 1, 7, "SCMP_CMP_EQ"), ["syscalls[0].args[1]"]);
        assert_eq!(found(&["openat"], 1, 1, "SCMP_CMP_LE"), ["syscalls[0].args[1]"]);
        assert_eq!(found(&["openat"], 1, 7, "SCMP_CMP_MASKED_EQ"), ["syscalls[0].args[1]"]);
        assert_eq!(found(&["clone"], 2, 7, "SCMP_CMP_EQ"), ["syscalls[0].args[1]"]);
    }

    #[test]
    fn an_address_of_some_architectures_is_found_with_their_names() {
        let message = |names: &[&str], index: u8, architectures: &[&str]| -> Vec<String> {
            let rule = json!({ "names": names, "action": "SCMP_ACT_ALLOW",
                               "args": [{ "index": index, "value": 7, "op": "SCMP_CMP_EQ" }] });
            let profile =
                json!({ "defaultAction": "SCMP_ACT_ERRNO", "architectures": architectures, "syscalls": [rule] });
            findings(&RULE, profile).into_iter().map(|finding| finding.message).collect()
        };
        let (x86, arm) = (["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]);
        let reads = "and the filter cannot read what is there";
        assert_eq!(message(&["mmap"], 0, &x86), [format!("argument 0 of mmap is an address on i386, {reads}")]);
        assert_eq!(message(&["mmap"], 0, &arm), Vec::<String>::new());
        // 32-bit programs pass the mask before it in two registers.
        let marked = |index, on: &str| [format!("argument {index} of fanotify_mark is an address on {on}, {reads}")];
        assert_eq!(message(&["fanotify_mark"], 4, &arm), marked(4, "aarch64"));
        assert_eq!(message(&["fanotify_mark"], 5, &arm), marked(5, "arm"));
    }

    #[test]
    fn tests_for_no_address_and_other_arguments_are_not() {
        let none = Vec::<String>::new();
        assert_eq!(found(&["openat"], 1, 0, "SCMP_CMP_EQ"), none);
        assert_eq!(found(&["openat"], 1, 0, "SCMP_CMP_NE"), none);
        assert_eq!(found(&["openat"], 1, 0, "SCMP_CMP_LE"), none);
        assert_eq!(found(&["openat"], 1, 1, "SCMP_CMP_LT"), none);
        assert_eq!(found(&["openat"], 1, 1, "SCMP_CMP_GE"), none);
        assert_eq!(found(&["openat"], 0, 7, "SCMP_CMP_EQ"), none);
        // An address on some architectures.
        assert_eq!(found(&["clone"], 3, 7, "SCMP_CMP_EQ"), none);
        assert_eq!(found(&["mmap"], 0, 7, "SCMP_CMP_EQ"), none);
        // Its arguments are not known.
        assert_eq!(found(&["socketcall"], 1, 7, "SCMP_CMP_EQ"), none);
    }
}
