//! What the agent takes with more profiles than fit, as a process: one profile is refused, and never the node.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "clippy's `allow-unwrap-in-tests` does not cover helper functions of integration tests"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;
use std::{fs, thread};

use profile::ContentHash;
use serde_json::{Value, json};

/// The chart's limit.
const LIMIT: u64 = 24 * 1024 * 1024;

/// One below it, as somebody may have chosen before contents had a bound.
const SMALL_LIMIT: u64 = 16 * 1024 * 1024;

/// Of the limit, what the chart's static binary has in memory of itself: here the file is another one, and does not
/// count.
const PROGRAM: u64 = 4 * 1024 * 1024;

/// How long the agent may take: a program without optimisation, on a machine that does much else.
const PATIENCE: Duration = Duration::from_mins(15);

/// The largest profile that the schema admits, or nearly: 4,096 names of 64 characters, 1,024 arguments. No name occurs a
/// second time, so that an agent cannot keep it in less memory.
fn largest(number: usize) -> Value {
    let rules: Vec<_> = (0..512)
        .map(|rule| {
            let name = |name| {
                let hash = ContentHash::of(format!("{number}/{rule}/{name}").as_bytes()).to_string();
                let digits = hash.trim_start_matches("sha256:");
                format!("c{}", &digits[1..])
            };
            let argument = |index| json!({ "index": index, "value": u64::MAX.to_string(), "valueTwo": u64::MAX.to_string(), "op": "SCMP_CMP_MASKED_EQ" });
            json!({
                "names": (0..8).map(name).collect::<Vec<_>>(), "action": "SCMP_ACT_ERRNO", "errnoRet": number,
                "args": [argument(0), argument(5)],
            })
        })
        .collect();
    json!({ "defaultAction": "SCMP_ACT_KILL_PROCESS", "syscalls": rules })
}

fn profile(number: usize, contents: &Value) -> Value {
    let name = format!("p{number:05}");
    json!({ "metadata": { "name": name, "uid": name }, "spec": { "contents": contents } })
}

/// An API server that has `profiles` and the node's object, and hands on the reports.
fn serve(profiles: usize, contents: fn(usize) -> Value, reports: Sender<Value>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for connection in listener.incoming() {
            let reports = reports.clone();
            // It ends with the agent, which closes the connection.
            thread::spawn(move || answer_all(&connection.unwrap(), profiles, contents, &reports));
        }
    });
    port
}

fn answer_all(
    connection: &TcpStream,
    profiles: usize,
    contents: fn(usize) -> Value,
    reports: &Sender<Value>,
) -> Option<()> {
    let mut reader = BufReader::new(connection);
    loop {
        let (mut line, mut length) = (String::new(), 0);
        reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
        let mut header = String::new();
        while reader.read_line(&mut header).ok()? > 2 {
            if let Some(value) = header.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            header.clear();
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let url = line.split(' ').nth(1).unwrap();
        let parameter = |name: &str| {
            let mut pairs = url.split(['?', '&']).filter_map(|pair| pair.split_once('='));
            pairs.find_map(|(key, value)| (key == name).then(|| value.parse::<usize>().unwrap_or(0)))
        };
        if url.contains("sendInitialEvents=true") {
            // An API server that streams no lists: pages are what takes most memory.
            let refusal = json!({ "kind": "Status", "code": 422, "reason": "Invalid" }).to_string();
            let head = format!(
                "HTTP/1.1 422 Unprocessable Entity\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                refusal.len()
            );
            (&*connection).write_all((head + &refusal).as_bytes()).ok()?;
            continue;
        }
        if url.contains("watch=true") {
            // Nothing changes, and the watch goes on.
            (&*connection).write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n").ok()?;
            continue;
        }
        let answer = if line.starts_with("PATCH") {
            let _ = reports.send(serde_json::from_slice(&body).unwrap());
            json!({ "metadata": { "name": "node-1", "uid": "1", "resourceVersion": "9" } })
        } else if url.contains("nodeprofilestatuses") {
            let object = json!({ "metadata": { "name": "node-1", "uid": "1", "resourceVersion": "7" } });
            json!({ "metadata": { "resourceVersion": "7" }, "items": [object] })
        } else {
            let from = parameter("continue").unwrap_or(0);
            let to = (from + parameter("limit").unwrap()).min(profiles);
            let items: Vec<_> = (from..to).map(|number| profile(number, &contents(number))).collect();
            let next = if to < profiles { to.to_string() } else { String::new() };
            json!({ "metadata": { "resourceVersion": "7", "continue": next }, "items": items })
        };
        let answer = answer.to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            answer.len()
        );
        (&*connection).write_all((head + &answer).as_bytes()).ok()?;
    }
}

/// An agent as a process, which is killed with the test.
struct Agent(Child);

impl Agent {
    fn start(port: u16, directory: &Path, limit: u64) -> Self {
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{ "name": "c", "cluster": { "server": format!("http://127.0.0.1:{port}") } }],
            "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "c" } }],
            "users": [{ "name": "c", "user": {} }],
        });
        fs::write(directory.join("kubeconfig"), kubeconfig.to_string()).unwrap();
        let agent = Command::new(env!("CARGO_BIN_EXE_node-agent"))
            .args(["--node-name=node-1", "--listen=127.0.0.1:0", "--log-level=error"])
            .arg(format!("--memory-limit={limit}"))
            .arg(format!("--kubelet-root={}", directory.display()))
            .env("KUBECONFIG", directory.join("kubeconfig"))
            // glibc would give each thread memory of its own, and how many threads there are depends on the machine.
            .env("MALLOC_ARENA_MAX", "1")
            .stdin(Stdio::null())
            .spawn();
        Self(agent.unwrap())
    }

    /// Bytes that it has taken at most, without those of its program.
    fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
        };
        field("VmHWM:") - field("RssFile:")
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It has ended already otherwise.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The report of an agent under a limit with so many profiles, and what it took at most.
fn reported(limit: u64, profiles: usize, contents: fn(usize) -> Value) -> (Value, u64) {
    let directory = tempfile::tempdir().unwrap();
    let (sender, reports) = channel();
    let agent = Agent::start(serve(profiles, contents, sender), directory.path(), limit);
    let mut report = reports.recv_timeout(PATIENCE).unwrap();
    (report["status"]["report"].take(), agent.peak())
}

#[test]
fn of_sixty_profiles_of_the_largest_size_those_that_do_not_fit_are_refused_and_the_agent_lives() {
    for (limit, profiles, least) in [(LIMIT, 60, 15), (SMALL_LIMIT, 30, 7)] {
        let (report, peak) = reported(limit, profiles, largest);
        let held = report["files"].as_object().unwrap().len();
        let problems = report["problems"].as_array().unwrap();
        assert!(held >= least, "{held} are held");
        assert_eq!(held + problems.len(), profiles);
        assert!(
            problems.iter().all(|it| it["state"] == "Failed" && it["reason"] == "MemoryLimit"),
            "{problems:?}"
        );
        assert!(peak <= limit - PROGRAM, "{held} profiles took {} KiB", peak / 1024);
    }
}

#[test]
fn of_a_crowd_of_small_profiles_those_that_do_not_fit_are_refused_and_the_agent_lives() {
    let small = |number| json!({ "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": number % 4000 });
    let (report, peak) = reported(LIMIT, 5000, small);
    let held = report["files"].as_object().unwrap().len();
    assert!((3500..4500).contains(&held), "{held} are held");
    assert_eq!(report["problems"].as_array().unwrap().len(), 100);
    assert!(peak <= LIMIT - PROGRAM, "{held} profiles took {} KiB", peak / 1024);
}
