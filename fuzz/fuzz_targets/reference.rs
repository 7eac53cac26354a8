//! A reference to an image, as somebody wrote it into a pod.
#![no_main]

use libfuzzer_sys::fuzz_target;
use registry::Reference;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Reference::parse(text) {
        Ok(reference) => {
            let canonical = reference.to_string();
            assert_eq!(Reference::parse(&canonical).as_ref(), Ok(&reference), "{canonical}");
            let path = reference.repository().path();
            assert!(text.contains(path.trim_start_matches("library/")), "the path is in the text");
        }
        Err(error) => assert!(!error.reason().is_empty()),
    }
});
