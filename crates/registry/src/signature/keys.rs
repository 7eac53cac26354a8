//! The keys that signatures are verified with.

use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;

use super::bundle::{Fault, verify};
use crate::Digest;

/// The most keys.
const MOST_KEYS: usize = 16;

/// What stands before the 65 bytes of an uncompressed point in the `SubjectPublicKeyInfo` of a key on the curve P-256
/// (RFC 5480, section 2): DER leaves no other way to write it.
pub(crate) const P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// An uncompressed point, which begins with [`UNCOMPRESSED`].
type Point = [u8; 65];
const UNCOMPRESSED: u8 = 4;

/// Why there are no keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is not PEM.
    #[error("they are not valid PEM: {0}")]
    Pem(String),
    /// There is none.
    #[error("there is no public key (-----BEGIN PUBLIC KEY-----)")]
    None,
    /// There are too many.
    #[error("there are {0} keys; at most {MOST_KEYS} are possible")]
    TooMany(usize),
    /// One is of another kind.
    #[error("key {} is not an ECDSA key on the curve P-256, which `cosign generate-key-pair` makes", .index + 1)]
    Kind {
        /// Its index.
        index: usize,
    },
}

/// Public keys, of which one must have made a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys(Vec<Point>);

impl Keys {
    /// Reads public keys as PEM.
    ///
    /// # Errors
    /// There is none, or one cannot be used.
    pub fn read(pem: &[u8]) -> Result<Self, KeyError> {
        let found: Result<Vec<_>, _> = SubjectPublicKeyInfoDer::pem_slice_iter(pem).collect();
        let found = found.map_err(|error| KeyError::Pem(error.to_string()))?;
        if found.is_empty() {
            return Err(KeyError::None);
        }
        if found.len() > MOST_KEYS {
            return Err(KeyError::TooMany(found.len()));
        }
        let point = |(index, key): (usize, &SubjectPublicKeyInfoDer<'_>)| {
            let point = key.as_ref().strip_prefix(&P256).and_then(|it| Point::try_from(it).ok());
            point.filter(|it| it[0] == UNCOMPRESSED).ok_or(KeyError::Kind { index })
        };
        Ok(Self(found.iter().enumerate().map(point).collect::<Result<_, _>>()?))
    }

    /// Verifies that one of them has signed the manifest with this digest, in this bundle.
    ///
    /// # Errors
    /// The bundle does not prove it.
    pub fn signed(&self, bundle: &[u8], manifest: &Digest) -> Result<(), Fault> {
        verify(bundle, manifest, self)
    }

    /// Whether one of them has made this signature of these bytes: ECDSA with SHA-256, in ASN.1.
    pub(super) fn verify(&self, bytes: &[u8], signature: &[u8]) -> bool {
        let verifies = |key: &Point| {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key).verify(bytes, signature).is_ok()
        };
        self.0.iter().any(verifies)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Signer;

    #[test]
    fn keys_of_other_kinds_and_texts_without_a_key_are_refused() {
        let one = Signer::new().public_key();
        assert_eq!(Keys::read(one.as_bytes()).unwrap().0.len(), 1);
        assert_eq!(Keys::read(one.repeat(16).as_bytes()).unwrap().0.len(), 16);
        assert_eq!(Keys::read(one.repeat(17).as_bytes()), Err(KeyError::TooMany(17)));
        // RFC 8410, section 10.1.
        let ed25519 = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
        assert_eq!(Keys::read(format!("{one}{ed25519}").as_bytes()), Err(KeyError::Kind { index: 1 }));
        let certificate = one.replace("PUBLIC KEY", "CERTIFICATE");
        for none in ["", "some text", &certificate] {
            assert_eq!(Keys::read(none.as_bytes()), Err(KeyError::None), "{none}");
        }
        let cut = one.split_at(one.len() / 2).0;
        assert!(Keys::read(cut.as_bytes()).is_err());
    }
}
