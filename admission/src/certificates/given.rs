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

/// The end of the year 9999, after which no certificate is valid (RFC 5280).
const LAST: UnixTime = UnixTime(253_402_300_799);

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

    /// Until when an API server that trusts the authorities in `bundle` accepts the certificate under every one of `names`;
    /// `None` if it does not now.
    #[must_use]
    pub fn trusted_until(
        &self,
        bundle: &Bundle,
        names: &[ServerName<'static>],
        now: UnixTime,
    ) -> Option<UnixTime> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(bundle.ders().map(CertificateDer::from_slice));
        let provider = Arc::new(default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().ok()?;
        let (end, others) = self.0.cert.split_first()?;
        let is_trusted = |at: i64| {
            let at = VerifyTime::since_unix_epoch(Duration::from_secs(at.try_into().unwrap_or_default()));
            names.iter().all(|name| verifier.verify_server_cert(end, others, name, &[], at).is_ok())
        };
        if !is_trusted(now.0) {
            return None;
        }
        // Whatever in the chain expires first ends it for good.
        let (mut trusted, mut ended) = (now.0, LAST.0);
        while ended - trusted > 1 {
            let between = trusted + (ended - trusted) / 2;
            if is_trusted(between) { trusted = between } else { ended = between }
        }
        Some(UnixTime(ended))
    }
}

/// Which certificate new connections get: the newest one as soon as the API server trusts it, and until then the present
/// one, as long as it is trusted. Returns it with the time until which it is; if none is, the newest.
#[must_use]
pub fn choose<'a>(
    newest: &'a Given,
    present: Option<&'a Given>,
    trusted_until: impl Fn(&Given) -> Option<UnixTime>,
) -> (&'a Given, Option<UnixTime>) {
    let mut trusted = [Some(newest), present].into_iter().flatten();
    let found = trusted.find_map(|given| Some((given, Some(trusted_until(given)?))));
    found.unwrap_or((newest, None))
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
        let mut params = parameters(&[], 365);
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
            leaf.trusted_until(&bundle(authorities), &names(of), now)
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
        let until = |given: &Given| given.trusted_until(&bundle(&[&root]), &names(&[NAME]), NOW);
        assert_eq!(until(&alone), None);
        assert_eq!(until(&chain), Some(UnixTime(NOW.0 + 30 * 86_400 + 1)));

        let key = KeyPair::generate().unwrap();
        let certificate = parameters(&[NAME], 90).self_signed(&key).unwrap();
        let itself = given(&(certificate.pem(), key.serialize_pem()));
        let mut of_itself = Bundle::default();
        of_itself.add(certificate.der());
        assert!(itself.trusted_until(&of_itself, &names(&[NAME]), NOW).is_some());
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

    #[test]
    fn the_newest_certificate_is_used_once_it_is_trusted_and_the_present_one_until_then() {
        let one = authority();
        let [newest, present] = [1, 2].map(|days| given(&signed(&one, &[NAME], days)));
        let until = Some(UnixTime(5));
        let both = choose(&newest, Some(&present), |_| until);
        assert!(both.0.is(&newest) && both.1 == until);
        let late = choose(&newest, Some(&present), |given| until.filter(|_| given.is(&present)));
        assert!(late.0.is(&present) && late.1 == until);
        let none = choose(&newest, Some(&present), |_| None);
        assert!(none.0.is(&newest) && none.1.is_none());
        assert!(choose(&newest, None, |_| None).0.is(&newest));
    }
}
