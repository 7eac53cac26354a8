//! Real changes between profiles, and apparent ones.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail")]

use filter::{Changes, Direction, Uncompared};
use profile::{Flag, Profile};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

fn parse(value: &Value) -> Profile {
    Profile::from_value(value).unwrap()
}

fn between(before: &Value, after: &Value) -> Changes {
    Changes::between(&parse(before), &parse(after))
}

fn denying(rules: Value) -> Value {
    json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules })
}

fn compare(index: u8, value: u64) -> Value {
    json!({ "index": index, "value": value, "op": "SCMP_CMP_EQ" })
}

/// Each change as a line: direction, names, before, after.
fn lines(before: &Value, after: &Value) -> String {
    let changes = between(before, after);
    let line = |it: &filter::SyscallChange| {
        let names: Vec<_> = it.names.iter().map(|name| name.as_str()).collect();
        format!("{:?} {}: {} -> {}", it.direction, names.join(","), it.change.before, it.change.after)
    };
    let default = changes
        .default
        .iter()
        .map(|it| format!("{:?} default: {} -> {}", it.direction(), it.before, it.after));
    default.chain(changes.syscalls.iter().map(line)).collect::<Vec<_>>().join("\n")
}

#[test]
fn another_spelling_of_one_filter_is_no_change() {
    let rule = |names: &[&str], action: &str| json!({ "names": names, "action": action });
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
            "a rule that says what the default says beside one of the same name",
            denying(json!([
                rule(&["ptrace"], "SCMP_ACT_ERRNO"),
                json!({ "names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "args": [compare(0, 1)] })
            ])),
            denying(json!([{ "names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "args": [compare(0, 1)] }])),
        ),
        (
            "a rule that says what a default says that lets calls through",
            json!({ "defaultAction": "SCMP_ACT_LOG", "syscalls": [rule(&["ptrace"], "SCMP_ACT_LOG")] }),
            json!({ "defaultAction": "SCMP_ACT_LOG" }),
        ),
        (
            "flags twice and in another order",
            json!({ "defaultAction": "SCMP_ACT_LOG", "flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"] }),
            json!({ "defaultAction": "SCMP_ACT_LOG", "flags": ["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"] }),
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
        assert!(between(&one, &other).is_empty(), "{what}: {}", lines(&one, &other));
        assert!(between(&other, &one).is_empty(), "{what}, the other way round");
    }
}

#[test]
fn a_change_names_the_syscalls_what_happened_to_them_and_what_will() {
    let before = denying(json!([
        { "names": ["read", "write", "bpf"], "action": "SCMP_ACT_ALLOW" },
        { "names": ["clone"], "action": "SCMP_ACT_ALLOW",
          "args": [{ "index": 0, "value": 2_114_060_288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ" }] },
        { "names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [compare(0, 2), compare(2, 6)] }
    ]));
    let after = denying(json!([
        { "names": ["read", "write", "ptrace", "process_vm_readv"], "action": "SCMP_ACT_ALLOW" },
        { "names": ["clone"], "action": "SCMP_ACT_ALLOW" },
        { "names": ["bpf"], "action": "SCMP_ACT_KILL_PROCESS" },
        { "names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [{ "index": 0, "value": 40, "op": "SCMP_CMP_NE" }] }
    ]));
    insta::assert_snapshot!(lines(&before, &after), @"
    Tighter bpf: SCMP_ACT_ALLOW -> SCMP_ACT_KILL_PROCESS
    Looser clone: SCMP_ACT_ALLOW if arg0 & 0x7e020000 == 0; else SCMP_ACT_ERRNO (errno 1) by default -> SCMP_ACT_ALLOW
    Looser process_vm_readv,ptrace: SCMP_ACT_ERRNO (errno 1) by default -> SCMP_ACT_ALLOW
    Other socket: SCMP_ACT_ALLOW if arg0 == 2 and arg2 == 6; else SCMP_ACT_ERRNO (errno 1) by default -> SCMP_ACT_ALLOW if arg0 != 40; else SCMP_ACT_ERRNO (errno 1) by default
    ");
}

#[test]
fn a_default_that_is_turned_round_shows_only_the_syscalls_that_do_not_stay_as_they_were() {
    let before = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{ "names": ["ptrace", "bpf"], "action": "SCMP_ACT_ERRNO" }] });
    let after = denying(json!([{ "names": ["read", "bpf"], "action": "SCMP_ACT_ALLOW" }]));
    insta::assert_snapshot!(lines(&before, &after), @"
    Tighter default: SCMP_ACT_ALLOW -> SCMP_ACT_ERRNO (errno 1)
    Looser bpf: SCMP_ACT_ERRNO (errno 1) -> SCMP_ACT_ALLOW
    ");
}

#[test]
fn architectures_and_flags_are_sets() {
    let before = json!({ "defaultAction": "SCMP_ACT_LOG", "architectures": ["SCMP_ARCH_X86"], "flags": ["SECCOMP_FILTER_FLAG_LOG"] });
    let after = json!({ "defaultAction": "SCMP_ACT_LOG", "architectures": ["SCMP_ARCH_X32"], "flags": ["SECCOMP_FILTER_FLAG_TSYNC"] });
    insta::assert_snapshot!(serde_json::to_string(&between(&before, &after)).unwrap(),
        @r#"{"architectures":{"added":["SCMP_ARCH_X32"],"removed":["SCMP_ARCH_X86"]},"flags":{"added":["SECCOMP_FILTER_FLAG_TSYNC"],"removed":["SECCOMP_FILTER_FLAG_LOG"]}}"#);
}

/// Measured with runc 1.3.6 and 1.5.2 and crun 1.8.1 to 1.28: without flags the filter leaves speculative store bypass
/// on; otherwise exactly the named flags apply. runc 1.1 refuses every flag.
#[test]
fn a_profile_that_names_a_flag_no_longer_has_the_one_that_runtimes_set_by_default() {
    let with = |flags: &[&str]| json!({ "defaultAction": "SCMP_ACT_LOG", "flags": flags });
    let (log, spec_allow) = ("SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW");
    let changes = between(&with(&[]), &with(&[log]));
    assert_eq!((changes.flags.added, changes.flags.removed), (vec![Flag::Log], vec![Flag::SpecAllow]));
    assert_eq!(changes.uncompared, [Uncompared::FlagSupport]);
    // The same filter if it can be loaded, and no container otherwise.
    let named = between(&with(&[]), &with(&[spec_allow]));
    assert!(named.flags.is_empty() && !named.is_empty());
    assert_eq!(named.uncompared, [Uncompared::FlagSupport]);
    let dropped = between(&with(&[log, spec_allow]), &with(&[log]));
    assert_eq!((dropped.flags.removed, dropped.uncompared), (vec![Flag::SpecAllow], vec![]));
    assert!(between(&with(&[]), &json!({ "defaultAction": "SCMP_ACT_LOG" })).is_empty());
}

/// runc returns ENOSYS for calls above the highest number that a rule names: clone3 above it fails with ENOSYS, so that
/// the C library falls back to clone; below it clone3 fails with the default's errno, so that no thread starts.
#[test]
fn rules_that_name_other_syscalls_may_move_what_runc_answers_with_enosys() {
    let names = |names: &[&str]| {
        names.iter().map(|name| json!({ "names": [name], "action": "SCMP_ACT_ERRNO" })).collect::<Vec<_>>()
    };
    let with = |default: &str, rules: &[&str]| json!({ "defaultAction": default, "syscalls": names(rules) });
    for default in
        ["SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP"]
    {
        let changes = between(&with(default, &["read"]), &with(default, &["read", "openat2"]));
        assert_eq!(
            serde_json::to_value(&changes.uncompared).unwrap(),
            json!([{ "what": "EnosysBorder", "added": ["openat2"], "removed": [] }]),
            "{default}"
        );
        assert!(
            between(&with(default, &["read", "write"]), &with(default, &["write", "read"]))
                .uncompared
                .is_empty()
        );
    }
    let moved = between(&with("SCMP_ACT_ERRNO", &["statx"]), &with("SCMP_ACT_ERRNO", &["openat2"]));
    assert!(
        moved.syscalls.is_empty() && !moved.is_empty(),
        "no call of these is treated otherwise: {moved:?}"
    );
    for default in ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE"] {
        let changes = between(&with(default, &["read"]), &with(default, &["read", "openat2"]));
        assert!(changes.uncompared.is_empty(), "{default}");
    }
    let enosys = |rules: &[&str]| json!({ "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "syscalls": names(rules) });
    assert!(between(&enosys(&["read"]), &enosys(&["read", "openat2"])).uncompared.is_empty());
}

#[test]
fn another_listener_is_a_change_and_so_are_other_metadata() {
    let notifying = |listener: Value| {
        let rules = json!([{ "names": ["mkdir"], "action": "SCMP_ACT_NOTIFY" }]);
        let mut profile = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules });
        profile.as_object_mut().unwrap().extend(listener.as_object().unwrap().clone());
        profile
    };
    let one = notifying(json!({ "listenerPath": "/run/a.sock" }));
    let spelt_out = notifying(json!({ "listenerPath": "/run/a.sock", "listenerMetadata": "" }));
    assert!(between(&one, &spelt_out).is_empty());
    let other = notifying(json!({ "listenerPath": "/run/a.sock", "listenerMetadata": "b" }));
    insta::assert_snapshot!(serde_json::to_string(&between(&one, &other)).unwrap(),
        @r#"{"listener":{"before":{"listenerPath":"/run/a.sock"},"after":{"listenerPath":"/run/a.sock","listenerMetadata":"b"}}}"#);
    // Characters that reverse the direction of writing or move a cursor are escaped.
    let sly = notifying(json!({ "listenerPath": "/run/a.sock", "listenerMetadata": "\u{202e}\u{1b}[1A" }));
    assert_eq!(parse(&sly).listener().unwrap().to_string(), r#"/run/a.sock (metadata "\u{202e}\u{1b}[1A")"#);
    let nobody = json!({ "defaultAction": "SCMP_ACT_ALLOW" });
    assert_eq!(between(&one, &nobody).listener.unwrap().after, None);
    insta::assert_snapshot!(lines(&nobody, &one), @"Tighter mkdir: SCMP_ACT_ALLOW by default -> SCMP_ACT_NOTIFY");
}

#[test]
fn the_order_of_conditional_rules_with_different_actions_counts() {
    let rules = |order: [usize; 2]| {
        let both = [("SCMP_ACT_ALLOW", compare(0, 1)), ("SCMP_ACT_TRAP", compare(1, 2))];
        denying(
            order
                .map(|i| json!({ "names": ["clone"], "action": both[i].0, "args": [both[i].1] }))
                .into_iter()
                .collect(),
        )
    };
    assert_eq!(between(&rules([0, 1]), &rules([1, 0])).syscalls.len(), 1);
    assert!(between(&rules([0, 1]), &rules([0, 1])).is_empty());
}

#[test]
fn logging_more_or_less_is_neither_looser_nor_tighter() {
    let rule = |action: &str| denying(json!([{ "names": ["bpf"], "action": action }]));
    assert_eq!(
        between(&rule("SCMP_ACT_LOG"), &rule("SCMP_ACT_ALLOW")).syscalls[0].direction,
        Direction::Other
    );
}

/// Rules about four syscalls, with no comparison twice in one profile.
fn rules() -> impl Strategy<Value = Vec<Value>> {
    let action = select(&["SCMP_ACT_ALLOW", "SCMP_ACT_TRAP", "SCMP_ACT_ERRNO"][..]);
    let rule = (select(&["a", "b", "c", "d"][..]), action, any::<bool>());
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
        let (there, back) = (between(&one, &other), between(&other, &one));
        prop_assert!(between(&one, &one).is_empty());
        prop_assert_eq!(there.syscalls.len(), back.syscalls.len());
        for change in &there.syscalls {
            let returned = back.syscalls.iter().find(|it| it.names == change.names).unwrap();
            prop_assert_eq!((&returned.change.before, &returned.change.after), (&change.change.after, &change.change.before));
            let turned = match change.direction {
                Direction::Looser => Direction::Tighter,
                Direction::Tighter => Direction::Looser,
                Direction::Other => Direction::Other,
            };
            prop_assert_eq!(returned.direction, turned);
        }
    }

    #[test]
    fn a_syscall_that_two_profiles_treat_alike_is_in_no_change(common in rules(), one in rules(), other in rules()) {
        let renamed = |rules: Vec<Value>, suffix: &str| rules.into_iter().map(|mut rule| {
            rule["names"][0] = format!("{}{suffix}", rule["names"][0].as_str().unwrap()).into();
            rule
        }).collect::<Vec<_>>();
        let with = |mine: Vec<Value>| denying([renamed(mine, "_own"), common.clone()].concat().into());
        for change in between(&with(one), &with(other)).syscalls {
            prop_assert!(change.names.iter().all(|name| name.as_str().ends_with("_own")));
        }
    }
}
