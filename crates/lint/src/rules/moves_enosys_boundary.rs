//! # moves-enosys-boundary
//!
//! Under runc a rule that denies a call changes what happens to other calls.
//!
//! New kernels have calls that a profile does not know. Programs try them first and fall back to older ones after ENOSYS,
//! but not after EPERM. runc therefore answers with ENOSYS to every call whose number is above the highest that the
//! profile names on this architecture, and with the default below. Every rule counts, also one that denies, and one that
//! repeats the default and is otherwise skipped: to name a new call only to deny it turns the ENOSYS of all calls between
//! into the default (runc 1.1.5, 1.3.6, 1.5.2). crun has no such boundary. There is no boundary either if the default
//! permits calls or is ENOSYS.
//!
//! The rule finds denying rules that name a call above all permitted ones, with unnamed calls between. There is no fix. If
//! the rule repeats the default, remove it; otherwise permit newer calls too, or make the default ENOSYS
//! (`defaultErrnoRet: 38`).
//!
//! ## Bad
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ERRNO
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [read, write, openat, exit_group]
//!     action: SCMP_ACT_ALLOW
//!   - names: [openat2]
//!     action: SCMP_ACT_KILL_PROCESS
//! ```
//!
//! ## Good
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ERRNO
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [read, write, openat, exit_group]
//!     action: SCMP_ACT_ALLOW
//! ```

use std::collections::{BTreeMap, BTreeSet};

use syscalls::{Architecture, Syscall};

use crate::boundary;
use crate::finding::Found;
use crate::place;
use crate::rule::Rule;
use crate::severity::{Confidence, Severity};
use crate::subject::{Subject, permits};

pub(super) static RULE: Rule = Rule {
    id: "moves-enosys-boundary",
    severity: Severity::Warning,
    confidence: Confidence::Medium,
    summary: "Under runc a rule that denies a call changes what happens to other calls.",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Found> {
    if !boundary::may_have_stub(subject) {
        return Vec::new();
    }
    let named: BTreeSet<&str> =
        subject.profile.rules().iter().flat_map(|rule| rule.names()).map(|name| name.as_str()).collect();
    let newest = boundary::newest(subject);
    let permitted = |architecture| {
        let rules = subject.rules().filter(|(_, rule)| permits(rule.effect()));
        rules.filter_map(|(_, rule)| Some(boundary::highest(rule, newest, architecture)?.0)).max()
    };
    // The architectures with the highest permitted number.
    let boundaries: Vec<(Architecture, u32)> = subject
        .covered()
        .into_iter()
        .filter_map(|architecture| Some((architecture, permitted(architecture)?)))
        .collect();
    subject
        .rules()
        .filter(|(_, rule)| !permits(rule.effect()))
        .filter_map(|(index, rule)| {
            boundaries.iter().find_map(|(architecture, permitted)| {
                let (number, call) = boundary::highest(rule, newest, *architecture)?;
                if number <= *permitted {
                    return None;
                }
                let between: BTreeMap<u32, Syscall> = Syscall::all()
                    .filter(|call| !named.contains(call.name()))
                    .filter_map(|call| Some((call.number(*architecture)?, call)))
                    .filter(|(between, _)| (permitted + 1..number).contains(between))
                    .collect();
                let (first, last) = (between.values().next()?, between.values().next_back()?);
                let at = rule.names().iter().position(|name| name.as_str() == call.name())?;
                let message = format!(
                    "{} has the number {number} on {architecture}, the highest permitted call {permitted}: because this \
                     rule names it, runc answers the {} unnamed calls between (from {} to {}) with {} instead of ENOSYS",
                    call.name(),
                    between.len(),
                    first.name(),
                    last.name(),
                    subject.profile.default_effect()
                );
                Some(Found::new(place::name(index, at), message))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{findings, paths};

    fn profile(default: &str, denied: &[&str], action: &str) -> serde_json::Value {
        json!({ "defaultAction": default, "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [
            { "names": ["read", "clone3"], "action": "SCMP_ACT_ALLOW" },
            { "names": denied, "action": action },
        ] })
    }

    #[test]
    fn a_denied_call_above_the_permitted_ones_is_found() {
        let errno = profile("SCMP_ACT_ERRNO", &["mount", "mseal"], "SCMP_ACT_KILL_PROCESS");
        assert_eq!(paths(&RULE, errno.clone()), ["syscalls[1].names[1]"]);
        let message = &findings(&RULE, errno)[0].message;
        assert!(message.contains("the 26 unnamed calls between (from close_range to lsm_list_modules)"), "{message}");
        let skipped = profile("SCMP_ACT_KILL_PROCESS", &["openat2"], "SCMP_ACT_KILL_PROCESS");
        assert_eq!(paths(&RULE, skipped), ["syscalls[1].names[0]"]);
    }

    #[test]
    fn a_call_below_the_permitted_ones_or_right_above_them_and_a_default_without_boundary_are_not() {
        for profile in [
            profile("SCMP_ACT_ERRNO", &["mount"], "SCMP_ACT_TRAP"),
            profile("SCMP_ACT_ERRNO", &["close_range"], "SCMP_ACT_TRAP"),
            profile("SCMP_ACT_LOG", &["mseal"], "SCMP_ACT_TRAP"),
        ] {
            assert_eq!(paths(&RULE, profile), Vec::<String>::new());
        }
        let mut enosys = profile("SCMP_ACT_ERRNO", &["mseal"], "SCMP_ACT_TRAP");
        enosys["defaultErrnoRet"] = 38.into();
        assert_eq!(paths(&RULE, enosys), Vec::<String>::new());
    }
}
