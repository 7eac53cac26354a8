//! Profiles of other tools, from whoever wrote the file.
#![no_main]

use convert::operator::OperatorProfile;
use convert::{Capabilities, ConvertError, Converted, Kernel, Machine, Target};
use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use profile::Profile;
use serde_json::Value;

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    fuzz::mutate::mutate(data, size, max_size, seed)
});

fuzz_target!(|bytes: &[u8]| {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return };
    for target in targets() {
        check(convert::dialect::convert(&value, &target));
        if let Ok(profile) = Profile::from_value(&value) {
            let converted = convert::dialect::convert(&value, &Target::default());
            assert_eq!(converted.map(|it| it.profile), Ok(profile), "a plain profile stays what it is");
        }
    }
    match OperatorProfile::read(&value) {
        // Its own base, too.
        Ok(object) => {
            check(convert::operator::convert(&object, &|_, _| None));
            check(convert::operator::convert(&object, &|_, _| Some(&object)));
        }
        Err(error) => check(Err(error)),
    }
});

fn targets() -> [Target; 3] {
    let all = Capabilities::new(&["ALL".to_owned()], &[]).expect("a word of the option");
    let kernel: Kernel = "6.1".parse().expect("a version");
    [
        Target::default(),
        Target { capabilities: all, machines: vec![Machine::S390x], kernel: Some(kernel) },
        Target { machines: vec![Machine::Amd64, Machine::Arm64, Machine::Riscv64], ..Target::default() },
    ]
}

fn check(converted: Result<Converted, ConvertError>) {
    match converted {
        Ok(Converted { profile, remarks }) => {
            let canonical = profile.canonical();
            let again = Profile::from_slice(canonical.bytes()).expect("canonical bytes are a profile");
            assert_eq!(again, profile, "what comes out is a profile");
            for remark in remarks {
                let text = remark.to_string();
                assert!(!text.is_empty());
            }
        }
        Err(error) => assert!(!error.to_string().is_empty() && !error.reason().is_empty()),
    }
}
