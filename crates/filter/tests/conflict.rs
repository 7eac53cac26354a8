//! The rules that make no filter together are exactly those because of which there is none.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail")]

use filter::{Conflict, Filter, Library, Runtime, Setting, Unloadable, conflicts, numbers};
use profile::{Architecture, Profile};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use syscalls::Libseccomp;

/// Calls of both multiplexers, the multiplexers themselves, another call, and one that most architectures lack.
const NAMES: [&str; 8] =
    ["setpriority", "shmget", "semop", "ipc", "socket", "listen", "socketcall", "sgetmask"];
const ACTIONS: [&str; 4] = ["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_TRAP", "SCMP_ACT_LOG"];

fn rule() -> impl Strategy<Value = Value> {
    let operators = ["EQ", "NE", "LE", "GT", "MASKED_EQ"];
    let condition = (select(operators.to_vec()), 0..3_u64, 0..3_u64);
    let names = btree_set(select(NAMES.to_vec()), 1..3);
    (names, select(ACTIONS.to_vec()), btree_map(0..3_u8, condition, 0..3)).prop_map(
        |(names, action, conditions)| {
            let argument = |(index, (operator, value, two)): (u8, (&str, u64, u64))| {
                json!({ "index": index, "op": format!("SCMP_CMP_{operator}"), "value": value, "valueTwo": two })
            };
            let arguments: Vec<_> = conditions.into_iter().map(argument).collect();
            json!({ "names": names, "action": action, "args": arguments })
        },
    )
}

fn found(
    profile: &Profile,
    native: Architecture,
    libseccomp: Libseccomp,
) -> (Vec<Conflict>, Result<Filter, Unloadable>) {
    let number = numbers(libseccomp);
    let library = Library::from(libseccomp);
    let setting = Setting { runtime: Runtime::CRUN, library, native, number: &number };
    (conflicts(profile, &setting), Filter::new(profile, &setting))
}

fn on_x86(rules: &Value) -> Vec<Conflict> {
    let architectures = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"];
    let profile =
        json!({ "defaultAction": "SCMP_ACT_ERRNO", "architectures": architectures, "syscalls": rules });
    let profile = Profile::from_value(&profile).unwrap();
    let (conflicts, filter) = found(&profile, Architecture::X86_64, Libseccomp::V2_6_1);
    assert_eq!(conflicts.is_empty(), filter.is_ok(), "{conflicts:?}");
    conflicts
}

#[test]
fn a_rule_for_the_multiplexer_itself_decides_before_those_of_its_calls() {
    let is = |index: u8, value: u64, op: &str| json!({ "index": index, "value": value, "op": op });
    let of_socket = json!([
        { "names": ["socket"], "action": "SCMP_ACT_TRAP",
          "args": [is(0, 4, "SCMP_CMP_EQ"), is(2, 7, "SCMP_CMP_EQ")] },
        { "names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [is(2, 7, "SCMP_CMP_NE")] },
        { "names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [is(0, 4, "SCMP_CMP_NE")] },
    ]);
    let clash = on_x86(&of_socket);
    assert_eq!((clash.len(), clash[0].architecture), (1, Architecture::X86));
    let mut with_multiplexer = of_socket;
    let rules = with_multiplexer.as_array_mut().unwrap();
    rules.insert(0, json!({ "names": ["socketcall"], "action": "SCMP_ACT_ALLOW" }));
    assert_eq!(on_x86(&with_multiplexer), []);
}

#[test]
fn two_rules_without_arguments_clash_on_a_multiplexer() {
    let rules = json!([
        { "names": ["shmget"], "action": "SCMP_ACT_TRAP" },
        { "names": ["getpid", "shmget"], "action": "SCMP_ACT_ALLOW" },
    ]);
    let clash = on_x86(&rules);
    assert_eq!((clash.len(), clash[0].rule, clash[0].name), (1, 1, 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn there_are_conflicts_exactly_if_the_rules_make_no_filter(
        default in select(ACTIONS.to_vec()),
        rules in vec(rule(), 0..6),
        x86 in any::<bool>(),
        native in select(vec![Architecture::X86_64, Architecture::Aarch64]),
        libseccomp in select(vec![Libseccomp::V2_5_4, Libseccomp::V2_6_1]),
    ) {
        let architectures = if x86 { json!(["SCMP_ARCH_X86"]) } else { json!([]) };
        let profile = json!({ "defaultAction": default, "architectures": architectures, "syscalls": rules });
        // The parser refuses some that are plain.
        let Ok(profile) = Profile::from_value(&profile) else { return Ok(()) };
        let (conflicts, filter) = found(&profile, native, libseccomp);
        prop_assert_eq!(conflicts.is_empty(), filter.is_ok(), "{:?} {:?}", conflicts, filter.err());
        if let Err(fault @ Unloadable::Rules { name: Some(name), .. }) = &filter {
            let named = |it: &Conflict| profile.rules()[it.rule].names()[it.name] == *name;
            prop_assert!(conflicts.iter().any(named), "{:?} {:?}", conflicts, name);
            // The place that the reason names is that of the call.
            let mention = fault.mention().unwrap();
            prop_assert_eq!(&profile.rules()[mention.rule].names()[mention.name], name);
            let place = format!("syscalls[{}].names[{}] ({})", mention.rule, mention.name, name.as_str());
            prop_assert!(fault.to_string().starts_with(&place), "{}", fault);
        }
    }
}
