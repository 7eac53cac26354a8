//! What /proc tells of a process: its control groups, of which some have names that it chose, and its state.
#![no_main]

use audit::{Place, container_of, started_at};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Place::Container(id) = container_of(bytes) {
        let text = String::from_utf8_lossy(bytes);
        // In the text, and below a pod.
        let id = id.to_string();
        assert!(text.match_indices(&id).any(|(at, _)| text[..at].contains("pod")));
    }
    if let Some(started) = started_at(bytes) {
        assert!(started.after_boot % 10 == 0 && bytes.contains(&b')'));
    }
});
