//! What profiles are on nodes: the runtime, the library, the architectures.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail")]

mod arbitrary;

use filter::{Call, Dependence, Filter, Library, Permission, Runtime, Setting, Unloadable, Verdict};
use profile::{Architecture, Flag, Profile};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

const EPERM: Verdict = Verdict::Errno(1);
const EIO: Verdict = Verdict::Errno(5);
const ENOSYS: Verdict = Verdict::Errno(38);

/// Names with their numbers on x86_64 and x86.
const CALLS: [(&str, Option<u32>, Option<u32>); 9] = [
    ("read", Some(0), Some(3)),
    ("getpid", Some(39), Some(20)),
    ("socket", Some(41), Some(359)),
    ("mkdir", Some(83), Some(39)),
    ("ptrace", Some(101), Some(26)),
    ("openat2", Some(437), Some(437)),
    ("mseal", Some(462), Some(462)),
    ("waitpid", None, Some(7)),
    ("socketcall", None, Some(102)),
];

fn number(name: &str, architecture: Architecture) -> Option<u32> {
    let (_, x86_64, x86) = CALLS.into_iter().find(|(known, ..)| *known == name)?;
    match architecture {
        Architecture::X86_64 => x86_64,
        Architecture::X32 => x86_64.map(|number| number | 1 << 30),
        Architecture::X86 => x86,
        _ => None,
    }
}

/// A library that does not know the newest call.
fn number_of_an_older_library(name: &str, architecture: Architecture) -> Option<u32> {
    if name == "mseal" { None } else { number(name, architecture) }
}

fn setting(runtime: Runtime) -> Setting<'static> {
    Setting { runtime, library: Library::V2_5_4, native: Architecture::X86_64, number: &number }
}

fn loaded(profile: &Value, setting: &Setting<'_>) -> Result<Filter, Unloadable> {
    Filter::new(&Profile::from_value(profile).unwrap(), setting)
}

fn filter(profile: &Value, runtime: Runtime) -> Filter {
    loaded(profile, &setting(runtime)).unwrap()
}

fn x86_64(number: u32) -> Call {
    Call { architecture: Architecture::X86_64, number, arguments: [0; 6] }
}

fn x86(number: u32, arguments: [u64; 6]) -> Call {
    Call { architecture: Architecture::X86, number, arguments }
}

fn allowing(names: &[&str]) -> Value {
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{ "names": names, "action": "SCMP_ACT_ALLOW" }],
    })
}

#[test]
fn runc_answers_enosys_above_the_highest_call_that_a_rule_names() {
    for runtime in [Runtime::RUNC_1_1, Runtime::RUNC_1_1_15, Runtime::RUNC_1_2] {
        let filter = filter(&allowing(&["getpid", "openat2"]), runtime);
        assert_eq!(filter.highest(Architecture::X86_64), Some(437));
        for (number, expected) in
            [(39, Verdict::Allow), (101, EPERM), (436, EPERM), (438, ENOSYS), (5000, ENOSYS)]
        {
            assert_eq!(filter.decide(&x86_64(number)), expected, "{number} under {}", runtime.name);
        }
    }
}

#[test]
fn crun_answers_every_unnamed_call_with_the_default() {
    let filter = filter(&allowing(&["getpid", "openat2"]), Runtime::CRUN);
    for number in [101, 438, 5000] {
        assert_eq!(filter.decide(&x86_64(number)), EPERM);
    }
}

#[test]
fn without_architectures_older_runc_has_no_stub() {
    let mut profile = allowing(&["getpid"]);
    profile.as_object_mut().unwrap().remove("architectures");
    assert_eq!(filter(&profile, Runtime::RUNC_1_1).decide(&x86_64(5000)), EPERM);
    assert_eq!(filter(&profile, Runtime::RUNC_1_1_15).decide(&x86_64(5000)), ENOSYS);
    assert_eq!(filter(&profile, Runtime::RUNC_1_2).decide(&x86_64(5000)), ENOSYS);
}

#[test]
fn a_profile_that_names_only_the_call_0_has_no_stub() {
    assert_eq!(filter(&allowing(&["read"]), Runtime::RUNC_1_2).decide(&x86_64(5000)), EPERM);
}

#[test]
fn another_default_errno_stays_below_the_border_and_enosys_needs_no_stub() {
    let mut profile = allowing(&["openat2"]);
    profile["defaultErrnoRet"] = 5.into();
    let other = filter(&profile, Runtime::RUNC_1_2);
    assert_eq!([101, 5000].map(|number| other.decide(&x86_64(number))), [EIO, ENOSYS]);
    profile["defaultErrnoRet"] = 38.into();
    let same = filter(&profile, Runtime::RUNC_1_2);
    assert_eq!(same.highest(Architecture::X86_64), None);
    assert_eq!([101, 5000].map(|number| same.decide(&x86_64(number))), [ENOSYS; 2]);
}

#[test]
fn a_default_that_kills_is_enosys_above_the_border_and_one_that_allows_has_no_border() {
    let above = |action: &str, rule: &str| {
        let profile = json!({
            "defaultAction": action,
            "syscalls": [{ "names": ["openat2"], "action": rule }],
        });
        filter(&profile, Runtime::RUNC_1_2).decide(&x86_64(5000))
    };
    for action in ["SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP"] {
        assert_eq!(above(action, "SCMP_ACT_ALLOW"), ENOSYS, "{action}");
    }
    assert_eq!(above("SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"), Verdict::Allow);
    assert_eq!(above("SCMP_ACT_LOG", "SCMP_ACT_ERRNO"), Verdict::Log);
    assert_eq!(above("SCMP_ACT_TRACE", "SCMP_ACT_ERRNO"), Verdict::Trace(1));
}

#[test]
fn a_library_that_knows_a_newer_name_moves_the_border() {
    let profile = allowing(&["openat2", "mseal"]);
    let older = Setting { number: &number_of_an_older_library, ..setting(Runtime::RUNC_1_2) };
    let [newer, older] =
        [setting(Runtime::RUNC_1_2), older].map(|setting| loaded(&profile, &setting).unwrap());
    assert_eq!([438, 462].map(|number| newer.decide(&x86_64(number))), [EPERM, Verdict::Allow]);
    assert_eq!([438, 462].map(|number| older.decide(&x86_64(number))), [ENOSYS, ENOSYS]);
}

#[test]
fn a_rule_that_repeats_the_default_is_no_rule_and_moves_the_border() {
    let mut profile = allowing(&["getpid"]);
    let repeats = json!({ "names": ["openat2"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1 });
    profile["syscalls"].as_array_mut().unwrap().push(repeats);
    let filter = filter(&profile, Runtime::RUNC_1_2);
    assert_eq!([437, 436, 438].map(|number| filter.decide(&x86_64(number))), [EPERM, EPERM, ENOSYS]);
}

#[test]
fn the_same_action_with_another_errno_is_a_rule_and_a_rule_without_errno_is_eperm() {
    let profile = json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 5,
        "syscalls": [{ "names": ["getpid"], "action": "SCMP_ACT_ERRNO" }],
    });
    let filter = filter(&profile, Runtime::CRUN);
    assert_eq!([39, 101].map(|number| filter.decide(&x86_64(number))), [EPERM, EIO]);
}

#[test]
fn calls_of_an_architecture_that_is_not_listed_end_the_thread_whatever_the_default_is() {
    for default in ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_ERRNO"] {
        for runtime in Runtime::ALL {
            let filter = filter(&json!({ "defaultAction": default }), runtime);
            assert_eq!(filter.decide(&x86(20, [0; 6])), Verdict::KillThread);
            assert_eq!(filter.decide(&x86_64((1 << 30) + 39)), Verdict::KillThread);
        }
    }
}

#[test]
fn every_architecture_has_numbers_and_a_border_of_its_own() {
    let profile = json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [{ "names": ["getpid", "waitpid", "ptrace"], "action": "SCMP_ACT_ALLOW" }],
    });
    let filter = filter(&profile, Runtime::RUNC_1_2);
    assert_eq!(filter.highest(Architecture::X86_64), Some(101));
    assert_eq!(filter.highest(Architecture::X86), Some(26));
    assert_eq!(
        [7, 20, 8, 27].map(|number| filter.decide(&x86(number, [0; 6]))),
        [Verdict::Allow, Verdict::Allow, EPERM, ENOSYS]
    );
    assert_eq!([7, 39, 102].map(|number| filter.decide(&x86_64(number))), [EPERM, Verdict::Allow, ENOSYS]);
    let x32 = [39, 40, 102].map(|number| filter.decide(&x86_64((1 << 30) + number)));
    assert_eq!(x32, [Verdict::Allow, EPERM, ENOSYS]);
}

#[test]
fn a_condition_on_a_socket_call_does_not_hold_through_the_multiplexer() {
    let profile = json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86"],
        "syscalls": [{
            "names": ["socket"],
            "action": "SCMP_ACT_ALLOW",
            "args": [{ "index": 0, "value": 7, "op": "SCMP_CMP_EQ" }],
        }],
    });
    let filter = filter(&profile, Runtime::CRUN);
    assert_eq!(filter.decide(&x86(359, [7, 0, 0, 0, 0, 0])), Verdict::Allow);
    assert_eq!(filter.decide(&x86(359, [8, 0, 0, 0, 0, 0])), EPERM);
    // 1 is the code of socket; the arguments are behind a pointer.
    assert_eq!(filter.decide(&x86(102, [1, 0xffff_0000, 0, 0, 0, 0])), Verdict::Allow);
    assert_eq!(filter.decide(&x86(102, [2, 0xffff_0000, 0, 0, 0, 0])), EPERM);
}

#[test]
fn an_architecture_of_the_other_byte_order_cannot_be_loaded() {
    let profile = json!({ "defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_S390X"] });
    let refused = loaded(&profile, &setting(Runtime::CRUN)).unwrap_err();
    assert_eq!(refused, Unloadable::ByteOrder { architecture: Architecture::S390x });
}

#[test]
fn an_architecture_that_the_library_lacks_cannot_be_loaded() {
    let profile = json!({ "defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_LOONGARCH64"] });
    let with = |library| loaded(&profile, &Setting { library, ..setting(Runtime::CRUN) });
    let refused =
        Unloadable::Architecture { architecture: Architecture::Loongarch64, library: Library::V2_5_4.name };
    assert_eq!(with(Library::V2_5_4).unwrap_err(), refused);
    assert!(with(Library::V2_6_0).is_ok());
}

#[test]
fn a_runtime_refuses_flags_or_sets_the_one_for_profiles_without_any() {
    let none = json!({ "defaultAction": "SCMP_ACT_ERRNO" });
    let log = json!({ "defaultAction": "SCMP_ACT_ERRNO", "flags": ["SECCOMP_FILTER_FLAG_LOG"] });
    for runtime in [Runtime::RUNC_1_1, Runtime::RUNC_1_1_15] {
        assert!(filter(&none, runtime).flags().is_empty());
        let refused = loaded(&log, &setting(runtime)).unwrap_err();
        assert_eq!(refused, Unloadable::Flags { runtime: runtime.name });
    }
    for runtime in [Runtime::RUNC_1_2, Runtime::CRUN] {
        assert_eq!(filter(&none, runtime).flags().iter().collect::<Vec<_>>(), [&Flag::SpecAllow]);
        assert_eq!(filter(&log, runtime).flags().iter().collect::<Vec<_>>(), [&Flag::Log]);
    }
}

/// In the order of the rules and in the other one, with every library.
#[test]
fn of_two_overlapping_rules_the_comparisons_choose_and_only_for_masks_the_order() {
    let eq = |index: u8, value: u64| json!([{ "index": index, "value": value, "op": "SCMP_CMP_EQ" }]);
    let first =
        |op: &str, value: u64| json!([{ "index": 0, "value": value, "op": format!("SCMP_CMP_{op}") }]);
    let masked = json!([{ "index": 0, "value": 1, "valueTwo": 1, "op": "SCMP_CMP_MASKED_EQ" }]);
    // The errno of each rule is its place here, from 1.
    let decided = |conditions: [&Value; 2], arguments: [u64; 2]| {
        let rule = |at: usize| {
            json!({
                "names": ["getpid"], "action": "SCMP_ACT_ERRNO", "errnoRet": at + 1, "args": conditions[at],
            })
        };
        let call = Call { arguments: [arguments[0], arguments[1], 0, 0, 0, 0], ..x86_64(39) };
        [[0, 1], [1, 0]].map(|order| {
            let profile = json!({
                "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
                "syscalls": order.map(rule),
            });
            let verdicts = [Library::V2_5_4, Library::V2_6_0, Library::V2_6_1].map(|library| {
                let setting = Setting { library, ..setting(Runtime::RUNC_1_2) };
                loaded(&profile, &setting).unwrap().decide(&call)
            });
            assert!(verdicts.iter().all(|verdict| *verdict == verdicts[0]), "{profile}: {verdicts:?}");
            verdicts[0]
        })
    };
    let both = |errno: u16| [Verdict::Errno(errno); 2];
    // A later argument wins over an earlier one.
    assert_eq!(decided([&eq(0, 1), &eq(1, 1)], [1, 1]), both(2));
    // A value wins over a bound, and a narrower bound over a wider one.
    assert_eq!(decided([&eq(0, 1), &first("GE", 1)], [1, 0]), both(1));
    assert_eq!(decided([&first("GE", 2), &first("GE", 1)], [3, 0]), both(1));
    assert_eq!(decided([&first("LT", 2), &first("LT", 5)], [1, 0]), both(1));
    // Of a value and a mask the first rule wins.
    assert_eq!(decided([&eq(0, 1), &masked], [1, 0]), [1, 2].map(Verdict::Errno));
    // A rule without comparisons wins over all that have some.
    assert_eq!(decided([&eq(0, 1), &json!([])], [1, 0]), both(2));
}

#[test]
fn a_difference_is_shown_by_one_call_of_each_kind() {
    let (one, other) = (allowing(&["getpid", "openat2"]), allowing(&["getpid", "mkdir", "openat2"]));
    let [one, other] = [one, other].map(|profile| filter(&profile, Runtime::RUNC_1_2));
    let found = one.difference(&other).unwrap();
    let [witness] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((witness.call.number, witness.first, witness.second), (83, EPERM, Verdict::Allow));
    assert_eq!(witness.depends, Dependence::Number);
    assert_eq!(one.more_permissive(&other).unwrap(), None);
    assert_eq!(other.more_permissive(&one).unwrap().map(|witness| witness.call), Some(x86_64(83)));
}

#[test]
fn one_file_on_two_runtimes_differs_above_the_border() {
    let profile = allowing(&["getpid", "openat2"]);
    let [runc, crun] = [Runtime::RUNC_1_2, Runtime::CRUN].map(|runtime| filter(&profile, runtime));
    let found = runc.difference(&crun).unwrap();
    let [witness] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((witness.call, witness.first, witness.second), (x86_64(438), ENOSYS, EPERM));
    assert_eq!(runc.more_permissive(&crun).unwrap(), None);
    assert_eq!(crun.more_permissive(&runc).unwrap(), None);
}

/// A filter of any profile that a container can start with, under any runtime.
fn any_filter() -> impl Strategy<Value = Filter> {
    let names = ["read", "getpid", "mkdir", "openat2", "mseal", "waitpid"];
    (arbitrary::contents(&names, 3), select(Runtime::ALL.to_vec()))
        .prop_filter_map("a profile that can be loaded", |(contents, runtime)| {
            Filter::new(&Profile::from_value(&contents).ok()?, &setting(runtime)).ok()
        })
}

/// All calls that these profiles can tell from each other.
fn every_call() -> impl Iterator<Item = Call> {
    let numbers = || (0..500).chain([1 << 30, (1 << 30) + 39, (1 << 30) + 999, u32::MAX]);
    [Architecture::X86_64, Architecture::X86].into_iter().flat_map(move |architecture| {
        numbers().flat_map(move |number| {
            (0..8).map(move |first| Call { architecture, number, arguments: [first, 0, 0, 0, 0, 0] })
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn filters_are_unequal_exactly_if_some_call_has_two_verdicts(one in any_filter(), other in any_filter()) {
        let some = every_call().any(|call| one.decide(&call) != other.decide(&call));
        let witness = one.unequal(&other).unwrap();
        prop_assert_eq!(witness.is_some(), some);
        prop_assert_eq!(one.difference(&other).unwrap().first().copied(), witness);
        prop_assert_eq!(other.unequal(&one).unwrap().is_some(), some);
    }

    #[test]
    fn a_witness_has_the_verdicts_that_it_names(one in any_filter(), other in any_filter()) {
        for witness in one.difference(&other).unwrap().into_iter().chain(one.more_permissive(&other).unwrap()) {
            prop_assert_eq!(one.decide(&witness.call), witness.first);
            prop_assert_eq!(other.decide(&witness.call), witness.second);
            prop_assert_ne!(witness.first, witness.second);
        }
    }

    #[test]
    fn a_filter_is_more_permissive_exactly_if_it_permits_some_call_more(one in any_filter(), other in any_filter()) {
        let permission = |filter: &Filter, call: &Call| -> Permission { filter.decide(call).permission() };
        let some = every_call().any(|call| permission(&one, &call) > permission(&other, &call));
        prop_assert_eq!(one.more_permissive(&other).unwrap().is_some(), some);
    }

    #[test]
    fn a_filter_equals_itself(one in any_filter()) {
        prop_assert_eq!(one.unequal(&one).unwrap(), None);
        prop_assert_eq!(one.more_permissive(&one).unwrap(), None);
        prop_assert_eq!(one.difference(&one).unwrap(), []);
    }

    #[test]
    fn filters_that_are_at_most_as_permissive_as_each_other_permit_the_same(one in any_filter(), other in any_filter()) {
        if one.more_permissive(&other).unwrap().is_none() && other.more_permissive(&one).unwrap().is_none() {
            for witness in one.difference(&other).unwrap() {
                prop_assert_eq!(witness.first.permission(), witness.second.permission());
            }
        }
    }

    #[test]
    fn at_most_as_permissive_is_transitive(one in any_filter(), two in any_filter(), three in any_filter()) {
        let at_most = |less: &Filter, more: &Filter| less.more_permissive(more).unwrap().is_none();
        prop_assert!(!at_most(&one, &two) || !at_most(&two, &three) || at_most(&one, &three));
    }
}
