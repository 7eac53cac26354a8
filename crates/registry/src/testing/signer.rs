//! Signs as cosign does with a key.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};

use crate::Digest;
use crate::document::media;
use crate::signature::{PAYLOAD_TYPE, PREDICATE, STATEMENT, encoded};

/// What stands before the 65 bytes of an uncompressed point in the `SubjectPublicKeyInfo` of a key on the curve P-256
/// (RFC 5480, section 2).
const P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// A key pair that exists only here.
#[derive(Debug)]
pub struct Signer(EcdsaKeyPair);

impl Default for Signer {
    fn default() -> Self {
        Self::new()
    }
}

impl Signer {
    /// One with a new key.
    #[must_use]
    pub fn new() -> Self {
        let (kind, random) = (&ECDSA_P256_SHA256_ASN1_SIGNING, SystemRandom::new());
        let key = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
        Self(EcdsaKeyPair::from_pkcs8(kind, key.as_ref(), &random).unwrap())
    }

    /// The public key, as PEM.
    #[must_use]
    pub fn public_key(&self) -> String {
        let key = STANDARD.encode([&P256[..], self.0.public_key().as_ref()].concat());
        let (first, rest) = key.split_at(64);
        format!("-----BEGIN PUBLIC KEY-----\n{first}\n{rest}\n-----END PUBLIC KEY-----\n")
    }

    /// A bundle with a signature of the manifest with this digest.
    #[must_use]
    pub fn bundle(&self, manifest: &Digest) -> String {
        self.envelope(PAYLOAD_TYPE, &Self::statement(PREDICATE, manifest))
    }

    /// A statement of this type about the manifest with this digest.
    #[must_use]
    pub fn statement(predicate: &str, manifest: &Digest) -> String {
        let (algorithm, hex) = (manifest.algorithm().name(), manifest.hex());
        format!(
            r#"{{"_type":"{STATEMENT}","subject":[{{"digest":{{"{algorithm}":"{hex}"}}}}],"predicateType":"{predicate}","predicate":{{}}}}"#
        )
    }

    /// A bundle with a signature of anything.
    #[must_use]
    pub fn envelope(&self, payload_type: &str, payload: &str) -> String {
        let signature =
            self.0.sign(&SystemRandom::new(), &encoded(payload_type, payload.as_bytes())).unwrap();
        let (payload, signature) = (STANDARD.encode(payload), STANDARD.encode(signature.as_ref()));
        format!(
            r#"{{"mediaType":"{}","verificationMaterial":{{"publicKey":{{"hint":"x"}}}},"dsseEnvelope":{{"payload":"{payload}","payloadType":"{payload_type}","signatures":[{{"sig":"{signature}"}}]}}}}"#,
            media::BUNDLE
        )
    }
}
