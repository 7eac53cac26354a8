//! `kubectl seccomp learn --workload` on a real cluster, with servers of Debian 12 under load and under strace.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use e2e::kernel_records;
use serde_json::{Value, json};

use super::observer::{InFirstNamespace, Installed};
use super::plugin::Person;
use super::servers::{BEGIN, SERVERS, Server, WAITS, root};
use super::support::{LIMIT, Session, alone, expect_cleanup, print_line, until};

const SPACE: &str = "learned";
/// How many pods of the result are started, and how many at once.
const STARTS: usize = 200;
const AT_ONCE: usize = 20;
/// How often each pod's work is done.
const TIMES: usize = 3;

/// The namespace of the pods, which goes with all that is in it when this is dropped.
struct Namespace<'a>(&'a Session);

impl<'a> Namespace<'a> {
    fn create(cluster: &'a Session) -> Self {
        cluster.ok(["create", "namespace", SPACE]);
        let created = Self(cluster);
        // A pod cannot be created before its account.
        until("the namespace's account", LIMIT, || {
            cluster.kubectl(["-n", SPACE, "get", "serviceaccount", "default"]).ok()
        });
        created
    }
}

impl Drop for Namespace<'_> {
    fn drop(&mut self) {
        expect_cleanup(self.0.kubectl(["delete", "namespace", SPACE, "--timeout=180s"]).map(drop));
        let delete = ["delete", "seccompprofiles", "--all", "--timeout=120s"];
        expect_cleanup(self.0.kubectl(delete).map(drop));
    }
}

/// Traces each server's container that is under a filter from its beginning on, and lets all begin.
struct Tracer {
    logs: PathBuf,
    ends: AtomicBool,
    running: Mutex<Vec<Child>>,
}

impl Tracer {
    /// Until it is told to end.
    fn run(&self) {
        let mut seen = BTreeSet::new();
        while !self.ends.load(Ordering::Relaxed) {
            for (pid, server) in waiting() {
                if seen.insert(pid) {
                    self.begin(pid, server);
                }
            }
            thread::sleep(Duration::from_millis(100));
        }
        for child in self.running.lock().unwrap().iter_mut() {
            _ = child.kill();
            _ = child.wait();
        }
    }

    fn begin(&self, pid: u32, server: &str) {
        // A container without a filter is none that learns.
        if status(pid, "Seccomp").as_deref() == Some("2") {
            let log = self.logs.join(format!("{server}.{pid}"));
            // It ends with the thread that starts it, also if the run is killed.
            let mut strace = Command::new("setpriv");
            strace
                .args(["--pdeathsig", "KILL", "strace", "-f", "-qq", "-o"])
                .arg(&log)
                .args(["-p", &pid.to_string()])
                .stdin(Stdio::null());
            self.running.lock().unwrap().push(strace.spawn().unwrap());
            let begun = Instant::now();
            while status(pid, "TracerPid").is_none_or(|it| it == "0") && begun.elapsed() < LIMIT {
                thread::sleep(Duration::from_millis(20));
            }
        }
        _ = fs::write(format!("/proc/{pid}/root/{BEGIN}"), "");
    }

    /// The calls that were seen of this server.
    fn calls(&self, server: &str) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for file in fs::read_dir(&self.logs).unwrap().map(Result::unwrap) {
            if file.file_name().to_str().unwrap().split('.').next() == Some(server) {
                let text = fs::read(file.path()).unwrap();
                // PID NAME(…; what is no name is the rest of a call, a signal or an end.
                let lines = String::from_utf8_lossy(&text).into_owned();
                names.extend(lines.lines().filter_map(|line| {
                    let name = line
                        .trim_start_matches(|it: char| it.is_ascii_digit())
                        .trim_start()
                        .split_once('(')?
                        .0;
                    let is_name = name.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_');
                    // Of a process that is killed at this moment, strace shows an error as the number.
                    (is_name && !name.is_empty() && !name.starts_with("syscall_0x")).then(|| name.to_owned())
                }));
            }
        }
        names
    }
}

/// The first processes of containers that wait, and of which server they are.
fn waiting() -> Vec<(u32, &'static str)> {
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let numbers = processes.filter_map(|it| it.file_name().to_str()?.parse::<u32>().ok());
    let waits = numbers.filter_map(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).into_owned();
        let name = line.split_once(&format!("\0: {WAITS} "))?.1.split_once(';')?.0.to_owned();
        let server = SERVERS.iter().find(|it| it.name == name)?.name;
        // The first in its PID namespace.
        (status(pid, "NSpid")?.split_whitespace().last() == Some("1")).then_some((pid, server))
    });
    waits.collect()
}

fn status(pid: u32, field: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    Some(line.trim().to_owned())
}

fn deployment(server: &Server, root: &Path, node: &str) -> Value {
    let labels = json!({ "app": server.name });
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": server.name, "namespace": SPACE },
        "spec": {
            "replicas": 1, "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": server.pod(root, node, None, true, &server.without_end()),
            },
        },
    })
}

/// What a profile permits.
fn permitted(cluster: &Session, name: &str) -> BTreeSet<String> {
    let profile = cluster.json(["get", "seccompprofile", name]);
    let rules = profile["spec"]["contents"]["syscalls"].as_array().unwrap().clone();
    let permits = rules.iter().filter(|rule| rule["action"] == "SCMP_ACT_ALLOW" && rule["args"].is_null());
    permits
        .flat_map(|rule| rule["names"].as_array().unwrap())
        .map(|name| name.as_str().unwrap().to_owned())
        .collect()
}

#[test]
#[ignore = "long: six servers learn, and one is started 200 times"]
fn what_is_learned_of_six_servers_has_all_that_strace_saw_and_nginx_starts_and_serves_under_it() {
    let cluster = alone();
    let installed = Installed::on_first_node(&cluster);
    installed.wait_state("Blind");
    let observer = InFirstNamespace::beside_the_one_of(&installed);
    installed.wait_state("Observing");
    let records = kernel_records::alone().unwrap();
    let admin = Person::with(&cluster, "learner", &["cluster-admin"]);
    admin.run_plugin(0, &["denials"]);
    let (debian, logs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    root(debian.path());
    let node = installed.node.name();
    let namespace = Namespace::create(&cluster);
    let tracer =
        Tracer { logs: logs.path().to_owned(), ends: AtomicBool::new(false), running: Mutex::default() };

    let learned: BTreeMap<&str, BTreeSet<String>> = thread::scope(|scope| {
        scope.spawn(|| tracer.run());
        let learning: Vec<_> = SERVERS
            .iter()
            .map(|server| {
                let (cluster, admin, node) = (&cluster, &admin, &node);
                let debian = debian.path();
                scope.spawn(move || learn(cluster, admin, server, debian, node))
            })
            .collect();
        let ended: Vec<_> = learning.into_iter().map(|it| it.join()).collect();
        tracer.ends.store(true, Ordering::Relaxed);
        SERVERS.iter().zip(ended).map(|(server, ended)| (server.name, ended.unwrap())).collect()
    });
    let mut missed = Vec::new();
    for server in &SERVERS {
        let (learned, traced) = (&learned[server.name], tracer.calls(server.name));
        let differ: Vec<_> = traced.difference(learned).cloned().collect();
        print_line(&format!(
            "{}: {} calls traced, {} learned, not learned: {differ:?}",
            server.name,
            traced.len(),
            learned.len()
        ));
        assert!(traced.len() > 20, "{}: strace saw nearly nothing: {traced:?}", server.name);
        missed.extend(differ.into_iter().map(|call| (server.name, call)));
    }
    assert_eq!(missed, []);
    drop((observer, records));
    for server in &SERVERS {
        cluster.ok(["-n", SPACE, "delete", "deployment", server.name, "--timeout=120s"]);
    }
    start_often(&cluster, &SERVERS[0], debian.path(), &node);
    drop(namespace);
}

/// Learns from the server's Deployment, applies the result, and returns what that permits.
fn learn(
    cluster: &Session,
    admin: &Person<'_>,
    server: &Server,
    debian: &Path,
    node: &str,
) -> BTreeSet<String> {
    cluster.try_apply(&deployment(server, debian, node)).unwrap_or_else(|error| panic!("{error}"));
    cluster.ok(["-n", SPACE, "rollout", "status", "deployment", server.name, "--timeout=180s"]);
    let workload = format!("deploy/{}", server.name);
    let options = ["--namespace", SPACE, "--only", "server", "--from-unconfined", "--yes"];
    let times = ["--quiet", "90s", "--settle", "20s", "--at-most", "30m", "--timeout", "5m"];
    let words = [&["learn", server.name, "--workload", &workload][..], &options, &times].concat();
    admin.run_plugin(0, &words);
    permitted(cluster, server.name)
}

/// Starts pods under the result, each of which must serve its load.
fn start_often(cluster: &Session, server: &Server, debian: &Path, node: &str) {
    let profile = format!("profiles/{}.json", server.name);
    let mut spec = server.pod(debian, node, Some(&profile), false, &server.times(TIMES));
    spec["restartPolicy"] = json!("Never");
    for first in (0..STARTS).step_by(AT_ONCE) {
        let pods: Vec<_> = (first..first + AT_ONCE)
            .map(|number| {
                json!({
                    "apiVersion": "v1", "kind": "Pod",
                    "metadata": { "name": format!("start-{number}"), "namespace": SPACE, "labels": { "starts": "true" } },
                    "spec": spec,
                })
            })
            .collect();
        cluster.try_apply(&json!({ "apiVersion": "v1", "kind": "List", "items": pods })).unwrap();
        until("the pods having served", 6 * LIMIT, || {
            let pods = cluster.json(["-n", SPACE, "get", "pods", "-l", "starts=true"]);
            let pods = pods["items"].as_array().unwrap().clone();
            let served = pods.iter().filter(|pod| {
                let of = |name: &str| {
                    let all = pod["status"]["containerStatuses"].as_array().cloned().unwrap_or_default();
                    all.into_iter().find(|it| it["name"] == name).unwrap_or_default()["state"].clone()
                };
                assert_eq!(of("server")["terminated"], Value::Null, "{pod}");
                let ended = &of("load")["terminated"];
                assert!(ended.is_null() || ended["exitCode"] == 0, "{pod}");
                !ended.is_null()
            });
            (served.count() == AT_ONCE).then_some(())
        });
        cluster.ok(["-n", SPACE, "delete", "pods", "-l", "starts=true", "--timeout=120s"]);
        print_line(&format!("{} of {STARTS} pods have started and served", first + AT_ONCE));
    }
}
