//! A proxy between our programs and the API server, which forwards what a test selects.
//!
//! It uses plain HTTP on our side, on loopback, so that it can read and change requests and responses.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::Client;
use kube::client::Body;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::{ApiServer, ApiServerError};
use crate::api_server::program::failed;

/// What the proxy does with requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Forwards everything.
    Pass,
    /// Forwards nothing in either direction and reports no error, like a cut cable. A pending request arrives
    /// when the cable is repaired, if the sender still waits then.
    Cut,
    /// Like [`Behaviour::Cut`] for requests that would change something; forwards reads and watches.
    HoldWrites,
    /// Forwards requests that would change something and holds back their responses; forwards reads and watches.
    HoldAnswers,
    /// Answers every new request with this status; running requests continue.
    Answer(StatusCode),
    /// Sends an error to every watch that its version is too old, inside the stream, and forwards everything else.
    Expire,
    /// Ends each list after this many bytes, as a server that crashes does, and sends an error to every watch that its
    /// version is too old, so that it has to list.
    TruncateLists(usize),
    /// Answers a PodTemplate with the same, as an API server does that knows all of its fields; forwards everything else.
    KnowTemplates,
    /// Ends every connection, and refuses new ones.
    Refuse,
}

/// A proxy, until this is dropped.
#[derive(Debug)]
pub struct Proxy {
    url: String,
    behaviour: watch::Sender<Behaviour>,
    severed: watch::Sender<()>,
    counts: Arc<Counts>,
    accepting: AbortHandle,
}

#[derive(Debug, Default)]
struct Counts {
    requests: AtomicU64,
    held_patches: AtomicU64,
    /// Forwarded requests that would change something and that the API server has not answered yet.
    open_writes: watch::Sender<usize>,
}

type Out = StreamBody<BoxStream<'static, Result<Frame<Bytes>, io::Error>>>;

impl Proxy {
    /// Starts one, on a port of its own.
    ///
    /// # Errors
    /// There is no port, or no client for the API server.
    pub async fn start(server: &ApiServer) -> Result<Self, ApiServerError> {
        let client = server.transparent_client().await?;
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
            .await
            .map_err(failed("bind", "the proxy"))?;
        let address = listener.local_addr().map_err(failed("bind", "the proxy"))?;
        let (behaviour, now) = watch::channel(Behaviour::Pass);
        let (severed, severing) = watch::channel(());
        let counts = Arc::new(Counts::default());
        let counted = counts.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut severed = severing.clone();
                severed.mark_unchanged();
                tokio::spawn(serve(stream, client.clone(), now.clone(), severed, counted.clone()));
            }
        })
        .abort_handle();
        Ok(Self { url: format!("http://{address}"), behaviour, severed, counts, accepting })
    }

    /// Its URL, for our programs.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sets its behaviour from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        self.behaviour.send_replace(behaviour);
    }

    /// Holds back new requests that would change something, and returns when the API server has answered all those that
    /// were forwarded before.
    pub async fn drain_writes(&self) {
        self.behave(Behaviour::HoldWrites);
        let mut open = self.counts.open_writes.subscribe();
        // The counter lives as long as the proxy.
        let _ = open.wait_for(|open| *open == 0).await;
    }

    /// Ends every open connection, as an API server does that is restarted behind a load balancer.
    pub fn sever(&self) {
        self.severed.send_replace(());
    }

    /// How many requests have come so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.counts.requests.load(Ordering::Relaxed)
    }

    /// How many patches are held back.
    #[must_use]
    pub fn held_patches(&self) -> u64 {
        self.counts.held_patches.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.behave(Behaviour::Refuse);
    }
}

async fn serve(
    stream: TcpStream,
    client: Client,
    behaviour: watch::Receiver<Behaviour>,
    mut severed: watch::Receiver<()>,
    counts: Arc<Counts>,
) {
    let mut refused = behaviour.clone();
    let service = service_fn(move |request| {
        counts.requests.fetch_add(1, Ordering::Relaxed);
        answer(request, client.clone(), behaviour.clone(), counts.clone())
    });
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let refused = pin!(refused.wait_for(|now| *now == Behaviour::Refuse));
    let severed = pin!(severed.changed());
    let ended = futures::future::select(severed, refused);
    // Tests break connections on purpose.
    let _ = futures::future::select(pin!(connection), ended).await;
}

async fn answer(
    request: Request<Incoming>,
    client: Client,
    mut behaviour: watch::Receiver<Behaviour>,
    counts: Arc<Counts>,
) -> Result<Response<Out>, io::Error> {
    let held = (request.method() == Method::PATCH).then(|| HeldCount::new(&counts.held_patches));
    let is_read = request.method() == Method::GET;
    let (now, open_write) = match is_read {
        true => (wait_passing(&mut behaviour).await, None),
        false => {
            let (now, open) = wait_open_write(&mut behaviour, &counts.open_writes).await;
            (now, Some(open))
        }
    };
    drop(held);
    let query = request.uri().query().unwrap_or_default();
    let is_watch = query.contains("watch=true") || query.contains("watch=1");
    let is_list = !is_watch && query.contains("limit=");
    match now {
        Behaviour::Answer(status) => return Ok(refusal(status)),
        Behaviour::Expire | Behaviour::TruncateLists(_) if is_watch => return Ok(expired()),
        // The connection of a write that was held ends a moment later.
        Behaviour::Refuse => return Err(io::ErrorKind::ConnectionRefused.into()),
        _ => {}
    }
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    if now == Behaviour::KnowTemplates && parts.uri.path().ends_with("/podtemplates") {
        return Ok(json_response(StatusCode::CREATED, String::from_utf8_lossy(&body).into_owned()));
    }
    let response =
        client.send(Request::from_parts(parts, Body::from(body))).await.map_err(io::Error::other)?;
    drop(open_write);
    // The response is not forwarded either while the cable is cut.
    let now = match is_read {
        true => wait_passing(&mut behaviour).await,
        false => until_not(&mut behaviour, &[Behaviour::Cut, Behaviour::HoldAnswers]).await,
    };
    let (parts, body) = response.into_parts();
    let left = match now {
        Behaviour::TruncateLists(bytes) if is_list => Some(bytes),
        _ => None,
    };
    Ok(Response::from_parts(parts, StreamBody::new(frames(body, behaviour, left).boxed())))
}

/// Counted while it lives.
struct HeldCount<'a>(&'a AtomicU64);

impl<'a> HeldCount<'a> {
    fn new(count: &'a AtomicU64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for HeldCount<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Waits until requests that would change something are forwarded, and counts this one.
async fn wait_open_write<'a>(
    behaviour: &mut watch::Receiver<Behaviour>,
    open: &'a watch::Sender<usize>,
) -> (Behaviour, OpenWrite<'a>) {
    const HELD: [Behaviour; 2] = [Behaviour::Cut, Behaviour::HoldWrites];
    loop {
        let now = until_not(behaviour, &HELD).await;
        let counted = OpenWrite::new(open);
        // The behaviour is read again after counting, so that a write is either held back or seen by `drain_writes`.
        if !HELD.contains(&behaviour.borrow()) {
            return (now, counted);
        }
    }
}

/// Counted while it lives.
struct OpenWrite<'a>(&'a watch::Sender<usize>);

impl<'a> OpenWrite<'a> {
    fn new(open: &'a watch::Sender<usize>) -> Self {
        open.send_modify(|open| *open += 1);
        Self(open)
    }
}

impl Drop for OpenWrite<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}

/// Waits until requests are forwarded, and returns the behaviour.
async fn wait_passing(behaviour: &mut watch::Receiver<Behaviour>) -> Behaviour {
    until_not(behaviour, &[Behaviour::Cut]).await
}

/// Waits for another behaviour than these, and returns it.
async fn until_not(behaviour: &mut watch::Receiver<Behaviour>, these: &[Behaviour]) -> Behaviour {
    match behaviour.wait_for(|now| !these.contains(now)).await {
        Ok(now) => *now,
        Err(_) => Behaviour::Refuse,
    }
}

/// The parts of a response as they come, while they are forwarded; an error after `left` bytes.
fn frames(
    body: Body,
    behaviour: watch::Receiver<Behaviour>,
    left: Option<usize>,
) -> impl futures::Stream<Item = Result<Frame<Bytes>, io::Error>> + Send + 'static {
    stream::unfold((body, behaviour, left), |(mut body, mut behaviour, left)| async move {
        let frame = body.frame().await?;
        wait_passing(&mut behaviour).await;
        let frame = frame.map_err(io::Error::other);
        let (frame, left) = match (frame, left) {
            (Ok(frame), Some(left)) => match frame.into_data() {
                Ok(data) if data.len() > left => (Err(io::ErrorKind::ConnectionReset.into()), Some(0)),
                Ok(data) => {
                    let left = left - data.len();
                    (Ok(Frame::data(data)), Some(left))
                }
                Err(frame) => (Ok(frame), Some(left)),
            },
            (frame, left) => (frame, left),
        };
        Some((frame, (body, behaviour, left)))
    })
}

/// The response of an API server with an error.
fn refusal(status: StatusCode) -> Response<Out> {
    let reason = match status {
        StatusCode::TOO_MANY_REQUESTS => "TooManyRequests",
        StatusCode::GONE => "Expired",
        _ => "InternalError",
    };
    let text = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "the proxy answers", "reason": reason, "code": status.as_u16(),
    });
    json_response(status, text.to_string())
}

/// The response of an API server to a watch from a compacted version.
fn expired() -> Response<Out> {
    let event = serde_json::json!({ "type": "ERROR", "object": {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "too old resource version", "reason": "Expired", "code": 410,
    } });
    json_response(StatusCode::OK, format!("{event}\n"))
}

fn json_response(status: StatusCode, text: String) -> Response<Out> {
    let frame = Ok::<_, Infallible>(Frame::data(Bytes::from(text))).map_err(|never| match never {});
    let mut response = Response::new(StreamBody::new(stream::iter([frame]).boxed()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}
