//! The name of a link to a container's log, and the path that it leads to.
#![no_main]

use audit::ContainerName;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let (name, target) = text.split_once('\n').unwrap_or((&text, ""));
    if let Some((id, found)) = ContainerName::from_log_link(name, target) {
        assert!(name.ends_with(&format!("-{id}.log")));
        for part in [&found.namespace, &found.pod, &found.container] {
            assert!(!part.is_empty() && !part.contains(['/', '_']) && part != "..");
            assert!(name.contains(part.as_str()) || target.contains(part.as_str()));
        }
    }
});
