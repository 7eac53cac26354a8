//! A server that answers whatever a case wants, byte by byte.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
}

impl Seen {
    pub(crate) fn authorization(&self) -> Option<&str> {
        self.headers.get("authorization").map(String::as_str)
    }
}

/// What the server does.
pub(crate) enum Action {
    /// It sends bytes and closes the connection.
    Send(Vec<u8>),
    /// It sends bytes, and then others for ever.
    Endless(Vec<u8>, Vec<u8>),
    /// It sends bytes one by one, slowly.
    Drip(Vec<u8>),
    /// It sends nothing.
    Hang,
}

/// Decides by the request and the port of the other server.
pub(crate) type Handler = fn(&Seen, u16) -> Action;

pub(crate) struct Server {
    pub(crate) port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    sent: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(handler: Handler, other: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (seen, sent) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicU64::new(0)));
        let of_task = (seen.clone(), sent.clone());
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, sent) = of_task.clone();
                connections.spawn(async move {
                    // The client may close the connection at any time.
                    let _ = serve(stream, handler, other, &seen, &sent).await;
                });
            }
        });
        Self { port, seen, sent, task }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The bytes that the client has taken, with those on the way.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut stream: TcpStream,
    handler: Handler,
    other: u16,
    seen: &Mutex<Vec<Seen>>,
    sent: &AtomicU64,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|it| it == b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).await?;
        head.extend(byte);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut lines = head.lines();
    let mut first = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
    let (method, path) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers: BTreeMap<_, _> =
        headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    // A connection that is closed with unread bytes is reset, and the answer is lost.
    let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or_default();
    let request = Seen { method, path, headers };
    seen.lock().unwrap().push(request.clone());
    // The client may send fewer bytes than it has stated, and close the connection.
    tokio::io::copy(&mut (&mut stream).take(length), &mut tokio::io::sink()).await?;
    let mut write = async |bytes: &[u8]| {
        stream.write_all(bytes).await?;
        sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        stream.flush().await
    };
    match handler(&request, other) {
        Action::Send(bytes) => write(&bytes).await?,
        Action::Endless(bytes, rest) => {
            write(&bytes).await?;
            loop {
                write(&rest).await?;
            }
        }
        Action::Drip(bytes) => {
            for byte in bytes {
                write(&[byte]).await?;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Action::Hang => std::future::pending().await,
    }
    stream.shutdown().await
}

/// An answer with a body of a stated length.
pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Action {
    let mut bytes = head(status, headers, &format!("content-length: {}", body.len()));
    bytes.extend(body);
    Action::Send(bytes)
}

/// The head of an answer, with a line about its body.
pub(crate) fn head(status: u16, headers: &[(&str, &str)], about_body: &str) -> Vec<u8> {
    let headers: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("HTTP/1.1 {status} X\r\nconnection: close\r\n{}{about_body}\r\n\r\n", headers.concat())
        .into_bytes()
}
