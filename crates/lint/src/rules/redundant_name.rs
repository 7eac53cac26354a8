//! # redundant-name
//!
//! An earlier or wider rule already gives the call the same effect.
//!
//! A name stands twice in the rules without arguments, in a rule with arguments beside one without, or in a rule with
//! arguments of which others cover all, with the same action. It has no effect, and whoever removes one of the two later
//! may believe that this changes the filter. The fix removes the name beside a rule without arguments, or the whole
//! rule if it has no other name, and is safe; beside other rules with arguments there is no fix.
//!
//! ## Bad
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ERRNO
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [read, write, exit_group]
//!     action: SCMP_ACT_ALLOW
//!   - names: [mmap, read]
//!     action: SCMP_ACT_ALLOW
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
//!   - names: [mmap]
//!     action: SCMP_ACT_ALLOW
//! ```

use crate::finding::Found;
use crate::fix::{Fix, Safety};
use crate::overlap::Idle;
use crate::place;
use crate::rule::Rule;
use crate::severity::{Confidence, Severity};
use crate::subject::Subject;

pub(super) static RULE: Rule = Rule {
    id: "redundant-name",
    severity: Severity::Info,
    confidence: Confidence::High,
    summary: "An earlier or wider rule already gives the call the same effect.",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Found> {
    let redundant = subject
        .decided()
        .filter(|(mention, _, winner)| winner != mention && winner.effect == mention.effect);
    let redundant = redundant.map(|(mention, name, winner)| {
        let message = format!("{} already gives {name} {}", one(winner.rule, mention.rule), winner.effect);
        let fix = Fix::without_name(Safety::Safe, subject.profile, mention);
        ((mention.rule, mention.name), Found::new(place::name(mention.rule, mention.name), message).with(fix))
    });
    let mut found: Vec<_> = redundant.chain(with_arguments(subject)).collect();
    found.sort_by_key(|(place, _)| *place);
    found.into_iter().map(|(_, found)| found).collect()
}

/// The names in rules with arguments whose effect other rules with arguments have, too.
fn with_arguments(subject: &Subject<'_>) -> impl Iterator<Item = ((usize, usize), Found)> {
    subject.overlaps().idle().into_iter().filter_map(|(mention, idle)| {
        let Idle::Redundant { by } = idle else { return None };
        let rule = subject.profile.rules().get(mention.rule)?;
        let name = rule.names().get(mention.name)?.as_str();
        let effect = rule.effect();
        let message = match by {
            Some(by) => {
                format!("{} already gives {name} {effect} for all these arguments", one(by, mention.rule))
            }
            None => format!("without this rule {name} gets the same for all arguments, from the other rules for it"),
        };
        Some(((mention.rule, mention.name), Found::new(place::name(mention.rule, mention.name), message)))
    })
}

/// A rule in a message about the rule `other`.
fn one(rule: usize, other: usize) -> String {
    if rule == other { "this rule".to_owned() } else { format!("syscalls[{rule}]") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{findings, paths};

    #[test]
    fn names_that_stand_twice_are_found() {
        let when = json!([{ "index": 0, "value": 1, "op": "SCMP_CMP_EQ" }]);
        let profile = json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            { "names": ["read", "close", "read"], "action": "SCMP_ACT_ALLOW" },
            { "names": ["close"], "action": "SCMP_ACT_ALLOW", "args": when },
        ] });
        assert_eq!(paths(&RULE, profile.clone()), ["syscalls[0].names[2]", "syscalls[1].names[0]"]);
        let fixes = findings(&RULE, profile).into_iter().filter_map(|finding| finding.fix);
        let fixes: Vec<_> = fixes.map(|fix| (fix.safety, fix.title)).collect();
        let safe = |title: &str| (Safety::Safe, title.to_owned());
        assert_eq!(fixes, [safe("Remove read here"), safe("Remove the rule")]);
    }

    #[test]
    fn conditions_that_another_rule_covers_are_found() {
        let rule = |op: &str, value: u64| {
            json!({ "names": ["close", "setpriority"], "action": "SCMP_ACT_LOG",
                    "args": [{ "index": 0, "value": value, "op": op }] })
        };
        let profile = |rules: &[_]| json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules });
        let twice = profile(&[rule("SCMP_CMP_LE", 9), rule("SCMP_CMP_LE", 9)]);
        assert_eq!(paths(&RULE, twice), ["syscalls[1].names[0]", "syscalls[1].names[1]"]);
        let narrower_first = profile(&[rule("SCMP_CMP_EQ", 7), rule("SCMP_CMP_LE", 9)]);
        assert_eq!(paths(&RULE, narrower_first), ["syscalls[0].names[0]", "syscalls[0].names[1]"]);
        let overlapping = profile(&[rule("SCMP_CMP_GE", 7), rule("SCMP_CMP_LE", 9)]);
        assert_eq!(paths(&RULE, overlapping), Vec::<String>::new());
    }

    #[test]
    fn alternatives_and_other_effects_are_not() {
        let when = |value| json!([{ "index": 0, "value": value, "op": "SCMP_CMP_EQ" }]);
        let profile = json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            { "names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": when(1) },
            { "names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": when(2) },
            { "names": ["read"], "action": "SCMP_ACT_ALLOW" },
            { "names": ["read"], "action": "SCMP_ACT_LOG" },
        ] });
        assert_eq!(paths(&RULE, profile), Vec::<String>::new());
    }
}
