//! Passes the API server's connections to replicas that are ready, as a Service does.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

/// How often the replicas' readiness is read.
const PROBE: Duration = Duration::from_millis(100);

/// How long a replica may take to say that it is ready, as the kubelet waits by default.
const ANSWER: Duration = Duration::from_secs(1);

/// A replica: where its probes are, the port of the webhook, and whether it was ready when it was last asked.
#[derive(Debug, Clone)]
struct Backend {
    probes: String,
    port: u16,
    ready: bool,
}

/// The replicas behind one port.
#[derive(Debug)]
pub(super) struct Balancer {
    pub(super) port: u16,
    backends: Arc<Mutex<Vec<Backend>>>,
}

impl Balancer {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let backends = Arc::<Mutex<Vec<Backend>>>::default();
        tokio::spawn(probe(backends.clone()));
        tokio::spawn(pass(listener, backends.clone()));
        Self { port, backends }
    }

    pub(super) fn add(&self, probes: &str, port: u16) {
        self.backends.lock().unwrap().push(Backend { probes: probes.to_owned(), port, ready: false });
    }

    /// How many replicas were ready when they were last asked.
    pub(super) fn ready(&self) -> usize {
        self.backends.lock().unwrap().iter().filter(|backend| backend.ready).count()
    }
}

async fn probe(backends: Arc<Mutex<Vec<Backend>>>) {
    loop {
        let all = backends.lock().unwrap().clone();
        for (at, backend) in all.iter().enumerate() {
            let ready = timeout(ANSWER, is_ready(&backend.probes)).await.unwrap_or(false);
            backends.lock().unwrap()[at].ready = ready;
        }
        sleep(PROBE).await;
    }
}

async fn is_ready(probes: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(probes).await else { return false };
    let request = "GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let mut answer = Vec::new();
    stream.write_all(request.as_bytes()).await.is_ok()
        && stream.read_to_end(&mut answer).await.is_ok()
        && answer.starts_with(b"HTTP/1.1 200")
}

async fn pass(listener: TcpListener, backends: Arc<Mutex<Vec<Backend>>>) {
    let mut turn = 0_usize;
    while let Ok((mut client, _)) = listener.accept().await {
        let ready: Vec<u16> = backends
            .lock()
            .unwrap()
            .iter()
            .filter(|backend| backend.ready)
            .map(|backend| backend.port)
            .collect();
        turn += 1;
        let Some(port) = ready.get(turn % ready.len().max(1)).copied() else { continue };
        tokio::spawn(async move {
            if let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
                let _ = copy_bidirectional(&mut client, &mut server).await;
            }
        });
    }
}
