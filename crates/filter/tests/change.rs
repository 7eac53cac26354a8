//! Real differences between filters, and apparent ones.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail")]

use filter::{
    CallChange, ChangedCalls, Direction, Filter, Library, Origin, Runtime, Setting, Verdict, numbers,
};
use profile::{Architecture, Profile};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use syscalls::{Libseccomp, Syscall};

const EPERM: Verdict = Verdict::Errno(1);
const ENOSYS: Verdict = Verdict::Errno(38);

fn filter(profile: &Value, runtime: Runtime) -> Filter {
    let number = numbers(Libseccomp::V2_6_1);
    let setting =
        Setting { runtime, library: Library::V2_6_1, native: Architecture::X86_64, number: &number };
    Filter::new(&Profile::from_value(profile).unwrap(), &setting).unwrap()
}

fn between(before: &Value, after: &Value, runtime: Runtime) -> Vec<CallChange> {
    filter(before, runtime).changes(&filter(after, runtime)).unwrap()
}

fn denying(rules: Value) -> Value {
    json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules })
}

fn rule(names: &[&str], action: &str) -> Value {
    json!({ "names": names, "action": action })
}

fn compare(index: u8, value: u64) -> Value {
    json!({ "index": index, "value": value, "op": "SCMP_CMP_EQ" })
}

fn number(name: &str) -> u32 {
    Syscall::from_name(name).unwrap().number(syscalls::Architecture::X86_64).unwrap()
}

/// Each change as a line.
fn lines(changes: &[CallChange]) -> String {
    let line = |change: &CallChange| {
        let calls = match &change.calls {
            ChangedCalls::Named { number, .. } => {
                Syscall::by_number(syscalls::Architecture::X86_64, *number).unwrap().name().to_owned()
            }
            ChangedCalls::Unnamed { numbers, .. } => format!("others {numbers:?}"),
            ChangedCalls::Architecture(architecture) => architecture.name().to_owned(),
        };
        let side = |it: &filter::Treatment| {
            let verdicts: Vec<_> = it.verdicts.iter().map(Verdict::to_string).collect();
            format!("{} by {:?}", verdicts.join("|"), it.origin)
        };
        format!("{:?} {calls}: {} -> {}", change.direction, side(&change.before), side(&change.after))
    };
    changes.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn another_spelling_of_one_filter_is_no_change() {
    let conditional = |args: Value| json!({ "names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": args });
    for (what, one, other) in [
        (
            "rules split and in another order",
            denying(json!([rule(&["read", "write"], "SCMP_ACT_ALLOW"), rule(&["ptrace"], "SCMP_ACT_TRAP")])),
            denying(json!([
                rule(&["ptrace"], "SCMP_ACT_TRAP"),
                rule(&["write"], "SCMP_ACT_ALLOW"),
                rule(&["read", "write"], "SCMP_ACT_ALLOW")
            ])),
        ),
        (
            "the errno that runtimes take anyway",
            json!({ "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1 }),
            json!({ "defaultAction": "SCMP_ACT_ERRNO" }),
        ),
        (
            "the older name of an action",
            denying(json!([rule(&["ptrace"], "SCMP_ACT_KILL")])),
            denying(json!([rule(&["ptrace"], "SCMP_ACT_KILL_THREAD")])),
        ),
        (
            "a rule that repeats the default beside one of the same name",
            denying(json!([
                rule(&["ptrace"], "SCMP_ACT_ERRNO"),
                json!({ "names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "args": [compare(0, 1)] })
            ])),
            denying(json!([{ "names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "args": [compare(0, 1)] }])),
        ),
        (
            "a rule that repeats a default that permits calls",
            json!({ "defaultAction": "SCMP_ACT_LOG", "syscalls": [rule(&["ptrace"], "SCMP_ACT_LOG")] }),
            json!({ "defaultAction": "SCMP_ACT_LOG" }),
        ),
        (
            "alternatives in another order",
            denying(json!([conditional(json!([compare(0, 1)])), conditional(json!([compare(1, 2)]))])),
            denying(json!([conditional(json!([compare(1, 2)])), conditional(json!([compare(0, 1)]))])),
        ),
        (
            "comparisons in another order",
            denying(json!([conditional(json!([compare(0, 1), compare(1, 2)]))])),
            denying(json!([conditional(json!([compare(1, 2), compare(0, 1)]))])),
        ),
        (
            "a condition beside none",
            denying(json!([conditional(json!([compare(0, 1)])), rule(&["clone"], "SCMP_ACT_ALLOW")])),
            denying(json!([rule(&["clone"], "SCMP_ACT_ALLOW")])),
        ),
        (
            "two bounds that are one",
            denying(json!([conditional(json!([{ "index": 0, "value": 7, "op": "SCMP_CMP_GT" }]))])),
            denying(json!([conditional(json!([{ "index": 0, "value": 8, "op": "SCMP_CMP_GE" }]))])),
        ),
        (
            "an order of rules on different arguments that libseccomp does not keep",
            denying(json!([
                { "names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [compare(0, 1)] },
                { "names": ["clone"], "action": "SCMP_ACT_TRAP", "args": [compare(1, 2)] }
            ])),
            denying(json!([
                { "names": ["clone"], "action": "SCMP_ACT_TRAP", "args": [compare(1, 2)] },
                { "names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [compare(0, 1)] }
            ])),
        ),
        (
            "architectures in another order and twice",
            json!({ "defaultAction": "SCMP_ACT_LOG", "architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"] }),
            json!({ "defaultAction": "SCMP_ACT_LOG", "architectures": ["SCMP_ARCH_X32", "SCMP_ARCH_X86", "SCMP_ARCH_X32"] }),
        ),
        (
            "a rule that an earlier one includes",
            denying(json!([
                conditional(json!([compare(0, 1)])),
                conditional(json!([compare(0, 1), compare(1, 2)]))
            ])),
            denying(json!([conditional(json!([compare(0, 1)]))])),
        ),
    ] {
        for runtime in [Runtime::RUNC_1_2, Runtime::CRUN] {
            assert_eq!(lines(&between(&one, &other, runtime)), "", "{what}");
            assert_eq!(lines(&between(&other, &one, runtime)), "", "{what}, the other way round");
        }
    }
}

#[test]
fn a_change_has_both_treatments_and_a_direction() {
    let before = denying(json!([
        rule(&["read", "write", "bpf"], "SCMP_ACT_ALLOW"),
        { "names": ["clone"], "action": "SCMP_ACT_ALLOW",
          "args": [{ "index": 0, "value": 2_114_060_288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ" }] },
        { "names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [compare(0, 2), compare(2, 6)] }
    ]));
    let after = denying(json!([
        rule(&["read", "write", "ptrace"], "SCMP_ACT_ALLOW"),
        rule(&["clone"], "SCMP_ACT_ALLOW"),
        rule(&["bpf"], "SCMP_ACT_KILL_PROCESS"),
        { "names": ["socket"], "action": "SCMP_ACT_LOG", "args": [{ "index": 0, "value": 40, "op": "SCMP_CMP_NE" }] }
    ]));
    let changes = between(&before, &after, Runtime::CRUN);
    insta::assert_snapshot!(lines(&changes), @"
    Other socket: SCMP_ACT_ERRNO (errno 1)|SCMP_ACT_ALLOW by Rules -> SCMP_ACT_ERRNO (errno 1)|SCMP_ACT_LOG by Rules
    MorePermissive clone: SCMP_ACT_ERRNO (errno 1)|SCMP_ACT_ALLOW by Rules -> SCMP_ACT_ALLOW by Rules
    MorePermissive ptrace: SCMP_ACT_ERRNO (errno 1) by Default -> SCMP_ACT_ALLOW by Rules
    LessPermissive bpf: SCMP_ACT_ALLOW by Rules -> SCMP_ACT_KILL_PROCESS by Rules
    ");
    // Where a change goes both ways, each way has a witness.
    let witnesses: Vec<_> =
        changes[0].witnesses.iter().map(|it| (it.before, it.after, it.call.arguments[2])).collect();
    assert_eq!(witnesses, [(EPERM, Verdict::Log, 0), (Verdict::Allow, Verdict::Log, 6)]);
}

#[test]
fn a_default_that_is_reversed_shows_only_the_calls_that_do_not_stay_as_they_were() {
    let before = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule(&["ptrace", "bpf"], "SCMP_ACT_ERRNO")] });
    let after = denying(json!([rule(&["read", "bpf"], "SCMP_ACT_ALLOW")]));
    insta::assert_snapshot!(lines(&between(&before, &after, Runtime::CRUN)), @"
    MorePermissive bpf: SCMP_ACT_ERRNO (errno 1) by Rules -> SCMP_ACT_ALLOW by Rules
    LessPermissive others [1..=1073741823, 4294967295..=4294967295]: SCMP_ACT_ALLOW by Default -> SCMP_ACT_ERRNO (errno 1) by Default
    ");
}

/// Measured with runc 1.1.5 to 1.5.2: a call above the highest number that a rule names is answered with ENOSYS, so that
/// the C library falls back to an older call; below it with the default's errno.
#[test]
fn rules_that_name_other_calls_move_what_runc_answers_with_enosys() {
    let with = |default: &str, name: &str| json!({ "defaultAction": default, "syscalls": [rule(&["read", name], default)] });
    for default in
        ["SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP"]
    {
        let (before, after) = (with(default, "statx"), with(default, "openat2"));
        let changes = between(&before, &after, Runtime::RUNC_1_2);
        let [change] = &changes[..] else { panic!("{changes:?}") };
        let numbers = vec![number("statx") + 1..=number("openat2")];
        assert_eq!(change.calls, ChangedCalls::Unnamed { architecture: Architecture::X86_64, numbers });
        assert_eq!((change.before.origin, change.after.origin), (Origin::Stub, Origin::Default));
        assert_eq!(change.before.verdicts, [ENOSYS]);
        assert_eq!(lines(&between(&before, &after, Runtime::CRUN)), "");
    }
    for default in ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE"] {
        assert_eq!(
            lines(&between(&with(default, "statx"), &with(default, "openat2"), Runtime::RUNC_1_2)),
            ""
        );
    }
}

#[test]
fn an_architecture_that_only_one_profile_lists_is_one_change() {
    let with = |architectures: Value| {
        json!({ "defaultAction": "SCMP_ACT_ERRNO", "architectures": architectures,
            "syscalls": [rule(&["read", "write"], "SCMP_ACT_ALLOW")] })
    };
    let changes = between(&with(json!(["SCMP_ARCH_X86_64"])), &with(json!(["SCMP_ARCH_X32"])), Runtime::CRUN);
    insta::assert_snapshot!(lines(&changes), @"MorePermissive SCMP_ARCH_X32: SCMP_ACT_KILL_THREAD by Architecture -> SCMP_ACT_ERRNO (errno 1)|SCMP_ACT_ALLOW by Rules");
}

#[test]
fn logging_permits_less_and_asking_an_agent_permits_as_much() {
    let with = |action: &str| {
        let mut profile = json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule(&["bpf"], action)] });
        if action == "SCMP_ACT_NOTIFY" {
            profile["listenerPath"] = "/run/a.sock".into();
        }
        profile
    };
    let direction = |one: &str, other: &str| {
        between(&with(one), &with(other), Runtime::CRUN).first().map(|change| change.direction)
    };
    assert_eq!(direction("SCMP_ACT_LOG", "SCMP_ACT_ALLOW"), Some(Direction::MorePermissive));
    assert_eq!(direction("SCMP_ACT_ALLOW", "SCMP_ACT_NOTIFY"), Some(Direction::Other));
}

/// Rules about four calls, with no comparison twice in one profile.
fn rules() -> impl Strategy<Value = Vec<Value>> {
    let action = select(&["SCMP_ACT_ALLOW", "SCMP_ACT_TRAP", "SCMP_ACT_ERRNO", "SCMP_ACT_LOG"][..]);
    let rule = (select(&["bpf", "dup", "kill", "open"][..]), action, any::<bool>());
    proptest::collection::vec(rule, 0..8).prop_map(|rules| {
        let rule = |(i, (name, action, bare)): (usize, (&str, &str, bool))| {
            let args = if bare { json!([]) } else { json!([compare(0, i as u64)]) };
            json!({ "names": [name], "action": action, "args": args })
        };
        rules.into_iter().enumerate().map(rule).collect()
    })
}

proptest! {
    #[test]
    fn what_changes_there_changes_back(one in rules(), other in rules()) {
        let (one, other) = (denying(one.into()), denying(other.into()));
        for runtime in [Runtime::RUNC_1_2, Runtime::CRUN] {
            let (there, back) = (between(&one, &other, runtime), between(&other, &one, runtime));
            prop_assert_eq!(there.len(), back.len());
            for (change, returned) in there.iter().zip(&back) {
                prop_assert_eq!(&change.calls, &returned.calls);
                prop_assert_eq!((&returned.before, &returned.after), (&change.after, &change.before));
                let reversed = match change.direction {
                    Direction::MorePermissive => Direction::LessPermissive,
                    Direction::LessPermissive => Direction::MorePermissive,
                    Direction::Other => Direction::Other,
                };
                prop_assert_eq!(returned.direction, reversed);
            }
        }
    }

    #[test]
    fn changes_are_those_of_which_a_call_is_a_witness(one in rules(), other in rules()) {
        let [one, other] = [one, other].map(|rules| filter(&denying(rules.into()), Runtime::RUNC_1_2));
        let changes = one.changes(&other).unwrap();
        prop_assert_eq!(changes.is_empty(), one.unequal(&other).unwrap().is_none());
        for witness in changes.iter().flat_map(|change| &change.witnesses) {
            prop_assert_eq!(one.decide(&witness.call), witness.before);
            prop_assert_eq!(other.decide(&witness.call), witness.after);
            prop_assert_ne!(witness.before, witness.after);
        }
        let more = changes.iter().flat_map(|change| &change.witnesses)
            .any(|it| it.after.permission() > it.before.permission());
        prop_assert_eq!(more, other.more_permissive(&one).unwrap().is_some());
    }
}
