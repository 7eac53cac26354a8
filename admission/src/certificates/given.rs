//! A certificate that another program has made, such as cert-manager, and until when the API server trusts it.

use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime as VerifyTime};
use rustls::sign::CertifiedKey;

use super::bundle::Bundle;
use super::clock::UnixTime;

/// A certificate with those that lead to its authority, and its key.
#[derive(Debug, Clone)]
pub struct Given(Arc<CertifiedKey>);

/// Why files hold no certificate and key.
#[derive(Debug, thiserror::Error)]
pub enum GivenError {
    /// A certificate cannot be read.
    #[error("tls.crt: {0}")]
    Certificate(#[source] pem::Error),
    /// There is no certificate.
    #[error("tls.crt has no certificate in PEM")]
    NoCertificate,
    /// The key cannot be read.
    #[error("tls.key: {0}")]
    Key(#[source] pem::Error),
    /// The key is not that of the certificate, or TLS cannot use it.
    #[error("tls.key: {0}")]
    Pair(#[source] rustls::Error),
}

/// Why the API server does not trust a certificate.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// It knows no authority.
    #[error("the webhook configurations have no authority in common that is valid now")]
    NoAuthority,
    /// It would refuse the certificate.
    #[error(transparent)]
    Refused(rustls::Error),
}

impl Given {
    /// The certificate in `tls.crt`, which is the first one there, and the key in `tls.key`, both in PEM.
    ///
    /// # Errors
    /// They are no such files, or not of the same certificate.
    pub fn read(certificates: &[u8], key: &[u8]) -> Result<Self, GivenError> {
        let chain = CertificateDer::pem_slice_iter(certificates).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(GivenError::Certificate)?;
        if chain.is_empty() {
            return Err(GivenError::NoCertificate);
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(GivenError::Key)?;
        let pair = CertifiedKey::from_der(chain, key, &default_provider()).map_err(GivenError::Pair)?;
        Ok(Self(Arc::new(pair)))
    }

    /// Whether both were read at the same time.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// What TLS needs of it.
    #[must_use]
    pub fn certified(&self) -> Arc<CertifiedKey> {
        self.0.clone()
    }

    /// Until when an API server that trusts the authorities in `bundle` accepts the certificate under every one of `names`.
    ///
    /// # Errors
    /// Why it does not now.
    pub fn trusted_until(
        &self,
        bundle: &Bundle,
        names: &[ServerName<'static>],
        now: UnixTime,
    ) -> Result<UnixTime, TrustError> {
        // The verifier does not look at the validity of an authority, but the API server does (crypto/x509 of Go).
        let authorities = bundle.ders().filter_map(|der| Some((der, validity(der)?)));
        let valid: Vec<_> =
            authorities.filter(|(_, (from, until))| (*from..=*until).contains(&now)).collect();
        let (end, others) = self.0.cert.split_first().ok_or(TrustError::NoAuthority)?;
        let verify = |ders: &[&[u8]]| {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(ders.iter().map(|der| CertificateDer::from_slice(der)));
            let provider = Arc::new(default_provider());
            let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
            let verifier = verifier.map_err(|_| TrustError::NoAuthority)?;
            let at = VerifyTime::since_unix_epoch(Duration::from_secs(now.0.try_into().unwrap_or_default()));
            for name in names {
                verifier.verify_server_cert(end, others, name, &[], at).map_err(TrustError::Refused)?;
            }
            Ok::<_, TrustError>(())
        };
        verify(&valid.iter().map(|(der, _)| *der).collect::<Vec<_>>())?;
        // As long as one of the authorities that it has is valid, and the certificates up to it.
        let last = valid.iter().filter(|(der, _)| verify(&[der]).is_ok()).map(|(_, (_, until))| *until).max();
        let chain = self.0.cert.iter().filter_map(|der| validity(der)).map(|(_, until)| until);
        let ends = chain.chain(last).min().unwrap_or(now);
        Ok(ends.plus(Duration::from_secs(1)))
    }
}

/// From when and until when a certificate in DER is valid; `None` if it is no certificate.
fn validity(der: &[u8]) -> Option<(UnixTime, UnixTime)> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    let validity = certificate.validity();
    Some((UnixTime(validity.not_before.timestamp()), UnixTime(validity.not_after.timestamp())))
}

#[cfg(test)]
pub(super) mod testing {
    use rcgen::{CertificateParams, KeyPair};

    use super::Given;

    /// A certificate, unlike all others.
    pub(in super::super) fn given() -> Given {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["x".to_owned()]).unwrap().self_signed(&key).unwrap();
        Given::read(certificate.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use time::OffsetDateTime;

    use super::*;

    const NAME: &str = "admission.ns.svc";
    const NOW: UnixTime = UnixTime(1_800_000_000);

    /// An authority: its certificate, and what signs with it.
    struct Authority {
        der: Vec<u8>,
        issuer: Issuer<'static, KeyPair>,
    }

    fn parameters(names: &[&str], days: i64) -> CertificateParams {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        let at = |days: i64| OffsetDateTime::from_unix_timestamp(NOW.0 + days * 86_400).unwrap();
        (params.not_before, params.not_after) = (at(-1), at(days));
        params
    }

    fn authority() -> Authority {
        authority_for(365)
    }

    fn authority_for(days: i64) -> Authority {
        let mut params = parameters(&[], days);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Authority { der, issuer: Issuer::new(params, key) }
    }

    fn signed(authority: &Authority, names: &[&str], days: i64) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = parameters(names, days).signed_by(&key, &authority.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn given((certificate, key): &(String, String)) -> Given {
        Given::read(certificate.as_bytes(), key.as_bytes()).unwrap()
    }

    fn bundle(authorities: &[&Authority]) -> Bundle {
        let mut bundle = Bundle::default();
        authorities.iter().for_each(|authority| bundle.add(&authority.der));
        bundle
    }

    fn names(names: &[&str]) -> Vec<ServerName<'static>> {
        names.iter().map(|name| ServerName::try_from((*name).to_owned()).unwrap()).collect()
    }

    #[test]
    fn a_certificate_is_trusted_until_it_expires_under_its_names_and_by_who_has_its_authority() {
        let (one, other) = (authority(), authority());
        let leaf = given(&signed(&one, &[NAME, "127.0.0.1"], 90));
        let expires = UnixTime(NOW.0 + 90 * 86_400);
        let until = |authorities: &[&Authority], of: &[&str], now| {
            leaf.trusted_until(&bundle(authorities), &names(of), now).ok()
        };
        assert_eq!(until(&[&one], &[NAME], NOW), Some(UnixTime(expires.0 + 1)));
        assert_eq!(until(&[&other, &one], &[NAME, "127.0.0.1"], NOW), Some(UnixTime(expires.0 + 1)));
        assert_eq!(until(&[&other], &[NAME], NOW), None);
        assert_eq!(until(&[], &[NAME], NOW), None);
        assert_eq!(until(&[&one], &["other.ns.svc"], NOW), None);
        assert_eq!(until(&[&one], &[NAME, "127.0.0.2"], NOW), None);
        assert_eq!(until(&[&one], &[NAME], UnixTime(expires.0 + 1)), None);
        assert_eq!(until(&[&one], &[NAME], UnixTime(NOW.0 - 2 * 86_400)), None);
    }

    #[test]
    fn a_chain_is_trusted_until_its_first_certificate_expires_and_a_self_signed_one_by_itself() {
        let root = authority();
        let key = KeyPair::generate().unwrap();
        let mut params = parameters(&[], 30);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let between = params.signed_by(&key, &root.issuer).unwrap();
        let between_pem = between.pem();
        let between = Authority { der: between.der().to_vec(), issuer: Issuer::new(params, key) };
        let (certificate, key) = signed(&between, &[NAME], 90);
        let alone = Given::read(certificate.as_bytes(), key.as_bytes()).unwrap();
        let chain = Given::read(format!("{certificate}{between_pem}").as_bytes(), key.as_bytes()).unwrap();
        let until = |given: &Given| given.trusted_until(&bundle(&[&root]), &names(&[NAME]), NOW).ok();
        assert_eq!(until(&alone), None);
        assert_eq!(until(&chain), Some(UnixTime(NOW.0 + 30 * 86_400 + 1)));

        let key = KeyPair::generate().unwrap();
        let certificate = parameters(&[NAME], 90).self_signed(&key).unwrap();
        let itself = given(&(certificate.pem(), key.serialize_pem()));
        let mut of_itself = Bundle::default();
        of_itself.add(certificate.der());
        assert!(itself.trusted_until(&of_itself, &names(&[NAME]), NOW).is_ok());
    }

    #[test]
    fn a_certificate_is_not_trusted_longer_than_its_authority_is_valid() {
        let (ends, ended) = (authority_for(30), authority_for(-1));
        let until = |authorities: &[&Authority], of: &Authority| {
            given(&signed(of, &[NAME], 90)).trusted_until(&bundle(authorities), &names(&[NAME]), NOW)
        };
        let expires = UnixTime(NOW.0 + 30 * 86_400 + 1);
        assert_eq!(until(&[&ends, &authority()], &ends).unwrap(), expires);
        assert!(matches!(until(&[&ended], &ended), Err(TrustError::NoAuthority)));
        assert!(matches!(until(&[&ended, &ends], &ended), Err(TrustError::Refused(_))));
    }

    #[test]
    fn files_that_are_no_pair_are_refused_with_the_name_of_the_wrong_one() {
        let one = authority();
        let (certificate, key) = signed(&one, &[NAME], 90);
        let (_, other) = signed(&one, &[NAME], 90);
        let error = |certificate: &str, key: &str| {
            Given::read(certificate.as_bytes(), key.as_bytes()).unwrap_err().to_string()
        };
        assert_eq!(error("", &key), "tls.crt has no certificate in PEM");
        assert_eq!(error(&key, &key), "tls.crt has no certificate in PEM");
        assert!(error(&certificate.replace("-----END", "----END"), &key).starts_with("tls.crt: "));
        for wrong in
            ["", "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n", &certificate, &other]
        {
            assert!(error(&certificate, wrong).starts_with("tls.key: "), "{wrong}");
        }
    }
}
