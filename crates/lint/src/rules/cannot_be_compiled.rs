//! # cannot-be-compiled
//!
//! libseccomp refuses a rule beside an earlier one for the same call, or what it makes of both depends on chance.
//!
//! libseccomp merges the rules for a call into one tree. If the same arguments would have two actions, it may return
//! EEXIST, and no container starts. The API server and every command refuse such rules where the conditions are written
//! alike; this rule finds the others, mostly those of calls that 32-bit programs can also make through `socketcall` or
//! `ipc`: libseccomp adds each rule to the multiplexer, too, but without its condition on the first argument, so that two
//! rules become one condition with two actions there, also two rules without arguments. A rule without arguments for the
//! multiplexer itself wins over all of them, so that nothing is refused. For other sets of rules libseccomp follows links
//! in a circle: it may hang, crash, or make a filter that is not the one meant.
//!
//! This is decided by a model that is compared with libseccomp 2.5.4 and 2.6.1, for every listed architecture. There is no
//! fix: write the conditions so that no two rules apply to the same arguments, give the calls of a multiplexer one action,
//! or leave out the architecture of programs that do not run.
//!
//! ## Bad
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ALLOW
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [shmget]
//!     action: SCMP_ACT_ERRNO
//!     args: [{index: 0, value: 77, op: SCMP_CMP_EQ}]
//!   - names: [shmget]
//!     action: SCMP_ACT_LOG
//!     args: [{index: 0, value: 78, op: SCMP_CMP_EQ}]
//! ```
//!
//! ## Good
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ALLOW
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [shmget]
//!     action: SCMP_ACT_ERRNO
//!     args: [{index: 1, value: 4096, op: SCMP_CMP_EQ}]
//!   - names: [ipc]
//!     action: SCMP_ACT_ERRNO
//!     errnoRet: 38
//! ```

use std::collections::BTreeMap;

use filter::tree::Refusal;
use filter::{Conflict, conflicts};

use crate::finding::Found;
use crate::place;
use crate::rule::Rule;
use crate::severity::{Confidence, Severity};
use crate::subject::Subject;

pub(super) static RULE: Rule = Rule {
    id: "cannot-be-compiled",
    severity: Severity::Error,
    confidence: Confidence::High,
    summary: "libseccomp refuses a rule beside an earlier one for the same call, or what it makes of both depends on chance.",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Found> {
    let refused = refused(subject).iter();
    refused.map(|((rule, name), message)| Found::new(place::name(*rule, *name), message.clone())).collect()
}

/// The rules that libseccomp refuses, by rule and name, and why.
pub(super) fn refused<'s>(subject: &'s Subject<'_>) -> &'s BTreeMap<(usize, usize), String> {
    subject.refused(find)
}

fn find(subject: &Subject<'_>) -> BTreeMap<(usize, usize), String> {
    let mut found: BTreeMap<(usize, usize), String> = BTreeMap::new();
    subject.settings(|setting| {
        for conflict in conflicts(subject.profile, setting) {
            if let Some(message) = message(subject, &conflict, setting.library.name) {
                found.entry((conflict.rule, conflict.name)).or_insert(message);
            }
        }
    });
    found
}

fn message(subject: &Subject<'_>, conflict: &Conflict, library: &str) -> Option<String> {
    let name = subject.profile.rules().get(conflict.rule)?.names().get(conflict.name)?.as_str();
    let architecture = conflict.architecture.name();
    Some(match conflict.refusal {
        Refusal::Clash { .. } => format!(
            "{library} refuses this rule for {name} on {architecture}, because an earlier one gives the same arguments \
             another action there: no container starts"
        ),
        Refusal::Unpredictable { .. } => format!(
            "what {library} makes of this rule and earlier ones for {name} on {architecture} depends on chance: it may \
             hang or crash"
        ),
        // So many conditions are more than the kernel loads, which is another rule's finding.
        Refusal::TooMany { .. } => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use syscalls::Architecture;

    use super::*;
    use crate::nodes::Nodes;
    use crate::testing::{findings, paths, paths_on};

    fn profile(architectures: &[&str], rules: &[(&str, &str, u64)]) -> Value {
        let rule = |(name, action, value): &(&str, &str, u64)| {
            json!({ "names": ["close", name], "action": action, "args": [{ "index": 0, "value": value, "op": "SCMP_CMP_EQ" }] })
        };
        let rules: Vec<_> = rules.iter().map(rule).collect();
        json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": architectures, "syscalls": rules })
    }

    const X86: [&str; 2] = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"];

    #[test]
    fn two_actions_that_come_together_on_a_multiplexer_are_found() {
        let two = [("msgget", "SCMP_ACT_ERRNO", 1), ("msgget", "SCMP_ACT_LOG", 2)];
        let found = findings(&RULE, profile(&X86, &two));
        assert_eq!(paths(&RULE, profile(&X86, &two)), ["syscalls[1].names[1]"]);
        assert!(found[0].message.contains("for msgget on SCMP_ARCH_X86, because"), "{}", found[0].message);
        let s390x = Nodes { architectures: vec![Architecture::S390x], ..Nodes::default() };
        assert_eq!(paths_on(&RULE, &s390x, profile(&[], &two)), ["syscalls[1].names[1]"]);
    }

    #[test]
    fn two_rules_without_arguments_are_found_on_a_multiplexer_and_not_beside_a_rule_for_it() {
        let both = |first: &str| {
            json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": X86, "syscalls": [
                { "names": [first], "action": "SCMP_ACT_LOG" },
                { "names": ["semop"], "action": "SCMP_ACT_TRAP" },
                { "names": ["semop"], "action": "SCMP_ACT_ERRNO" },
            ] })
        };
        assert_eq!(paths(&RULE, both("close")), ["syscalls[2].names[0]"]);
        assert_eq!(paths(&RULE, both("ipc")), Vec::<String>::new());
    }

    #[test]
    fn one_action_and_programs_that_do_not_run_are_not() {
        let none = Vec::<String>::new();
        let one = [("msgget", "SCMP_ACT_ERRNO", 1), ("msgget", "SCMP_ACT_ERRNO", 2)];
        assert_eq!(paths(&RULE, profile(&X86, &one)), none);
        let two = [("msgget", "SCMP_ACT_ERRNO", 1), ("msgget", "SCMP_ACT_LOG", 2)];
        assert_eq!(paths(&RULE, profile(&X86[..1], &two)), none);
        let other = [("lseek", "SCMP_ACT_ERRNO", 1), ("lseek", "SCMP_ACT_LOG", 2)];
        assert_eq!(paths(&RULE, profile(&X86, &other)), none);
    }
}
