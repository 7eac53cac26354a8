//! Connections that nothing uses any more: few are kept, whatever the number of hosts.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this file is a test")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use registry::{Client, Limits, Login, Reach, Reference, RegistryError, Which};
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// How many connections of all hosts are kept (`client/connect.rs`).
const KEPT: usize = 32;

/// Hosts that have nothing and keep their connections open.
struct Hosts {
    ports: Vec<u16>,
    /// The connections that were made.
    made: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Hosts {
    async fn start(count: usize) -> Self {
        let (mut ports, mut tasks, made) = (Vec::new(), JoinSet::new(), Arc::new(AtomicUsize::new(0)));
        for _ in 0..count {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            ports.push(listener.local_addr().unwrap().port());
            let made = Arc::clone(&made);
            tasks.spawn(async move {
                let mut connections = JoinSet::new();
                while let Ok((stream, _)) = listener.accept().await {
                    made.fetch_add(1, Ordering::Relaxed);
                    connections.spawn(answer_each(stream));
                }
            });
        }
        Self { ports, made, _tasks: tasks }
    }

    fn client(&self) -> Client {
        let names: BTreeSet<_> = self.ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let reach = Reach { plain: names.clone(), inside: names, networks: Vec::new() };
        Client::new(reach, Limits::default(), std::iter::empty::<CertificateDer<'_>>()).unwrap()
    }
}

async fn answer_each(mut stream: TcpStream) {
    let mut head = Vec::new();
    while let Ok(byte) = stream.read_u8().await {
        head.push(byte);
        if head.ends_with(b"\r\n\r\n") {
            head.clear();
            // The client may close the connection at any time.
            let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await;
        }
    }
}

async fn ask(client: &Client, port: u16) {
    let reference = Reference::parse(&format!("127.0.0.1:{port}/team/app:1")).unwrap();
    let which = Which::Tag(reference.tag().unwrap());
    let answer = client.manifest(reference.repository(), &which, &Login::Anonymous).await;
    assert!(matches!(answer, Err(RegistryError::NotFound { .. })), "{answer:?}");
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let hosts = Hosts::start(1).await;
    let client = hosts.client();
    for _ in 0..3 {
        ask(&client, hosts.ports[0]).await;
    }
    assert_eq!(hosts.made.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn of_many_hosts_few_connections_are_kept() {
    const HOSTS: usize = 3 * KEPT;
    let hosts = Hosts::start(HOSTS).await;
    let client = hosts.client();
    for port in hosts.ports.iter().chain(&hosts.ports) {
        ask(&client, *port).await;
    }
    // A connection that was kept is used for the second question.
    let again = hosts.made.load(Ordering::Relaxed).checked_sub(HOSTS).unwrap();
    assert!(again >= HOSTS - KEPT, "{again} of {HOSTS} hosts were connected to again");
}
