//! Contents that a runtime would ignore, misread or refuse are rejected, with the field and the allowed values.

#![expect(clippy::expect_used, reason = "a helper of tests may fail")]

use profile::{PlainProfile, Profile};
use serde_json::json;

/// The problems of a profile, one per line.
fn problems(value: &serde_json::Value) -> String {
    let error = Profile::from_value(value).expect_err("the profile should be refused");
    assert_eq!(error.reason(), "InvalidProfile");
    assert!(serde_json::from_str::<PlainProfile<'_>>(&value.to_string()).is_err(), "{error}");
    error.problems().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn rule(rule: serde_json::Value) -> serde_json::Value {
    json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] })
}

fn argument(argument: serde_json::Value) -> serde_json::Value {
    rule(json!({ "names": ["clone"], "action": "SCMP_ACT_ERRNO", "args": [argument] }))
}

#[test]
fn an_unknown_action_is_refused_with_the_nearest_name() {
    insta::assert_snapshot!(problems(&json!({ "defaultAction": "SCMP_ACT_ALOW" })),
        @r#"defaultAction: unknown action "SCMP_ACT_ALOW"; did you mean SCMP_ACT_ALLOW?"#);
    insta::assert_snapshot!(problems(&json!({ "defaultAction": "allow" })),
        @r#"defaultAction: unknown action "allow"; did you mean SCMP_ACT_ALLOW?"#);
    insta::assert_snapshot!(problems(&json!({ "defaultAction": "SCMP_ACT_DENY" })),
        @r#"defaultAction: unknown action "SCMP_ACT_DENY"; expected one of SCMP_ACT_KILL, SCMP_ACT_KILL_PROCESS, SCMP_ACT_KILL_THREAD, SCMP_ACT_TRAP, SCMP_ACT_ERRNO, SCMP_ACT_TRACE, SCMP_ACT_ALLOW, SCMP_ACT_LOG"#);
}

#[test]
fn a_field_that_containerd_ignores_is_refused_with_the_tools_that_read_it() {
    insta::assert_snapshot!(problems(&json!({ "defaultAction": "SCMP_ACT_ERRNO", "defaultErrno": "ENOSYS",
        "archMap": [{ "architecture": "SCMP_ARCH_X86_64" }], "syscalls": [
        { "names": ["bpf"], "action": "SCMP_ACT_ALLOW", "errno": "EPERM", "comment": "why", "minKernel": "4.8",
          "includes": { "caps": ["CAP_BPF"] }, "excludes": { "caps": ["CAP_SYS_ADMIN"] } } ] })),
        @r"
    archMap: Docker, Podman and CRI-O read this, containerd ignores it; list the architectures in architectures (an empty one has no effect: leave it out)
    defaultErrno: Podman and CRI-O read this, containerd ignores it; give the number in defaultErrnoRet (an empty one has no effect: leave it out)
    syscalls[0].comment: changes nothing; leave it out
    syscalls[0].errno: Podman and CRI-O read this, containerd ignores it; give the number in errnoRet (an empty one has no effect: leave it out)
    syscalls[0].excludes: Docker, Podman and CRI-O read this, containerd ignores it; leave it out, and the rule too if its condition does not hold (an empty one has no effect)
    syscalls[0].includes: Docker, Podman and CRI-O read this, containerd ignores it; leave it out, and the rule too if its condition does not hold (an empty one has no effect)
    syscalls[0].minKernel: Docker, Podman and CRI-O read this, containerd ignores it; leave it out, and the rule too if its condition does not hold (an empty one has no effect)
    ");
}

#[test]
fn an_empty_value_in_such_a_field_is_refused_as_having_no_effect() {
    insta::assert_snapshot!(problems(&json!({ "defaultAction": "SCMP_ACT_ERRNO", "defaultErrno": "", "archMap": [],
        "syscalls": [{ "names": ["read"], "action": "SCMP_ACT_ALLOW", "comment": "", "errno": "", "includes": {},
          "excludes": { "caps": [] }, "minKernel": null }] })),
        @r"
    archMap: Docker, Podman and CRI-O read this, containerd ignores it; list the architectures in architectures (an empty one has no effect: leave it out)
    defaultErrno: Podman and CRI-O read this, containerd ignores it; give the number in defaultErrnoRet (an empty one has no effect: leave it out)
    syscalls[0].comment: changes nothing; leave it out
    syscalls[0].errno: Podman and CRI-O read this, containerd ignores it; give the number in errnoRet (an empty one has no effect: leave it out)
    syscalls[0].excludes: Docker, Podman and CRI-O read this, containerd ignores it; leave it out, and the rule too if its condition does not hold (an empty one has no effect)
    syscalls[0].includes: Docker, Podman and CRI-O read this, containerd ignores it; leave it out, and the rule too if its condition does not hold (an empty one has no effect)
    syscalls[0].minKernel: is empty and changes nothing; leave it out
    ");
}

#[test]
fn the_native_architecture_need_not_be_named() {
    insta::assert_snapshot!(problems(&json!({ "defaultAction": "SCMP_ACT_LOG",
        "architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_NATIVE"] })),
        @"architectures[1]: runtimes do not know SCMP_ARCH_NATIVE, and the node's own is always covered; leave it out");
}

#[test]
fn an_unknown_field_architecture_operator_or_flag_is_refused() {
    insta::assert_snapshot!(problems(&json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscall": [],
        "architectures": ["SCMP_ARCH_X8664"], "flags": ["SECCOMP_FILTER_FLAG_LOGS"] })),
        @r#"
    syscall: unknown field; did you mean syscalls?
    architectures[0]: unknown architecture "SCMP_ARCH_X8664"; did you mean SCMP_ARCH_X86_64?
    flags[0]: unknown flag "SECCOMP_FILTER_FLAG_LOGS"; did you mean SECCOMP_FILTER_FLAG_LOG?
    "#);
    insta::assert_snapshot!(problems(&argument(json!({ "index": 0, "value": 1, "op": "SCMP_CMP_EQQ" }))),
        @r#"syscalls[0].args[0].op: unknown operator "SCMP_CMP_EQQ"; did you mean SCMP_CMP_EQ?"#);
}

#[test]
fn architectures_of_both_byte_orders_are_refused() {
    let listing = |words: &[&str]| json!({ "defaultAction": "SCMP_ACT_LOG", "architectures": words });
    insta::assert_snapshot!(problems(&listing(&["SCMP_ARCH_ARM", "SCMP_ARCH_S390X", "SCMP_ARCH_S390"])),
        @"architectures: no node is both big-endian (SCMP_ARCH_S390X) and little-endian (SCMP_ARCH_ARM); leave one kind out");
    let (big, little): (Vec<_>, Vec<_>) = profile::Architecture::NAMES
        .iter()
        .partition(|word| profile::Architecture::from_name(word).unwrap().is_big_endian());
    assert_eq!(big.len(), 7);
    assert!(Profile::from_value(&listing(&big)).is_ok() && Profile::from_value(&listing(&little)).is_ok());
}

#[test]
fn an_argument_index_over_five_is_refused() {
    insta::assert_snapshot!(problems(&argument(json!({ "index": 6, "value": 1, "op": "SCMP_CMP_EQ" }))),
        @"syscalls[0].args[0].index: expected an argument from 0 to 5, found 6");
}

#[test]
fn one_argument_compared_twice_in_a_rule_is_refused() {
    let compare = |index: u8| json!({ "index": index, "value": 1, "op": "SCMP_CMP_GE" });
    let comparing =
        |args: Vec<_>| rule(json!({ "names": ["clone"], "action": "SCMP_ACT_ERRNO", "args": args }));
    insta::assert_snapshot!(problems(&comparing(vec![compare(1), compare(0), compare(1)])),
        @"syscalls[0].args[2]: two comparisons of argument 1: runtimes take these as alternatives; write two rules");
    assert!(Profile::from_value(&comparing((0..=5).rev().map(compare).collect())).is_ok());
}

#[test]
fn a_value_that_is_no_u64_is_refused() {
    for bad in [
        json!(-1),
        json!(1.5),
        json!("18446744073709551616"),
        json!("1e3"),
        json!("+1"),
        json!("0x+1"),
        json!("007"),
        json!("0x00000000000000001"),
        json!(""),
    ] {
        let found = problems(&argument(json!({ "index": 0, "value": bad, "op": "SCMP_CMP_EQ" })));
        assert!(
            found.starts_with("syscalls[0].args[0].value: expected a whole number from 0 to 2^64-1"),
            "{found}"
        );
    }
}

#[test]
fn an_empty_rule_is_refused() {
    insta::assert_snapshot!(problems(&rule(json!({ "names": [], "action": "SCMP_ACT_LOG" }))),
        @"syscalls[0].names: a rule needs the name of at least one syscall");
    insta::assert_snapshot!(problems(&rule(json!({ "name": "", "action": "SCMP_ACT_LOG" }))),
        @"syscalls[0].names: a rule needs the name of at least one syscall");
    insta::assert_snapshot!(problems(&rule(json!({}))),
        @r"
    syscalls[0].names: a rule needs the name of at least one syscall
    syscalls[0].action: is required
    ");
}

#[test]
fn name_and_names_together_are_refused() {
    insta::assert_snapshot!(problems(&rule(json!({ "name": "read", "names": ["write"], "action": "SCMP_ACT_LOG" }))),
        @"syscalls[0]: give either names or name, not both");
}

#[test]
fn an_errno_beside_an_action_that_takes_none_is_refused() {
    insta::assert_snapshot!(problems(&json!({ "defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1, "syscalls": [
        { "names": ["read"], "action": "SCMP_ACT_KILL", "errnoRet": 1 },
        { "names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": "EPERM" } ] })),
        @r#"
    defaultErrnoRet: defaultAction SCMP_ACT_ALLOW takes none; use SCMP_ACT_ERRNO or SCMP_ACT_TRACE
    syscalls[0].errnoRet: action SCMP_ACT_KILL takes none; use SCMP_ACT_ERRNO or SCMP_ACT_TRACE
    syscalls[1].errnoRet: expected a number from 0 to 4094, found "EPERM"
    "#);
}

#[test]
fn a_number_that_libseccomp_refuses_beside_an_action_is_refused() {
    let with = |action: &str, number: u32| {
        json!({ "defaultAction": action, "defaultErrnoRet": number, "syscalls": [
            { "names": ["read"], "action": action, "errnoRet": number } ] })
    };
    for (action, highest) in [("SCMP_ACT_ERRNO", 4094), ("SCMP_ACT_TRACE", 65_535)] {
        for number in [0, 1, highest] {
            assert!(Profile::from_value(&with(action, number)).is_ok(), "{action} {number}");
        }
        for number in [highest + 1, 70_000] {
            assert_eq!(
                problems(&with(action, number)),
                format!(
                    "defaultErrnoRet: expected a number from 0 to {highest}, found {number}\n\
                     syscalls[0].errnoRet: expected a number from 0 to {highest}, found {number}"
                )
            );
        }
    }
}

#[test]
fn a_name_that_no_syscall_can_have_is_refused() {
    for bad in [json!("Read"), json!("re ad"), json!(""), json!("r".repeat(65)), json!(7), json!("é")] {
        let found = problems(&rule(json!({ "names": [bad], "action": "SCMP_ACT_LOG" })));
        assert!(found.starts_with("syscalls[0].names[0]: "), "{found}");
    }
}

#[test]
fn every_bound_holds_and_is_named() {
    let rule = |names: usize, args: usize| {
        json!({ "names": vec!["read"; names], "action": "SCMP_ACT_LOG",
                "args": (0..args).map(|i| json!({ "index": i, "value": 0, "op": "SCMP_CMP_EQ" })).collect::<Vec<_>>() })
    };
    let profile =
        |rules: Vec<serde_json::Value>| json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules });
    assert!(Profile::from_value(&profile(vec![rule(8, 2); 512])).is_ok());
    for (bad, message) in [
        (profile(vec![rule(1, 0); 513]), "syscalls: 513 items, at most 512 are allowed"),
        (profile(vec![rule(1025, 0)]), "syscalls[0].names: 1025 items, at most 1024 are allowed"),
        (profile(vec![rule(17, 0); 241]), "syscalls: 4097 names in all, at most 4096 are allowed"),
        (profile(vec![rule(1, 7)]), "syscalls[0].args: 7 items, at most 6 are allowed"),
        (profile(vec![rule(1, 5); 205]), "syscalls: 1025 arguments in all, at most 1024 are allowed"),
    ] {
        assert_eq!(problems(&bad), message);
    }
}

#[test]
fn a_key_that_stands_twice_is_refused() {
    let error =
        Profile::from_slice(br#"{"defaultAction":"SCMP_ACT_ALLOW","defaultAction":"SCMP_ACT_ERRNO"}"#)
            .unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"the key "defaultAction" appears twice in one object at line 1 column 49"#
    );
}

#[test]
fn paths_can_be_put_below_the_field_that_holds_the_profile() {
    let error = Profile::from_value(&json!([])).unwrap_err().under("spec.contents");
    assert_eq!(error.to_string(), "spec.contents: expected an object, found a list");
    let error = Profile::from_value(&json!({})).unwrap_err().under("spec.contents");
    assert_eq!(error.to_string(), "spec.contents.defaultAction: is required");
}

#[test]
fn a_wholly_wrong_document_reports_ten_problems_at_most() {
    let error =
        Profile::from_value(&rule(json!({ "names": vec![json!(null); 500], "action": 1 }))).unwrap_err();
    assert_eq!(error.problems().len(), 10);
}
