//! Words and keys that the specification of profiles does not have, and what runtimes print about the words that they know.

use serde_json::{Value, json};

use crate::container::{Options, Start, isolated};
use crate::several::{All, with, with_flags, with_rule};

#[test]
#[ignore = "long: builds or downloads other versions"]
fn a_word_that_the_specification_lacks_is_refused_by_all() {
    let all = All::new();
    let errno = with_rule(json!({ "action": "SCMP_ACT_ERRNO" }));
    let condition = json!({ "index": 0, "value": 1, "op": "SCMP_CMP_EQQ" });
    for profile in [
        with(&errno, "defaultAction", json!("SCMP_ACT_DENY")),
        with_rule(json!({ "action": "SCMP_ACT_DENY" })),
        with_rule(json!({ "action": "SCMP_ACT_ERRNO", "args": [condition] })),
        with(&errno, "architectures", json!(["SCMP_ARCH_NATIVE"])),
        with_flags(&errno, &["FROBNICATE"]),
    ] {
        for (runtime, start) in all.start(&profile, &[]) {
            assert!(matches!(start, Start::Refused(_)), "{}: {profile}", runtime.name);
        }
    }
}

#[test]
#[ignore = "long: builds or downloads other versions"]
fn a_key_that_the_specification_lacks_is_ignored_by_all() {
    let all = All::new();
    let mut profile = with_rule(json!({ "action": "SCMP_ACT_ERRNO", "frobnicate": true }));
    profile["frobnicate"] = json!({ "errnoRet": 7 });
    for (runtime, start) in all.start(&profile, &["0:6e".to_owned()]) {
        assert_eq!(start, Start::Ran("0 returns -1\ndone\n".to_owned()), "{}", runtime.name);
    }
}

#[test]
#[ignore = "long: builds or downloads other versions"]
fn an_architecture_outside_the_specification_is_known_to_newer_crun_alone() {
    let all = All::new();
    let profile = with_rule(json!({ "action": "SCMP_ACT_ERRNO" }));
    let profile = with(&profile, "architectures", json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_SH"]));
    for (runtime, start) in all.start(&profile, &[]) {
        let starts = ["crun-1.21", "crun-1.28"].contains(&runtime.name);
        assert_eq!(matches!(start, Start::Ran(_)), starts, "{}: {start:?}", runtime.name);
    }
}

/// runc has libseccomp 2.5.4, which does not know this architecture, and newer crun brings one that does.
#[test]
#[ignore = "long: builds or downloads other versions"]
fn the_features_of_a_runtime_do_not_say_which_architectures_it_loads() {
    let all = All::new();
    let loongarch64 = json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_LOONGARCH64"]);
    let profile = with(&with_rule(json!({ "action": "SCMP_ACT_ERRNO" })), "architectures", loongarch64);
    for (runtime, start) in all.start(&profile, &[]) {
        let output = isolated(runtime, Options::HARMLESS.seconds).arg("features").output().unwrap();
        let features: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let listed = features["linux"]["seccomp"]["archs"].as_array();
        let listed = listed.map(|names| names.contains(&json!("SCMP_ARCH_LOONGARCH64")));
        let expected = match runtime.name {
            "runc-1.5.2" | "runc-1.6.0-rc.1" => (Some(true), false),
            // It has no such command.
            "crun-1.8.1" => (None, false),
            "crun-1.21" | "crun-1.28" => (None, true),
            _ => (Some(false), false),
        };
        assert_eq!((listed, matches!(start, Start::Ran(_))), expected, "{}: {start:?}", runtime.name);
        assert_eq!(output.status.success(), runtime.name != "crun-1.8.1", "{}", runtime.name);
    }
}
