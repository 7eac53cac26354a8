//! # constant-condition
//!
//! A comparison is true for no argument, or for every one.
//!
//! A filter compares arguments as numbers without a sign: none is less than 0, and none is greater than the largest number of
//! 64 bits, 18446744073709551615. A rule with such a comparison never applies. The opposite ones are always true, and so is a
//! comparison under a mask without bits, so that the rule does not depend on that argument. Often a negative number was
//! meant: `-1` as an argument of 64 bits is that largest number, and as one of 32 bits 4294967295.
//!
//! `SCMP_CMP_MASKED_EQ` compares the bits of the argument that `value` has, the mask, with `valueTwo`. If `valueTwo` has other
//! bits, the comparison as it is written is true for no argument, but libseccomp drops these bits, so that the rule applies to
//! other arguments than it says. Often the mask and the value were exchanged. There is no fix for this.
//!
//! The fix removes a rule that never applies, or a comparison that is always true. It is unsafe: under runc the names of a rule
//! count even if it never applies ([moves-enosys-boundary](moves-enosys-boundary.md)). A rule without any comparison wins over
//! all others for the same call ([shadowed-rule](shadowed-rule.md)): where such others do something else, a comparison that is
//! always true keeps them in force, and there is neither a finding nor a fix.
//!
//! ## Bad
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ALLOW
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [lseek]
//!     action: SCMP_ACT_ERRNO
//!     args: [{index: 1, value: 0, op: SCMP_CMP_LT}]
//! ```
//!
//! ## Good
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ALLOW
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [lseek]
//!     action: SCMP_ACT_ERRNO
//!     args: [{index: 1, value: "9223372036854775807", op: SCMP_CMP_GT}]
//! ```

use profile::{Argument, Comparison};

use crate::finding::Found;
use crate::fix::{Edit, Fix, Safety};
use crate::place;
use crate::rule::Rule;
use crate::severity::{Confidence, Severity};
use crate::subject::Subject;

pub(super) static RULE: Rule = Rule {
    id: "constant-condition",
    severity: Severity::Warning,
    confidence: Confidence::High,
    summary: "A comparison is true for no argument, or for every one.",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Found> {
    let mut found = Vec::new();
    for (index, rule) in subject.rules().filter(|(_, rule)| !subject.skips(rule)) {
        found.extend(rule.arguments().iter().enumerate().filter_map(|(at, argument)| outside(index, at, argument)));
        let constant = rule.arguments().iter().enumerate().map(|(at, argument)| (at, value(argument)));
        let constant: Vec<_> = constant.filter_map(|(at, value)| Some((at, value?))).collect();
        // A rule that never applies is one finding, whatever else it compares.
        let never = constant.iter().find(|(_, value)| !value);
        for (at, value) in never.map_or(&constant[..], std::slice::from_ref) {
            let Some(argument) = rule.arguments().get(*at) else { continue };
            let path = place::argument(index, *at);
            let (index_of, op, with) = (argument.index(), argument.comparison().name(), argument.value());
            if *value && constant.len() == rule.arguments().len() && keeps_others(subject, index, rule) {
                continue;
            }
            let (message, fix) = if *value {
                let message = format!("{op} {with} is true for every argument {index_of}: this comparison has no effect");
                (message, Fix::new(Safety::Unsafe, "Remove the comparison", Edit::Remove { path: path.clone() }))
            } else {
                let message = format!("{op} {with} is true for no argument {index_of}: this rule never applies");
                let edit = Edit::Remove { path: place::rule(index) };
                (message, Fix::new(Safety::Unsafe, "Remove the rule", edit))
            };
            found.push(Found::new(path, message).with(fix));
        }
    }
    found
}

/// Whether another rule with comparisons does something else with one of the rule's calls. Beside it, a rule whose comparisons
/// are all true is something else than one without comparisons, which would replace the other.
fn keeps_others(subject: &Subject<'_>, index: usize, rule: &profile::Rule) -> bool {
    let treatments = rule.names().iter().filter_map(|name| subject.treatment(name.as_str()));
    let mut others = treatments.flat_map(|treatment| &treatment.conditional);
    others.any(|other| other.rule != index && other.effect != rule.effect())
}

/// A comparison under a mask with a value that has bits outside the mask.
fn outside(rule: usize, at: usize, argument: &Argument) -> Option<Found> {
    let (mask, value) = (argument.value(), argument.value_two());
    let is_masked = argument.comparison() == Comparison::MaskedEqual && mask != 0;
    (is_masked && value & !mask != 0).then(|| {
        let message = format!(
            "valueTwo {value} has bits that are not in the mask {mask}, so that this is true for no argument; libseccomp \
             ignores these bits and compares with {}",
            value & mask
        );
        Found::new(place::argument(rule, at), message)
    })
}

/// What the comparison always is; `None` if that depends on the argument.
fn value(argument: &Argument) -> Option<bool> {
    match (argument.comparison(), argument.value()) {
        (Comparison::Less, 0) | (Comparison::Greater, u64::MAX) => Some(false),
        (Comparison::GreaterOrEqual | Comparison::MaskedEqual, 0) | (Comparison::LessOrEqual, u64::MAX) => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{findings, paths};

    const MOST: u64 = u64::MAX;

    fn profile(arguments: &[(u8, &str, u64)]) -> Value {
        let argument = |(index, op, value): &(u8, &str, u64)| json!({ "index": index, "op": op, "value": value.to_string() });
        let arguments: Vec<_> = arguments.iter().map(argument).collect();
        json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            { "names": ["close"], "action": "SCMP_ACT_ALLOW" },
            { "names": ["lseek"], "action": "SCMP_ACT_ALLOW", "args": arguments },
        ] })
    }

    #[test]
    fn a_comparison_that_is_never_true_is_found_and_its_rule_removed() {
        for (op, value) in [("SCMP_CMP_LT", 0), ("SCMP_CMP_GT", MOST)] {
            let mut profile = profile(&[(0, "SCMP_CMP_EQ", 3), (2, op, value)]);
            let found = findings(&RULE, profile.clone());
            assert_eq!(found[0].path.to_string(), "syscalls[1].args[1]");
            assert!(found[0].message.ends_with("is true for no argument 2: this rule never applies"), "{}", found[0].message);
            assert!(found[0].fix.as_ref().unwrap().apply(&mut profile));
            assert_eq!(profile["syscalls"].as_array().unwrap().len(), 1);
        }
    }

    #[test]
    fn a_comparison_that_is_always_true_is_found_and_removed() {
        for (op, value) in [("SCMP_CMP_GE", 0), ("SCMP_CMP_LE", MOST), ("SCMP_CMP_MASKED_EQ", 0)] {
            let mut profile = profile(&[(0, op, value), (1, "SCMP_CMP_EQ", 3)]);
            let found = findings(&RULE, profile.clone());
            assert_eq!(found[0].path.to_string(), "syscalls[1].args[0]", "{op}");
            assert!(found[0].fix.as_ref().unwrap().apply(&mut profile));
            assert_eq!(paths(&RULE, profile), Vec::<String>::new());
        }
        // One finding for a rule that never applies.
        assert_eq!(paths(&RULE, profile(&[(0, "SCMP_CMP_GE", 0), (1, "SCMP_CMP_LT", 0)])), ["syscalls[1].args[1]"]);
    }

    #[test]
    fn a_comparison_that_is_always_true_and_keeps_other_rules_for_the_call_in_force_is_not_found() {
        let profile = |arguments: Value, action: &str| {
            json!({ "defaultAction": "SCMP_ACT_KILL_PROCESS", "syscalls": [
                { "names": ["lseek"], "action": action, "args": [{ "index": 1, "op": "SCMP_CMP_EQ", "value": "5" }] },
                { "names": ["close", "lseek"], "action": "SCMP_ACT_ALLOW", "args": arguments },
            ] })
        };
        let always = |index: u8| json!({ "index": index, "op": "SCMP_CMP_GE", "value": "0" });
        let none = Vec::<String>::new();
        assert_eq!(paths(&RULE, profile(json!([always(1)]), "SCMP_ACT_ERRNO")), none);
        assert_eq!(paths(&RULE, profile(json!([always(1), always(2)]), "SCMP_ACT_ERRNO")), none);
        // The other rule does the same, or a comparison stays.
        assert_eq!(paths(&RULE, profile(json!([always(1)]), "SCMP_ACT_ALLOW")), ["syscalls[1].args[0]"]);
        let third = json!({ "index": 2, "op": "SCMP_CMP_EQ", "value": "3" });
        assert_eq!(paths(&RULE, profile(json!([always(1), third]), "SCMP_ACT_ERRNO")), ["syscalls[1].args[0]"]);
    }

    #[test]
    fn a_value_with_bits_outside_the_mask_is_found() {
        let profile = |mask: u64, value: u64| {
            let mut profile = profile(&[(2, "SCMP_CMP_MASKED_EQ", mask)]);
            profile["syscalls"][1]["args"][0]["valueTwo"] = value.into();
            profile
        };
        assert_eq!(paths(&RULE, profile(15, 16)), ["syscalls[1].args[0]"]);
        let message = &findings(&RULE, profile(15, 18))[0].message;
        assert!(message.ends_with("ignores these bits and compares with 2"), "{message}");
        for value in [0, 2, 15] {
            assert_eq!(paths(&RULE, profile(15, value)), Vec::<String>::new());
        }
    }

    #[test]
    fn comparisons_that_depend_on_the_argument_and_rules_that_are_skipped_are_not() {
        let none = Vec::<String>::new();
        for (op, value) in [("SCMP_CMP_EQ", 0), ("SCMP_CMP_NE", MOST), ("SCMP_CMP_LT", 1), ("SCMP_CMP_GE", 1), ("SCMP_CMP_MASKED_EQ", 1)] {
            assert_eq!(paths(&RULE, profile(&[(0, op, value)])), none, "{op}");
        }
        let mut skipped = profile(&[(0, "SCMP_CMP_LT", 0)]);
        skipped["syscalls"][1]["action"] = "SCMP_ACT_ERRNO".into();
        assert_eq!(paths(&RULE, skipped), none);
    }
}
