//! # shadowed-rule
//!
//! A rule never applies to a call, because a rule without arguments for the same call wins.
//!
//! libseccomp does not use the first rule that matches. A rule without arguments wins over all rules with arguments for
//! the same call, whatever their order and their actions, and of two rules without arguments the first wins (measured with
//! 2.5.4 and 2.6.1, runc, crun and youki). This rule finds a name in a rule that never applies and that would have another
//! effect than the rule that wins. There is no fix, because only the author knows which of them was meant.
//!
//! ## Bad
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ERRNO
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [ioctl]
//!     action: SCMP_ACT_KILL_PROCESS
//!     args: [{index: 1, value: 21522, op: SCMP_CMP_EQ}]
//!   - names: [read, write, ioctl, exit_group]
//!     action: SCMP_ACT_ALLOW
//! ```
//!
//! ## Good
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ERRNO
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [ioctl]
//!     action: SCMP_ACT_ALLOW
//!     args: [{index: 1, value: 21522, op: SCMP_CMP_NE}]
//!   - names: [read, write, exit_group]
//!     action: SCMP_ACT_ALLOW
//! ```

use crate::finding::Found;
use crate::place;
use crate::rule::Rule;
use crate::severity::{Confidence, Severity};
use crate::rules::cannot_be_compiled;
use crate::subject::{Mention, Subject};

pub(super) static RULE: Rule = Rule {
    id: "shadowed-rule",
    severity: Severity::Error,
    confidence: Confidence::High,
    summary: "A rule never applies to a call, because a rule without arguments for the same call wins.",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Found> {
    let mut shadowed =
        subject.decided().filter(|(mention, _, winner)| winner.effect != mention.effect).peekable();
    // Where libseccomp refuses a rule, none wins: that is another rule's finding.
    let computes = shadowed.peek().is_some() && !subject.is_costly();
    let refused = computes.then(|| cannot_be_compiled::refused(subject));
    let is_refused = |mention: Mention| refused.is_some_and(|it| it.contains_key(&(mention.rule, mention.name)));
    let shadowed = shadowed.filter(|(mention, ..)| !is_refused(*mention));
    let found = shadowed.map(|(mention, name, winner)| {
        let message = format!(
            "{name} never gets {} from this rule: syscalls[{}] gives it {} and has no arguments, so that it wins",
            mention.effect, winner.rule, winner.effect
        );
        Found::new(place::name(mention.rule, mention.name), message)
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::paths;

    #[test]
    fn a_rule_that_another_one_wins_over_is_found_in_either_order() {
        let condition = json!([{ "index": 0, "value": 1, "op": "SCMP_CMP_EQ" }]);
        let conditional = json!({ "names": ["close", "ioctl"], "action": "SCMP_ACT_TRAP", "args": condition });
        let plain = json!({ "names": ["ioctl"], "action": "SCMP_ACT_ALLOW" });
        let profile = |rules| json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules });
        assert_eq!(paths(&RULE, profile(json!([conditional, plain]))), ["syscalls[0].names[1]"]);
        assert_eq!(paths(&RULE, profile(json!([plain, conditional]))), ["syscalls[1].names[1]"]);
        let log = json!({ "names": ["ioctl"], "action": "SCMP_ACT_LOG" });
        assert_eq!(paths(&RULE, profile(json!([plain, log]))), ["syscalls[1].names[0]"]);
    }

    #[test]
    fn rules_that_both_apply_and_rules_that_say_the_same_are_not() {
        let when = |value| json!([{ "index": 0, "value": value, "op": "SCMP_CMP_EQ" }]);
        let profile = json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            { "names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": when(1) },
            { "names": ["socket"], "action": "SCMP_ACT_TRAP", "args": when(2) },
            // Skipped, because it repeats the default: it does not win.
            { "names": ["socket"], "action": "SCMP_ACT_ERRNO" },
            { "names": ["read"], "action": "SCMP_ACT_ALLOW" },
            { "names": ["read"], "action": "SCMP_ACT_ALLOW" },
        ] });
        assert_eq!(paths(&RULE, profile), Vec::<String>::new());
    }
}
