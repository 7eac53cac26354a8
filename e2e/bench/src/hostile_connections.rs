//! What hundreds of connections that mean no good cost each program, on the port of its probes and metrics.
//!
//! The programs run as they are, without an API server: they serve the port all the same.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use xtask::command;
use xtask::workspace::{cargo, repository, target_directory};

use crate::api_server::{Program, free_port};
use crate::session::BenchError;

/// Connections of each crowd.
const STRANGERS: usize = 500;

/// Scrapes while a crowd is there.
const SCRAPES: usize = 20;

/// How long Prometheus waits for one.
const SCRAPE: Duration = Duration::from_secs(10);

/// What a crowd may cost in KiB of resident memory.
const BAR: u64 = 2048;

/// Where the strangers come from: on a cluster they have other addresses than the kubelet and Prometheus.
const STRANGE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// What the connections of a crowd do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Crowd {
    /// They send 7 KB of a request, and never its end.
    Unfinished,
    /// They send a byte of a request now and then.
    ByteByByte,
    /// They ask for the metrics, and read nothing.
    Unread,
}

impl Crowd {
    const ALL: [Self; 3] = [Self::Unfinished, Self::ByteByByte, Self::Unread];

    fn says(self) -> &'static str {
        match self {
            Self::Unfinished => "unfinished requests",
            Self::ByteByByte => "requests byte by byte",
            Self::Unread => "answers that nobody reads",
        }
    }

    /// What each sends at once.
    fn sends(self) -> String {
        match self {
            Self::Unfinished => format!("GET /metrics HTTP/1.1\r\nHost: pod\r\nX-Long: {}", "x".repeat(7000)),
            Self::ByteByByte => "G".to_owned(),
            Self::Unread => "GET /metrics HTTP/1.1\r\nHost: pod\r\n\r\n".to_owned(),
        }
    }
}

/// What a crowd cost.
#[derive(Debug, Default)]
struct Cost {
    before: u64,
    most: u64,
    failed: usize,
    slowest: Duration,
}

/// Measures both programs with each crowd, and prints a table; `release` as in the images, else built quickly.
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
        let binary = build(name, release)?;
        for crowd in Crowd::ALL {
            // A process of its own: the heap that an earlier crowd made grow would hide what a later one costs.
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
            let mut command = Command::new(&binary);
            command.env("KUBECONFIG", &kubeconfig).arg(format!("--listen={address}"));
            match name {
                "node-agent" => command.args(["--node-name=node", "--kubelet-root"]).arg(directory.path()),
                _ => command.arg("--namespace=default"),
            };
            let program = Program::start(name, &command, &directory.path().join(format!("{name}.log")))?;
            started(address).await?;
            let cost = cost_of(crowd, address, program.id()).await?;
            let more = cost.most.saturating_sub(cost.before);
            println!(
                "{name:<12}{:<28}{:>18}{more:>10}{:>9}{:>12.1}",
                crowd.says(),
                format!("{} to {}", cost.before, cost.most),
                cost.failed,
                cost.slowest.as_secs_f64() * 1000.0
            );
            if more > BAR || cost.failed > 0 {
                missed.push(format!("{name}, {}: {more} KiB, {} scrapes failed", crowd.says(), cost.failed));
            }
        }
    }
    if missed.is_empty() { Ok(()) } else { Err(BenchError::Bar(missed.join("; "))) }
}

/// Nobody listens there.
const KUBECONFIG: &str = r#"
apiVersion: v1
kind: Config
current-context: none
clusters: [{ name: none, cluster: { server: "http://127.0.0.1:1" } }]
contexts: [{ name: none, context: { cluster: none, user: none } }]
users: [{ name: none, user: {} }]
"#;

fn build(name: &str, release: bool) -> Result<PathBuf, BenchError> {
    let mut build = cargo(repository());
    build.args(["build", "--locked", "--package", name]);
    if release {
        build.arg("--release");
    }
    command::output(&mut build).map_err(crate::api_server::ApiServerError::from)?;
    Ok(target_directory(repository()).join(if release { "release" } else { "debug" }).join(name))
}

async fn started(address: SocketAddr) -> Result<(), BenchError> {
    let answers = async {
        while scrape(address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(30), answers)
        .await
        .map_err(|_| BenchError::TooLate("the program answers".into()))
}

/// Scrapes while a crowd is there, and comes again with whoever was sent away.
async fn cost_of(crowd: Crowd, address: SocketAddr, pid: u32) -> Result<Cost, BenchError> {
    let mut cost = Cost { before: resident(pid)?, ..Cost::default() };
    let mut strangers = Vec::with_capacity(STRANGERS);
    for _ in 0..STRANGERS {
        strangers.push(stranger(address, crowd).await?);
        cost.most = cost.most.max(resident(pid)?);
    }
    for _ in 0..SCRAPES {
        let start = Instant::now();
        let answered = timeout(SCRAPE, scrape(address)).await;
        cost.failed += usize::from(!matches!(answered, Ok(Ok(()))));
        cost.slowest = cost.slowest.max(start.elapsed());
        for connection in &mut strangers {
            let is_gone = connection.take_error().is_ok_and(|error| error.is_some())
                || (crowd == Crowd::ByteByByte && connection.write_all(b"x").await.is_err());
            if is_gone {
                *connection = stranger(address, crowd).await?;
            }
        }
        cost.most = cost.most.max(resident(pid)?);
    }
    Ok(cost)
}

async fn stranger(address: SocketAddr, crowd: Crowd) -> Result<TcpStream, BenchError> {
    let connect = async {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(1)?;
        socket.bind((STRANGE, 0).into())?;
        let mut connection = socket.connect(address).await?;
        // One that was sent away already comes again later.
        let _ = connection.write_all(crowd.sends().as_bytes()).await;
        Ok(connection)
    };
    connect.await.map_err(BenchError::io("a stranger's connection"))
}

/// The metrics, as Prometheus asks for them; an error where they are not whole.
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
    number.ok_or_else(|| BenchError::TooLate(format!("{path}: the program has ended")))
}
