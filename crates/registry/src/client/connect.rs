//! Connections: to checked addresses only, with TLS unless the host is named.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tower::Service;

use crate::{Reach, Unreachable};

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    /// The host may not be reached.
    #[error("{0}")]
    Unreachable(Unreachable),
    /// It cannot be reached.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It has no address.
    #[error("the name has no address")]
    NoAddress,
    /// It took too long.
    #[error("no connection in time")]
    Timeout,
}

/// A connection that is opened while so many are open, of all hosts, is closed after its use and not kept for the next one.
/// With TLS each takes some tens of KiB, and who names an image decides about the host.
const MOST_KEPT: usize = 32;

/// How connections are made.
#[derive(Clone)]
pub(super) struct Connector(Arc<Inner>);

struct Inner {
    reach: Reach,
    time: Duration,
    tls: TlsConnector,
    /// Cloned into each connection: the clones are counted.
    open: Arc<()>,
}

impl Connector {
    pub(super) fn new(reach: Reach, time: Duration, roots: RootCertStore) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tls = TlsConnector::from(Arc::new(config));
        Ok(Self(Arc::new(Inner { reach, time, tls, open: Arc::new(()) })))
    }

    async fn connect(&self, uri: &Uri) -> Result<Io, ConnectError> {
        let connection = self.connect_at_leisure(uri);
        tokio::time::timeout(self.0.time, connection).await.unwrap_or(Err(ConnectError::Timeout))
    }

    async fn connect_at_leisure(&self, uri: &Uri) -> Result<Io, ConnectError> {
        let is_plain = uri.scheme_str() == Some("http");
        let host = uri.host().unwrap_or_default();
        let port = uri.port_u16().unwrap_or(if is_plain { 80 } else { 443 });
        // Once more, because this is the last place before the network.
        if is_plain && !self.0.reach.is_plain(host, uri.port_u16()) {
            return Err(ConnectError::Unreachable(Unreachable::Plain));
        }
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let tcp = self.tcp(host, bare, port).await?;
        tcp.set_nodelay(true)?;
        if is_plain {
            return Ok(Io::new(tcp, &self.0.open));
        }
        let name =
            ServerName::try_from(bare.to_owned()).map_err(|_| ConnectError::Unreachable(Unreachable::Url))?;
        Ok(Io::new(self.0.tls.connect(name, tcp).await?, &self.0.open))
    }

    /// Connects to one of the addresses of a name, which was resolved once: an address that has been checked cannot be
    /// exchanged for another one.
    async fn tcp(&self, host: &str, bare: &str, port: u16) -> Result<TcpStream, ConnectError> {
        let all: Vec<SocketAddr> = tokio::net::lookup_host((bare, port)).await?.collect();
        let permitted: Vec<_> =
            all.iter().filter(|address| self.0.reach.permits(host, port, address.ip())).collect();
        if permitted.is_empty() {
            let inside = ConnectError::Unreachable(Unreachable::Inside);
            return Err(if all.is_empty() { ConnectError::NoAddress } else { inside });
        }
        let mut last = ConnectError::NoAddress;
        for address in permitted {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error.into(),
            }
        }
        Err(last)
    }
}

/// The connector as hyper's client takes it.
#[derive(Clone)]
pub(super) struct Connecting(Connector);

impl Connecting {
    pub(super) const fn new(connector: Connector) -> Self {
        Self(connector)
    }
}

impl Service<Uri> for Connecting {
    type Response = Io;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Io, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.0.clone();
        Box::pin(async move { connector.connect(&uri).await })
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection, with TLS or without.
pub(super) struct Io {
    stream: TokioIo<Box<dyn Stream>>,
    /// The connector's.
    open: Arc<()>,
}

impl Io {
    fn new(stream: impl Stream + 'static, open: &Arc<()>) -> Self {
        Self { stream: TokioIo::new(Box::new(stream)), open: Arc::clone(open) }
    }
}

impl Connection for Io {
    fn connected(&self) -> Connected {
        let connected = Connected::new();
        // The connector has one, too.
        if Arc::strong_count(&self.open) > MOST_KEPT + 1 {
            connected.poison();
        }
        connected
    }
}

impl Read for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl Write for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
