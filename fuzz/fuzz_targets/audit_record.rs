//! What an audit socket receives.
#![no_main]

use audit::{MAX_PROGRAM, ProcessEvent, Record, Serials, answer_to_request, messages};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut serials = Serials::default();
    for message in messages(bytes) {
        check(message.payload, &mut serials);
        let _ = ProcessEvent::parse(message.payload);
        let _ = answer_to_request(message.payload, 7);
    }
    // Most of what is tried has no header.
    check(bytes, &mut serials);
});

fn check(text: &[u8], serials: &mut Serials) {
    let Ok(record) = Record::parse(text) else { return };
    assert_eq!(Record::serial_of(text), Some(record.serial));
    assert!(record.program.len() <= MAX_PROGRAM);
    serials.saw(record.serial);
    serials.settle();
    assert!(serials.last().is_some() && serials.lost() < u64::MAX);
    // What the record says is in the text, each between spaces.
    let fields: Vec<_> =
        text.split(|byte| *byte == b' ').filter_map(|field| std::str::from_utf8(field).ok()).collect();
    let has = |name: &str, value: u32, radix| {
        let values = fields.iter().filter_map(|field| field.strip_prefix(name));
        values.into_iter().any(|text| u32::from_str_radix(text.trim_start_matches("0x"), radix) == Ok(value))
    };
    assert!(has("pid=", record.pid, 10));
    assert!(has("arch=", record.call.arch.0, 16));
    let negative = fields.iter().any(|field| field.starts_with("syscall=-"));
    assert!(negative || has("syscall=", record.call.number, 10));
}
