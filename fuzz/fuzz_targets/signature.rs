//! What is said to be a signature of an image, and what a key has signed although it is none.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use registry::document::is_strict;
use registry::testing::Signer;
use registry::{Digest, Keys};
use serde_json::Value;

/// The types of what cosign signs.
const PAYLOAD: &str = "application/vnd.in-toto+json";
const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const PREDICATE: &str = "https://sigstore.dev/cosign/sign/v1";
/// The SHA-256 of no bytes: the digest of the manifest.
const MANIFEST: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Somebody with a key, and the key. Nobody else can sign with it, and the fuzzer cannot either.
static SIGNER: LazyLock<(Signer, Keys)> = LazyLock::new(|| {
    let signer = Signer::new();
    let keys = Keys::read(signer.public_key().as_bytes()).expect("a key");
    (signer, keys)
});

/// Whether a statement says that the manifest may be used, read in another way.
fn says_so(statement: &[u8]) -> bool {
    let Ok(value) = serde_json::from_slice::<Value>(statement) else { return false };
    let subjects = value["subject"].as_array();
    is_strict(statement)
        && value["_type"] == STATEMENT
        && value["predicateType"] == PREDICATE
        && subjects.is_some_and(|all| all.iter().any(|it| it["digest"]["sha256"] == MANIFEST))
}

fuzz_target!(|bytes: &[u8]| {
    let (signer, keys) = &*SIGNER;
    let manifest = Digest::of(b"");
    assert_eq!(manifest.hex(), MANIFEST);
    // As a bundle, which nobody has signed.
    let fault = keys.signed(bytes, &manifest).expect_err("not signed");
    assert!(fault.to_string().len() < 500 && !fault.to_string().contains(char::is_control));
    // As what is signed.
    if let Ok(text) = std::str::from_utf8(bytes) {
        let found = keys.signed(signer.envelope(PAYLOAD, text).as_bytes(), &manifest);
        if found.is_ok() {
            assert!(says_so(bytes), "{text}");
        }
        assert!(keys.signed(signer.envelope("text/plain", text).as_bytes(), &manifest).is_err());
    }
    // As keys: none of them has signed.
    if let Ok(others) = Keys::read(bytes) {
        assert!(others.signed(signer.bundle(&manifest).as_bytes(), &manifest).is_err());
    }
});
