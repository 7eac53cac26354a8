//! Runs one task for each connection, and limits everything that a connection may use.
//!
//! The port is open to every client that reaches the pod. A legitimate client needs only a moment: the kubelet opens a
//! connection for each probe, and Prometheus scrapes once in many seconds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use warp::{Filter, Rejection, Reply};

use super::connections::{Connections, accept};
use super::socket::Socket;

/// The maximum number of connections. Each has a buffer for its request, one for the head of its answer, and some KB
/// more.
pub(super) const MAX_CONNECTIONS: usize = 64;

/// How long a request may take to arrive. The time-out of the chart's probes for the whole answer is as long.
const REQUEST: Duration = Duration::from_secs(5);

/// How long a connection may live: Prometheus' default time-out is ten seconds.
const LIFE: Duration = Duration::from_secs(10);

/// The longest request in bytes, which is the smallest limit that hyper supports. The paths have at most eight
/// characters, plus the client's headers.
const MAX_REQUEST_BYTES: usize = 8 * 1024;

/// The interval between two warnings about too many connections.
const WARNING_INTERVAL: Duration = Duration::from_mins(1);

/// How long to wait before the next accept after the kernel had no descriptor left.
const REFUSED: Duration = Duration::from_secs(1);

/// Answers every connection of `listener` by `filter`, for ever.
pub(super) async fn run<F>(listener: TcpListener, filter: F)
where
    F: Filter<Error = Rejection> + Clone + Send + Sync + 'static,
    F::Extract: Reply,
{
    let mut connections = Connections::new(MAX_CONNECTIONS);
    let mut last_warning = None::<Instant>;
    loop {
        let (stream, source) = match accept(&listener).await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "no connection to the probes' port can be accepted");
                sleep(REFUSED).await;
                continue;
            }
        };
        let serve = |is_answered| answer(stream, filter.clone(), is_answered);
        if connections.add(source, serve).await
            && last_warning.is_none_or(|last_warning| last_warning.elapsed() > WARNING_INTERVAL)
        {
            last_warning = Some(Instant::now());
            tracing::warn!(latest = %source, most = MAX_CONNECTIONS, "too many connections to the probes' port: some are closed");
        }
    }
}

/// Answers one request. There is no second one on a connection, because an open connection would keep its memory.
async fn answer<F>(stream: TcpStream, filter: F, is_answered: Arc<AtomicBool>)
where
    F: Filter<Error = Rejection> + Clone + Send + Sync + 'static,
    F::Extract: Reply,
{
    let service = TowerToHyperService::new(warp::service(filter));
    let service = service_fn(move |request| {
        is_answered.store(true, Ordering::Relaxed);
        service.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST)
        .max_buf_size(MAX_REQUEST_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(Socket::new(stream)), service);
    match timeout(LIFE, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection to the probes' port failed"),
        Err(_) => tracing::debug!("a connection to the probes' port took too long"),
    }
}
