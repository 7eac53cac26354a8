//! # call-no-filter-decides
//!
//! A rule is about a call that Linux passes around every filter.
//!
//! The kernel makes `uretprobe` and `uprobe` itself, in programs that a tracer of the node observes, and passes them around
//! every seccomp filter, so that a filter cannot break an observed program. A rule that denies or logs one of them has no
//! effect (measured with Linux 6.18; x86_64 is the only architecture that has these calls). A rule that permits it is what
//! happens anyway, and is not found. The fix removes the name, or the rule if it has no other; it is unsafe, because an older
//! kernel may apply the rule.
//!
//! ## Bad
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ALLOW
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [add_key, uretprobe]
//!     action: SCMP_ACT_ERRNO
//! ```
//!
//! ## Good
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ALLOW
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [add_key]
//!     action: SCMP_ACT_ERRNO
//! ```

use filter::is_exempt;
use profile::Action;

use crate::finding::Found;
use crate::fix::{Fix, Safety};
use crate::place;
use crate::rule::Rule;
use crate::severity::{Confidence, Severity};
use crate::subject::{Mention, Subject};

pub(super) static RULE: Rule = Rule {
    id: "call-no-filter-decides",
    severity: Severity::Info,
    confidence: Confidence::High,
    summary: "A rule is about a call that Linux passes around every filter.",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Found> {
    let rules = subject.rules().filter(|(_, rule)| rule.action() != Action::Allow);
    let names = rules.flat_map(|(rule, it)| {
        let effect = it.effect();
        let names = it.names().iter().enumerate();
        names.map(move |(at, name)| (name.as_str(), Mention { rule, name: at, effect }))
    });
    let found = names.filter(|(name, _)| is_exempt(name)).map(|(name, mention)| {
        let message = format!("Linux passes {name} around every filter, so that this has no effect");
        let fix = Fix::without_name(Safety::Unsafe, subject.profile, mention);
        Found::new(place::name(mention.rule, mention.name), message).with(fix)
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{findings, paths};

    #[test]
    fn a_rule_that_does_not_permit_the_call_is_found() {
        let profile = |action: &str| {
            json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
                { "names": ["add_key", "uprobe"], "action": action },
                { "names": ["uretprobe"], "action": action },
            ] })
        };
        for action in ["SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_LOG"] {
            assert_eq!(paths(&RULE, profile(action)), ["syscalls[0].names[1]", "syscalls[1].names[0]"]);
        }
        assert_eq!(paths(&RULE, profile("SCMP_ACT_ALLOW")), Vec::<String>::new());
        let titles = findings(&RULE, profile("SCMP_ACT_ERRNO")).into_iter().map(|it| it.fix.unwrap().title);
        assert_eq!(titles.collect::<Vec<_>>(), ["Remove uprobe here", "Remove the rule"]);
    }
}
