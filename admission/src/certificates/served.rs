//! The certificate that new connections get.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::ring::sign::any_supported_type;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, version};

use super::authority::{CertificateError, Leaf};

/// The present certificate, if there is one. Open connections keep theirs.
#[derive(Debug, Clone, Default)]
pub struct Served {
    present: Arc<RwLock<Option<Arc<CertifiedKey>>>>,
}

impl Served {
    /// Gives new connections this certificate.
    ///
    /// # Errors
    /// TLS cannot use the key.
    pub fn set(&self, leaf: Leaf) -> Result<(), CertificateError> {
        let key = CertifiedKey::new(vec![leaf.certificate], any_supported_type(&leaf.key)?);
        self.give(Arc::new(key));
        Ok(())
    }

    /// The same for a certificate with all that TLS needs.
    pub fn give(&self, key: Arc<CertifiedKey>) {
        *self.present.write().unwrap_or_else(PoisonError::into_inner) = Some(key);
    }

    /// How connections are accepted.
    ///
    /// # Errors
    /// The library lacks an algorithm.
    pub fn config(&self) -> Result<ServerConfig, CertificateError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(self.clone()));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Go's clients resume no session unless they are configured to, and each would cost memory.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.present.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
