//! A profile's JSON, from whoever may create a `SeccompProfile`.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use profile::{
    Action, Architecture, Comparison, ContentHash, Flag, ParseError, PlainProfile, Profile, Segment,
};
use serde_json::Value;

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    fuzz::mutate::mutate(data, size, max_size, seed)
});

fuzz_target!(
    init: for words in [Action::NAMES, Architecture::NAMES, Comparison::NAMES, Flag::NAMES] {
        fuzz::mutate::assert_known(words);
    },
    |bytes: &[u8]| {
        if let Ok(plain) = serde_json::from_slice::<PlainProfile>(bytes) {
            let profile = Profile::from_slice(bytes).expect("what is decoded without a tree is valid");
            assert_eq!(plain.canonical(), profile.canonical(), "it has the same canonical bytes");
        }
        match Profile::from_slice(bytes) {
            Ok(profile) => check(bytes, &profile),
            Err(error) => check_error(bytes, &error),
        }
    }
);

fn check(bytes: &[u8], profile: &Profile) {
    let canonical = profile.canonical();
    let again = Profile::from_slice(canonical.bytes()).expect("canonical bytes are a profile");
    assert_eq!(again, *profile, "canonical bytes are the same profile");
    assert_eq!(again.canonical(), canonical, "canonical bytes are their own canonical bytes");
    assert_eq!(canonical.hash(), ContentHash::of(canonical.bytes()));
    assert_eq!(canonical.hash().to_string().parse(), Ok(canonical.hash()));

    let document: Value = serde_json::from_slice(bytes).expect("a profile is JSON");
    assert_eq!(Profile::from_value(&document).as_ref(), Ok(profile), "a value reads as its text does");
    let kept: Value = serde_json::from_slice(canonical.bytes()).expect("canonical bytes are JSON");
    assert_eq!(kept, plain(document), "canonical bytes say what the author said");
}

/// The document without what a profile may leave out, in the spelling of the canonical bytes.
fn plain(value: Value) -> Value {
    let map = match value {
        Value::Array(items) => return items.into_iter().map(plain).collect(),
        Value::Object(map) => map,
        scalar => return scalar,
    };
    map.into_iter()
        .filter_map(|(key, value)| match (key.as_str(), value) {
            ("name", Value::String(name)) => {
                (!name.is_empty()).then(|| ("names".to_owned(), Value::Array(vec![name.into()])))
            }
            ("value" | "valueTwo", value) => {
                let number = match &value {
                    Value::String(text) => match text.strip_prefix("0x") {
                        Some(digits) => u64::from_str_radix(digits, 16).ok(),
                        None => text.parse().ok(),
                    },
                    other => other.as_u64(),
                };
                let number = number.expect("a number");
                (key == "value" || number != 0).then(|| (key, number.into()))
            }
            ("listenerMetadata", Value::String(metadata)) if metadata.is_empty() => None,
            (_, Value::Array(items)) if items.is_empty() => None,
            (_, value) => Some((key, plain(value))),
        })
        .collect()
}

fn check_error(bytes: &[u8], error: &ParseError) {
    assert!((1..=10).contains(&error.problems().len()), "{error}");
    let document: Option<Value> = serde_json::from_slice(bytes).ok();
    for problem in error.problems() {
        assert!(!problem.message.is_empty() && problem.message.len() < 2048, "{problem}");
        assert!(problem.path.to_string().len() < 1024, "{problem}");
        let segments = problem.path.segments();
        match &document {
            Some(document) => assert!(leads_somewhere(document, segments), "{problem}"),
            None => assert_eq!(segments, [], "what is no JSON has no fields"),
        }
    }
}

/// Whether there is an object or a list where the path's last part stands or is missing.
fn leads_somewhere(document: &Value, path: &[Segment]) -> bool {
    let Some((_, parents)) = path.split_last() else { return true };
    let parent = parents.iter().try_fold(document, |value, segment| match segment {
        Segment::Key(key) => value.get(&**key),
        Segment::Index(index) => value.get(index),
    });
    parent.is_some_and(|parent| parent.is_object() || parent.is_array())
}
