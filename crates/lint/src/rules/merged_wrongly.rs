//! # merged-wrongly
//!
//! libseccomp merges the rules for a call to something that none of them says.
//!
//! libseccomp does not keep the rules for a call as a list, but merges them into one tree of comparisons. Some sets of rules
//! with several arguments come out wrongly: for some arguments the call gets the action of a rule of which a condition is
//! false, or not that of a rule of which all are true. It then is permitted although no rule permits it, or denied although
//! no rule denies it. Most often one rule has a lower bound on an argument (`SCMP_CMP_GT`, `SCMP_CMP_GE`), and another one
//! an upper bound on the same argument (`SCMP_CMP_LE`, `SCMP_CMP_LT`) and a condition on a further one.
//!
//! This is decided for all arguments, by a model that is compared with libseccomp 2.5.4 and 2.6.1, for every listed
//! architecture. What programs reach through `socketcall` or `ipc` is left out: see
//! [condition-of-multiplexed-call](condition-of-multiplexed-call.md). There is no fix: name the values with `SCMP_CMP_EQ`,
//! or write conditions on one argument only.
//!
//! ## Bad
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ALLOW
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [remap_file_pages]
//!     action: SCMP_ACT_ERRNO
//!     errnoRet: 22
//!     args: [{index: 1, value: 2, op: SCMP_CMP_GT}]
//!   - names: [remap_file_pages]
//!     action: SCMP_ACT_ERRNO
//!     errnoRet: 13
//!     args: [{index: 1, value: 1, op: SCMP_CMP_LE}, {index: 3, value: 1, op: SCMP_CMP_EQ}]
//! ```
//!
//! ## Good
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ALLOW
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [remap_file_pages]
//!     action: SCMP_ACT_ERRNO
//!     errnoRet: 22
//!     args: [{index: 1, value: 2, op: SCMP_CMP_GT}]
//!   - names: [remap_file_pages]
//!     action: SCMP_ACT_ERRNO
//!     errnoRet: 13
//!     args: [{index: 1, value: 0, op: SCMP_CMP_EQ}, {index: 3, value: 1, op: SCMP_CMP_EQ}]
//!   - names: [remap_file_pages]
//!     action: SCMP_ACT_ERRNO
//!     errnoRet: 13
//!     args: [{index: 1, value: 1, op: SCMP_CMP_EQ}, {index: 3, value: 1, op: SCMP_CMP_EQ}]
//! ```

use std::collections::BTreeMap;

use filter::{Reading, Unsaid};

use crate::finding::Found;
use crate::place;
use crate::rule::Rule;
use crate::severity::{Confidence, Severity};
use crate::subject::Subject;
use crate::wording;

pub(super) static RULE: Rule = Rule {
    id: "merged-wrongly",
    severity: Severity::Error,
    confidence: Confidence::High,
    summary: "libseccomp merges the rules for a call to something that none of them says.",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Found> {
    // Each call once, at its last rule.
    let mut found = BTreeMap::new();
    for (library, reading) in &subject.overlaps().readings {
        if let (Some(unsaid), Some(last)) = (reading.unsaid(), reading.rules.last())
            && let Some(name) =
                subject.profile.rules().get(last.rule).and_then(|rule| rule.names().get(last.name))
        {
            found.entry(*last).or_insert_with(|| {
                let message = message(subject, name.as_str(), library, reading, &unsaid);
                Found::new(place::name(last.rule, last.name), message)
            });
        }
    }
    found.into_values().collect()
}

fn message(subject: &Subject<'_>, name: &str, library: &str, reading: &Reading, unsaid: &Unsaid) -> String {
    let rules = unsaid.rule.and_then(|at| reading.rules.get(at)).map(|mention| mention.rule);
    let should = match rules.and_then(|rule| Some((rule, subject.profile.rules().get(rule)?.effect()))) {
        Some((rule, effect)) => format!("syscalls[{rule}] gives them {effect}"),
        None => format!("no rule applies to them, and {} is the default", subject.profile.default_effect()),
    };
    format!(
        "on {} {library} gives {} to {name} with the arguments ({}), although {should}",
        reading.architecture.name(),
        unsaid.verdict,
        wording::arguments(&unsaid.arguments)
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{findings, paths};

    fn profile(second: &Value) -> Value {
        json!({ "defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [
            { "names": ["close", "setpriority"], "action": "SCMP_ACT_ALLOW",
              "args": [{ "index": 0, "value": 2, "op": "SCMP_CMP_GT" }] },
            { "names": ["setpriority"], "action": "SCMP_ACT_ALLOW", "args": second },
        ] })
    }

    #[test]
    fn a_call_that_gets_what_no_rule_says_is_found_with_its_arguments() {
        let second = json!([
            { "index": 0, "value": 1, "op": "SCMP_CMP_LE" }, { "index": 1, "value": 1, "op": "SCMP_CMP_EQ" },
        ]);
        let found = findings(&RULE, profile(&second));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path.to_string(), "syscalls[1].names[0]");
        assert!(found[0].message.contains("gives SCMP_ACT_"), "{}", found[0].message);
    }

    #[test]
    fn rules_that_mean_what_they_say_together_are_not() {
        let none = Vec::<String>::new();
        let second = json!([{ "index": 0, "value": 1, "op": "SCMP_CMP_LE" }]);
        assert_eq!(paths(&RULE, profile(&second)), none);
        let second = json!([
            { "index": 0, "value": 1, "op": "SCMP_CMP_EQ" }, { "index": 1, "value": 1, "op": "SCMP_CMP_EQ" },
        ]);
        assert_eq!(paths(&RULE, profile(&second)), none);
    }
}
