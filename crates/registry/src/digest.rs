//! The digest of a manifest or a blob.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256, Sha384, Sha512};

/// The algorithm of a digest: those that the kubelet's own parser accepts (`opencontainers/go-digest` 1.0.0).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// SHA-256, which practically every registry uses.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// The name, and the number of hexadecimal digits.
    const fn form(self) -> (&'static str, usize) {
        match self {
            Self::Sha256 => ("sha256", 64),
            Self::Sha384 => ("sha384", 96),
            Self::Sha512 => ("sha512", 128),
        }
    }

    /// The name in a digest.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.form().0
    }
}

/// The digest of some bytes, written as `sha256:` and lower-case hexadecimal digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    hex: Box<str>,
}

/// Text that is not a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a digest; expected sha256: and 64 lower-case hexadecimal digits")]
pub struct DigestError;

impl Digest {
    /// The SHA-256 of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self::with(Algorithm::Sha256, bytes)
    }

    /// The digest of `bytes` by some algorithm.
    #[must_use]
    pub fn with(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let hex = match algorithm {
            Algorithm::Sha256 => hex(&Sha256::digest(bytes)),
            Algorithm::Sha384 => hex(&Sha384::digest(bytes)),
            Algorithm::Sha512 => hex(&Sha512::digest(bytes)),
        };
        Self { algorithm, hex: hex.into() }
    }

    /// The algorithm.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The hexadecimal digits.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.hex
    }

    /// Whether it is the digest of `bytes`.
    #[must_use]
    pub fn verifies(&self, bytes: &[u8]) -> bool {
        *self == Self::with(self.algorithm, bytes)
    }

    /// What computes a digest by the same algorithm from bytes that come in parts.
    #[must_use]
    pub fn parts(&self) -> Parts {
        match self.algorithm {
            Algorithm::Sha256 => Parts(Hasher::Sha256(Sha256::new())),
            Algorithm::Sha384 => Parts(Hasher::Sha384(Sha384::new())),
            Algorithm::Sha512 => Parts(Hasher::Sha512(Sha512::new())),
        }
    }
}

/// The digest of bytes that come in parts.
#[derive(Debug, Clone)]
pub struct Parts(Hasher);

#[derive(Debug, Clone)]
enum Hasher {
    Sha256(Sha256),
    Sha384(Sha384),
    Sha512(Sha512),
}

impl Parts {
    /// Takes the next part.
    pub fn update(&mut self, part: &[u8]) {
        match &mut self.0 {
            Hasher::Sha256(hasher) => hasher.update(part),
            Hasher::Sha384(hasher) => hasher.update(part),
            Hasher::Sha512(hasher) => hasher.update(part),
        }
    }

    /// The digest of all parts so far.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let (algorithm, hex) = match &self.0 {
            Hasher::Sha256(hasher) => (Algorithm::Sha256, hex(&hasher.clone().finalize())),
            Hasher::Sha384(hasher) => (Algorithm::Sha384, hex(&hasher.clone().finalize())),
            Hasher::Sha512(hasher) => (Algorithm::Sha512, hex(&hasher.clone().finalize())),
        };
        Digest { algorithm, hex: hex.into() }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let (name, hex) = text.split_once(':').ok_or(DigestError)?;
        let all = [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512];
        let algorithm = all.into_iter().find(|it| it.name() == name).ok_or(DigestError)?;
        let is_hex = hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !is_hex || hex.len() != algorithm.form().1 {
            return Err(DigestError);
        }
        Ok(Self { algorithm, hex: hex.into() })
    }
}

impl<'de> serde::Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_survives_the_way_through_text_and_verifies_only_its_own_bytes() {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512] {
            let digest = Digest::with(algorithm, b"{}");
            assert_eq!(digest.to_string().parse(), Ok(digest.clone()));
            assert!(digest.verifies(b"{}") && !digest.verifies(b"{ }"));
        }
        let expected = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        assert_eq!(Digest::of(b"{}").to_string(), expected);
    }

    #[test]
    fn text_that_is_no_digest_is_refused() {
        let hex = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        for text in [
            String::new(),
            "sha256:".to_owned(),
            hex.to_owned(),
            format!("sha256:{}", &hex[1..]),
            format!("sha256:{hex}0"),
            format!("sha256:{}", hex.to_uppercase()),
            format!("SHA256:{hex}"),
            format!("sha512:{hex}"),
            format!("md5:{}", &hex[..32]),
            format!("sha256+b64:{hex}"),
            format!("sha256:{}\u{e9}", &hex[2..]),
        ] {
            assert_eq!(text.parse::<Digest>(), Err(DigestError), "{text}");
        }
    }

    #[test]
    fn parts_have_the_digest_of_the_whole() {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512] {
            let whole = Digest::with(algorithm, b"a profile in parts");
            let mut parts = whole.parts();
            for part in [&b"a pro"[..], b"", b"file in parts"] {
                assert_ne!(parts.digest(), whole);
                parts.update(part);
            }
            assert_eq!(parts.digest(), whole);
        }
    }
}
