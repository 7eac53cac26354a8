//! Intersections and unions of profiles.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail")]

mod arbitrary;

use filter::{
    Call, Combined, Filter, Library, Narrower, Operation, Permission, Runtime, Setting, Uncombinable, Verdict,
};
use profile::{Architecture, Profile};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use Operation::{Intersection, Union};

/// Names with their numbers on x86_64 and x86.
const CALLS: [(&str, Option<u32>, Option<u32>); 7] = [
    ("getpid", Some(39), Some(20)),
    ("socket", Some(41), Some(359)),
    ("mkdir", Some(83), Some(39)),
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

fn settings() -> Vec<Setting<'static>> {
    let of = |runtime, library| Setting { runtime, library, native: Architecture::X86_64, number: &number };
    vec![
        of(Runtime::RUNC_1_2, Library::V2_5_4),
        of(Runtime::RUNC_1_2, Library::V2_6_1),
        of(Runtime::CRUN, Library::V2_5_4),
        of(Runtime::CRUN, Library::V2_6_1),
    ]
}

fn parse(profile: &Value) -> Profile {
    Profile::from_value(profile).unwrap()
}

fn combine(operation: Operation, one: &Value, two: &Value) -> Combined {
    operation.combine(&parse(one), &parse(two), &settings()).unwrap()
}

/// An allow-list of rules: names and arguments.
fn allowing(rules: &[(&[&str], Value)]) -> Value {
    let rule = |(names, args): &(&[&str], Value)| json!({ "names": names, "action": "SCMP_ACT_ALLOW", "args": args });
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": rules.iter().map(rule).collect::<Vec<_>>(),
    })
}

fn compare(index: u8, op: &str, value: u64) -> Value {
    json!({ "index": index, "op": format!("SCMP_CMP_{op}"), "value": value })
}

/// What a profile does under runc.
fn decide(profile: &Profile, number: u32, first: u64) -> Verdict {
    let filter = Filter::new(profile, &settings()[0]).unwrap();
    filter.decide(&Call { architecture: Architecture::X86_64, number, arguments: [first, 0, 0, 0, 0, 0] })
}

#[test]
fn two_allow_lists_meet_in_the_calls_that_both_name_and_keep_their_border() {
    let (one, two) =
        (allowing(&[(&["getpid", "mkdir"], json!([]))]), allowing(&[(&["getpid", "openat2"], json!([]))]));
    let both = combine(Intersection, &one, &two);
    assert_eq!(both.narrower, []);
    let expected =
        [(39, Verdict::Allow), (83, Verdict::Errno(1)), (437, Verdict::Errno(1)), (438, Verdict::Errno(38))];
    for (number, expected) in expected {
        assert_eq!(decide(&both.profile, number, 0), expected);
    }
    let either = combine(Union, &one, &two);
    assert_eq!(either.narrower, []);
    assert_eq!([39, 83, 437].map(|number| decide(&either.profile, number, 0)), [Verdict::Allow; 3]);
}

#[test]
fn conditions_meet() {
    let one =
        allowing(&[(&["getpid"], json!([compare(0, "GE", 3)])), (&["mkdir"], json!([compare(0, "EQ", 5)]))]);
    let two =
        allowing(&[(&["getpid"], json!([compare(0, "GT", 6)])), (&["mkdir"], json!([compare(0, "LT", 9)]))]);
    let both = combine(Intersection, &one, &two);
    assert_eq!(both.narrower, []);
    let verdicts = |number, arguments: [u64; 3]| arguments.map(|first| decide(&both.profile, number, first));
    assert_eq!(verdicts(39, [2, 6, 7]), [Verdict::Errno(1), Verdict::Errno(1), Verdict::Allow]);
    assert_eq!(verdicts(83, [4, 5, 6]), [Verdict::Errno(1), Verdict::Allow, Verdict::Errno(1)]);
}

#[test]
fn a_range_is_no_rule_and_its_call_is_named_as_narrower() {
    let one = allowing(&[(&["getpid"], json!([compare(0, "GE", 3)]))]);
    let two = allowing(&[(&["getpid"], json!([compare(0, "LE", 6)]))]);
    let both = combine(Intersection, &one, &two);
    let [Narrower::Conditions { name }] = both.narrower.as_slice() else { panic!("{:?}", both.narrower) };
    assert_eq!(name.as_str(), "getpid");
    assert_eq!([2, 5, 7].map(|first| decide(&both.profile, 39, first)), [Verdict::Errno(1); 3]);
}

#[test]
fn lists_of_what_is_denied_meet_in_everything_that_one_of_them_denies() {
    let denying = |name: &str| json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{ "names": [name], "action": "SCMP_ACT_ERRNO" }] });
    let (one, two) = (denying("getpid"), denying("mkdir"));
    let both = combine(Intersection, &one, &two);
    assert_eq!(both.narrower, []);
    let verdicts = [39, 83, 41].map(|number| decide(&both.profile, number, 0));
    assert_eq!(verdicts, [Verdict::Errno(1), Verdict::Errno(1), Verdict::Allow]);
    let either = combine(Union, &one, &two);
    assert_eq!(either.narrower, []);
    assert_eq!([39, 83].map(|number| decide(&either.profile, number, 0)), [Verdict::Allow; 2]);
}

#[test]
fn the_intersection_of_an_allow_list_and_a_deny_list_is_an_allow_list_without_what_is_denied() {
    let one = allowing(&[(&["getpid", "mkdir"], json!([]))]);
    let two = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{ "names": ["mkdir"], "action": "SCMP_ACT_KILL_PROCESS" }],
    });
    let both = combine(Intersection, &one, &two);
    assert_eq!(both.narrower, []);
    let verdicts = [39, 83, 41].map(|number| decide(&both.profile, number, 0));
    assert_eq!(verdicts, [Verdict::Allow, Verdict::KillProcess, Verdict::Errno(1)]);
}

#[test]
fn an_architecture_that_one_profile_lists_is_in_no_combination_and_the_union_says_so() {
    let mut one = allowing(&[(&["getpid"], json!([]))]);
    let two = one.clone();
    one["architectures"] = json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]);
    let both = combine(Intersection, &one, &two);
    assert_eq!((both.profile.architectures(), both.narrower), (&[Architecture::X86_64][..], vec![]));
    let either = combine(Union, &one, &two);
    assert_eq!(either.narrower, [Narrower::Architecture { architecture: Architecture::X86 }]);
    // Every filter covers the native architecture.
    one["architectures"] = json!([]);
    assert_eq!(combine(Union, &one, &two).narrower, []);
}

#[test]
fn listeners_that_differ_cannot_be_combined() {
    let asking = |path: &str| {
        json!({
            "defaultAction": "SCMP_ACT_ERRNO",
            "listenerPath": path,
            "syscalls": [{ "names": ["mkdir"], "action": "SCMP_ACT_NOTIFY" }],
        })
    };
    let (one, two) = (parse(&asking("/run/one.sock")), parse(&asking("/run/two.sock")));
    assert_eq!(Intersection.combine(&one, &two, &settings()), Err(Uncombinable::Listeners));
    let same = Intersection.combine(&one, &one, &settings()).unwrap();
    assert_eq!(same.profile.listener(), one.listener());
}

/// The default profiles of three runtimes have conditions on arguments, and calls that only one of them names.
#[test]
fn default_profiles_combine_to_exactly_what_they_permit_together() {
    let profile = |path: &str| {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        Profile::from_slice(&std::fs::read(path).unwrap()).unwrap()
    };
    let profiles = [
        profile("data/moby-amd64.json"),
        profile("data/containerd-amd64.json"),
        profile("tests/profiles/containers-common-amd64.json"),
    ];
    let number = filter::numbers(syscalls::Libseccomp::V2_6_1);
    let settings = [Runtime::RUNC_1_2, Runtime::CRUN].map(|runtime| Setting {
        runtime,
        library: Library::V2_6_1,
        native: Architecture::X86_64,
        number: &number,
    });
    for one in &profiles {
        for two in &profiles {
            for operation in [Intersection, Union] {
                let Combined { profile, narrower } = operation.combine(one, two, &settings).unwrap();
                assert_eq!(narrower, [], "{operation:?}");
                let [one, two, combined] =
                    [one, two, &profile].map(|it| Filter::new(it, &settings[0]).unwrap());
                let (least, most) = match operation {
                    Intersection => ([&combined, &combined], [&one, &two]),
                    Union => ([&one, &two], [&combined, &combined]),
                };
                for (least, most) in least.into_iter().zip(most) {
                    assert_eq!(least.more_permissive(most).unwrap(), None, "{operation:?}");
                }
            }
        }
    }
}

/// Profiles that can be loaded.
fn any_profile() -> impl Strategy<Value = Profile> {
    let names = ["getpid", "socket", "mkdir", "openat2", "mseal", "waitpid"];
    arbitrary::contents(&names, 4).prop_filter_map("a profile that can be loaded", |contents| {
        let profile = Profile::from_value(&contents).ok()?;
        settings().iter().all(|setting| Filter::new(&profile, setting).is_ok()).then_some(profile)
    })
}

/// All calls that these profiles can tell from each other.
fn every_call() -> impl Iterator<Item = Call> {
    let numbers = || (0..500).chain([1 << 30, (1 << 30) + 39, u32::MAX]);
    [Architecture::X86_64, Architecture::X86].into_iter().flat_map(move |architecture| {
        numbers().flat_map(move |number| {
            (0..8).map(move |first| Call { architecture, number, arguments: [first, 0, 0, 0, 0, 0] })
        })
    })
}

fn exact(operation: Operation, one: Permission, two: Permission) -> Permission {
    match operation {
        Intersection => one.min(two),
        Union => one.max(two),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_combination_is_never_looser_and_exact_unless_it_says_so(
        one in any_profile(), two in any_profile(), operation in select(vec![Intersection, Union]),
    ) {
        let combined = operation.combine(&one, &two, &settings());
        // Where a process ends, runc's stub is looser, and so is an architecture that is not listed. Whether a tracer is
        // asked can depend on arguments in a way that is no rule.
        let verdicts = [&one, &two].into_iter().flat_map(|it| {
            it.rules().iter().map(|rule| rule.effect()).chain([it.default_effect()]).map(Verdict::from)
        });
        let (ends, asks) = verdicts.fold((false, false), |(ends, asks), verdict| {
            (ends || verdict == Verdict::KillProcess, asks || verdict.is_delegated())
        });
        if matches!(combined, Err(Uncombinable::Looser { .. })) && (ends || asks) {
            return Ok(());
        }
        let Combined { profile, narrower } = combined.unwrap();
        for setting in settings() {
            let [one, two, combined] = [&one, &two, &profile].map(|profile| Filter::new(profile, &setting).unwrap());
            for call in every_call() {
                let [first, second, found] = [&one, &two, &combined].map(|filter| filter.decide(&call));
                let exact = exact(operation, first.permission(), second.permission());
                prop_assert!(found.permission() <= exact, "{:?}: {} {} -> {}", call, first, second, found);
                prop_assert!(!found.is_delegated() || first.is_delegated() || second.is_delegated());
                if narrower.is_empty() {
                    prop_assert_eq!(found.permission(), exact, "{:?}: {} {}", call, first, second);
                }
            }
        }
    }

    #[test]
    fn a_profile_combined_with_itself_permits_the_same(one in any_profile(), operation in select(vec![Intersection, Union])) {
        let Combined { profile, narrower } = operation.combine(&one, &one, &settings()).unwrap();
        prop_assert_eq!(narrower, []);
        for setting in settings() {
            let [one, same] = [&one, &profile].map(|profile| Filter::new(profile, &setting).unwrap());
            prop_assert_eq!(one.unequal(&same).unwrap(), None);
        }
    }

    #[test]
    fn the_order_of_two_profiles_does_not_matter_where_both_orders_are_exact(
        one in any_profile(), two in any_profile(), operation in select(vec![Intersection, Union]),
    ) {
        let (there, back) = (operation.combine(&one, &two, &settings()), operation.combine(&two, &one, &settings()));
        prop_assert_eq!(there.is_ok(), back.is_ok());
        if let (Ok(there), Ok(back)) = (there, back)
            && there.narrower.is_empty() && back.narrower.is_empty() {
            for setting in settings() {
                let [there, back] = [&there, &back].map(|it| Filter::new(&it.profile, &setting).unwrap());
                prop_assert_eq!(there.more_permissive(&back).unwrap(), None);
                prop_assert_eq!(back.more_permissive(&there).unwrap(), None);
            }
        }
    }
}
