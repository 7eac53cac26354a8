//! What it takes to read a profile strictly and to hash its canonical bytes: every agent does it for every profile
//! whose text is news, and the operator for every event. `cargo bench -p bench --bench canonical`.

mod clock;

use std::hint::black_box;

use profile::limits::{NAMES, NAMES_PER_RULE, RULES};
use profile::{ParseError, Profile};
use serde_json::{Value, json};

const ROUNDS: usize = 20;
const PIECES: u32 = 50;

fn main() -> Result<(), ParseError> {
    println!("{:<28}{:>12}{:>14}{:>14}", "profile", "bytes", "µs, decoded", "µs, canonical");
    for (what, contents) in [
        ("3 KB", of_names(190)),
        ("10 KB", of_names(600)),
        ("the most names", of_names(NAMES)),
        ("the most rules for a call", of_shared_names()),
    ] {
        let text = contents.to_string();
        // What is refused is refused at once, and would say nothing.
        Profile::from_value(&contents)?;
        let decoded = clock::least(ROUNDS, PIECES, || {
            for _ in 0..PIECES {
                black_box(serde_json::from_str::<Value>(black_box(&text)).is_ok());
            }
        });
        let canonical = clock::least(ROUNDS, PIECES, || {
            for _ in 0..PIECES {
                if let Ok(profile) = Profile::from_value(black_box(&contents)) {
                    black_box(profile.canonical().hash());
                }
            }
        });
        let micros = [decoded, canonical].map(|time| time.as_secs_f64() * 1e6);
        println!("{what:<28}{:>12}{:>14.1}{:>14.1}", text.len(), micros[0], micros[1]);
    }
    Ok(())
}

fn of_names(count: usize) -> Value {
    let names: Vec<_> = (0..count).map(|name| format!("syscall_{name:04}_x")).collect();
    let rules: Vec<_> = names
        .chunks(NAMES_PER_RULE)
        .map(|names| json!({ "names": names, "action": "SCMP_ACT_ALLOW" }))
        .collect();
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": rules,
    })
}

/// Every rule has its names in common with every other one, with which it may clash.
fn of_shared_names() -> Value {
    let names: Vec<_> = (0..NAMES / RULES).map(|name| format!("syscall_{name}")).collect();
    let compare = |index: u8, value: usize| json!({ "index": index, "value": value, "op": "SCMP_CMP_EQ" });
    let rule = |rule: usize| {
        let action = if rule.is_multiple_of(2) { "SCMP_ACT_ALLOW" } else { "SCMP_ACT_LOG" };
        json!({ "names": names, "action": action, "args": [compare(0, rule), compare(1, rule)] })
    };
    json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": (0..RULES).map(rule).collect::<Vec<_>>() })
}
