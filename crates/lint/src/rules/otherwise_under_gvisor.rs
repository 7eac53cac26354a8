//! # otherwise-under-gvisor
//!
//! gVisor does something else with a part of the profile than runc and crun.
//!
//! gVisor applies a profile only if its runtime has the flag `oci-seccomp`, and then by code of its own (runsc of July 2024):
//!
//! - It starts no container under `SCMP_ACT_LOG`, `SCMP_ACT_KILL_PROCESS` or `SCMP_ACT_KILL_THREAD`: "invalid action".
//! - It answers every `SCMP_ACT_ERRNO` with EPERM and ignores `errnoRet` and `defaultErrnoRet`.
//! - Of several rules for a call the first that matches applies, also one that repeats the default, which runc and crun skip.
//! - It ignores `architectures`.
//!
//! [Kata Containers and gVisor](../explanation/sandboxed-runtimes.md) has more. The rule is checked on request, with `--also
//! otherwise-under-gvisor`, because it finds something in most profiles. There is no fix: give pods with gVisor a profile
//! of their own.
//!
//! ## Bad
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ERRNO
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [read, write, clone, exit_group]
//!     action: SCMP_ACT_ALLOW
//!   - names: [clone3]
//!     action: SCMP_ACT_ERRNO
//!     errnoRet: 38
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

use std::collections::BTreeMap;

use profile::{Action, Effect, FieldPath};

use crate::finding::Found;
use crate::place;
use crate::rule::Rule;
use crate::severity::{Confidence, Severity};
use crate::subject::Subject;

pub(super) static RULE: Rule = Rule {
    id: "otherwise-under-gvisor",
    severity: Severity::Warning,
    confidence: Confidence::Medium,
    summary: "gVisor does something else with a part of the profile than runc and crun.",
    check,
};

/// What it answers to `SCMP_ACT_ERRNO`.
const EPERM: u16 = 1;

fn check(subject: &Subject<'_>) -> Vec<Found> {
    let profile = subject.profile;
    let action = |action: Action, path: FieldPath| {
        let refused = matches!(action, Action::Log | Action::KillProcess | Action::KillThread);
        let message = format!("gVisor starts no container under {}", action.name());
        refused.then(|| Found::new(path, message))
    };
    let errno = |effect: Effect, path: FieldPath| {
        let errno = effect.errno().filter(|errno| effect.action() == Action::Errno && *errno != EPERM)?;
        Some(Found::new(path, format!("gVisor answers with EPERM instead of errno {errno}")))
    };
    let mut found = Vec::new();
    found.extend(action(profile.default_action(), place::field("defaultAction")));
    found.extend(errno(profile.default_effect(), place::field("defaultErrnoRet")));
    for (index, rule) in subject.rules() {
        found.extend(action(rule.action(), place::rule_field(index, "action")));
        found.extend(errno(rule.effect(), place::rule_field(index, "errnoRet")));
    }
    found.extend(other_order(subject));
    found
}

/// Calls that runc and crun let a later rule decide: one without arguments behind one that they skip.
fn other_order(subject: &Subject<'_>) -> Vec<Found> {
    let mut skipped: BTreeMap<&str, usize> = BTreeMap::new();
    let mut found = Vec::new();
    for (index, rule) in subject.rules() {
        for (at, name) in rule.names().iter().map(|name| name.as_str()).enumerate() {
            if subject.skips(rule) {
                if rule.arguments().is_empty() {
                    skipped.entry(name).or_insert(index);
                }
            } else if let Some(first) = skipped.get(name) {
                let message = format!("gVisor applies syscalls[{first}] to {name}, which runc and crun skip");
                found.push(Found::new(place::name(index, at), message));
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

    #[test]
    fn actions_errnos_and_the_order_of_rules_are_found() {
        let profile = json!({
            "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
            "syscalls": [
                { "names": ["read"], "action": "SCMP_ACT_LOG" },
                { "names": ["write"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38 },
                { "names": ["close", "write"], "action": "SCMP_ACT_ALLOW" },
            ],
        });
        assert_eq!(
            paths(&RULE, profile.clone()),
            ["defaultErrnoRet", "syscalls[0].action", "syscalls[1].errnoRet", "syscalls[2].names[1]"]
        );
        let messages: Vec<_> = findings(&RULE, profile).into_iter().map(|finding| finding.message).collect();
        assert_eq!(messages[0], "gVisor answers with EPERM instead of errno 38");
        assert_eq!(messages[3], "gVisor applies syscalls[1] to write, which runc and crun skip");
    }

    #[test]
    fn what_all_runtimes_treat_alike_is_not() {
        let profile = json!({ "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "syscalls": [
            { "names": ["read", "write"], "action": "SCMP_ACT_ALLOW" },
            { "names": ["write"], "action": "SCMP_ACT_ERRNO" },
            { "names": ["mount"], "action": "SCMP_ACT_TRACE", "errnoRet": 7 },
        ] });
        assert_eq!(paths(&RULE, profile), Vec::<String>::new());
    }
}
