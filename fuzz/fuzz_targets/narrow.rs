//! A profile that an image carries, narrowed by a baseline.
#![no_main]

use std::collections::BTreeSet;
use std::sync::LazyLock;

use convert::Machine;
use filter::{Filter, Library, Runtime, Setting, numbers};
use libfuzzer_sys::fuzz_target;
use profile::Profile;
use syscalls::Libseccomp;

static BASELINE: LazyLock<Profile> = LazyLock::new(|| {
    let profile = br#"{
        "defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
        "flags": ["SECCOMP_FILTER_FLAG_LOG"],
        "syscalls": [
            { "names": ["read", "write", "openat"], "action": "SCMP_ACT_ALLOW" },
            { "names": ["clone"], "action": "SCMP_ACT_ALLOW",
              "args": [{ "index": 0, "op": "SCMP_CMP_MASKED_EQ", "value": 240, "valueTwo": 16 }] }
        ]
    }"#;
    Profile::from_slice(profile).expect("a profile")
});

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match narrow::narrow(text, &BASELINE, &BTreeSet::from([Machine::Amd64])) {
        Ok(narrowed) => {
            assert_eq!(narrowed.profile.flags(), BASELINE.flags());
            assert!(narrowed.profile.listener().is_none());
            let number = numbers(Libseccomp::V2_6_1);
            let library = Library::from(Libseccomp::V2_6_1);
            let native = Machine::Amd64.native();
            let setting = Setting { runtime: Runtime::RUNC_1_2, library, native, number: &number };
            if let Ok(filter) = Filter::new(&narrowed.profile, &setting) {
                let baseline = Filter::new(&BASELINE, &setting).expect("a filter");
                assert_eq!(filter.more_permissive(&baseline), Ok(None));
            }
        }
        Err(refused) => assert!(!refused.reason().is_empty()),
    }
});
