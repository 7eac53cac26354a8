//! # log-left-in
//!
//! Calls are permitted and logged: this is for finding out what a program does.
//!
//! `SCMP_ACT_LOG` permits a call, as `SCMP_ACT_ALLOW` does. As the default it denies nothing, not even what the runtime's
//! own default denies. Each call costs a record, of which the kernel prints at most ten in five seconds for the whole node
//! if no auditd reads them (Linux 6.18), so that records of other programs are lost, too. There is no fix: a rule for each
//! call that was seen must be written first.
//!
//! ## Bad
//!
//! ```yaml
//! defaultAction: SCMP_ACT_LOG
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
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

use profile::Action;

use crate::finding::Found;
use crate::place;
use crate::rule::Rule;
use crate::severity::{Confidence, Severity};
use crate::subject::Subject;

pub(super) static RULE: Rule = Rule {
    id: "log-left-in",
    severity: Severity::Warning,
    confidence: Confidence::Medium,
    summary: "Calls are permitted and logged: this is for finding out what a program does.",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Found> {
    let default = (subject.profile.default_action() == Action::Log).then(|| {
        let message = "every call that no rule names is permitted, and logged each time";
        Found::new(place::field("defaultAction"), message.to_owned())
    });
    let rules = subject.rules().filter(|(_, rule)| rule.action() == Action::Log && !subject.skips(rule));
    let rules = rules.map(|(index, _)| {
        let message = "the calls of this rule are permitted, and logged each time";
        Found::new(place::rule_field(index, "action"), message.to_owned())
    });
    default.into_iter().chain(rules).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::paths;

    #[test]
    fn log_is_found_in_the_default_and_in_rules() {
        let rule = json!({ "names": ["read"], "action": "SCMP_ACT_LOG" });
        let profile = |default: &str| json!({ "defaultAction": default, "syscalls": [rule] });
        // The rule repeats the default, which another lint finds.
        assert_eq!(paths(&RULE, profile("SCMP_ACT_LOG")), ["defaultAction"]);
        assert_eq!(paths(&RULE, profile("SCMP_ACT_ERRNO")), ["syscalls[0].action"]);
    }

    #[test]
    fn the_flag_that_logs_denied_calls_is_not() {
        let profile = json!({ "defaultAction": "SCMP_ACT_ERRNO", "flags": ["SECCOMP_FILTER_FLAG_LOG"] });
        assert_eq!(paths(&RULE, profile), Vec::<String>::new());
    }
}
