//! Requests to a registry as they are sent, without anything that a tool adds, and the answers.

use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

use super::registry_process::{PASSWORD, USER};
use super::server::Server;

/// How long a registry may take to read or write a part of a request or an answer.
const TIME: Duration = Duration::from_mins(1);

/// A request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    /// The path, with the query.
    pub(crate) path: &'a str,
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) body: &'a [u8],
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The names are in lower case.
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// The body as JSON; null if it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|it| it == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..end]).ok()?;
        let (first, rest) = head.split_once("\r\n").unwrap_or((head, ""));
        let status = first.split(' ').nth(1)?.parse().ok()?;
        let headers = rest.split("\r\n").filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        });
        Some(Self { status, headers: headers.collect(), body: bytes[end + 4..].to_vec() })
    }
}

impl Server {
    /// Sends a request with the login, on a connection of its own.
    ///
    /// # Errors
    /// The registry has closed the connection without an answer.
    pub(crate) fn send(&self, request: Request<'_>) -> io::Result<Answer> {
        let stream = TcpStream::connect(self.host())?;
        stream.set_read_timeout(Some(TIME))?;
        stream.set_write_timeout(Some(TIME))?;
        if !self.has_tls() {
            return exchange(stream, self.host(), request);
        }
        let mut roots = RootCertStore::empty();
        let ca = fs::read(self.path("ca.pem"))?;
        roots.add(CertificateDer::from_pem_slice(&ca).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().with_root_certificates(roots).with_no_client_auth();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let tls = ClientConnection::new(Arc::new(config), name).unwrap();
        exchange(StreamOwned::new(tls, stream), self.host(), request)
    }
}

fn exchange(mut stream: impl Read + Write, host: &str, request: Request<'_>) -> io::Result<Answer> {
    let Request { method, path, headers, body } = request;
    let login = STANDARD.encode(format!("{USER}:{PASSWORD}"));
    // The answer of HTTP 1.0 is never in chunks, and ends with the connection.
    let mut head = format!("{method} {path} HTTP/1.0\r\nhost: {host}\r\nauthorization: Basic {login}\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("content-length: {}\r\n\r\n", body.len());
    // A registry may answer before it has read a large body, and not read the rest of it.
    let sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    let sent = sent.and_then(|()| stream.flush());
    let mut bytes = Vec::new();
    // The end of a connection without a TLS alert is one for who knows the length of the answer.
    let read = stream.read_to_end(&mut bytes);
    match Answer::read(&bytes) {
        Some(answer) => Ok(answer),
        None => Err(sent.and(read.map(drop)).err().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into())),
    }
}
