//! # clone3-without-enosys
//!
//! `clone` is permitted and `clone3` is denied, but not with ENOSYS, so that programs with glibc cannot start threads.
//!
//! glibc since 2.34 starts threads with `clone3`, and uses `clone` only after ENOSYS (38). A denial with another errno, such
//! as EPERM, is an error to it: `pthread_create` fails. A filter cannot look at the arguments of `clone3`, which are in
//! memory, so that a profile that permits only some uses of `clone` must deny it, and does so with ENOSYS, as Docker's and
//! containerd's defaults do.
//!
//! A profile that does not name `clone3` denies it, too. crun then answers with the default. runc answers with ENOSYS if
//! the profile names only calls with smaller numbers, but with the default as soon as it names a newer call, such as
//! `faccessat2` (see [moves-enosys-boundary](moves-enosys-boundary.md)). The fix adds a rule; it is unsafe, because it
//! changes the filter.
//!
//! ## Bad
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ERRNO
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [read, write, clone, faccessat2, exit_group]
//!     action: SCMP_ACT_ALLOW
//! ```
//!
//! ## Good
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ERRNO
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [read, write, clone, faccessat2, exit_group]
//!     action: SCMP_ACT_ALLOW
//!   - names: [clone3]
//!     action: SCMP_ACT_ERRNO
//!     errnoRet: 38
//! ```

use serde_json::json;
use syscalls::Syscall;

use crate::boundary;
use crate::finding::Found;
use crate::fix::{Edit, Fix, Safety};
use crate::place;
use crate::rule::Rule;
use crate::severity::{Confidence, Severity};
use crate::subject::{Subject, is_enosys, permits};

pub(super) static RULE: Rule = Rule {
    id: "clone3-without-enosys",
    severity: Severity::Warning,
    confidence: Confidence::High,
    summary: "`clone` is permitted and `clone3` is denied, but not with ENOSYS, so that programs with glibc cannot start threads.",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Found> {
    let Some(effect) = subject.effect("clone3").filter(|effect| !permits(*effect) && !is_enosys(*effect)) else {
        return Vec::new();
    };
    let permitted = subject.treatment("clone").and_then(|treatment| {
        let mentions = treatment.unconditional.iter().chain(&treatment.conditional);
        mentions.copied().find(|mention| permits(mention.effect))
    });
    let named = subject.treatment("clone3").and_then(|treatment| treatment.unconditional);
    match (permitted, named) {
        (_, Some(named)) if permitted.is_some() || permits(subject.profile.default_effect()) => {
            let edit = Edit::Set { path: place::rule_field(named.rule, "errnoRet"), value: 38.into() };
            let found = Found::new(
                place::name(named.rule, named.name),
                format!("clone3 gets {effect}: glibc starts threads with clone only if clone3 fails with ENOSYS (38)"),
            );
            let alone = subject.profile.rules()[named.rule].names().len() == 1;
            // An absent field cannot be set in place.
            let given = subject.profile.rules()[named.rule].errno_ret().is_some();
            // A rule that repeats the default is skipped, so that another one for clone3 would win instead.
            let repeats = is_enosys(subject.profile.default_effect());
            vec![if alone && given && !(repeats && mentions(subject, "clone3") > 1) {
                found.with(Fix::new(Safety::Unsafe, "Deny clone3 with ENOSYS", edit))
            } else {
                found
            }]
        }
        (Some(clone), None) => {
            let rule = json!({ "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38 });
            let edit = Edit::Append { path: place::field("syscalls"), values: vec![rule] };
            let runtimes = if runc_answers_enosys(subject) { " under crun" } else { "" };
            let message = format!(
                "clone is permitted, but clone3 gets the default {effect}{runtimes}: glibc starts threads with \
                 clone only if clone3 fails with ENOSYS (38)"
            );
            let fix = Fix::new(Safety::Unsafe, "Deny clone3 with ENOSYS", edit);
            vec![Found::new(place::name(clone.rule, clone.name), message).with(fix)]
        }
        _ => Vec::new(),
    }
}

/// How many times rules name a call.
fn mentions(subject: &Subject<'_>, name: &str) -> usize {
    subject.rules().flat_map(|(_, rule)| rule.names()).filter(|named| named.as_str() == name).count()
}

/// Whether runc answers clone3, which no rule names, with ENOSYS on every architecture of the filter.
fn runc_answers_enosys(subject: &Subject<'_>) -> bool {
    let Some(clone3) = Syscall::from_name("clone3") else { return false };
    let newest = boundary::newest(subject);
    boundary::may_have_stub(subject)
        && subject.covered().into_iter().all(|architecture| {
            let highest = |(_, rule)| boundary::highest(rule, newest, architecture);
            let number = subject.rules().filter_map(highest).map(|(number, _)| number).max();
            clone3.number(architecture).is_none_or(|own| number.is_none_or(|number| own > number))
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{findings, paths};

    fn profile(default: &str, rules: serde_json::Value) -> serde_json::Value {
        json!({ "defaultAction": default, "architectures": ["SCMP_ARCH_X86_64"], "syscalls": rules })
    }

    #[test]
    fn a_denial_by_a_rule_or_by_the_default_is_found() {
        let clone = json!({ "names": ["read", "clone"], "action": "SCMP_ACT_ALLOW" });
        let eperm = json!({ "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1 });
        let message = |profile| findings(&RULE, profile)[0].message.clone();
        assert_eq!(paths(&RULE, profile("SCMP_ACT_KILL_PROCESS", json!([clone, eperm]))), ["syscalls[1].names[0]"]);
        assert_eq!(paths(&RULE, profile("SCMP_ACT_ALLOW", json!([eperm]))), ["syscalls[0].names[0]"]);
        let old = profile("SCMP_ACT_ERRNO", json!([clone]));
        assert_eq!(paths(&RULE, old.clone()), ["syscalls[0].names[1]"]);
        assert!(message(old).contains("under crun"));
        let openat2 = json!({ "names": ["openat2"], "action": "SCMP_ACT_ALLOW" });
        assert!(!message(profile("SCMP_ACT_ERRNO", json!([clone, openat2]))).contains("under crun"));
    }

    #[test]
    fn a_denial_that_another_one_would_replace_has_no_fix() {
        let fix = |default: &str, errno: serde_json::Value, rules: serde_json::Value| {
            let mut profile = profile(default, rules);
            profile["defaultErrnoRet"] = errno;
            findings(&RULE, profile)[0].fix.is_some()
        };
        let clone = json!({ "names": ["clone"], "action": "SCMP_ACT_ALLOW" });
        let zero = json!({ "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0 });
        assert!(!fix("SCMP_ACT_ERRNO", 38.into(), json!([clone, zero, zero])));
        assert!(fix("SCMP_ACT_ERRNO", 38.into(), json!([clone, zero])));
        assert!(fix("SCMP_ACT_ERRNO", 1.into(), json!([clone, zero, zero])));
    }

    #[test]
    fn enosys_and_profiles_without_threads_are_not() {
        let clone = json!({ "names": ["clone"], "action": "SCMP_ACT_ALLOW" });
        let enosys = json!({ "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38 });
        for rules in [json!([clone, enosys]), json!([enosys]), json!([{ "names": ["read"], "action": "SCMP_ACT_ALLOW" }])] {
            assert_eq!(paths(&RULE, profile("SCMP_ACT_ERRNO", rules)), Vec::<String>::new());
        }
        let both = json!([{ "names": ["clone", "clone3"], "action": "SCMP_ACT_ALLOW" }]);
        assert_eq!(paths(&RULE, profile("SCMP_ACT_ERRNO", both)), Vec::<String>::new());
        assert_eq!(paths(&RULE, profile("SCMP_ACT_ALLOW", json!([]))), Vec::<String>::new());
    }
}
