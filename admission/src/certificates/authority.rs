//! Makes key pairs and certificates.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::OffsetDateTime;

use super::clock::UnixTime;
use super::fingerprint::Fingerprint;
use super::plan::{AuthorityFacts, LeafFacts};

/// The subject of every authority's certificate. Their keys tell them apart.
const SUBJECT: &str = "seccomp-profile admission";

/// The start of every certificate's validity, 2020-01-01. It is long before any certificate is made, so that none is
/// invalid for an API server whose clock is behind; [`AuthorityFacts::created`] has the time.
const NOT_BEFORE: UnixTime = UnixTime(1_577_836_800);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The key or the certificate could not be made.
    #[error("certificate: {0}")]
    Made(#[from] rcgen::Error),
    /// A time is out of the range that certificates have.
    #[error("certificate: no date has {0} seconds since 1970")]
    Time(i64),
    /// TLS cannot use the key.
    #[error("certificate: {0}")]
    Tls(#[from] rustls::Error),
}

/// An authority: its key, and its certificate.
#[derive(Debug)]
pub struct Authority {
    facts: AuthorityFacts,
    key: KeyPair,
    certificate: CertificateDer<'static>,
}

/// A replica's certificate and key, which are never stored.
#[derive(Debug)]
pub struct Leaf {
    /// What decisions depend on.
    pub facts: LeafFacts,
    /// The certificate.
    pub certificate: CertificateDer<'static>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
}

impl Authority {
    /// A new authority that is valid from `now` on for `life`.
    ///
    /// # Errors
    /// It could not be made.
    pub fn generate(now: UnixTime, life: Duration) -> Result<Self, CertificateError> {
        let key = KeyPair::generate()?;
        let expires = now.plus(life);
        let mut params = parameters()?;
        (params.not_before, params.not_after) = (date(NOT_BEFORE)?, date(expires)?);
        let certificate = params.self_signed(&key)?.der().clone();
        Ok(Self {
            facts: AuthorityFacts { id: Fingerprint::of(&certificate), created: now, expires },
            key,
            certificate,
        })
    }

    /// The authority that was stored as these parts.
    ///
    /// # Errors
    /// The key cannot be read.
    pub fn restore(
        certificate: Vec<u8>,
        key: &str,
        created: UnixTime,
        expires: UnixTime,
    ) -> Result<Self, CertificateError> {
        let key = KeyPair::from_pem(key)?;
        let certificate = CertificateDer::from(certificate);
        Ok(Self {
            facts: AuthorityFacts { id: Fingerprint::of(&certificate), created, expires },
            key,
            certificate,
        })
    }

    /// What decisions depend on.
    #[must_use]
    pub fn facts(&self) -> &AuthorityFacts {
        &self.facts
    }

    /// Its certificate in DER.
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// Its key in PEM.
    #[must_use]
    pub fn key(&self) -> String {
        self.key.serialize_pem()
    }

    /// A new certificate for a server of these names, or addresses, that expires after `life`, but not after the
    /// authority.
    ///
    /// # Errors
    /// It could not be made.
    pub fn sign(&self, names: &[String], now: UnixTime, life: Duration) -> Result<Leaf, CertificateError> {
        let key = KeyPair::generate()?;
        // Where the clock is behind, the authority's own beginning is the better guess.
        let expires = now.max(self.facts.created).plus(life).min(self.facts.expires);
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = DistinguishedName::new();
        (params.not_before, params.not_after) = (date(NOT_BEFORE)?, date(expires)?);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &Issuer::new(parameters()?, &self.key))?.der().clone();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        Ok(Leaf { facts: LeafFacts { authority: self.facts.id, expires }, certificate, key })
    }
}

/// What all authorities have in common: whoever has the key can sign with it, without reading the certificate.
fn parameters() -> Result<CertificateParams, CertificateError> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, SUBJECT);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    Ok(params)
}

fn date(time: UnixTime) -> Result<OffsetDateTime, CertificateError> {
    OffsetDateTime::from_unix_timestamp(time.0).map_err(|_| CertificateError::Time(time.0))
}
