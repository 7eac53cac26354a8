//! Accepts the API server's connections, and limits what any connection may use.
//!
//! The port is open to every client that reaches the pod. The API server keeps connections open between requests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use daemon::http::{Connections, ListenError, accept, listen};
use http::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use crate::handler::Handler;

/// The maximum number of connections. An API server has one for each of its requests that are answered at once.
pub const MOST_CONNECTIONS: usize = 256;

/// How many connections the kernel keeps until they are accepted.
const BACKLOG: u32 = 128;

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// How long a connection may be without a request. An API server closes idle connections after 90 s (`IdleConnTimeout`
/// in k8s.io/apimachinery 0.37.2, `pkg/util/net/http.go`); if this side closed them first, a request that is on its way
/// would be lost.
const IDLE: Duration = Duration::from_mins(2);

/// The longest head of a request in bytes.
const LONGEST_HEAD: usize = 16 * 1024;

/// How long to wait before the next accept after the kernel had no descriptor left.
const REFUSED: Duration = Duration::from_secs(1);

/// Answers the API server's requests.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    handler: Arc<Handler>,
    /// Whether answers ask the client not to use the connection again.
    draining: watch::Receiver<bool>,
}

impl Server {
    /// A server that listens on `address`, where `[::]` includes IPv4.
    ///
    /// # Errors
    /// The address cannot be opened.
    pub fn new(
        address: SocketAddr,
        tls: ServerConfig,
        handler: Handler,
        draining: watch::Receiver<bool>,
    ) -> Result<Self, ListenError> {
        let listener = listen(address, BACKLOG, |_| Ok(()))?;
        Ok(Self { listener, tls: Arc::new(tls), handler: Arc::new(handler), draining })
    }

    /// Answers every connection, for ever.
    pub async fn run(self) {
        let mut connections = Connections::new(MOST_CONNECTIONS);
        loop {
            let (stream, source) = match accept(&self.listener).await {
                Ok(accepted) => accepted,
                Err(error) => {
                    debug!(%error, "a connection cannot be accepted");
                    sleep(REFUSED).await;
                    continue;
                }
            };
            if connections.add(source, |is_answered| self.connection(stream, is_answered)).await {
                warn!(most = MOST_CONNECTIONS, "too many connections: one is closed");
            }
        }
    }

    /// Answers the requests of one connection, one after the other.
    fn connection(
        &self,
        stream: TcpStream,
        is_answered: Arc<AtomicBool>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let (acceptor, handler) = (TlsAcceptor::from(Arc::clone(&self.tls)), Arc::clone(&self.handler));
        let draining = self.draining.clone();
        async move {
            let _ = stream.set_nodelay(true);
            let stream = match timeout(HANDSHAKE, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return debug!(%error, "a TLS handshake failed"),
                Err(_) => return debug!("a TLS handshake took too long"),
            };
            let service = service_fn(move |request| {
                let (handler, draining) = (Arc::clone(&handler), draining.clone());
                let is_answered = Arc::clone(&is_answered);
                async move {
                    is_answered.store(true, Ordering::Relaxed);
                    let mut answer = handler.answer(request).await;
                    is_answered.store(false, Ordering::Relaxed);
                    if *draining.borrow() {
                        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                    }
                    Ok::<_, std::convert::Infallible>(answer)
                }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(IDLE)
                .max_buf_size(LONGEST_HEAD)
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                debug!(%error, "a connection failed");
            }
        }
    }
}

#[cfg(test)]
mod tests;
