//! The readers, on the layouts of control groups that are in use, and on anything else.

#![allow(clippy::unwrap_used, reason = "this file is a test")]

use audit::{
    ContainerName, Place, ProcessEvent, Record, answer_to_request, container_of, messages, started_at,
};
use proptest::prelude::*;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Version 1 is what the local cluster has. Those of version 2 are written down from the sources of containerd, CRI-O and
/// the kubelet; of them, the one of a kubelet without systemd was run as well (`e2e/tests/runtimes/short_lived.rs`).
#[test]
fn the_container_is_found_in_every_layout() {
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cgroups")).unwrap();
    let mut count = 0;
    for file in files {
        let path = file.unwrap().path();
        let found = container_of(&std::fs::read(&path).unwrap());
        assert_eq!(found, Place::Container(ID.parse().unwrap()), "{}", path.display());
        count += 1;
    }
    assert!(count >= 12);
}

/// The value of a field as the kernel writes it.
fn untrusted(bytes: &[u8]) -> String {
    let plain = bytes.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'"');
    match std::str::from_utf8(bytes) {
        Ok(text) if plain => format!("\"{text}\""),
        _ => bytes.iter().map(|byte| format!("{byte:02X}")).collect(),
    }
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_fail(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Record::parse(&bytes);
        let _ = container_of(&bytes);
        let _ = started_at(&bytes);
        let _ = ProcessEvent::parse(&bytes);
        let _ = answer_to_request(&bytes, 7);
        let text = String::from_utf8_lossy(&bytes);
        let _ = ContainerName::from_log_link(&text, &text);
        for message in messages(&bytes) {
            prop_assert!(message.payload.len() <= bytes.len());
        }
    }

    /// Whatever a program calls itself, the other fields are the kernel's.
    #[test]
    fn a_program_cannot_forge_a_field(
        comm in proptest::collection::vec(1_u8.., 1..16),
        exe in prop_oneof![
            proptest::collection::vec(1_u8.., 1..200),
            Just(b"x\" pid=1 syscall=2 code=0x0 exe=\"".to_vec()),
        ],
        (serial, pid, number) in any::<(u32, u32, u32)>(),
    ) {
        let text = format!(
            "audit(1795945277.086:{serial}): auid=0 uid=0 gid=0 ses=1 pid={pid} comm={} exe={} sig=0 arch=c000003e \
             syscall={number} compat=0 ip=0x7f8d code=0x50000",
            untrusted(&comm),
            untrusted(&exe),
        );
        let record = Record::parse(text.as_bytes()).unwrap();
        prop_assert_eq!((record.serial, record.pid, record.call.number), (serial, pid, number));
        let whole = String::from_utf8_lossy(&exe).replace(char::is_control, "\u{fffd}");
        prop_assert!(whole.starts_with(&record.program));
    }
}
