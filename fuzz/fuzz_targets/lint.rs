//! A profile's JSON, from whoever may create a `SeccompProfile`, as `lint` and the operator check it.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use lint::{Finding, Nodes, RULES, Safety, check};
use profile::{FieldPath, Profile, Segment};
use serde_json::Value;

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    fuzz::mutate::mutate(data, size, max_size, seed)
});

fuzz_target!(|bytes: &[u8]| {
    let Ok(profile) = Profile::from_slice(bytes) else { return };
    let contents: Value = serde_json::from_slice(bytes).expect("a profile is JSON");
    let nodes = Nodes::default();
    let findings: Vec<Finding> = check(&profile, &nodes);
    for finding in findings.iter().map(|finding| finding.clone().in_contents(&contents)) {
        assert!(RULES.iter().any(|rule| rule.id == finding.rule), "{finding:?}");
        assert!(!finding.message.is_empty() && finding.message.len() < 4096, "{finding:?}");
        assert!(exists(&contents, &finding.path), "{finding:?}");
        let Some(fix) = &finding.fix else { continue };
        let mut fixed = contents.clone();
        assert!(fix.apply(&mut fixed), "{finding:?}");
        match Profile::from_value(&fixed) {
            Ok(fixed) => assert!(
                finding.is_mended(&findings, &check(&fixed, &nodes)),
                "a fix mends its finding: {finding:?}"
            ),
            // An unsafe fix may bring two rules together that clash.
            Err(error) => assert_eq!(fix.safety, Safety::Unsafe, "{finding:?}: {error}"),
        }
    }
});

fn exists(contents: &Value, path: &FieldPath) -> bool {
    let step = |value, segment: &Segment| match segment {
        Segment::Key(key) => Value::get(value, &**key),
        Segment::Index(index) => Value::get(value, *index),
    };
    path.segments().iter().try_fold(contents, step).is_some()
}
