//! What rules for one call mean together, against the filter.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail")]

use filter::diagram::Partial;
use filter::{
    Basis, Call, Condition, Explainer, Filter, Library, Reading, Role, Runtime, Setting, Verdict, numbers,
    readings,
};
use profile::{Architecture, Profile};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use syscalls::Libseccomp;

const NATIVE: Architecture = Architecture::X86_64;
/// The number of `setpriority` there.
const NUMBER: u32 = 141;

fn rule() -> impl Strategy<Value = Value> {
    let operators = ["EQ", "NE", "LT", "LE", "GE", "GT", "MASKED_EQ"];
    let condition = (select(operators.to_vec()), 0..4_u64, 0..4_u64);
    let actions = ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRAP"];
    (select(actions.to_vec()), btree_map(0..2_u8, condition, 1..3)).prop_map(|(action, conditions)| {
        let argument = |(index, (operator, value, two)): (u8, (&str, u64, u64))| {
            json!({ "index": index, "op": format!("SCMP_CMP_{operator}"), "value": value, "valueTwo": two })
        };
        let arguments: Vec<_> = conditions.into_iter().map(argument).collect();
        json!({ "names": ["setpriority"], "action": action, "args": arguments })
    })
}

fn with_setting<T>(libseccomp: Libseccomp, with: impl FnOnce(&Setting<'_>) -> T) -> T {
    let number = numbers(libseccomp);
    let library = Library::from(libseccomp);
    with(&Setting { runtime: Runtime::CRUN, library, native: NATIVE, number: &number })
}

fn profile(rules: &[Value]) -> Option<Profile> {
    Profile::from_value(&json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules })).ok()
}

/// Arguments of which the first two have each small number in the lower half and in the upper one: those that conditions name,
/// and greater ones, in the lower half with each of their bits.
fn arguments() -> impl Iterator<Item = [u64; 6]> {
    let values = || (0..5).flat_map(|upper| (0..8).map(move |lower| upper << 32 | lower));
    values().flat_map(move |first| values().map(move |second| [first, second, 0, 0, 0, 0]))
}

/// Whether all conditions of a rule hold.
fn applies(profile: &Profile, rule: usize, arguments: &[u64; 6]) -> bool {
    profile.rules()[rule].arguments().iter().all(|it| Condition::from(it).holds(arguments))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(768))]

    /// Every rule that decides nothing is found, and every verdict that none of the rules says.
    #[test]
    fn what_rules_mean_together_is_what_the_filter_does(
        rules in vec(rule(), 2..5),
        libseccomp in select(vec![Libseccomp::V2_5_4, Libseccomp::V2_6_1]),
    ) {
        let Some(profile) = profile(&rules) else { return Ok(()) };
        with_setting(libseccomp, |setting| {
            let Ok(explainer) = Explainer::new(&profile, setting) else { return Ok(()) };
            let filter = explainer.filter();
            let readings = readings(&profile, setting);
            let verdict = |rule: usize| Verdict::from(profile.rules()[rule].effect());
            let roles: Vec<_> = readings.iter().flat_map(Reading::roles).collect();
            let unsaid = readings.iter().find_map(Reading::unsaid);

            // These show everything: libseccomp compares halves. What it merges may compare a half of one argument as a rule
            // compares the other one, and may take one condition of a rule without the other.
            let mut seen = false;
            let mut decided = vec![false; rules.len()];
            for arguments in arguments() {
                let has = filter.decide(&Call { architecture: NATIVE, number: NUMBER, arguments });
                let applying: Vec<_> = (0..rules.len()).filter(|rule| applies(&profile, *rule, &arguments)).collect();
                let says: Vec<_> = applying.iter().filter(|rule| verdict(**rule) == has).collect();
                for rule in &says {
                    decided[**rule] = true;
                }
                seen |= if applying.is_empty() { has != Verdict::from(profile.default_effect()) } else { says.is_empty() };
            }
            prop_assert_eq!(unsaid.is_some(), seen, "{:?}", unsaid);
            if let Some(unsaid) = unsaid {
                let call = Call { architecture: NATIVE, number: NUMBER, arguments: unsaid.arguments };
                prop_assert_eq!(filter.decide(&call), unsaid.verdict);
            }
            for (mention, role) in &roles {
                match role {
                    Role::Decides | Role::Redundant { .. } => prop_assert!(decided[mention.rule]),
                    Role::Never | Role::Shadowed { .. } => prop_assert!(!decided[mention.rule]),
                }
                if let Role::Shadowed { arguments, verdict, by } = role {
                    prop_assert!(applies(&profile, mention.rule, arguments));
                    let call = Call { architecture: NATIVE, number: NUMBER, arguments: *arguments };
                    prop_assert_eq!(filter.decide(&call), *verdict);
                    prop_assert!(by.is_none_or(|by| applies(&profile, by, arguments)));
                }
            }

            // Those that no case of an explanation names are among them, or the filter would be another one without them:
            // what libseccomp prefers may depend on a third rule.
            let cases = explainer.explain(NATIVE, NUMBER, &Partial::UNKNOWN).unwrap().cases;
            let has_basis = |basis: &dyn Fn(Basis) -> bool| cases.iter().any(|case| basis(case.basis));
            if readings.is_empty() || has_basis(&|basis| basis == Basis::Merged) {
                return Ok(());
            }
            // What is shadowed may be needed for the others to decide.
            if roles.iter().any(|(_, role)| matches!(role, Role::Shadowed { .. } | Role::Never)) {
                return Ok(());
            }
            let is_idle = |at: usize| roles.iter().any(|(it, role)| it.rule == at && *role != Role::Decides);
            for at in 0..rules.len() {
                if has_basis(&|basis| basis == Basis::Rule { rule: at, name: 0 }) || is_idle(at) {
                    continue;
                }
                // Of two rules that say the same, the later one is called redundant.
                let others = rules.iter().enumerate().filter(|(other, _)| *other < at || *other > at && !is_idle(*other));
                let others: Vec<_> = others.map(|(_, rule)| rule.clone()).collect();
                let without = Filter::new(&self::profile(&others).unwrap(), setting);
                let changes = without.map_or(true, |without| filter.unequal(&without).unwrap().is_some());
                prop_assert!(changes, "{} {:?} {:?}", at, cases, roles);
            }
            Ok(())
        })?;
    }

    /// Without all the rules that are redundant the filter is the same.
    #[test]
    fn redundant_rules_change_nothing(rules in vec(rule(), 2..5)) {
        let Some(whole) = profile(&rules) else { return Ok(()) };
        with_setting(Libseccomp::V2_6_1, |setting| {
            let Ok(filter) = Filter::new(&whole, setting) else { return Ok(()) };
            let found = readings(&whole, setting);
            let roles: Vec<_> = found.iter().flat_map(Reading::roles).collect();
            let is_redundant =
                |at: usize| roles.iter().any(|(it, role)| it.rule == at && matches!(role, Role::Redundant { .. }));
            if roles.iter().any(|(_, role)| matches!(role, Role::Shadowed { .. } | Role::Never)) {
                return Ok(());
            }
            let rest: Vec<_> =
                rules.iter().enumerate().filter(|(at, _)| !is_redundant(*at)).map(|(_, rule)| rule.clone()).collect();
            let rest = Filter::new(&profile(&rest).unwrap(), setting).unwrap();
            prop_assert_eq!(filter.unequal(&rest).unwrap(), None);
            Ok(())
        })?;
    }
}

#[test]
fn of_two_rules_that_always_apply_the_later_one_is_redundant() {
    let rule = |op: &str| {
        json!({ "names": ["setpriority"], "action": "SCMP_ACT_TRAP", "args": [
            { "index": 0, "op": op, "value": 0, "valueTwo": 0 },
        ] })
    };
    let profile = profile(&[rule("SCMP_CMP_GE"), rule("SCMP_CMP_MASKED_EQ")]).unwrap();
    with_setting(Libseccomp::V2_5_4, |setting| {
        let readings = readings(&profile, setting);
        let roles: Vec<_> = readings.iter().flat_map(Reading::roles).map(|(_, role)| role).collect();
        assert!(matches!(roles[..], [Role::Decides, Role::Redundant { by: Some(0) }]), "{roles:?}");
    });
}

#[test]
fn the_meaning_of_rules_for_several_calls_is_computed_once() {
    let rule = |value: u64| {
        json!({ "names": ["setpriority", "getpriority"], "action": "SCMP_ACT_ALLOW",
                "args": [{ "index": 0, "op": "SCMP_CMP_LE", "value": value }] })
    };
    let found =
        with_setting(Libseccomp::V2_6_1, |setting| readings(&profile(&[rule(3), rule(5)]).unwrap(), setting));
    assert_eq!(found.len(), 2);
    assert!(found[0].is_same(&found[1]));
    let roles: Vec<_> = found[0].roles().map(|(_, role)| role).collect();
    assert_eq!(roles, [Role::Redundant { by: Some(1) }, Role::Decides]);
}

#[test]
fn different_numbers_of_one_argument_and_multiplexers_have_no_reading() {
    let rule = |name: &str, value: u64, op: &str| {
        json!({ "names": [name], "action": "SCMP_ACT_ALLOW",
                "args": [{ "index": 0, "op": op, "value": value }] })
    };
    let found = |rules: &[Value]| {
        let profile = json!({ "defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86"], "syscalls": rules });
        let profile = Profile::from_value(&profile).unwrap();
        with_setting(Libseccomp::V2_6_1, |setting| readings(&profile, setting)).len()
    };
    let equal = "SCMP_CMP_EQ";
    assert_eq!(found(&[rule("close", 3, equal), rule("close", 4, equal)]), 0);
    assert_eq!(found(&[rule("close", 3, equal), rule("close", 3, equal)]), 2);
    assert_eq!(found(&[rule("close", 3, equal), rule("close", 1 << 32 | 3, equal)]), 2);
    assert_eq!(found(&[rule("bind", 3, "SCMP_CMP_GE"), rule("listen", 3, equal)]), 0);
}
