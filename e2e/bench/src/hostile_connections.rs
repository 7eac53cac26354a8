//! What hundreds of hostile connections cost each program, on the port of its probes and metrics.
//!
//! The programs run unchanged, without an API server: they serve the port nevertheless.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use xtask::build_program::build_program;
use xtask::workspace::repository;

use crate::api_server::{ApiServerError, Program, free_port};
use crate::session::BenchError;

/// Connections of each kind.
const CONNECTIONS: usize = 500;

/// Scrapes while the connections are open.
const SCRAPES: usize = 20;

/// How long Prometheus waits for a scrape.
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(10);

/// The most resident memory that the connections may cost, in KiB.
const MAX_KIB: u64 = 2048;

/// The clients' address: on a cluster they have other addresses than the kubelet and Prometheus.
const CLIENT_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// What the connections do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ConnectionKind {
    /// They send 7 KB of a request, and never its end.
    Unfinished,
    /// They send a byte of a request now and then.
    ByteByByte,
    /// They ask for the metrics, and read nothing.
    Unread,
}

impl ConnectionKind {
    const ALL: [Self; 3] = [Self::Unfinished, Self::ByteByByte, Self::Unread];

    fn label(self) -> &'static str {
        match self {
            Self::Unfinished => "unfinished requests",
            Self::ByteByByte => "requests byte by byte",
            Self::Unread => "answers that nobody reads",
        }
    }

    /// What each connection sends at once.
    fn request(self) -> String {
        match self {
            Self::Unfinished => format!("GET /metrics HTTP/1.1\r\nHost: pod\r\nX-Long: {}", "x".repeat(7000)),
            Self::ByteByByte => "G".to_owned(),
            Self::Unread => "GET /metrics HTTP/1.1\r\nHost: pod\r\n\r\n".to_owned(),
        }
    }
}

/// What the connections cost.
#[derive(Debug, Default)]
struct Cost {
    before: u64,
    most: u64,
    failed: usize,
    slowest: Duration,
}

/// Measures both programs with each kind, and prints a table; `release` as in the images, else built quickly.
///
/// # Errors
/// A program does not build or start, or a bar was not reached.
pub async fn measure(release: bool) -> Result<(), BenchError> {
    let directory = tempfile::tempdir().map_err(BenchError::io("a directory"))?;
    let kubeconfig = directory.path().join("kubeconfig");
    fs::write(&kubeconfig, KUBECONFIG).map_err(BenchError::io("a kubeconfig"))?;
    println!(
        "{:<12}{:<28}{:>18}{:>10}{:>9}{:>12}",
        "program", "500 connections with", "resident, KiB", "cost, KiB", "failed", "slowest, ms"
    );
    let mut missed = Vec::new();
    for name in ["node-agent", "operator"] {
        let binary = build_program(repository(), name, release).map_err(ApiServerError::from)?;
        for kind in ConnectionKind::ALL {
            // A process of its own: a heap that has grown for earlier connections would hide what later ones cost.
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
            let mut command = Command::new(&binary);
            command.env("KUBECONFIG", &kubeconfig).arg(format!("--listen={address}"));
            match name {
                "node-agent" => command.args(["--node-name=node", "--kubelet-root"]).arg(directory.path()),
                _ => command.arg("--namespace=default"),
            };
            let program = Program::start(name, &command, &directory.path().join(format!("{name}.log")))?;
            wait_started(address).await?;
            let cost = cost_of(kind, address, program.id()).await?;
            let more = cost.most.saturating_sub(cost.before);
            println!(
                "{name:<12}{:<28}{:>18}{more:>10}{:>9}{:>12.1}",
                kind.label(),
                format!("{} to {}", cost.before, cost.most),
                cost.failed,
                cost.slowest.as_secs_f64() * 1000.0
            );
            if more > MAX_KIB || cost.failed > 0 {
                missed.push(format!("{name}, {}: {more} KiB, {} scrapes failed", kind.label(), cost.failed));
            }
        }
    }
    if missed.is_empty() { Ok(()) } else { Err(BenchError::Bar(missed.join("; "))) }
}

/// No server listens there.
const KUBECONFIG: &str = r#"
apiVersion: v1
kind: Config
current-context: none
clusters: [{ name: none, cluster: { server: "http://127.0.0.1:1" } }]
contexts: [{ name: none, context: { cluster: none, user: none } }]
users: [{ name: none, user: {} }]
"#;

async fn wait_started(address: SocketAddr) -> Result<(), BenchError> {
    let answers = async {
        while scrape(address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(30), answers)
        .await
        .map_err(|_| BenchError::TooLate("the program answers".into()))
}

/// Scrapes while the connections are open, and opens again those that were closed.
async fn cost_of(kind: ConnectionKind, address: SocketAddr, pid: u32) -> Result<Cost, BenchError> {
    let mut cost = Cost { before: resident(pid)?, ..Cost::default() };
    let mut strangers = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        strangers.push(open_connection(address, kind).await?);
        cost.most = cost.most.max(resident(pid)?);
    }
    for _ in 0..SCRAPES {
        let start = Instant::now();
        let answered = timeout(SCRAPE_TIMEOUT, scrape(address)).await;
        cost.failed += usize::from(!matches!(answered, Ok(Ok(()))));
        cost.slowest = cost.slowest.max(start.elapsed());
        for connection in &mut strangers {
            let is_gone = connection.take_error().is_ok_and(|error| error.is_some())
                || (kind == ConnectionKind::ByteByByte && connection.write_all(b"x").await.is_err());
            if is_gone {
                *connection = open_connection(address, kind).await?;
            }
        }
        cost.most = cost.most.max(resident(pid)?);
    }
    Ok(cost)
}

async fn open_connection(address: SocketAddr, kind: ConnectionKind) -> Result<TcpStream, BenchError> {
    let connect = async {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(1)?;
        socket.bind((CLIENT_ADDRESS, 0).into())?;
        let mut connection = socket.connect(address).await?;
        // One that was already closed is opened again later.
        let _ = connection.write_all(kind.request().as_bytes()).await;
        Ok(connection)
    };
    connect.await.map_err(BenchError::io("a stranger's connection"))
}

/// The metrics, requested as Prometheus does; an error if they are incomplete.
async fn scrape(address: SocketAddr) -> io::Result<()> {
    let mut connection = TcpStream::connect(address).await?;
    connection.write_all(b"GET /metrics HTTP/1.1\r\nHost: pod\r\n\r\n").await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    match answer.contains("seccomp_profile_build_info") && answer.ends_with('\n') {
        true => Ok(()),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Resident memory in KiB.
fn resident(pid: u32) -> Result<u64, BenchError> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(Path::new(&path)).map_err(BenchError::io(&path))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    number.ok_or_else(|| BenchError::Unexpected(format!("{path}: the program has ended")))
}
