//! A system call as a user writes it, read and explained under a profile with conditions.
#![no_main]

use std::sync::LazyLock;

use cli::call::Asked;
use cli::setting::SettingOptions;
use filter::{Call, Explainer};
use libfuzzer_sys::fuzz_target;
use profile::Profile;
use syscalls::Architecture;

static EXPLAINER: LazyLock<Explainer> = LazyLock::new(|| {
    let profile = br#"{
        "defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
        "syscalls": [
            { "names": ["read", "openat"], "action": "SCMP_ACT_ALLOW" },
            { "names": ["socket", "clone"], "action": "SCMP_ACT_ALLOW",
              "args": [{ "index": 0, "op": "SCMP_CMP_MASKED_EQ", "value": 240, "valueTwo": 16 }] },
            { "names": ["socket"], "action": "SCMP_ACT_LOG", "args": [{ "index": 1, "op": "SCMP_CMP_GE", "value": 3 }] }
        ]
    }"#;
    let profile = Profile::from_slice(profile).expect("a profile");
    SettingOptions::default().explainer(&profile).expect("a filter")
});

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let asked = match Asked::read(text, Architecture::X86_64) {
        Ok(asked) => asked,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let found =
        EXPLAINER.explain(asked.architecture, asked.number, &asked.arguments).expect("few conditions");
    let last = found.cases.last().expect("at least one case");
    assert!(last.conditions.is_empty(), "the last case always applies");
    // Where all of the arguments are known, there is one verdict, and it is the filter's.
    if let Some(arguments) = asked.arguments.exact() {
        let Asked { architecture, number, .. } = asked;
        assert_eq!(found.cases.len(), 1);
        assert_eq!(last.verdict, EXPLAINER.filter().decide(&Call { architecture, number, arguments }));
    }
});
