//! # dead-rule
//!
//! A rule repeats the default, so that runtimes skip it.
//!
//! A rule whose action and errno are those of the default changes nothing about the calls that it names: runc, crun and
//! youki skip it. An absent `errnoRet` is EPERM (1), also beside another `defaultErrnoRet`. One effect remains under runc:
//! it counts the names of skipped rules when it decides from which number on it answers with ENOSYS (see
//! [moves-enosys-boundary](moves-enosys-boundary.md)). The fix removes the rule; it is safe unless this boundary moves.
//!
//! ## Bad
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ERRNO
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [read, write, exit_group]
//!     action: SCMP_ACT_ALLOW
//!   - names: [mount]
//!     action: SCMP_ACT_ERRNO
//!     errnoRet: 1
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
//!   - names: [mount]
//!     action: SCMP_ACT_ERRNO
//!     errnoRet: 13
//! ```

use std::collections::BTreeSet;

use syscalls::Libseccomp;

use crate::boundary;
use crate::finding::Found;
use crate::fix::{Edit, Fix, Safety};
use crate::place;
use crate::rule::Rule;
use crate::severity::{Confidence, Severity};
use crate::subject::Subject;

pub(super) static RULE: Rule = Rule {
    id: "dead-rule",
    severity: Severity::Info,
    confidence: Confidence::High,
    summary: "A rule repeats the default, so that runtimes skip it.",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Found> {
    let mut skipped = subject.rules().filter(|(_, rule)| subject.skips(rule)).peekable();
    let moving = if skipped.peek().is_some() { moving_boundary(subject) } else { BTreeSet::new() };
    skipped
        .map(|(index, _)| {
            let safety = if moving.contains(&index) { Safety::Unsafe } else { Safety::Safe };
            let path = place::rule(index);
            let fix = Fix::new(safety, "Remove the rule", Edit::Remove { path: path.clone() });
            let message =
                format!("runtimes skip this rule, because {} is the default", subject.profile.default_effect());
            Found::new(path, message).with(fix)
        })
        .collect()
}

/// The rules without which runc would answer other calls with ENOSYS, with any measured libseccomp.
fn moving_boundary(subject: &Subject<'_>) -> BTreeSet<usize> {
    let mut moving = BTreeSet::new();
    if !boundary::has_stub(subject) {
        return moving;
    }
    for library in Libseccomp::ALL {
        for architecture in subject.covered() {
            let highest: Vec<Option<u32>> = subject
                .rules()
                .map(|(_, rule)| Some(boundary::highest(rule, library, architecture)?.0))
                .collect();
            let Some(most) = highest.iter().copied().flatten().max() else { continue };
            let mut with_most = highest.iter().enumerate().filter(|(_, number)| **number == Some(most));
            if let (Some((index, _)), None) = (with_most.next(), with_most.next()) {
                moving.insert(index);
            }
        }
    }
    moving
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{findings, paths};

    #[test]
    fn a_rule_that_repeats_the_default_is_found_in_any_spelling() {
        let with = |default: serde_json::Value, rule: serde_json::Value| {
            let mut profile = default;
            profile["syscalls"] = json!([{ "names": ["read"], "action": "SCMP_ACT_LOG" }, rule]);
            profile
        };
        let errno = json!({ "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1 });
        let rule = json!({ "names": ["mount"], "action": "SCMP_ACT_ERRNO" });
        assert_eq!(paths(&RULE, with(errno.clone(), rule.clone())), ["syscalls[1]"]);
        let kill = json!({ "defaultAction": "SCMP_ACT_KILL" });
        let thread = json!({ "names": ["mount"], "action": "SCMP_ACT_KILL_THREAD" });
        assert_eq!(paths(&RULE, with(kill, thread)), ["syscalls[1]"]);
        // Another errno, and the errno that a rule has by itself.
        let other = json!({ "names": ["mount"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13 });
        assert_eq!(paths(&RULE, with(errno, other)), Vec::<String>::new());
        let five = json!({ "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 5 });
        assert_eq!(paths(&RULE, with(five, rule)), Vec::<String>::new());
    }

    #[test]
    fn removing_it_is_safe_unless_it_names_the_highest_number() {
        let safety = |name: &str, default: &str| {
            let profile = json!({ "defaultAction": default, "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [
                { "names": ["clone3"], "action": "SCMP_ACT_LOG" },
                { "names": [name], "action": default },
            ] });
            findings(&RULE, profile)[0].fix.as_ref().map(|fix| fix.safety)
        };
        assert_eq!(safety("mount", "SCMP_ACT_ERRNO"), Some(Safety::Safe));
        assert_eq!(safety("openat2", "SCMP_ACT_ERRNO"), Some(Safety::Unsafe));
        assert_eq!(safety("mseal", "SCMP_ACT_KILL_PROCESS"), Some(Safety::Unsafe));
        // Without a stub there is no boundary.
        assert_eq!(safety("openat2", "SCMP_ACT_ALLOW"), Some(Safety::Safe));
    }
}
