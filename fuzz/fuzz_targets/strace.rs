//! A log of strace, from whatever wrote it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use strace::{Call, Event, Reader};
use syscalls::{Architecture, Syscall};

fuzz_target!(|bytes: &[u8]| {
    for architecture in [Architecture::X86_64, Architecture::Aarch64, Architecture::S390x] {
        let mut reader = Reader::new(architecture);
        for line in bytes.split(|byte| *byte == b'\n') {
            if let Event::Call(call) = reader.line(line) {
                check(line, &call);
            }
        }
    }
});

fn check(line: &[u8], call: &Call<'_>) {
    assert!(
        line.windows(call.name.len()).any(|part| part == call.name.as_bytes()),
        "the name is in the line"
    );
    for bits in call.arguments() {
        assert_eq!(bits.value & !bits.known, 0, "no bit is unknown and set");
    }
    // Without a number in the line, it is that of the name.
    let named = Syscall::from_name(call.name).and_then(|named| named.number(call.architecture));
    if let (Some(named), Some(number), false) = (named, call.number, call.is_numbered) {
        assert_eq!(named, number, "{}", call.name);
    }
}
