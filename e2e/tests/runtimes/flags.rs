//! The flags with which runtimes load a filter, as strace sees them.

use std::fs;

use serde_json::{Value, json};

use crate::container::{Container, Root, Start};
use crate::installed::Installed;
use crate::several::{All, with_flags, with_rule};

/// The flags of each filter that the runtime loads, without their common prefix.
fn loaded(root: &Root, runtime: &Installed, profile: &Value) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("trace");
    let container = Container { seccomp: Some(profile), trace: Some(&trace), ..Container::default() };
    let start = root.run(runtime, &container);
    assert!(matches!(start, Start::Ran(_)), "{}: {start:?}", runtime.name);
    let trace = fs::read_to_string(trace).unwrap();
    let calls = trace.lines().filter(|line| line.ends_with(" = 0"));
    let flags = calls.filter_map(|line| {
        if line.contains("prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ") {
            return Some("0");
        }
        let (flags, program) = line.split_once("seccomp(SECCOMP_SET_MODE_FILTER, ")?.1.split_once(", ")?;
        program.starts_with('{').then_some(flags)
    });
    flags.map(|flags| flags.replace("SECCOMP_FILTER_FLAG_", "")).collect()
}

#[test]
#[ignore = "long: builds or downloads other versions"]
fn a_runtime_sets_spec_allow_for_a_profile_without_flags_and_crun_alone_sets_tsync() {
    let all = All::new();
    let profile = with_rule(json!({ "action": "SCMP_ACT_ERRNO" }));
    for runtime in all.runtimes() {
        let is_old = ["runc-1.1.5", "runc-1.1.15"].contains(&runtime.name);
        let loaded = |profile: &Value| loaded(&all.root, runtime, profile);
        assert_eq!(loaded(&profile), [if is_old { "0" } else { "SPEC_ALLOW" }], "{}", runtime.name);
        assert_eq!(loaded(&with_flags(&profile, &[])), ["0"], "{}", runtime.name);
        // It refuses every flag.
        if !is_old {
            let flags = if runtime.is_crun() { "TSYNC|LOG" } else { "LOG" };
            assert_eq!(loaded(&with_flags(&profile, &["LOG", "TSYNC"])), [flags], "{}", runtime.name);
        }
    }
}
