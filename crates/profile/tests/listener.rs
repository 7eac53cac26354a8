//! A complete listener is accepted, and each part is rejected without the others.

#![expect(clippy::expect_used, reason = "a helper of tests may fail")]

use profile::{Action, Flag, PlainProfile, Profile};
use serde_json::{Value, json};

const PATH: &str = "/run/seccomp/agent.sock";

fn listening() -> Value {
    json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"],
        "listenerPath": PATH,
        "listenerMetadata": "team=\"a\"",
        "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY" }]
    })
}

fn without(mut document: Value, field: &str) -> Value {
    document.as_object_mut().expect("a profile is an object").remove(field);
    document
}

fn with(mut document: Value, field: &str, value: Value) -> Value {
    document[field] = value;
    document
}

/// The problems of a profile, one per line.
fn problems(value: &Value) -> String {
    let error = Profile::from_value(value).expect_err("the profile should be refused");
    assert!(serde_json::from_str::<PlainProfile<'_>>(&value.to_string()).is_err(), "{error}");
    error.problems().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_listener_is_read_with_all_that_belongs_to_it() {
    let profile = Profile::from_value(&listening()).unwrap();
    let listener = profile.listener().unwrap();
    assert_eq!((listener.path(), listener.metadata()), (PATH, "team=\"a\""));
    assert_eq!(profile.flags(), [Flag::WaitKillableRecv]);
    assert_eq!(profile.rules()[0].action(), Action::Notify);
    let bytes = profile.canonical();
    insta::assert_snapshot!(String::from_utf8_lossy(bytes.bytes()), @r#"{"defaultAction":"SCMP_ACT_ALLOW","flags":["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"],"listenerPath":"/run/seccomp/agent.sock","listenerMetadata":"team=\"a\"","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_NOTIFY"}]}"#);
    assert_eq!(Profile::from_slice(bytes.bytes()).unwrap(), profile);
}

#[test]
fn a_listener_needs_neither_metadata_nor_a_flag() {
    let bare = without(without(listening(), "flags"), "listenerMetadata");
    let profile = Profile::from_value(&bare).unwrap();
    assert_eq!(profile.listener().unwrap().metadata(), "");
    // For a runtime, absent and empty metadata are the same.
    let empty = Profile::from_value(&with(bare, "listenerMetadata", json!(""))).unwrap();
    assert_eq!(empty.canonical(), profile.canonical());
}

#[test]
fn every_part_of_a_listener_is_rejected_without_the_others() {
    insta::assert_snapshot!(problems(&without(listening(), "listenerPath")), @r"
    listenerPath: SCMP_ACT_NOTIFY needs it: the socket of the seccomp agent that answers
    listenerMetadata: is handed to a listener; give listenerPath, too, or leave it out
    flags: SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV is about calls that wait for a listener; give listenerPath, too, or leave it out
    ");
    insta::assert_snapshot!(problems(&without(listening(), "syscalls")),
        @"listenerPath: no rule has the action SCMP_ACT_NOTIFY, and crun would hand over a descriptor all the same; leave it out");
}

#[test]
fn notify_is_refused_where_runc_cannot_start_with_it() {
    insta::assert_snapshot!(problems(&with(listening(), "defaultAction", json!("SCMP_ACT_NOTIFY"))),
        @"defaultAction: SCMP_ACT_NOTIFY cannot be the default, because runc refuses it; give it to the syscalls of a rule");
    for rule in [json!({ "names": ["mkdir", "write"] }), json!({ "name": "write" })] {
        let rule = with(rule, "action", json!("SCMP_ACT_NOTIFY"));
        assert_eq!(
            problems(&with(listening(), "syscalls", json!([rule]))),
            "syscalls[0]: write cannot have SCMP_ACT_NOTIFY, because runc hands the listener over with it; leave it out"
        );
    }
    let rule = json!({ "names": ["mkdir"], "action": "SCMP_ACT_NOTIFY", "errnoRet": 1 });
    insta::assert_snapshot!(problems(&with(listening(), "syscalls", json!([rule]))),
        @"syscalls[0].errnoRet: action SCMP_ACT_NOTIFY takes none; use SCMP_ACT_ERRNO or SCMP_ACT_TRACE");
}

#[test]
fn a_path_is_absolute_without_dots_and_short_enough_for_a_socket() {
    let longest = format!("/{}", "s".repeat(106));
    for good in [longest.as_str(), "/a", "/run/.hidden/..agent/a b:c@d~.sock", "/run/..."] {
        let profile = Profile::from_value(&with(listening(), "listenerPath", json!(good))).unwrap();
        assert_eq!(profile.listener().unwrap().path(), good);
    }
    let too_long = format!("/{}", "s".repeat(107));
    for bad in [
        "",
        "/",
        "agent.sock",
        "./agent.sock",
        "@abstract",
        "unix:///run/a",
        "/run//a",
        "/run/a/",
        "/run/./a",
        "/run/../a",
        "/..",
        "/run/..",
        "/run/a\0",
        "/run/a\n",
        "/run/é",
        &too_long,
    ] {
        let found = problems(&with(listening(), "listenerPath", json!(bad)));
        assert!(
            found.starts_with(
                "listenerPath: expected the absolute path of a socket on the nodes, of 1 to 107 "
            ),
            "{bad}: {found}"
        );
    }
    insta::assert_snapshot!(problems(&with(listening(), "listenerPath", json!(["/run/a"]))),
        @"listenerPath: expected text, found a list");
}

#[test]
fn metadata_is_bounded_text() {
    assert!(Profile::from_value(&with(listening(), "listenerMetadata", json!("é".repeat(1024)))).is_ok());
    insta::assert_snapshot!(problems(&with(listening(), "listenerMetadata", json!("m".repeat(1025)))),
        @"listenerMetadata: 1025 characters, at most 1024 are allowed");
    insta::assert_snapshot!(problems(&with(listening(), "listenerMetadata", json!({}))),
        @"listenerMetadata: expected text, found an object");
}
