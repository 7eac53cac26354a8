//! One public key: which kinds can be used, and what a signature by each is.
//!
//! cosign 3.1.3 signs by the kind of the key: with SHA-256 by RSA (PKCS#1 v1.5) and on P-256, with SHA-384 on P-384, with
//! SHA-512 on P-521, and by Ed25519ph. ring verifies neither of the last two.

use std::fmt;

use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
    VerificationAlgorithm,
};

/// The object identifiers of keys on elliptic curves and of the curves (RFC 5480, section 2.1.1), in DER.
const EC: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
const P521: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23];
/// That of Ed25519 (RFC 8410, section 3).
const ED25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];
/// That of RSA, with its parameters, which are null (RFC 3279, section 2.3.1).
const RSA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
/// The exponent 65537, which all tools choose.
const EXPONENT: &[u8] = &[0x01, 0x00, 0x01];

/// The tags of DER.
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const SEQUENCE: u8 = 0x30;

/// A public key that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    kind: Kind,
    /// As ring takes it: an uncompressed point, or the `RSAPublicKey`.
    bytes: Box<[u8]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    P256,
    P384,
    Rsa,
}

/// What a key is that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherKey {
    /// On a curve, in another form than that of an uncompressed point.
    Point,
    /// ECDSA on P-521.
    P521,
    /// ECDSA on another curve.
    Curve,
    /// Ed25519.
    Ed25519,
    /// RSA with a modulus of so many bits.
    Rsa(usize),
    /// RSA with another exponent.
    Exponent,
    /// Something else.
    Unknown,
}

impl fmt::Display for OtherKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Point => f.write_str("an ECDSA key with a compressed point"),
            Self::P521 => f.write_str("an ECDSA key on the curve P-521"),
            Self::Curve => f.write_str("a key on an unknown curve"),
            Self::Ed25519 => f.write_str("an Ed25519 key"),
            Self::Rsa(bits) => write!(f, "an RSA key of {bits} bits"),
            Self::Exponent => f.write_str("an RSA key with another exponent"),
            Self::Unknown => f.write_str("of an unknown kind"),
        }
    }
}

impl Key {
    /// Reads a `SubjectPublicKeyInfo` in DER.
    pub(super) fn read(der: &[u8]) -> Result<Self, OtherKey> {
        let (algorithm, key) = parts(der).ok_or(OtherKey::Unknown)?;
        let of = |kind, bytes: &[u8]| Self { kind, bytes: bytes.into() };
        let point = |kind, length: usize| match key {
            [4, rest @ ..] if rest.len() == 2 * length => Ok(of(kind, key)),
            _ => Err(OtherKey::Point),
        };
        match algorithm.strip_prefix(EC) {
            Some(P256) => point(Kind::P256, 32),
            Some(P384) => point(Kind::P384, 48),
            Some(P521) => Err(OtherKey::P521),
            Some(_) => Err(OtherKey::Curve),
            None if algorithm == ED25519 => Err(OtherKey::Ed25519),
            None if algorithm == RSA => {
                let (modulus, exponent) = rsa(key).ok_or(OtherKey::Unknown)?;
                let unused = modulus.first().map_or(0, |first| first.leading_zeros() as usize);
                match 8 * modulus.len() - unused {
                    2048 | 3072 | 4096 if exponent != EXPONENT => Err(OtherKey::Exponent),
                    2048 | 3072 | 4096 => Ok(of(Kind::Rsa, key)),
                    bits => Err(OtherKey::Rsa(bits)),
                }
            }
            None => Err(OtherKey::Unknown),
        }
    }

    /// Whether it has made this signature of these bytes.
    pub(super) fn verify(&self, bytes: &[u8], signature: &[u8]) -> bool {
        let algorithm: &dyn VerificationAlgorithm = match self.kind {
            Kind::P256 => &ECDSA_P256_SHA256_ASN1,
            Kind::P384 => &ECDSA_P384_SHA384_ASN1,
            Kind::Rsa => &RSA_PKCS1_2048_8192_SHA256,
        };
        UnparsedPublicKey::new(algorithm, &self.bytes).verify(bytes, signature).is_ok()
    }
}

/// The algorithm and the key of a `SubjectPublicKeyInfo` (RFC 5280, section 4.1).
fn parts(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (info, []) = value(der, SEQUENCE)? else { return None };
    let (algorithm, rest) = value(info, SEQUENCE)?;
    let (key, []) = value(rest, BIT_STRING)? else { return None };
    // It has no unused bits.
    Some((algorithm, key.strip_prefix(&[0])?))
}

/// The modulus, without the zero before it, and the exponent of an `RSAPublicKey` (RFC 8017, appendix A.1.1).
fn rsa(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (key, []) = value(der, SEQUENCE)? else { return None };
    let (modulus, rest) = value(key, INTEGER)?;
    let (exponent, []) = value(rest, INTEGER)? else { return None };
    match modulus {
        [0, rest @ ..] if rest.first().is_some_and(|first| *first >= 0x80) => Some((rest, exponent)),
        [1..=0x7f, ..] => Some((modulus, exponent)),
        _ => None,
    }
}

/// A value of DER with this tag, and what follows it.
fn value(der: &[u8], expected: u8) -> Option<(&[u8], &[u8])> {
    let [tag, rest @ ..] = der else { return None };
    if *tag != expected {
        return None;
    }
    // DER leaves one way to write a length.
    let (length, rest) = match rest {
        [length @ ..=0x7f, rest @ ..] => (usize::from(*length), rest),
        [0x81, length @ 0x80..=0xff, rest @ ..] => (usize::from(*length), rest),
        [0x82, high @ 1..=0xff, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rustls::pki_types::SubjectPublicKeyInfoDer;
    use rustls::pki_types::pem::PemObject;

    use super::*;

    fn der(pem: &str) -> Vec<u8> {
        SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).unwrap().as_ref().to_vec()
    }

    #[test]
    fn a_key_can_be_used_or_it_is_said_what_it_is() {
        let known = [
            (include_str!("../../data/cosign-3.1.3/kinds/p384.pub"), Kind::P384, 97),
            (include_str!("../../data/cosign-3.1.3/kinds/rsa2048.pub"), Kind::Rsa, 270),
            (include_str!("../../data/cosign-3.1.3/kinds/rsa3072.pub"), Kind::Rsa, 398),
            (include_str!("../../data/cosign-3.1.3/kinds/rsa4096.pub"), Kind::Rsa, 526),
        ];
        for (pem, kind, length) in known {
            let key = Key::read(&der(pem)).unwrap();
            assert_eq!((key.kind, key.bytes.len()), (kind, length), "{pem}");
        }
        assert_eq!(
            Key::read(&der(include_str!("../../data/cosign-3.1.3/kinds/p521.pub"))),
            Err(OtherKey::P521)
        );
        assert_eq!(
            Key::read(&der(include_str!("../../data/cosign-3.1.3/kinds/ed25519.pub"))),
            Err(OtherKey::Ed25519)
        );
        // With another exponent.
        let mut other = der(include_str!("../../data/cosign-3.1.3/kinds/rsa2048.pub"));
        *other.last_mut().unwrap() = 3;
        assert_eq!(Key::read(&other), Err(OtherKey::Exponent));
        // With a modulus of 2047 bits, before which there is no zero: all lengths around it are one less.
        let mut shorter = der(include_str!("../../data/cosign-3.1.3/kinds/rsa2048.pub"));
        let modulus = shorter.windows(5).position(|it| it == [0x02, 0x82, 0x01, 0x01, 0x00]).unwrap();
        shorter[modulus + 5] = 0x7f;
        shorter.remove(modulus + 4);
        shorter[modulus + 2..modulus + 4].copy_from_slice(&0x100_u16.to_be_bytes());
        for at in [3, 22, 27] {
            shorter[at] -= 1;
        }
        assert_eq!(Key::read(&shorter), Err(OtherKey::Rsa(2047)));
        // A point that is compressed, and a curve of others (secp256k1).
        let mut point = der(include_str!("../../data/cosign-3.1.3/kinds/p384.pub"));
        point[23] = 2;
        assert_eq!(Key::read(&point), Err(OtherKey::Point));
        point[19] = 0x0a;
        assert_eq!(Key::read(&point), Err(OtherKey::Curve));
    }

    proptest! {
        #[test]
        fn a_key_with_a_byte_more_less_or_changed_in_its_frame_is_none(at in 0..33usize, bit in 0..8u8) {
            let rsa = der(include_str!("../../data/cosign-3.1.3/kinds/rsa2048.pub"));
            let mut changed = rsa.clone();
            changed[at] ^= 1 << bit;
            prop_assert!(Key::read(&changed).is_err(), "{at} {bit}");
            prop_assert!(Key::read(&rsa[..rsa.len() - at - 1]).is_err());
            prop_assert!(Key::read(&[&rsa[..], &[0]].concat()).is_err());
        }

        #[test]
        fn no_bytes_are_a_problem(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert!(Key::read(&bytes).is_err());
        }
    }
}
