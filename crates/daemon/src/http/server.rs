//! Runs one task for each connection, and limits everything that a connection may use.
//!
//! The port is open to every client that reaches the pod. A legitimate client needs only a moment: the kubelet opens a
//! connection for each probe, and Prometheus scrapes once in many seconds.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet, yield_now};
use tokio::time::{sleep, timeout};
use warp::{Filter, Rejection, Reply};

use super::eviction::{Candidate, evict};
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

/// An open connection.
#[derive(Debug)]
struct Connection {
    source: IpAddr,
    is_answered: Arc<AtomicBool>,
    task: AbortHandle,
}

/// Answers every connection of `listener` by `filter`, for ever.
pub(super) async fn run<F>(listener: TcpListener, filter: F)
where
    F: Filter<Error = Rejection> + Clone + Send + Sync + 'static,
    F::Extract: Reply,
{
    // Oldest first. Dropping the set ends all tasks.
    let (mut connections, mut tasks) = (Vec::<Connection>::new(), JoinSet::new());
    let mut last_warning = None::<Instant>;
    loop {
        let (stream, source) = match listener.accept().await {
            Ok((stream, address)) => (stream, address.ip().to_canonical()),
            // The connection was closed before it was accepted.
            Err(error) if is_about_one_connection(&error) => continue,
            Err(error) => {
                tracing::warn!(%error, "no connection to the probes' port can be accepted");
                sleep(REFUSED).await;
                continue;
            }
        };
        while tasks.try_join_next().is_some() {}
        connections.retain(|connection| !connection.task.is_finished());
        if connections.len() >= MAX_CONNECTIONS {
            if last_warning.is_none_or(|last_warning| last_warning.elapsed() > WARNING_INTERVAL) {
                last_warning = Some(Instant::now());
                tracing::warn!(latest = %source, most = MAX_CONNECTIONS, "too many connections to the probes' port: some are closed");
            }
            make_room(&mut connections, source);
        }
        let is_answered = Arc::new(AtomicBool::new(false));
        let task = tasks.spawn(answer(stream, filter.clone(), Arc::clone(&is_answered)));
        connections.push(Connection { source, is_answered, task });
        // A request that has arrived is read before the next connection is accepted, which might evict this one.
        yield_now().await;
    }
}

/// Closes one connection for a new one from `new_source`.
fn make_room(connections: &mut Vec<Connection>, new_source: IpAddr) {
    let candidate = |connection: &Connection| Candidate {
        source: connection.source,
        is_answered: connection.is_answered.load(Ordering::Relaxed),
    };
    let candidates: Vec<_> = connections.iter().map(candidate).collect();
    if let Some(index) = evict(&candidates, new_source) {
        connections.remove(index).task.abort();
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

fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
