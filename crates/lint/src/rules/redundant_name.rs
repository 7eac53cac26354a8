//! # redundant-name
//!
//! An earlier or wider rule already gives the call the same effect.
//!
//! A name stands twice in the rules without arguments, or in a rule with arguments beside one without, with the same
//! action. It has no effect, and whoever removes one of the two later may believe that this changes the filter. The fix
//! removes the name and is safe; where it is the only name of its rule, there is no fix.
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
use crate::fix::{Edit, Fix, Safety};
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
    let found = redundant.map(|(mention, name, winner)| {
        let path = place::name(mention.rule, mention.name);
        let place = match winner.rule {
            same if same == mention.rule => "this rule".to_owned(),
            other => format!("syscalls[{other}]"),
        };
        let found = Found::new(path.clone(), format!("{place} already gives {name} {}", winner.effect));
        if subject.profile.rules()[mention.rule].names().len() > 1 {
            found.with(Fix::new(Safety::Safe, format!("Remove {name} here"), Edit::Remove { path }))
        } else {
            found
        }
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::paths;

    #[test]
    fn names_that_stand_twice_are_found() {
        let when = json!([{ "index": 0, "value": 1, "op": "SCMP_CMP_EQ" }]);
        let profile = json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            { "names": ["read", "close", "read"], "action": "SCMP_ACT_ALLOW" },
            { "names": ["close"], "action": "SCMP_ACT_ALLOW", "args": when },
        ] });
        assert_eq!(paths(&RULE, profile), ["syscalls[0].names[2]", "syscalls[1].names[0]"]);
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
