//! Why calls have their verdicts.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail")]

use filter::diagram::{Forest, Partial};
use filter::{Basis, Call, Explainer, Explanation, Library, Runtime, Setting, Verdict, numbers};
use profile::{Architecture, Profile};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use syscalls::Libseccomp;

const EPERM: Verdict = Verdict::Errno(1);

fn explainer(profile: &Value, runtime: Runtime) -> Explainer {
    let number = numbers(Libseccomp::V2_6_1);
    let native = Architecture::X86_64;
    let setting = Setting { runtime, library: Library::V2_6_1, native, number: &number };
    Explainer::new(&Profile::from_value(profile).unwrap(), &setting).unwrap()
}

fn explained(profile: &Value, architecture: Architecture, number: u32, known: &Partial) -> Explanation {
    explainer(profile, Runtime::RUNC_1_2).explain(architecture, number, known).unwrap()
}

/// The conditions, the verdict and the basis of each case.
fn cases(explanation: &Explanation) -> Vec<(String, Verdict, Basis)> {
    let text =
        |it: &filter::Case| it.conditions.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
    explanation.cases.iter().map(|it| (text(it), it.verdict, it.basis)).collect()
}

fn rule(rule: usize, name: usize) -> Basis {
    Basis::Rule { rule, name }
}

fn sockets() -> Value {
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
        "syscalls": [
            { "names": ["read", "close"], "action": "SCMP_ACT_ALLOW" },
            { "names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [{ "index": 0, "value": 1, "op": "SCMP_CMP_EQ" }] },
            { "names": ["socket"], "action": "SCMP_ACT_LOG", "args": [{ "index": 1, "value": 3, "op": "SCMP_CMP_EQ" }] },
        ],
    })
}

#[test]
fn a_condition_that_is_always_true_is_none() {
    let profile = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        { "names": ["close"], "action": "SCMP_ACT_LOG", "args": [{ "index": 1, "value": 3, "op": "SCMP_CMP_EQ" }] },
        { "names": ["close"], "action": "SCMP_ACT_TRAP",
          "args": [{ "index": 0, "value": 0, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ" }] },
        { "names": ["close"], "action": "SCMP_ACT_ERRNO" },
    ] });
    let found = explained(&profile, Architecture::X86_64, 3, &Partial::UNKNOWN);
    assert_eq!(cases(&found), [(String::new(), Verdict::Trap, rule(1, 0))]);
}

#[test]
fn the_rule_the_default_the_stub_or_the_architecture_is_named() {
    let unknown = Partial::UNKNOWN;
    for (architecture, number, verdict, basis) in [
        (Architecture::X86_64, 3, Verdict::Allow, rule(0, 1)),
        (Architecture::X86_64, 2, EPERM, Basis::Default),
        (Architecture::X86_64, 42, Verdict::Errno(38), Basis::Stub { highest: 41 }),
        (Architecture::X86, 3, Verdict::Allow, rule(0, 0)),
        (Architecture::X32, 0x4000_0000, Verdict::KillThread, Basis::OtherArchitecture),
        (Architecture::Arm, 3, Verdict::KillThread, Basis::OtherArchitecture),
    ] {
        let found = explained(&sockets(), architecture, number, &unknown);
        assert_eq!(cases(&found), [(String::new(), verdict, basis)], "{architecture:?} {number}");
        assert!(found.depends_on.is_empty());
    }
}

#[test]
fn of_overlapping_rules_the_one_that_libseccomp_prefers_comes_first() {
    let found = explained(&sockets(), Architecture::X86_64, 41, &Partial::UNKNOWN);
    assert_eq!(
        cases(&found),
        [
            ("arg1 == 3".to_owned(), Verdict::Log, rule(2, 0)),
            ("arg0 == 1".to_owned(), Verdict::Allow, rule(1, 0)),
            (String::new(), EPERM, Basis::Default),
        ]
    );
    assert_eq!(found.depends_on, [0, 1]);
}

#[test]
fn known_arguments_leave_only_the_cases_that_are_possible() {
    let exact = |one, two| Partial::UNKNOWN.with(0, one, u64::MAX).with(1, two, u64::MAX);
    let find = |partial| cases(&explained(&sockets(), Architecture::X86_64, 41, &partial));
    assert_eq!(find(exact(1, 3)), [(String::new(), Verdict::Log, rule(2, 0))]);
    assert_eq!(find(exact(1, 1)), [(String::new(), Verdict::Allow, rule(1, 0))]);
    assert_eq!(find(exact(2, 1)), [(String::new(), EPERM, Basis::Default)]);
    // Only the lower half is known, and the filter compares both.
    let half = Partial::UNKNOWN.with(0, 1, 0xffff_ffff).with(1, 1, u64::MAX);
    let found = explained(&sockets(), Architecture::X86_64, 41, &half);
    assert_eq!(found.cases.len(), 2);
    assert_eq!(found.depends_on, [0]);
}

#[test]
fn a_multiplexer_has_the_rules_of_its_calls() {
    let found = explained(&sockets(), Architecture::X86, 102, &Partial::UNKNOWN);
    let texts: Vec<_> = cases(&found).into_iter().map(|(text, ..)| text).collect();
    // The rule with one condition more is swallowed: on the multiplexer, the other one has no condition but the code.
    assert_eq!(texts, ["arg0 == 1", ""]);
}

#[test]
fn the_number_minus_one_gets_the_default_and_not_what_other_architectures_get() {
    let profile = json!({ "defaultAction": "SCMP_ACT_ALLOW" });
    let found = explained(&profile, Architecture::X86_64, u32::MAX, &Partial::UNKNOWN);
    assert_eq!(cases(&found), [(String::new(), Verdict::Allow, Basis::Default)]);
}

fn condition() -> impl Strategy<Value = Value> {
    let operators = ["EQ", "NE", "LT", "LE", "GE", "GT", "MASKED_EQ"];
    (0..3_u8, select(operators.to_vec()), 0..4_u64, 0..4_u64).prop_map(|(index, operator, value, two)| {
        json!({ "index": index, "op": format!("SCMP_CMP_{operator}"), "value": value, "valueTwo": two })
    })
}

fn conditional_rules() -> impl Strategy<Value = Vec<Value>> {
    let actions = ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRAP"];
    let rule = (select(actions.to_vec()), condition()).prop_map(
        |(action, condition)| json!({ "names": ["socket"], "action": action, "args": [condition] }),
    );
    proptest::collection::vec(rule, 1..5)
}

proptest! {
    /// The cases, read from the first to the last, are the filter: unless it is said that libseccomp merges the rules to
    /// something else, which may have any verdict of the last cases.
    #[test]
    fn the_cases_are_what_the_filter_does(
        rules in conditional_rules(),
        arguments in proptest::array::uniform6(0..4_u64),
        known in proptest::array::uniform6(any::<bool>()),
    ) {
        let profile = json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules });
        let Ok(profile) = Profile::from_value(&profile) else { return Ok(()) };
        let number = numbers(Libseccomp::V2_6_1);
        let native = Architecture::X86_64;
        let setting = Setting { runtime: Runtime::CRUN, library: Library::V2_6_1, native, number: &number };
        let Ok(explainer) = Explainer::new(&profile, &setting) else { return Ok(()) };
        let mut partial = Partial::UNKNOWN;
        for (index, known) in (0_u8..).zip(known) {
            if known {
                partial = partial.with(index, arguments[usize::from(index)], u64::MAX);
            }
        }
        let found = explainer.explain(Architecture::X86_64, 41, &partial).unwrap();
        let verdict = explainer.filter().decide(&Call { architecture: Architecture::X86_64, number: 41, arguments });
        let first = found.cases.iter().find(|case| case.conditions.iter().all(|it| it.holds(&arguments))).unwrap();
        if first.basis == Basis::Merged {
            prop_assert!(found.cases.iter().any(|case| case.basis == Basis::Merged && case.verdict == verdict));
        } else {
            prop_assert_eq!(first.verdict, verdict);
        }
        // Arguments on which nothing depends may be anything.
        for index in 0..6_u8 {
            if !found.depends_on.contains(&index) && !partial.is_known(index) {
                let mut changed = arguments;
                changed[usize::from(index)] ^= 3;
                let call = Call { architecture: Architecture::X86_64, number: 41, arguments: changed };
                prop_assert_eq!(explainer.filter().decide(&call), verdict);
            }
        }
    }

    #[test]
    fn a_restricted_diagram_is_the_same_function_of_what_is_not_known(
        rules in conditional_rules(),
        arguments in proptest::array::uniform6(any::<u64>()),
        masks in proptest::array::uniform6(any::<u64>()),
    ) {
        let profile = json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules });
        let Ok(profile) = Profile::from_value(&profile) else { return Ok(()) };
        let number = numbers(Libseccomp::V2_6_1);
        let native = Architecture::X86_64;
        let setting = Setting { runtime: Runtime::CRUN, library: Library::V2_6_1, native, number: &number };
        let Ok(explainer) = Explainer::new(&profile, &setting) else { return Ok(()) };
        let mut forest = Forest::default();
        let node = explainer.filter().verdicts(Architecture::X86_64, 41, &mut forest).unwrap();
        let mut partial = Partial::UNKNOWN;
        for (index, mask) in (0_u8..).zip(masks) {
            partial = partial.with(index, arguments[usize::from(index)], mask);
        }
        let restricted = forest.restrict(node, &partial).unwrap();
        prop_assert_eq!(forest.decide(restricted, &arguments), forest.decide(node, &arguments));
    }
}
