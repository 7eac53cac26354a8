//! What crun alone has: an annotation that makes it refuse names that it does not know, and a cache of compiled filters.

use std::collections::BTreeSet;
use std::fs::{self, File, FileTimes};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::container::{Container, Start};
use crate::installed::Installed;
use crate::several::{All, with, with_flags, with_rule};

/// Refuses calls with these names.
fn refusing(names: &[&str]) -> Value {
    let rule = json!({ "names": names, "action": "SCMP_ACT_ERRNO" });
    json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [rule] })
}

#[test]
#[ignore = "long: builds or downloads other versions"]
fn with_an_annotation_crun_refuses_names_that_no_architecture_has() {
    let all = All::new();
    let starts = |runtime: &Installed, name: &str, value: Option<&str>| {
        let profile = refusing(&[name]);
        let mut container = Container { seccomp: Some(&profile), ..Container::default() };
        if let Some(value) = value {
            container.annotations = json!({ "run.oci.seccomp_fail_unknown_syscall": value });
        }
        match all.root.run(runtime, &container) {
            Start::Ran(_) => true,
            Start::Refused(why) => {
                assert!(why.contains("invalid seccomp syscall"), "{}: {why}", runtime.name);
                false
            }
            Start::Late => panic!("{}", runtime.name),
        }
    };
    for runtime in all.crun() {
        for (name, value, expected) in [
            ("frobnicate", None, true),
            ("frobnicate", Some("0"), true),
            ("frobnicate", Some("1"), false),
            ("frobnicate", Some(""), false),
            // Only 32-bit x86 has it.
            ("socketcall", Some("1"), true),
        ] {
            assert_eq!(starts(runtime, name, value), expected, "{}: {name} {value:?}", runtime.name);
        }
    }
}

/// The compiled filters that crun keeps below its state directory.
fn kept(state: &Path) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(state.join(".cache/seccomp")).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
#[ignore = "long: builds or downloads other versions"]
fn newer_crun_loads_a_filter_again_that_it_has_compiled_before() {
    let all = All::new();
    for runtime in all.crun() {
        let state = tempfile::tempdir().unwrap();
        let start = |profile: &Value| {
            let container =
                Container { seccomp: Some(profile), state: Some(state.path()), ..Container::default() };
            let start = all.root.run(runtime, &container);
            assert!(matches!(start, Start::Ran(_)), "{}: {start:?}", runtime.name);
        };
        let profile = with_rule(json!({ "action": "SCMP_ACT_ERRNO" }));
        start(&profile);
        if runtime.name == "crun-1.8.1" {
            assert!(kept(state.path()).is_empty());
            continue;
        }
        let first = kept(state.path());
        let [file] = Vec::from_iter(&first)[..] else { panic!("{}: {first:?}", runtime.name) };
        // Long ago, so that a file system that notes the time of access seldom does.
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_hours(24);
        File::options()
            .write(true)
            .open(file)
            .unwrap()
            .set_times(FileTimes::new().set_accessed(long_ago).set_modified(long_ago))
            .unwrap();
        start(&profile);
        let file = fs::metadata(file).unwrap();
        assert_eq!((file.modified().unwrap(), kept(state.path())), (long_ago, first), "{}", runtime.name);
        assert!(file.accessed().unwrap() > long_ago, "{}", runtime.name);

        start(&with_flags(&profile, &["LOG"]));
        assert_eq!(kept(state.path()).len(), 2, "{}", runtime.name);
        start(&with(&profile, "architectures", json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"])));
        assert_eq!(kept(state.path()).len(), 3, "{}", runtime.name);
    }
}
