//! What is learned from which files.

use clap::Parser;
use profile::Profile;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

#[derive(Debug, Parser)]
struct Only {
    #[command(flatten)]
    args: LearnArgs,
}

/// Learns from files with these contents.
fn learned(files: &[&str], more: &[&str], base: Option<Value>) -> Result<Learned, LearnError> {
    let directory = tempfile::tempdir().unwrap();
    let mut words = vec!["learn".to_owned(), "--runtime".to_owned(), "none".to_owned()];
    for (number, text) in files.iter().enumerate() {
        let path = directory.path().join(number.to_string());
        std::fs::write(&path, text).unwrap();
        words.extend(["--from".to_owned(), path.display().to_string()]);
    }
    let words =
        words.into_iter().chain(more.iter().map(ToString::to_string)).chain(["-o".into(), "json".into()]);
    let base = base.map(|base| Profile::from_value(&base).unwrap());
    learn(&Only::try_parse_from(words).unwrap().args, base.as_ref())
}

fn contents(learned: &Learned) -> Value {
    serde_json::from_str(&learned.text).unwrap()
}

/// The names that the rules with an action have, in their order.
fn names(contents: &Value, action: &str) -> Vec<String> {
    let rules = contents["syscalls"].as_array().into_iter().flatten();
    let names =
        rules.filter(|rule| rule["action"] == action).flat_map(|rule| rule["names"].as_array().unwrap());
    names.map(|name| name.as_str().unwrap().to_owned()).collect()
}

const LOG: &str = "\
execve(\"/bin/sh\", [\"sh\"], 0x7ffc /* 1 var */) = 0
[pid    12] mount(\"a\", \"/b\", NULL, 0, NULL) = -1 EPERM (Operation not permitted)
[pid    12] read(0, <unfinished ...>
write(1, \"x\", 1)                        = 1
[pid    12] <... read resumed>\"\", 9)    = 0
write(1, \"x\", 1)                        = 1
+++ exited with 0 +++
";

fn observation(calls: &Value, lost: i64) -> String {
    let container = json!({
        "namespace": "shop", "pod": "web-1", "container": "main", "containerId": "c", "calls": calls,
    });
    let other = json!({
        "namespace": "shop", "pod": "db-1", "container": "main", "containerId": "d", "calls": [
            { "architecture": "x86_64", "number": 0, "name": "fsync", "action": "SCMP_ACT_LOG", "count": 1 },
        ],
    });
    json!({
        "apiVersion": "seccomp.imjasonh.dev/v1alpha1", "kind": "SeccompObservation", "metadata": { "name": "n1" },
        "spec": {}, "status": { "report": {
            "observerVersion": "0.1.0", "state": "Observing", "containers": [container, other], "outside": 3,
            "unknown": 0, "forgotten": 0, "lost": lost, "boot": "b",
        } },
    })
    .to_string()
}

fn calls() -> Value {
    json!([
        { "architecture": "x86_64", "number": 257, "name": "openat", "action": "SCMP_ACT_LOG", "count": 7 },
        { "architecture": "i386", "number": 3, "name": "read", "action": "SCMP_ACT_LOG", "count": 2 },
        { "architecture": "x86_64", "number": 165, "name": "mount", "action": "SCMP_ACT_ERRNO", "count": 3 },
        { "architecture": "x86_64", "number": 999, "name": "syscall_0x3e7", "action": "SCMP_ACT_LOG", "count": 1 },
    ])
}

#[test]
fn every_call_in_a_log_of_strace_is_permitted_whatever_it_returned_and_nothing_else_is() {
    let learned = learned(&[LOG], &[], None).unwrap();
    let contents = contents(&learned);
    assert_eq!(names(&contents, "SCMP_ACT_ALLOW"), ["execve", "mount", "read", "write"]);
    assert_eq!(contents["defaultAction"], "SCMP_ACT_ERRNO");
    assert_eq!(contents["architectures"], json!(["SCMP_ARCH_X86_64"]));
    assert!(learned.is_complete && learned.remarks.is_empty(), "{learned:?}");
    let evidence: Value = serde_json::from_str(&learned.evidence).unwrap();
    let write = &evidence["calls"][3];
    assert_eq!((&write["name"], &write["count"]), (&json!("write"), &json!(2)));
    assert!(write["first"].as_str().unwrap().ends_with("0:4"), "{write}");
}

#[test]
fn files_of_several_runs_and_tools_are_merged() {
    let runsc = "I0807 19:49:37.861294       1 strace.go:561] [   1:   1] python3 E getrandom(0x0, 0x8, 0x0)\n\
                 I0807 19:49:37.861294       1 strace.go:599] [   1:   1] python3 X getrandom(0x0, 0x8, 0x0) = 8 (0x8)\n";
    let recorded = r#"{ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{ "names": ["brk"], "action": "SCMP_ACT_ALLOW" }] }"#;
    let learned = learned(&[LOG, runsc, recorded, &observation(&calls(), 0)], &[], None).unwrap();
    let contents = contents(&learned);
    let expected = ["brk", "execve", "fsync", "getrandom", "mount", "openat", "read", "write"];
    assert_eq!(names(&contents, "SCMP_ACT_ALLOW"), expected);
    assert_eq!(contents["architectures"], json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]));
    assert!(learned.is_complete, "{learned:?}");
}

#[test]
fn of_an_observation_what_was_logged_is_learned_and_what_was_refused_stays_refused() {
    let learned = learned(&[&observation(&calls(), 0)], &["--container", "shop/web-*/*"], None).unwrap();
    assert_eq!(names(&contents(&learned), "SCMP_ACT_ALLOW"), ["openat", "read"]);
    assert_eq!(
        learned.remarks,
        [
            "not learned: mount, SCMP_ACT_ERRNO 3 times in shop/web-1/main",
            "not learned: syscall_0x3e7, which no profile can name, once from shop/web-1/main",
        ]
    );
}

#[test]
fn records_that_were_lost_and_lines_that_are_not_understood_make_the_result_incomplete() {
    let lost = learned(&[&observation(&calls(), 5)], &[], None).unwrap();
    assert!(!lost.is_complete);
    assert!(lost.remarks.iter().any(|it| it == "calls may be missing: n1: 5 audit records lost"), "{lost:?}");
    let unread = learned(&[LOG, "what is this\nread(0, \"\", 1) = 0\n"], &[], None).unwrap();
    assert!(!unread.is_complete);
    assert!(unread.remarks[0].starts_with("calls may be missing: 1 line is not understood"), "{unread:?}");
}

#[test]
fn a_base_keeps_what_it_permits_and_refuses_and_no_longer_logs() {
    let base = json!({
        "defaultAction": "SCMP_ACT_LOG",
        "syscalls": [
            { "names": ["exit_group", "read"], "action": "SCMP_ACT_ALLOW" },
            { "names": ["mount", "bpf"], "action": "SCMP_ACT_KILL_PROCESS" },
            { "names": ["write", "fsync"], "action": "SCMP_ACT_LOG" },
            { "names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [{ "index": 0, "value": 1, "op": "SCMP_CMP_EQ" }] },
        ],
    });
    let learned = learned(&[LOG], &[], Some(base)).unwrap();
    let contents = contents(&learned);
    assert_eq!(contents["defaultAction"], "SCMP_ACT_ERRNO");
    assert_eq!(names(&contents, "SCMP_ACT_ALLOW"), ["exit_group", "read", "clone", "execve", "write"]);
    assert_eq!(names(&contents, "SCMP_ACT_KILL_PROCESS"), ["mount", "bpf"]);
    assert_eq!(names(&contents, "SCMP_ACT_LOG"), Vec::<String>::new());
    assert_eq!(learned.remarks, ["not learned: mount, which a rule of --base refuses"]);
}

#[test]
fn beside_a_default_that_permits_what_was_logged_and_not_seen_is_refused_by_its_rule() {
    let base = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": ["write", "fsync"], "action": "SCMP_ACT_LOG" }],
    });
    let contents = contents(&learned(&[LOG], &[], Some(base)).unwrap());
    assert_eq!(contents["defaultAction"], "SCMP_ACT_ALLOW");
    assert_eq!(contents["syscalls"], json!([{ "names": ["fsync"], "action": "SCMP_ACT_ERRNO" }]));
}

#[test]
fn the_runtimes_own_calls_are_added() {
    let with = learned(&[LOG], &["--runtime", "crun"], None).unwrap();
    let names = names(&contents(&with), "SCMP_ACT_ALLOW");
    assert!(names.contains(&"close_range".to_owned()), "{names:?}");
    let evidence: Value = serde_json::from_str(&with.evidence).unwrap();
    assert!(evidence["byRuntime"].as_array().unwrap().contains(&json!("close_range")), "{evidence}");
}

#[test]
fn a_file_without_calls_or_of_another_kind_is_an_error_that_says_so() {
    let error = |text: &str| learned(&[text], &[], None).unwrap_err();
    assert_eq!(error("+++ exited with 0 +++\n").reason(), "NoCalls");
    assert_eq!(error(r#"{ "kind": "Pod" }"#).reason(), "OtherKind");
    assert_eq!(error("{").reason(), "NoJson");
    assert!(
        error(r#"{ "kind": "Pod" }"#)
            .to_string()
            .ends_with("Pod is neither a SeccompObservation nor a list of them")
    );
    let list = format!(r#"{{ "kind": "List", "items": [{}] }}"#, observation(&calls(), 0));
    assert!(learned(&[&list], &[], None).is_ok());
}

proptest! {
    #[test]
    fn no_log_makes_the_reader_fail_and_no_call_is_invented(log in "([ -~]{0,60}\n){0,8}") {
        let is_json = log.trim_start().starts_with('{');
        match learned(&[&log], &[], None) {
            Ok(learned) => for name in names(&contents(&learned), "SCMP_ACT_ALLOW") {
                // A log may have the number of a call in place of its name.
                prop_assert!(log.contains(&name) || log.contains("syscall_"), "{}", name);
            },
            Err(error) => prop_assert!(error.reason() == "NoCalls" || is_json),
        }
    }
}
