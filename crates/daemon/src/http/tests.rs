//! The real server with hundreds of misbehaving connections.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use prometheus::{IntGaugeVec, Opts, Registry};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

use super::server::MAX_CONNECTIONS;
use crate::Readiness;

/// The number of connections in the benchmark's bar.
const STRANGERS: usize = 500;

/// How long a scrape may take. Prometheus waits for ten seconds.
const SCRAPE: Duration = Duration::from_secs(5);

/// A server whose metrics are longer than the kernel's send buffer.
async fn server() -> SocketAddr {
    let registry = Registry::new();
    let gauge = IntGaugeVec::new(Opts::new("seccomp_profile_nodes", "Nodes."), &["profile"]).unwrap();
    for number in 0..100 {
        gauge.with_label_values(&[&format!("profile-{number:0>5000}")]).set(1);
    }
    crate::metrics::register(&registry, gauge).unwrap();
    // The system chooses the port.
    let listener = super::listen::open((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(super::server::run(listener, super::routes::routes(registry, Readiness::default())));
    address
}

/// A connection from an address of this machine, with as little room for an answer as the kernel allows.
async fn connect(server: SocketAddr, from: Ipv4Addr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(1).unwrap();
    socket.bind((from, 0).into()).unwrap();
    timeout(SCRAPE, socket.connect(server)).await.expect("a connection in time").unwrap()
}

/// The answer to a request like those of Prometheus and the kubelet.
async fn get(server: SocketAddr, path: &str) -> String {
    let scrape = async {
        let mut connection = TcpStream::connect(server).await?;
        connection.write_all(format!("GET {path} HTTP/1.1\r\nHost: pod\r\n\r\n").as_bytes()).await?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    timeout(SCRAPE, scrape).await.expect("an answer in time").unwrap()
}

/// Scrapes and probes while hundreds of connections are open, which do `more` between two of them.
async fn scrapes_and_probes(server: SocketAddr, mut more: impl AsyncFnMut()) {
    for _ in 0..3 {
        let metrics = get(server, "/metrics").await;
        let last = format!(r#"profile="profile-{:0>5000}"}} 1"#, 99);
        assert!(metrics.contains(&last), "{} bytes", metrics.len());
        more().await;
        assert!(get(server, "/healthz").await.ends_with("\r\n\r\nok\n"));
        more().await;
    }
}

/// How many of `strangers` the server has not closed.
async fn kept(strangers: &mut [TcpStream]) -> usize {
    let mut kept = 0;
    for stranger in strangers {
        let mut answer = vec![0; 64 * 1024];
        let closed = async { while stranger.read(&mut answer).await.is_ok_and(|count| count > 0) {} };
        kept += usize::from(timeout(Duration::from_millis(2), closed).await.is_err());
    }
    kept
}

const STRANGE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

#[tokio::test]
async fn five_hundred_unfinished_requests_cost_no_scrape_and_are_not_kept() {
    for from in [STRANGE, Ipv4Addr::LOCALHOST] {
        let server = server().await;
        let mut strangers = Vec::new();
        for _ in 0..STRANGERS {
            let mut stranger = connect(server, from).await;
            let request = format!("GET /metrics HTTP/1.1\r\nHost: pod\r\nX-Long: {}", "x".repeat(7000));
            stranger.write_all(request.as_bytes()).await.unwrap();
            strangers.push(stranger);
        }
        scrapes_and_probes(server, async || ()).await;
        let kept = kept(&mut strangers).await;
        assert!(kept <= MAX_CONNECTIONS, "{kept} of {STRANGERS} are kept");
    }
}

#[tokio::test]
async fn five_hundred_requests_that_come_byte_by_byte_cost_no_scrape() {
    for from in [STRANGE, Ipv4Addr::LOCALHOST] {
        let server = server().await;
        let mut strangers = Vec::new();
        for _ in 0..STRANGERS {
            strangers.push(connect(server, from).await);
        }
        scrapes_and_probes(server, async || {
            for stranger in &mut strangers {
                // A closed connection is opened again.
                if stranger.write_all(b"G").await.is_err() {
                    *stranger = connect(server, from).await;
                }
            }
        })
        .await;
    }
}

#[tokio::test]
async fn five_hundred_answers_that_nobody_reads_cost_no_scrape_and_are_not_kept() {
    for from in [STRANGE, Ipv4Addr::LOCALHOST] {
        let server = server().await;
        let mut strangers = Vec::new();
        for _ in 0..STRANGERS {
            let mut stranger = connect(server, from).await;
            stranger.write_all(b"GET /metrics HTTP/1.1\r\nHost: pod\r\n\r\n").await.unwrap();
            strangers.push(stranger);
        }
        scrapes_and_probes(server, async || ()).await;
        let kept = strangers.iter().filter(|stranger| stranger.take_error().unwrap().is_none()).count();
        assert!(kept <= MAX_CONNECTIONS, "{kept} of {STRANGERS} are kept");
    }
}

/// How long the server keeps a connection that sends `sent` and then nothing, and reads nothing.
async fn life(sent: &'static [u8]) -> Duration {
    let server = server().await;
    let mut connection = connect(server, Ipv4Addr::LOCALHOST).await;
    connection.write_all(sent).await.unwrap();
    let start = Instant::now();
    let closed = async {
        // The server resets a connection whose answer is not read, and closes a silent one.
        while connection.take_error().unwrap().is_none() && !is_at_its_end(&connection) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(Duration::from_hours(1), closed).await.expect("it is closed");
    start.elapsed()
}

fn is_at_its_end(connection: &TcpStream) -> bool {
    matches!(futures::FutureExt::now_or_never(connection.peek(&mut [0; 1])), Some(Ok(0) | Err(_)))
}

#[tokio::test(start_paused = true)]
async fn no_connection_lives_longer_than_a_scrape_may_take() {
    for (sent, limit) in
        [(&b""[..], 6), (b"GET /met", 6), (b"GET /metrics HTTP/1.1\r\nHost: pod\r\n\r\n", 11)]
    {
        let lived = life(sent).await;
        assert!(lived < Duration::from_secs(limit), "{lived:?}: {}", String::from_utf8_lossy(sent));
    }
}

#[tokio::test]
async fn a_connection_answers_one_request_and_a_long_one_is_refused() {
    let server = server().await;
    let answer = get(server, "/healthz").await;
    assert!(answer.to_lowercase().contains("connection: close"), "{answer}");
    let refused = get(server, &format!("/healthz?{}", "x".repeat(9000))).await;
    assert!(refused.starts_with("HTTP/1.1 4"), "{refused}");
}
