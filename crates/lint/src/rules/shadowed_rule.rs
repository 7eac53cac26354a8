//! # shadowed-rule
//!
//! A rule never applies to a call, because other rules for the same call win.
//!
//! libseccomp does not use the first rule that matches. A rule without arguments wins over all rules with arguments for
//! the same call, whatever their order and their actions, and of two rules without arguments the first wins (measured with
//! 2.5.4 and 2.6.1, runc, crun and youki). Of rules with arguments, neither the first nor the most specific wins: a rule
//! that asks for more than an earlier one may never apply, and one that compares a later argument wins over others. Whether
//! a rule applies to any arguments is decided for all of them, by a model that is compared with both libraries. This rule
//! finds a name in a rule that never applies and that would have another effect than the rules that win. There is no fix,
//! because only the author knows which of them was meant.
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
use crate::overlap::Idle;
use crate::place;
use crate::rule::Rule;
use crate::severity::{Confidence, Severity};
use crate::rules::cannot_be_compiled;
use crate::subject::Subject;
use crate::wording;

pub(super) static RULE: Rule = Rule {
    id: "shadowed-rule",
    severity: Severity::Error,
    confidence: Confidence::High,
    summary: "A rule never applies to a call, because other rules for the same call win.",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Found> {
    let mut found: Vec<_> = beside_one_without_arguments(subject).collect();
    found.extend(beside_others_with_arguments(subject));
    found.sort_by_key(|((rule, name), _)| (*rule, *name));
    found.into_iter().map(|((rule, name), message)| Found::new(place::name(rule, name), message)).collect()
}

/// Mentions that never have an effect, with the message.
fn beside_one_without_arguments(subject: &Subject<'_>) -> impl Iterator<Item = ((usize, usize), String)> {
    let mut shadowed =
        subject.decided().filter(|(mention, _, winner)| winner.effect != mention.effect).peekable();
    // Where libseccomp refuses a rule, none wins: that is another rule's finding.
    let computes = shadowed.peek().is_some() && subject.computes();
    let refused = computes.then(|| cannot_be_compiled::refused(subject));
    let shadowed = shadowed
        .filter(move |(it, ..)| !refused.is_some_and(|refused| refused.contains_key(&(it.rule, it.name))));
    shadowed.map(|(mention, name, winner)| {
        let message = format!(
            "{name} never gets {} from this rule: syscalls[{}] gives it {} and has no arguments, so that it wins",
            mention.effect, winner.rule, winner.effect
        );
        ((mention.rule, mention.name), message)
    })
}

fn beside_others_with_arguments(subject: &Subject<'_>) -> impl Iterator<Item = ((usize, usize), String)> {
    subject.overlaps().idle().into_iter().filter_map(|(mention, idle)| {
        let Idle::Shadowed { arguments, verdict, by } = idle else { return None };
        let rule = subject.profile.rules().get(mention.rule)?;
        let name = rule.names().get(mention.name)?.as_str();
        let winner = by.map_or_else(|| "libseccomp".to_owned(), |by| format!("syscalls[{by}]"));
        let message = format!(
            "{name} never gets {} from this rule: other rules win wherever its conditions are true; {winner} gives {verdict} \
             to the arguments ({})",
            rule.effect(),
            wording::arguments(&arguments)
        );
        Some(((mention.rule, mention.name), message))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::paths;

    fn profile(rules: Value) -> Value {
        json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], "syscalls": rules })
    }

    fn rule(action: &str, args: Value) -> Value {
        json!({ "names": ["setpriority"], "action": action, "args": args })
    }

    fn when(index: u8, op: &str, value: u64) -> Value {
        json!({ "index": index, "value": value, "valueTwo": value, "op": format!("SCMP_CMP_{op}") })
    }

    #[test]
    fn a_rule_behind_another_one_with_arguments_is_found() {
        let one = || json!([when(0, "EQ", 1)]);
        let both = || json!([when(0, "EQ", 1), when(1, "EQ", 2)]);
        let first_is_wider = [rule("SCMP_ACT_ERRNO", one()), rule("SCMP_ACT_KILL_PROCESS", both())];
        assert_eq!(paths(&RULE, profile(json!(first_is_wider))), ["syscalls[1].names[0]"]);
        let masked = [
            rule("SCMP_ACT_TRAP", json!([when(0, "MASKED_EQ", 3)])),
            rule("SCMP_ACT_ERRNO", json!([when(0, "EQ", 3)])),
        ];
        assert_eq!(paths(&RULE, profile(json!(masked))), ["syscalls[1].names[0]"]);
        // The more specific rule is the first one, and never applies.
        let later_argument = [
            rule("SCMP_ACT_ERRNO", json!([when(0, "GE", 1), when(1, "EQ", 3)])),
            rule("SCMP_ACT_KILL_PROCESS", json!([when(1, "GE", 3)])),
        ];
        assert_eq!(paths(&RULE, profile(json!(later_argument))), ["syscalls[0].names[0]"]);
    }

    #[test]
    fn a_rule_that_decides_about_some_arguments_is_not() {
        let none = Vec::<String>::new();
        let overlapping = [
            rule("SCMP_ACT_TRAP", json!([when(0, "EQ", 1)])),
            rule("SCMP_ACT_ERRNO", json!([when(1, "EQ", 2)])),
        ];
        assert_eq!(paths(&RULE, profile(json!(overlapping))), none);
        let apart = [
            rule("SCMP_ACT_TRAP", json!([when(0, "EQ", 1)])),
            rule("SCMP_ACT_ERRNO", json!([when(0, "EQ", 2)])),
        ];
        assert_eq!(paths(&RULE, profile(json!(apart))), none);
        // The same effect twice is redundant.
        let same = [
            rule("SCMP_ACT_TRAP", json!([when(0, "LE", 9)])),
            rule("SCMP_ACT_TRAP", json!([when(0, "EQ", 7)])),
        ];
        assert_eq!(paths(&RULE, profile(json!(same))), none);
    }
}
