//! One task a connection, and a bound on everything that a connection may take.
//!
//! The port is open to whoever reaches the pod. Nobody who has business here needs more than a moment: the kubelet asks
//! for each probe by a connection of its own, and Prometheus asks once in many seconds.

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

use super::crowd::{Guest, gives_way};
use super::socket::Socket;

/// Connections at once. Each has a buffer for its request, one for the head of its answer, and some KB beside them.
pub(super) const MOST_CONNECTIONS: usize = 64;

/// How long a request may take to arrive. The chart's probes wait as long for the whole answer.
const REQUEST: Duration = Duration::from_secs(5);

/// How long a connection may live: Prometheus waits for an answer for ten seconds unless told otherwise.
const LIFE: Duration = Duration::from_secs(10);

/// The longest request in bytes, which is the least that hyper can be told. Ours are paths of eight characters, with the
/// headers that clients like.
const LONGEST_REQUEST: usize = 8 * 1024;

/// How often it is said that there are too many connections.
const TELL: Duration = Duration::from_secs(60);

/// How long to wait before the kernel, which had no descriptor left, is asked for the next connection.
const REFUSED: Duration = Duration::from_secs(1);

/// A connection under way.
#[derive(Debug)]
struct Held {
    from: IpAddr,
    is_answered: Arc<AtomicBool>,
    task: AbortHandle,
}

/// Answers every connection of `listener` by `filter`, for ever.
pub(super) async fn run<F>(listener: TcpListener, filter: F)
where
    F: Filter<Error = Rejection> + Clone + Send + Sync + 'static,
    F::Extract: Reply,
{
    // In order of age. With the set, when this is dropped, all of them end.
    let (mut held, mut tasks) = (Vec::<Held>::new(), JoinSet::new());
    let mut told = None::<Instant>;
    loop {
        let (stream, from) = match listener.accept().await {
            Ok((stream, from)) => (stream, from.ip().to_canonical()),
            // It was closed before it was accepted.
            Err(error) if is_about_one_connection(&error) => continue,
            Err(error) => {
                tracing::warn!(%error, "no connection to the probes' port can be accepted");
                sleep(REFUSED).await;
                continue;
            }
        };
        while tasks.try_join_next().is_some() {}
        held.retain(|held| !held.task.is_finished());
        if held.len() >= MOST_CONNECTIONS {
            if told.is_none_or(|told| told.elapsed() > TELL) {
                told = Some(Instant::now());
                tracing::warn!(latest = %from, most = MOST_CONNECTIONS, "too many connections to the probes' port: some are closed");
            }
            make_room(&mut held, from);
        }
        let is_answered = Arc::new(AtomicBool::new(false));
        let task = tasks.spawn(answer(stream, filter.clone(), Arc::clone(&is_answered)));
        held.push(Held { from, is_answered, task });
        // Whoever has said what he wants is read before the next one comes, who might push him out.
        yield_now().await;
    }
}

fn make_room(held: &mut Vec<Held>, newcomer: IpAddr) {
    let guest =
        |held: &Held| Guest { from: held.from, is_answered: held.is_answered.load(Ordering::Relaxed) };
    let guests: Vec<_> = held.iter().map(guest).collect();
    if let Some(place) = gives_way(&guests, newcomer) {
        held.remove(place).task.abort();
    }
}

/// Answers one request. There is no second one on a connection: whoever kept his would keep its memory.
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
        .max_buf_size(LONGEST_REQUEST)
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
