//! # compiled-otherwise
//!
//! The versions of libseccomp make different filters of the rules for a call.
//!
//! libseccomp merges the rules for a call into one tree. Of two upper bounds, or inequalities, on an argument whose values
//! have the same upper 32 bits, libseccomp until 2.6.0 keeps the action of the first rule for arguments with smaller upper
//! 32 bits, and 2.6.1 takes that of the tighter bound. The same file then does not do the same on all nodes. This is decided
//! for all arguments, by a model of both that is compared with the libraries (2.5.4 and 2.6.1). There is no fix: write the
//! conditions so that no two rules apply to the same arguments.
//!
//! ## Bad
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ALLOW
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [lseek]
//!     action: SCMP_ACT_ERRNO
//!     errnoRet: 22
//!     args: [{index: 1, value: 8589934692, op: SCMP_CMP_LE}]
//!   - names: [lseek]
//!     action: SCMP_ACT_ERRNO
//!     errnoRet: 29
//!     args: [{index: 1, value: 8589934642, op: SCMP_CMP_LE}]
//! ```
//!
//! ## Good
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ALLOW
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [lseek]
//!     action: SCMP_ACT_ERRNO
//!     errnoRet: 29
//!     args: [{index: 1, value: 8589934642, op: SCMP_CMP_LE}]
//! ```

use std::collections::BTreeMap;

use filter::diagram::{Forest, difference};
use filter::tree::{CallRule, Program, Tree, Width};
use filter::{Condition, Library, Verdict};

use crate::finding::Found;
use crate::place;
use crate::rule::Rule;
use crate::severity::{Confidence, Severity};
use crate::subject::Subject;
use crate::wording;

pub(super) static RULE: Rule = Rule {
    id: "compiled-otherwise",
    severity: Severity::Warning,
    confidence: Confidence::High,
    summary: "The versions of libseccomp make different filters of the rules for a call.",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Found> {
    let mut libraries: Vec<Library> = Vec::new();
    for library in subject.nodes.libseccomps.iter().map(|libseccomp| Library::from(*libseccomp)) {
        if libraries.iter().all(|known| known.merging != library.merging) {
            libraries.push(library);
        }
    }
    let [first, second] = libraries[..] else { return Vec::new() };
    // Many calls have the same rules.
    let mut known: BTreeMap<Vec<usize>, Option<String>> = BTreeMap::new();
    let mut found = Vec::new();
    for (index, rule) in subject.rules().filter(|(_, rule)| !subject.skips(rule)) {
        for (at, name) in rule.names().iter().enumerate() {
            let Some(treatment) = subject.treatment(name.as_str()) else { continue };
            let rules: Vec<usize> = treatment.conditional.iter().map(|mention| mention.rule).collect();
            // Each call once, at its last rule.
            let is_last = treatment.conditional.last().is_some_and(|last| (last.rule, last.name) == (index, at));
            if treatment.unconditional.is_some() || rules.len() < 2 || !is_last {
                continue;
            }
            let differs = known.entry(rules).or_insert_with_key(|rules| differs(subject, rules, first, second));
            if let Some(differs) = differs {
                found.push(Found::new(place::name(index, at), format!("{differs} for {name}", name = name.as_str())));
            }
        }
    }
    found
}

/// How two libraries differ about some rules for one call; `None` if they do not, or refuse the rules.
fn differs(subject: &Subject<'_>, rules: &[usize], first: Library, second: Library) -> Option<String> {
    let default = Verdict::from(subject.profile.default_effect());
    let rules = rules.iter().filter_map(|index| subject.profile.rules().get(*index));
    let rules: Vec<CallRule> = rules
        .map(|rule| CallRule {
            verdict: Verdict::from(rule.effect()),
            conditions: rule.arguments().iter().map(Condition::from).collect(),
        })
        .collect();
    let program = |library: Library| {
        let tree = Tree::new(&rules, Width::Bits64, library.merging).ok()?;
        Some(Program::new([&tree], default))
    };
    let (one, two) = (program(first)?, program(second)?);
    if one.is_same(&two) {
        return None;
    }
    let diagram = |program: &Program| {
        let mut forest = Forest::default();
        let found = program.diagram(0, &mut forest).ok()?;
        let node = found.unwrap_or_else(|| forest.verdict(default));
        Some((forest, node))
    };
    let (one, two) = (diagram(&one)?, diagram(&two)?);
    let pair = difference((&one.0, one.1), (&two.0, two.1), |one, two| one != two).ok()??;
    Some(format!(
        "{} gives {}, {} gives {} to the arguments ({})",
        first.name,
        pair.first,
        second.name,
        pair.second,
        wording::arguments(&pair.arguments)
    ))
}

#[cfg(test)]
mod tests {
    use profile::Profile;
    use serde_json::{Value, json};
    use syscalls::Libseccomp;

    use super::*;
    use crate::nodes::Nodes;
    use crate::testing::paths;

    const HIGH: u64 = 1 << 33;

    fn profile(rules: &[(&str, u64, &str)]) -> Value {
        let rule = |(action, value, op): &(&str, u64, &str)| {
            json!({ "names": ["read", "lseek"], "action": action, "args": [{ "index": 1, "value": value, "op": op }] })
        };
        json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules.iter().map(rule).collect::<Vec<_>>() })
    }

    #[test]
    fn upper_bounds_with_the_same_upper_half_are_found() {
        let both = ["syscalls[1].names[0]", "syscalls[1].names[1]"];
        let wide_first = profile(&[("SCMP_ACT_ERRNO", HIGH + 9, "SCMP_CMP_LE"), ("SCMP_ACT_TRAP", HIGH + 5, "SCMP_CMP_LE")]);
        assert_eq!(paths(&RULE, wide_first), both);
        let less = profile(&[("SCMP_ACT_TRAP", HIGH + 9, "SCMP_CMP_LT"), ("SCMP_ACT_ERRNO", HIGH + 5, "SCMP_CMP_LT")]);
        assert_eq!(paths(&RULE, less), both);
    }

    #[test]
    fn bounds_that_fit_into_the_lower_half_and_nodes_with_one_libseccomp_are_not() {
        let none = Vec::<String>::new();
        let small = profile(&[("SCMP_ACT_ERRNO", 9, "SCMP_CMP_LE"), ("SCMP_ACT_TRAP", 5, "SCMP_CMP_LE")]);
        assert_eq!(paths(&RULE, small), none);
        let apart = profile(&[("SCMP_ACT_ERRNO", HIGH + 9, "SCMP_CMP_EQ"), ("SCMP_ACT_TRAP", HIGH + 5, "SCMP_CMP_EQ")]);
        assert_eq!(paths(&RULE, apart), none);
        let wide_first = profile(&[("SCMP_ACT_ERRNO", HIGH + 9, "SCMP_CMP_LE"), ("SCMP_ACT_TRAP", HIGH + 5, "SCMP_CMP_LE")]);
        let nodes = Nodes { libseccomps: vec![Libseccomp::V2_6_1], ..Nodes::default() };
        assert!(RULE.findings(&Subject::of(&Profile::from_value(&wide_first).unwrap(), &nodes), true).is_empty());
    }
}
