//! The requests that the servers get, all over loopback.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::lab::until;

const PATIENCE: Duration = Duration::from_secs(20);

/// Connects to a port as soon as it is open.
pub(crate) fn connected(port: u16) -> TcpStream {
    until(&format!("port {port} is open"), || TcpStream::connect(("127.0.0.1", port)).ok())
}

/// Sends a request to a port as soon as it is open, and reads until the server closes the connection.
pub(crate) fn ask(port: u16, request: impl AsRef<[u8]>) -> Vec<u8> {
    let stream = connected(port);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    exchange(stream, request.as_ref())
}

/// The same over a socket in the file system.
pub(crate) fn ask_socket(path: &Path, request: impl AsRef<[u8]>) -> Vec<u8> {
    let stream = until(&format!("{} is open", path.display()), || UnixStream::connect(path).ok());
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    exchange(stream, request.as_ref())
}

/// Sends a datagram, and reads an answer if there is one.
pub(crate) fn ask_datagram(port: u16, request: &[u8]) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    socket.send_to(request, ("127.0.0.1", port)).unwrap();
    _ = socket.recv(&mut [0; 2048]);
}

/// The same over TLS, by openssl's client.
pub(crate) fn ask_encrypted(port: u16, request: &str) {
    let mut client = Command::new("openssl");
    client.args(["s_client", "-quiet", "-connect", &format!("127.0.0.1:{port}")]);
    let mut child = client.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    child.stdin.as_mut().unwrap().write_all(request.as_bytes()).unwrap();
    // The server closes the connection after the answer.
    until("the encrypted answer is read", || child.try_wait().unwrap());
}

/// Two ends of a connection over loopback: the client's, and the one that a server gets.
pub(crate) fn connection() -> (TcpStream, TcpStream) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

fn exchange(mut stream: impl Read + Write, request: &[u8]) -> Vec<u8> {
    let mut answer = Vec::new();
    // A server that refuses the request may close the connection at any time.
    if stream.write_all(request).is_ok() {
        _ = stream.read_to_end(&mut answer);
    }
    answer
}

/// The answer to a request for a path.
pub(crate) fn get(port: u16, path: &str) -> Vec<u8> {
    ask(port, format!("GET {path} HTTP/1.0\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n"))
}

/// Sends a body to a path.
pub(crate) fn send(port: u16, method: &str, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    ask(port, [head.as_bytes(), body].concat())
}

/// Writes a certificate and its key for `localhost` to one file.
pub(crate) fn certificate(place: &Path) {
    let key = place.with_extension("key");
    let mut make = Command::new("openssl");
    make.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]);
    make.arg("-keyout").arg(&key).arg("-out").arg(place);
    crate::machine::run(&mut make);
    let both = [std::fs::read(place).unwrap(), std::fs::read(key).unwrap()].concat();
    std::fs::write(place, both).unwrap();
}
