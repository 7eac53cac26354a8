//! # int-compared-in-64-bits
//!
//! A condition compares 64 bits of an argument of which the kernel uses 32.
//!
//! The argument is an `int` to the kernel: a file descriptor, a protocol family, a mode. On 64-bit architectures it comes in
//! a register of 64 bits, of which the kernel ignores the upper half, and a filter compares all. Two registers that are the
//! same to the kernel can therefore be different to the filter: -1 is 0xffffffff in one program and 0xffffffffffffffff in
//! another. So a rule for one value does not apply to every call with this value. In a rule that permits, some calls are
//! denied that were meant; in a rule that denies, some calls are not, which matters if the default permits them: whoever
//! makes the call chooses the upper half.
//!
//! Rules that deny what the default permits are always checked, all others with `--also int-compared-in-64-bits`: profiles
//! usually compare so, and in rules that permit small numbers it has no consequence, because compilers clear the upper half.
//! The types are those of the kernel's headers (Linux 7.2). The fix compares the lower half, with `SCMP_CMP_MASKED_EQ`; it is
//! unsafe, because the rule then applies to more calls. libseccomp has no such comparison for other operators, so that these
//! have no fix. On 32-bit architectures libseccomp compares 32 bits anyway.
//!
//! ## Bad
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ALLOW
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [setpriority]
//!     action: SCMP_ACT_ERRNO
//!     args: [{index: 2, value: 19, op: SCMP_CMP_EQ}]
//! ```
//!
//! ## Good
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ALLOW
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [setpriority]
//!     action: SCMP_ACT_ERRNO
//!     args: [{index: 2, value: 4294967295, valueTwo: 19, op: SCMP_CMP_MASKED_EQ}]
//! ```

use profile::{Argument, Comparison, Rule as ProfileRule};
use serde_json::{Value, json};
use syscalls::{Architecture, ArgumentType, Register, Syscall};

use crate::finding::Found;
use crate::fix::{Edit, Fix, Safety};
use crate::place;
use crate::rule::Rule;
use crate::severity::{Confidence, Severity};
use crate::subject::{Subject, permits};
use crate::wording;

pub(super) static RULE: Rule = Rule {
    id: "int-compared-in-64-bits",
    severity: Severity::Warning,
    confidence: Confidence::Medium,
    summary: "A condition compares 64 bits of an argument of which the kernel uses 32.",
    check,
};

const LOWER: u64 = 0xffff_ffff;

fn check(subject: &Subject<'_>) -> Vec<Found> {
    let mut architectures = subject.covered();
    // Filters compare 32 bits there.
    architectures.retain(|it| ![Architecture::I386, Architecture::X32, Architecture::Arm].contains(it));
    let mut found = Vec::new();
    for (index, rule, at, argument) in subject.comparisons().filter(|(_, _, _, it)| compares_upper_half(it)) {
        let names = ints(rule, argument, &architectures);
        if names.is_empty() {
            continue;
        }
        let path = place::argument(index, at);
        let message = format!(
            "the kernel uses 32 bits of argument {} of {}, and this compares 64",
            argument.index(),
            wording::names(names.iter().copied())
        );
        let whole = names.len() == rule.names().len();
        let value = masked(argument).filter(|_| whole);
        let fix = value.map(|value| {
            Fix::new(Safety::Unsafe, "Compare the lower 32 bits", Edit::Set { path: path.clone(), value })
        });
        let is_on_request = permits(rule.effect()) || !permits(subject.profile.default_effect());
        found.push(Found { fix, is_on_request, ..Found::new(path, message) });
    }
    found
}

fn compares_upper_half(argument: &Argument) -> bool {
    argument.comparison() != Comparison::MaskedEqual || argument.value() > LOWER
}

/// The calls of a rule of which the argument is an int on one of these architectures.
fn ints<'r>(rule: &'r ProfileRule, argument: &Argument, architectures: &[Architecture]) -> Vec<&'r str> {
    let is_int = |call: Syscall, architecture: &Architecture| {
        let registers = call.registers(*architecture).unwrap_or_default();
        registers.get(usize::from(argument.index())) == Some(&Register::Whole(ArgumentType::Int))
    };
    let names = rule.names().iter().map(|name| name.as_str());
    let ints = |name: &&str| Syscall::from_name(name).is_some_and(|call| architectures.iter().any(|it| is_int(call, it)));
    names.filter(ints).collect()
}

/// The same comparison of the lower half, if there is one.
fn masked(argument: &Argument) -> Option<Value> {
    let (mask, value) = match argument.comparison() {
        Comparison::Equal => (LOWER, argument.value()),
        Comparison::MaskedEqual => (argument.value() & LOWER, argument.value_two()),
        _ => return None,
    };
    Some(json!({
        "index": argument.index(), "value": mask, "valueTwo": value & LOWER, "op": Comparison::MaskedEqual.name(),
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{findings, paths};

    fn profile(names: &[&str], argument: &Value) -> Value {
        json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [
            { "names": names, "action": "SCMP_ACT_ERRNO", "args": [argument] },
        ] })
    }

    #[test]
    fn comparisons_of_ints_are_found_with_the_lower_half_as_their_fix() {
        let equal = json!({ "index": 0, "value": 7, "op": "SCMP_CMP_EQ" });
        let found = findings(&RULE, profile(&["close"], &equal));
        assert_eq!(found[0].path.to_string(), "syscalls[0].args[0]");
        let mut contents = profile(&["close"], &equal);
        assert!(found[0].fix.as_ref().unwrap().apply(&mut contents));
        assert_eq!(
            contents["syscalls"][0]["args"][0],
            json!({ "index": 0, "value": LOWER, "valueTwo": 7, "op": "SCMP_CMP_MASKED_EQ" })
        );
        assert_eq!(paths(&RULE, contents), Vec::<String>::new());
        let negative = json!({ "index": 0, "value": u64::MAX, "op": "SCMP_CMP_EQ" });
        let fix = findings(&RULE, profile(&["close"], &negative))[0].fix.clone().unwrap();
        let Edit::Set { value, .. } = fix.edit else { panic!("{fix:?}") };
        assert_eq!(value["valueTwo"], LOWER);
        // No comparison of the lower half is like this one, and one name's argument is no int.
        let bound = json!({ "index": 0, "value": 7, "op": "SCMP_CMP_GE" });
        assert!(findings(&RULE, profile(&["close"], &bound))[0].fix.is_none());
        assert!(findings(&RULE, profile(&["close", "brk"], &equal))[0].fix.is_none());
    }

    #[test]
    fn unless_it_is_requested_only_rules_that_deny_what_the_default_permits_are_checked() {
        let equal = json!({ "index": 0, "value": 7, "op": "SCMP_CMP_EQ" });
        let found = |default: &str, action: &str| {
            let mut contents = profile(&["close"], &equal);
            contents["defaultAction"] = default.into();
            contents["syscalls"][0]["action"] = action.into();
            let profile = profile::Profile::from_value(&contents).unwrap();
            let of = |requested: &[&str]| {
                let found = crate::check_with(&profile, &crate::Nodes::default(), requested);
                found.iter().any(|finding| finding.rule == RULE.id)
            };
            (of(&[]), of(&[RULE.id]))
        };
        assert_eq!(found("SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"), (true, true));
        assert_eq!(found("SCMP_ACT_LOG", "SCMP_ACT_KILL_PROCESS"), (true, true));
        assert_eq!(found("SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW"), (false, true));
        assert_eq!(found("SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS"), (false, true));
        assert_eq!(found("SCMP_ACT_ALLOW", "SCMP_ACT_LOG"), (false, true));
    }

    #[test]
    fn masks_words_addresses_and_32_bit_architectures_are_not() {
        let none = Vec::<String>::new();
        let equal = json!({ "index": 0, "value": 7, "op": "SCMP_CMP_EQ" });
        let masked = json!({ "index": 0, "value": LOWER, "valueTwo": 7, "op": "SCMP_CMP_MASKED_EQ" });
        assert_eq!(paths(&RULE, profile(&["close"], &masked)), none);
        assert_eq!(paths(&RULE, profile(&["munmap", "clone", "unshare_nothing"], &equal)), none);
        // Of mmap only the descriptor, and not on S/390, where mmap has one argument.
        let descriptor = json!({ "index": 4, "value": 7, "op": "SCMP_CMP_EQ" });
        let protection = json!({ "index": 2, "value": 7, "op": "SCMP_CMP_EQ" });
        assert_eq!(paths(&RULE, profile(&["mmap"], &protection)), none);
        assert_eq!(paths(&RULE, profile(&["mmap"], &descriptor)), ["syscalls[0].args[0]"]);
        let mut other = profile(&["mmap"], &descriptor);
        other["architectures"] = json!(["SCMP_ARCH_S390X"]);
        assert_eq!(paths(&RULE, other), none);
        let mut small = profile(&["close"], &equal);
        small["architectures"] = json!(["SCMP_ARCH_X86", "SCMP_ARCH_ARM"]);
        assert_eq!(paths(&RULE, small), none);
    }
}
