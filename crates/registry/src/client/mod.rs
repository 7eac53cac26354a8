//! The client: the only part of this crate that does I/O.
//!
//! Whatever a registry does, a question ends within [`Limits::time`], reads a bounded number of bytes and asks only hosts
//! that [`Reach`] permits. The decisions are in `protocol`, and this module carries them out.

mod ask;
mod connect;
mod outgoing;
mod push;
mod read;
mod tokens;
mod transfer;

use std::sync::Mutex;
use std::time::Duration;

use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

use crate::{Reach, RegistryError};
use connect::{Connecting, Connector};
use outgoing::Outgoing;
use tokens::Tokens;

pub(crate) use push::Place;
pub use read::{Fetched, Referrers, Which};
pub(crate) use transfer::TransferError;

/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_secs(30);
/// The most unused connections of one host.
const MOST_IDLE: usize = 4;
/// The most bytes of the headers of an answer.
const LARGEST_HEAD: usize = 64 * 1024;

/// How long a client waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest time for one question, with its redirects and its token.
    pub time: Duration,
    /// The longest time for one connection, with its handshake.
    pub connect: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { time: Duration::from_secs(15), connect: Duration::from_secs(5) }
    }
}

/// A client of registries.
pub struct Client {
    http: legacy::Client<Connecting, Outgoing>,
    reach: Reach,
    limits: Limits,
    tokens: Mutex<Tokens>,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The TLS library does not support the versions of TLS that it should.
    #[error("TLS cannot be set up: {0}")]
    Tls(rustls::Error),
    /// A certificate is none of an authority.
    #[error("certificate {} of the authorities cannot be used: {cause}", .index + 1)]
    Authority {
        /// Its index.
        index: usize,
        /// Why.
        cause: rustls::Error,
    },
}

impl Client {
    /// A client that trusts `authorities`: those of the system, private ones, or both.
    ///
    /// # Errors
    /// An authority's certificate cannot be used.
    pub fn new<'a>(
        reach: Reach,
        limits: Limits,
        authorities: impl IntoIterator<Item = CertificateDer<'a>>,
    ) -> Result<Self, ClientError> {
        let mut roots = RootCertStore::empty();
        for (index, certificate) in authorities.into_iter().enumerate() {
            let added = roots.add(certificate.into_owned());
            added.map_err(|cause| ClientError::Authority { index, cause })?;
        }
        let connector = Connector::new(reach.clone(), limits.connect, roots).map_err(ClientError::Tls)?;
        let http = legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(MOST_IDLE)
            .http1_max_buf_size(LARGEST_HEAD)
            .build(Connecting::new(connector));
        Ok(Self { http, reach, limits, tokens: Mutex::default() })
    }

    /// Ends a question that takes too long.
    async fn in_time<T>(
        &self,
        question: impl Future<Output = Result<T, RegistryError>>,
    ) -> Result<T, RegistryError> {
        tokio::time::timeout(self.limits.time, question).await.unwrap_or(Err(RegistryError::Timeout))
    }
}

/// Without its tokens.
impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("reach", &self.reach)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
