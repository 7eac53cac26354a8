//! # weaker-than-runtime-default
//!
//! The profile permits calls that the default profiles of containerd and Docker refuse.
//!
//! A profile of one's own replaces the runtime's default; it does not add to it. A profile that only denies three calls
//! therefore permits all others, among them those that the default keeps from containers: to load kernel modules, to mount,
//! to create namespaces. The same happens in an allow-list with a call that the default permits under a condition only, as
//! `clone` without the flags for namespaces, or `socket` without some protocol families.
//!
//! The comparison is exact, for all arguments, and a finding names only what is permitted more than by both defaults: those of
//! containerd 2.4.2 and of moby/profiles 0.3.0, for their default capabilities, on 64-bit x86 and ARM, under runc. The
//! kernel still checks capabilities for many of these calls. CRI-O's and Podman's default (containers-common 8c41d98b) permits
//! more than both, as `mount` and `keyctl`, and leaves it to these checks; the rule finds these calls in it. There is no fix:
//! remove the calls, give their rule the default's condition, or accept the difference.
//!
//! A profile is often written to permit more, and the comparison takes longer than all other rules together. So `lint` does
//! it only with `--runtime-default`. `kubectl seccomp explain` always shows the whole difference.
//!
//! ## Bad
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ERRNO
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [read, write, exit_group, swapon]
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
//! ```

use std::collections::{BTreeMap, BTreeSet};

use filter::diagram::TooComplex;
use filter::{Dependence, Filter, Library, Runtime, RuntimeDefault, Setting, Witness, numbers};
use profile::Profile;
use syscalls::{Architecture, Syscall};

use crate::boundary;
use crate::finding::Found;
use crate::place;
use crate::rule::Rule;
use crate::severity::{Confidence, Severity};
use crate::subject::{Mention, Subject, permits};
use crate::wording;

pub(super) static RULE: Rule = Rule {
    id: "weaker-than-runtime-default",
    severity: Severity::Warning,
    confidence: Confidence::Medium,
    summary: "The profile permits calls that the default profiles of containerd and Docker refuse.",
    check,
};

/// With what a profile is compared. What one of them permits is not found.
const DEFAULTS: [RuntimeDefault; 2] = [RuntimeDefault::CONTAINERD, RuntimeDefault::MOBY];

/// The architectures of nodes whose default is known, each with the others that they run.
const NODES: [(Architecture, &[Architecture]); 2] = [
    (Architecture::X86_64, &[Architecture::I386, Architecture::X32]),
    (Architecture::Aarch64, &[Architecture::Arm]),
];

fn check(subject: &Subject<'_>) -> Vec<Found> {
    let mut calls = BTreeMap::new();
    for (native, others) in NODES {
        if subject.nodes.may_be(native) && subject.covered().contains(&native) {
            add(subject, native, others, &mut calls);
        }
    }
    // The rules that permit these calls, and those that the default action permits.
    let mut by_rule: BTreeMap<usize, Vec<(Mention, &str)>> = BTreeMap::new();
    let mut by_default = Vec::new();
    for (name, shown) in &calls {
        match permitting(subject, name) {
            Some(mention) => by_rule.entry(mention.rule).or_default().push((mention, shown)),
            None if permits(subject.profile.default_effect()) => by_default.push(&**shown),
            // Through a multiplexer, whose calls have rules.
            None => {}
        }
    }
    let names = DEFAULTS.map(|default| default.name).join(" and ");
    let message = |who: &str, all: &[&str]| {
        let shown = wording::names(all.iter().copied());
        format!("{who} permits more than the default profiles of {names}: {shown}")
    };
    let default = (!by_default.is_empty())
        .then(|| Found::new(place::field("defaultAction"), message("the default action", &by_default)));
    let rules = by_rule.into_values().filter_map(|found| {
        let (first, _) = found.first()?;
        let names: Vec<&str> = found.iter().map(|(_, shown)| *shown).collect();
        Some(Found::new(place::name(first.rule, first.name), message("this rule", &names)))
    });
    default.into_iter().chain(rules).collect()
}

/// Adds the calls that the profile permits beyond the defaults on a node, each with its name for messages.
fn add(
    subject: &Subject<'_>,
    native: Architecture,
    others: &[Architecture],
    calls: &mut BTreeMap<&'static str, String>,
) {
    let Some(node) = profile::Architecture::from_name(native.oci_name()) else { return };
    let library = boundary::newest(subject);
    let number = numbers(library);
    let setting = Setting {
        runtime: Runtime::RUNC_1_2,
        library: Library::from(library),
        native: node,
        number: &number,
    };
    let filter = |profile: &Profile| Filter::new(profile, &setting).ok();
    let Some(mine) = filter(subject.profile) else { return };
    let defaults: Vec<Filter> = DEFAULTS.iter().filter_map(|default| filter(&default.profile(node)?)).collect();
    let defaults: Vec<&Filter> = defaults.iter().collect();
    let listed: BTreeSet<Architecture> = subject.architectures().collect();
    for table in [&native].into_iter().chain(others).filter(|it| **it == native || listed.contains(it)) {
        let Some(architecture) = profile::Architecture::from_name(table.oci_name()) else { continue };
        for call in Syscall::all() {
            let Some(number) = call.number(*table) else { continue };
            match mine.exceeds(&defaults, architecture, number) {
                Ok(Some(witness)) => drop(calls.entry(call.name()).or_insert_with(|| shown(call, &witness))),
                Ok(None) => {}
                // It may permit more, which is better found once too often.
                Err(TooComplex) => {
                    let unknown = || format!("{} (its conditions are too complex to be compared)", call.name());
                    calls.entry(call.name()).or_insert_with(unknown);
                }
            }
        }
    }
}

/// The name of a call, with an example of the arguments if it depends on them.
fn shown(call: Syscall, witness: &Witness) -> String {
    let name = call.name();
    if witness.depends == Dependence::Number {
        return name.to_owned();
    }
    let set = (0..).zip(witness.call.arguments).find(|(_, value)| *value != 0);
    let (index, value) = set.unwrap_or((0, 0));
    format!("{name} (for example with {value:#x} as argument {index})")
}

/// The first rule that permits a call for some arguments.
fn permitting(subject: &Subject<'_>, name: &str) -> Option<Mention> {
    let treatment = subject.treatment(name)?;
    let mentions = treatment.unconditional.as_ref().map_or(&treatment.conditional[..], std::slice::from_ref);
    mentions.iter().copied().find(|mention| permits(mention.effect))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::nodes::Nodes;
    use crate::testing::{findings, paths, paths_on};

    #[test]
    fn calls_that_both_defaults_refuse_are_found() {
        let named = json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            { "names": ["read", "reboot"], "action": "SCMP_ACT_ALLOW" },
            { "names": ["swapon"], "action": "SCMP_ACT_LOG" },
        ] });
        assert_eq!(paths(&RULE, named), ["syscalls[0].names[1]", "syscalls[1].names[0]"]);
        let default = json!({ "defaultAction": "SCMP_ACT_LOG" });
        let message = &findings(&RULE, default)[0].message;
        assert!(message.contains("the default action permits more than") && message.contains(" more"), "{message}");
    }

    #[test]
    fn a_missing_condition_is_found_with_an_example() {
        let clone = json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            { "names": ["clone"], "action": "SCMP_ACT_ALLOW" },
        ] });
        let message = &findings(&RULE, clone)[0].message;
        assert!(message.ends_with("clone (for example with 0x20000 as argument 0)"), "{message}");
    }

    #[test]
    fn what_one_of_the_defaults_permits_is_not() {
        let none = Vec::<String>::new();
        for default in DEFAULTS {
            for (native, _) in NODES {
                let native = profile::Architecture::from_name(native.oci_name()).unwrap();
                let contents = default.profile(native).unwrap();
                let contents = serde_json::from_slice(contents.canonical().bytes()).unwrap();
                assert_eq!(paths(&RULE, contents), none, "{}", default.name);
            }
        }
        let conditions = json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            { "names": ["read", "lsm_list_modules"], "action": "SCMP_ACT_ALLOW" },
            { "names": ["clone"], "action": "SCMP_ACT_ALLOW",
              "args": [{ "index": 0, "value": 0x7e02_0000, "op": "SCMP_CMP_MASKED_EQ" }] },
            { "names": ["mount"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38 },
        ] });
        assert_eq!(paths(&RULE, conditions), none);
    }

    #[test]
    fn nodes_without_a_known_default_are_not_compared() {
        let all = json!({ "defaultAction": "SCMP_ACT_ALLOW" });
        let nodes = Nodes { architectures: vec![Architecture::Riscv64], ..Nodes::default() };
        assert_eq!(paths_on(&RULE, &nodes, all.clone()), Vec::<String>::new());
        assert_eq!(paths_on(&RULE, &Nodes::default(), all), ["defaultAction"]);
    }
}
