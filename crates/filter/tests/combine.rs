//! Intersections and unions of profiles; their laws are in `laws.rs`.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail")]

use filter::{Call, Combined, Filter, Library, Narrower, Operation, Runtime, Setting, Uncombinable, Verdict};
use profile::{Architecture, Profile};
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
fn what_is_denied_with_certain_arguments_is_permitted_with_all_others() {
    let denying = |args: Value| {
        json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [{ "names": ["socket"], "action": "SCMP_ACT_ERRNO", "args": args }],
        })
    };
    let allowing = allowing(&[(&["socket", "getpid"], json!([]))]);
    let masked = |mask: u64, value: u64| json!({ "index": 0, "op": "SCMP_CMP_MASKED_EQ", "value": mask, "valueTwo": value });
    for (args, denied, permitted) in [
        (json!([compare(0, "EQ", 16)]), [16, 16], [0, 17]),
        (json!([compare(0, "GE", 16)]), [16, u64::MAX], [0, 15]),
        (json!([masked(4, 4)]), [4, 5], [0, 3]),
        (json!([compare(0, "EQ", 16), compare(1, "EQ", 0)]), [16, 16], [0, 17]),
    ] {
        for pair in [[&allowing, &denying(args.clone())], [&denying(args.clone()), &allowing]] {
            let both = combine(Intersection, pair[0], pair[1]);
            assert_eq!(both.narrower, [], "{args}");
            assert!(denied.iter().all(|it| decide(&both.profile, 41, *it) == Verdict::Errno(1)), "{args}");
            assert!(permitted.iter().all(|it| decide(&both.profile, 41, *it) == Verdict::Allow), "{args}");
        }
    }
    // Two bits have three other values, which no rule with one comparison names.
    let both = combine(Intersection, &allowing, &denying(json!([masked(3, 3)])));
    assert!(
        matches!(&both.narrower[..], [Narrower::Conditions { name }] if name.as_str() == "socket"),
        "{both:?}"
    );
    assert_eq!(decide(&both.profile, 41, 0), Verdict::Errno(1));
}

#[test]
fn an_architecture_that_one_profile_lists_is_in_no_combination_and_the_union_says_so() {
    let mut one = allowing(&[(&["getpid"], json!([]))]);
    let (same, two) = (one.clone(), allowing(&[(&["getpid", "mkdir"], json!([]))]));
    one["architectures"] = json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]);
    let both = combine(Intersection, &one, &two);
    assert_eq!((both.profile.architectures(), both.narrower), (&[Architecture::X86_64][..], vec![]));
    let either = combine(Union, &one, &two);
    assert_eq!(either.narrower, [Narrower::Architecture { architecture: Architecture::X86 }]);
    // The profile that permits what the other one does, and more, is their union itself.
    assert_eq!(combine(Union, &same, &one), Combined { profile: parse(&one), narrower: vec![] });
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

/// libseccomp leaves out all rules of an architecture if the one with the fewest tests is for a call that the architecture
/// lacks, here `waitpid`, and if no tree of calls is written. A rule that never applies is dropped from a combination.
#[test]
fn a_profile_is_its_own_combination_also_where_a_rule_that_never_applies_changes_the_others() {
    let profile = json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_ARM"],
        "syscalls": [
            { "names": ["waitpid"], "action": "SCMP_ACT_KILL_PROCESS", "args": [compare(2, "LT", 0)] },
            { "names": ["getpid"], "action": "SCMP_ACT_KILL_PROCESS", "args": [compare(2, "NE", 0)] },
            { "names": ["getpid"], "action": "SCMP_ACT_LOG", "args": [compare(2, "NE", 1)] },
        ],
    });
    let number = filter::numbers(syscalls::Libseccomp::V2_6_1);
    let setting = Setting { number: &number, native: Architecture::Aarch64, ..settings()[0] };
    let profile = parse(&profile);
    for operation in [Intersection, Union] {
        let same = operation.combine(&profile, &profile, &[setting]).unwrap();
        assert_eq!(same.narrower, []);
        let [one, same] = [&profile, &same.profile].map(|it| Filter::new(it, &setting).unwrap());
        assert_eq!(one.unequal(&same).unwrap(), None);
    }
}

/// A comparison that is always true is none for libseccomp, and the parser takes it for one.
#[test]
fn rules_that_the_parser_would_refuse_are_not_proposed() {
    let with = |default: &str, rules: Value| json!({ "defaultAction": default, "architectures": ["SCMP_ARCH_X86"], "syscalls": rules });
    let rule = |action: &str, args: Value| json!({ "names": ["waitpid"], "action": action, "args": args });
    let one = with(
        "SCMP_ACT_KILL_PROCESS",
        json!([rule("SCMP_ACT_ALLOW", json!([compare(2, "EQ", 0)])), rule("SCMP_ACT_LOG", json!([]))]),
    );
    let two = with(
        "SCMP_ACT_LOG",
        json!([
            rule("SCMP_ACT_ERRNO", json!([compare(0, "GE", 0)])),
            rule("SCMP_ACT_ALLOW", json!([compare(2, "NE", 3)])),
        ]),
    );
    for (first, second) in [(&one, &two), (&two, &one)] {
        for operation in [Intersection, Union] {
            let combined = operation.combine(&parse(first), &parse(second), &settings());
            assert!(!matches!(combined, Err(Uncombinable::Invalid(_))), "{combined:?}");
        }
    }
}
