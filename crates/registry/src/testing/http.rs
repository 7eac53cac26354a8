//! As much of HTTP as a registry for tests needs.

use std::fmt::Write as _;

use tokio::io::{AsyncRead, AsyncReadExt};

/// A request, with the names of headers in lower case.
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    head: String,
    pub(super) body: String,
}

impl Request {
    pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Self> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut words = head.split(' ').map(str::to_owned);
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut request = Self { method, path, head, body: String::new() };
        let length = request.header("content-length").and_then(|it| it.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        request.body = String::from_utf8_lossy(&body).into_owned();
        Ok(request)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

pub(super) struct Response {
    pub(super) status: u16,
    pub(super) headers: String,
    pub(super) body: String,
}

impl Response {
    pub(super) const fn of(status: u16) -> Self {
        Self { status, headers: String::new(), body: String::new() }
    }

    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        write!(self.headers, "{name}: {value}\r\n").unwrap();
        self
    }
}
