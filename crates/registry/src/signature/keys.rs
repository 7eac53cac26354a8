//! The keys that signatures are verified with.

use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;

use super::bundle::{Fault, verify};
use super::key::{Key, OtherKey};
use crate::Digest;

/// The most keys.
const MOST_KEYS: usize = 16;

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
    #[error(
        "key {} is {kind}; expected an ECDSA key on the curve P-256, which `cosign generate-key-pair` makes, or on P-384, \
         or an RSA key of 2048, 3072 or 4096 bits with the exponent 65537", .index + 1
    )]
    Kind {
        /// Its index.
        index: usize,
        /// What it is.
        kind: OtherKey,
    },
}

/// Public keys, of which one must have made a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys(Vec<Key>);

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
        let read = |(index, key): (usize, &SubjectPublicKeyInfoDer<'_>)| {
            Key::read(key.as_ref()).map_err(|kind| KeyError::Kind { index, kind })
        };
        Ok(Self(found.iter().enumerate().map(read).collect::<Result<_, _>>()?))
    }

    /// Verifies that one of them has signed the manifest with this digest, in this bundle.
    ///
    /// # Errors
    /// The bundle does not prove it.
    pub fn signed(&self, bundle: &[u8], manifest: &Digest) -> Result<(), Fault> {
        verify(bundle, manifest, self)
    }

    /// Whether one of them has made this signature of these bytes.
    pub(super) fn verify(&self, bytes: &[u8], signature: &[u8]) -> bool {
        self.0.iter().any(|key| key.verify(bytes, signature))
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
        for (other, name) in [
            (include_str!("../../data/cosign-3.1.3/kinds/ed25519.pub"), "key 2 is an Ed25519 key; expected"),
            (
                include_str!("../../data/cosign-3.1.3/kinds/p521.pub"),
                "key 2 is an ECDSA key on the curve P-521; expected",
            ),
        ] {
            let error = Keys::read(format!("{one}{other}").as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(name) && error.contains("P-384"), "{error}");
        }
        let certificate = one.replace("PUBLIC KEY", "CERTIFICATE");
        for none in ["", "some text", &certificate] {
            assert_eq!(Keys::read(none.as_bytes()), Err(KeyError::None), "{none}");
        }
        let cut = one.split_at(one.len() / 2).0;
        assert!(Keys::read(cut.as_bytes()).is_err());
    }

    #[test]
    fn what_cosign_has_signed_with_keys_of_other_kinds_is_verified_with_these_keys_alone() {
        // As cosign 3.1.3 has made them, of keys that openssl has made.
        let all = [
            (
                include_str!("../../data/cosign-3.1.3/kinds/p384.pub"),
                include_str!("../../data/cosign-3.1.3/kinds/p384.json"),
            ),
            (
                include_str!("../../data/cosign-3.1.3/kinds/rsa2048.pub"),
                include_str!("../../data/cosign-3.1.3/kinds/rsa2048.json"),
            ),
            (
                include_str!("../../data/cosign-3.1.3/kinds/rsa3072.pub"),
                include_str!("../../data/cosign-3.1.3/kinds/rsa3072.json"),
            ),
            (
                include_str!("../../data/cosign-3.1.3/kinds/rsa4096.pub"),
                include_str!("../../data/cosign-3.1.3/kinds/rsa4096.json"),
            ),
        ];
        let manifest: Digest = SIGNED.parse().unwrap();
        for (number, (key, bundle)) in all.iter().enumerate() {
            let keys = Keys::read(key.as_bytes()).unwrap();
            assert_eq!(keys.signed(bundle.as_bytes(), &manifest), Ok(()), "{key}");
            assert_eq!(keys.signed(bundle.as_bytes(), &Digest::of(b"other")), Err(Fault::OtherManifest));
            for (other, (key, _)) in all.iter().enumerate() {
                let keys = Keys::read(key.as_bytes()).unwrap();
                assert_eq!(keys.signed(bundle.as_bytes(), &manifest).is_ok(), other == number, "{key}");
            }
        }
        let all: String = all.iter().map(|(key, _)| *key).collect();
        let keys = Keys::read(format!("{}{all}", Signer::new().public_key()).as_bytes()).unwrap();
        assert_eq!(
            keys.signed(include_str!("../../data/cosign-3.1.3/kinds/rsa4096.json").as_bytes(), &manifest),
            Ok(())
        );
    }

    /// The manifest that was signed.
    const SIGNED: &str = "sha256:76ab1ca9072e68d53923d3757bac0f6337f89dc4079dc11c2c07319531e11dab";
}
