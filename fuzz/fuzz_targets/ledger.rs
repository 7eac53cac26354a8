//! The agent's ledger, from a directory that everyone with a `hostPath` may write.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use node_agent::disk::{Claim, Ledger};
use serde_json::Value;

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    fuzz::mutate::mutate(data, size, max_size, seed)
});

fuzz_target!(|bytes: &[u8]| {
    match Ledger::from_bytes(bytes) {
        Ok(ledger) => check(bytes, ledger),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});

fn check(bytes: &[u8], mut ledger: Ledger) {
    let written = ledger.to_bytes();
    assert_eq!(Ledger::from_bytes(&written).as_ref(), Ok(&ledger), "it survives the way through its file");
    // Order and space may differ. A backslash makes text longer than what it stands for.
    if !bytes.contains(&b'\\') {
        let length = bytes.iter().filter(|byte| !byte.is_ascii_whitespace()).count();
        assert_eq!(written.len(), length, "nothing of what stood there is lost");
    }

    let document: Value = serde_json::from_slice(bytes).expect("a ledger is JSON");
    let names: Vec<_> = ledger.names().cloned().collect();
    for name in &names {
        let intended = document["intended"][name.as_str()].as_str();
        match ledger.claim(name) {
            Some(Claim::Intended(hash)) => assert_eq!(intended, Some(hash.to_string().as_str())),
            Some(Claim::Written) => assert_eq!(intended, None),
            None => panic!("{name} is listed and not claimed"),
        }
    }

    let read = ledger.clone();
    for name in &names {
        let claim = ledger.claim(name).expect("listed");
        ledger.forget(name);
        ledger.add(name, claim).expect("there is room for what was there");
    }
    assert_eq!(ledger, read);
    names.iter().for_each(|name| ledger.forget(name));
    assert_eq!(ledger, Ledger::default(), "what is forgotten takes no room");
}
