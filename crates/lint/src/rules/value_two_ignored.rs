//! # value-two-ignored
//!
//! A comparison has a `valueTwo`, which its operator ignores.
//!
//! Only `SCMP_CMP_MASKED_EQ` uses `valueTwo`: the bits of the argument that are in the mask `value` must be those of
//! `valueTwo`. With every other operator libseccomp ignores it. Perhaps this operator was meant, or a range of values, which
//! no single comparison can express. The fix removes `valueTwo`; it is safe.
//!
//! ## Bad
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ALLOW
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [lseek]
//!     action: SCMP_ACT_ERRNO
//!     args: [{index: 2, value: 15, valueTwo: 3, op: SCMP_CMP_EQ}]
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
//!     args: [{index: 2, value: 15, valueTwo: 3, op: SCMP_CMP_MASKED_EQ}]
//! ```

use profile::{Argument, Comparison};

use crate::finding::Found;
use crate::fix::{Edit, Fix, Safety};
use crate::place;
use crate::rule::Rule;
use crate::severity::{Confidence, Severity};
use crate::subject::Subject;

pub(super) static RULE: Rule = Rule {
    id: "value-two-ignored",
    severity: Severity::Info,
    confidence: Confidence::High,
    summary: "A comparison has a `valueTwo`, which its operator ignores.",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Found> {
    let is_ignored = |it: &Argument| it.comparison() != Comparison::MaskedEqual && it.value_two() != 0;
    let ignored = subject.comparisons().filter(|(_, _, _, argument)| is_ignored(argument));
    let found = ignored.map(|(index, _, at, argument)| {
        let path = place::value_two(index, at);
        let fix = Fix::new(Safety::Safe, "Remove valueTwo", Edit::Remove { path: path.clone() });
        let message = format!("{} ignores valueTwo, which only SCMP_CMP_MASKED_EQ uses", argument.comparison().name());
        Found::new(path, message).with(fix)
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{findings, paths};

    fn profile(op: &str, value: u64, two: u64) -> Value {
        json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            { "names": ["lseek"], "action": "SCMP_ACT_ALLOW", "args": [
                { "index": 0, "value": 3, "op": "SCMP_CMP_EQ" },
                { "index": 2, "value": value, "valueTwo": two, "op": op },
            ] },
        ] })
    }

    #[test]
    fn a_second_value_of_another_operator_is_found_and_removed() {
        for op in ["SCMP_CMP_EQ", "SCMP_CMP_NE", "SCMP_CMP_LT"] {
            let mut profile = profile(op, 5, 16);
            let found = findings(&RULE, profile.clone());
            assert_eq!(found.len(), 1, "{op}");
            assert!(found[0].fix.as_ref().unwrap().apply(&mut profile));
            assert_eq!(paths(&RULE, profile), Vec::<String>::new());
        }
        assert_eq!(paths(&RULE, profile("SCMP_CMP_EQ", 5, 0)), Vec::<String>::new());
        assert_eq!(paths(&RULE, profile("SCMP_CMP_MASKED_EQ", 5, 4)), Vec::<String>::new());
    }
}
