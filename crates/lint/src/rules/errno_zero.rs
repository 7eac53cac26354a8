//! # errno-zero
//!
//! A denied call returns success: its errno is 0.
//!
//! The kernel does not make the call, and the program reads 0, which for most calls means that it succeeded: a `write`
//! wrote nothing, a `setuid` did not drop rights, an `openat` "returned" standard input. Programs then go on with a wrong
//! belief, and no log shows a failure. Measured with runc 1.1.5 to 1.5.2, crun 1.8.1 to 1.28 and youki 0.7.0. The fix
//! removes the errno, so that the call fails with EPERM; it is unsafe, because a program may rely on the 0.
//!
//! ## Bad
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ALLOW
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [sethostname]
//!     action: SCMP_ACT_ERRNO
//!     errnoRet: 0
//! ```
//!
//! ## Good
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ALLOW
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [sethostname]
//!     action: SCMP_ACT_ERRNO
//! ```

use profile::{Action, Effect, FieldPath};

use crate::finding::Found;
use crate::fix::{Edit, Fix, Safety};
use crate::place;
use crate::rule::Rule;
use crate::severity::{Confidence, Severity};
use crate::subject::Subject;

pub(super) static RULE: Rule = Rule {
    id: "errno-zero",
    severity: Severity::Error,
    confidence: Confidence::Medium,
    summary: "A denied call returns success: its errno is 0.",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Found> {
    let zero = Effect::of(Action::Errno, Some(0));
    let default = (subject.profile.default_effect() == zero).then(|| {
        found(place::field("defaultErrnoRet"), "every call that no rule names is not made and returns 0, success")
    });
    let rules = subject.rules().filter(|(_, rule)| rule.effect() == zero);
    let rules = rules.map(|(index, _)| {
        found(place::rule_field(index, "errnoRet"), "the calls of this rule are not made and return 0, success")
    });
    default.into_iter().chain(rules).collect()
}

fn found(path: FieldPath, message: &str) -> Found {
    let fix = Fix::new(Safety::Unsafe, "Remove the errno: the call fails with EPERM", Edit::Remove { path: path.clone() });
    Found::new(path, message.to_owned()).with(fix)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::paths;

    #[test]
    fn an_errno_of_zero_is_found_in_the_default_and_in_rules() {
        let default = json!({ "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 0 });
        assert_eq!(paths(&RULE, default), ["defaultErrnoRet"]);
        let rule = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            { "names": ["mount"], "action": "SCMP_ACT_ERRNO" },
            { "names": ["umount2"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0 },
        ] });
        assert_eq!(paths(&RULE, rule), ["syscalls[1].errnoRet"]);
    }

    #[test]
    fn the_number_for_a_tracer_may_be_zero() {
        let traced = json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            { "names": ["mount"], "action": "SCMP_ACT_TRACE", "errnoRet": 0 },
        ] });
        assert_eq!(paths(&RULE, traced), Vec::<String>::new());
    }
}
