//! Programs of Debian 12 start, work and end under the profiles that are derived from their files, every time.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use xtask::build_program::build_plugin;
use xtask::command::output;
use xtask::workspace::repository;

use crate::container::{CAPABILITIES, Groups, isolated};
use crate::installed::Installed;

/// How many times each program is started under each runtime.
const STARTS: usize = 200;
/// How many containers run at a time: a start mostly waits.
const AT_A_TIME: usize = 8;
/// How many seconds a container may take. Most take less than one.
const SECONDS: u8 = 120;

/// A program, and a run of it.
struct Program {
    path: &'static str,
    arguments: &'static [&'static str],
    /// What it prints when it works.
    prints: &'static str,
    /// What ends it then, if it does not end by itself.
    signal: Option<Signal>,
    /// The plugins that its configuration names.
    modules: &'static [&'static str],
}

const fn tool(path: &'static str, arguments: &'static [&'static str], prints: &'static str) -> Program {
    Program { path, arguments, prints, signal: None, modules: &[] }
}

const fn server(path: &'static str, arguments: &'static [&'static str], prints: &'static str) -> Program {
    Program { signal: Some(Signal::TERM), ..tool(path, arguments, prints) }
}

const PROGRAMS: [Program; 27] = [
    server("/usr/sbin/nginx", &["-g", "daemon off;"], "start worker process"),
    server("/usr/bin/redis-server", &["--dir", "/tmp", "--save", ""], "Ready to accept connections"),
    server("/usr/bin/memcached", &["-u", "server", "-vv"], "server listening"),
    Program {
        modules: &["mod_dirlisting.so"],
        ..server("/usr/sbin/lighttpd", &["-D", "-f", "/etc/lighttpd.conf"], "server started")
    },
    // It asks another server, and finds that it is not there. Such a young haproxy does not end by SIGTERM in a container,
    // with a profile or without.
    Program {
        signal: Some(Signal::KILL),
        ..server("/usr/sbin/haproxy", &["-W", "-db", "-f", "/etc/haproxy.cfg"], "is DOWN")
    },
    tool(
        "/usr/bin/sqlite3",
        &[":memory:", "create table t(a); insert into t values (42); select a from t"],
        "42",
    ),
    tool("/bin/cat", &["/proc/self/status"], "Seccomp:\t2"),
    tool("/bin/ls", &["-l", "/etc"], "haproxy.cfg"),
    tool("/bin/cp", &["-av", "/etc/haproxy.cfg", "/tmp/copy"], "/tmp/copy"),
    tool("/bin/mv", &["-v", "/tmp/file", "/tmp/moved"], "renamed"),
    tool("/bin/rm", &["-v", "/tmp/file"], "removed"),
    tool("/bin/mkdir", &["-pv", "/tmp/a/b"], "/tmp/a/b"),
    tool("/bin/ln", &["-sv", "/etc/haproxy.cfg", "/tmp/link"], "/tmp/link"),
    tool("/bin/date", &["--utc", "+%Y"], "20"),
    tool("/bin/df", &["-a"], "tmpfs"),
    tool("/usr/bin/stat", &["/etc/haproxy.cfg"], "Modify:"),
    tool("/bin/touch", &["/tmp/new"], ""),
    tool("/bin/dd", &["if=/dev/zero", "of=/tmp/zero", "count=8"], "8+0 records out"),
    tool("/usr/bin/id", &["server"], "998(server)"),
    tool("/usr/bin/sort", &["--parallel=2", "/etc/passwd"], "server:x:998"),
    tool("/usr/bin/sha256sum", &["/etc/haproxy.cfg"], "/etc/haproxy.cfg"),
    tool("/usr/bin/tail", &["-n1", "/etc/passwd"], "server:x:998"),
    tool("/usr/bin/shuf", &["-n1", "-i1-9"], ""),
    tool("/usr/bin/curl", &["--silent", "file:///etc/passwd"], "server:x:998"),
    tool("/usr/bin/git", &["init", "/tmp/it"], "Initialized empty Git repository"),
    tool("/usr/bin/openssl", &["dgst", "-sha256", "/etc/passwd"], "SHA2-256"),
    tool("/bin/busybox", &["wc", "-l", "/etc/passwd"], "2"),
];

const NGINX: &str = "user server server; error_log /dev/stderr notice; pid /run/nginx.pid; events {}
http { access_log off; client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/fast;
uwsgi_temp_path /tmp/uwsgi; scgi_temp_path /tmp/scgi; server { listen 8080; root /etc; } }
";
const HAPROXY: &str = "defaults
  mode http
  timeout connect 1s
  timeout client 1s
  timeout server 1s
listen it
  bind :8081
  server other 127.0.0.1:8082 check inter 100ms fall 1
";

/// The files of all programs, with what they need to run.
fn root() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for packages in ["derive-servers.sh", "derive-tools.sh"] {
        let packages = output(&mut Command::new(repository().join("e2e").join(packages))).unwrap();
        let all = format!("{}/.", packages.trim_end());
        assert!(Command::new("cp").args(["-a", &all]).arg(root.path()).status().unwrap().success());
    }
    for folder in ["dev", "proc", "run", "tmp"] {
        fs::create_dir_all(root.path().join(folder)).unwrap();
    }
    for (path, text) in [
        ("etc/nsswitch.conf", "passwd: files\ngroup: files\n"),
        ("etc/passwd", "root:x:0:0::/:/none\nserver:x:998:998::/:/none\n"),
        ("etc/group", "root:x:0:\nserver:x:998:\n"),
        ("tmp/file", "it"),
        ("etc/nginx/nginx.conf", NGINX),
        ("etc/lighttpd.conf", "server.document-root = \"/etc\"\nserver.port = 8080\n"),
        ("etc/haproxy.cfg", HAPROXY),
    ] {
        fs::write(root.path().join(path), text).unwrap();
    }
    root
}

/// The profile that is derived from the program for both runtimes.
fn derived(plugin: &Path, root: &Path, program: &Program) -> Value {
    let mut derive = Command::new(plugin);
    derive.arg("derive").arg(root).args(["--program", program.path, "--output", "json"]);
    for module in program.modules {
        derive.args(["--module", &format!("/usr/lib/lighttpd/{module}")]);
    }
    serde_json::from_str(&output(&mut derive).unwrap()).unwrap()
}

fn config(root: &Path, program: &Program, seccomp: &Value, group: &str) -> Value {
    let arguments: Vec<_> = [program.path].into_iter().chain(program.arguments.iter().copied()).collect();
    let capabilities =
        json!({ "bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES });
    let mounts =
        [("/proc", "proc"), ("/dev", "tmpfs"), ("/run", "tmpfs"), ("/tmp", "tmpfs")].map(|(path, kind)| {
            // What is there in the root stays there.
            let options = if path == "/tmp" { &["tmpcopyup"][..] } else { &[] };
            json!({ "destination": path, "type": kind, "source": kind, "options": options })
        });
    let namespaces = ["pid", "network", "ipc", "uts", "mount"].map(|name| json!({ "type": name }));
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": { "uid": 0, "gid": 0 },
            "args": arguments,
            "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/tmp"],
            "cwd": "/",
            "capabilities": capabilities,
            "noNewPrivileges": true,
        },
        "root": { "path": root, "readonly": true },
        "mounts": mounts,
        "linux": { "namespaces": namespaces, "cgroupsPath": format!("/{group}"), "seccomp": seccomp },
    })
}

/// Starts the program once, and ends it if it serves. Why it did not work, otherwise.
fn start(root: &Path, program: &Program, runtime: &Installed, seccomp: &Value) -> Result<(), String> {
    let groups = Groups::new();
    let bundle = tempfile::tempdir().unwrap();
    let config = config(root, program, seccomp, groups.name());
    fs::write(bundle.path().join("config.json"), config.to_string()).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = isolated(runtime, SECONDS);
    command.arg("--root").arg(bundle.path().join("state"));
    command.args(["run", "--bundle"]).arg(bundle.path()).arg(groups.name());
    command.stdin(Stdio::null()).stdout(writer.try_clone().unwrap()).stderr(writer);
    let mut child = command.spawn().unwrap();
    // It holds the pipe's other end.
    drop(command);
    let (mut said, mut works) = (String::new(), program.prints.is_empty());
    let mut lines = BufReader::new(reader);
    while lines.read_line(&mut said).unwrap_or(0) > 0 {
        if !works && said.contains(program.prints) {
            works = true;
            if let Some(signal) = program.signal {
                end(child.id(), signal);
            }
        }
    }
    let code = child.wait().unwrap().code();
    if works && (code == Some(0) || program.signal == Some(Signal::KILL)) {
        Ok(())
    } else {
        Err(format!("{code:?}: {said}"))
    }
}

/// Sends the container a signal: `timeout` below `unshare` passes it on to the runtime, and that to the program. With SIGKILL
/// all of them end at once, because `timeout` is the first process of their namespace.
fn end(unshare: u32, signal: Signal) {
    let children = fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children")).unwrap_or_default();
    for pid in children.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)) {
        let _ = kill_process(pid, signal);
    }
}

#[test]
#[ignore = "long: starts each program some hundred times"]
fn derived_profiles_let_programs_start_every_time() {
    let root = root();
    let [_, crun] = Installed::of_debian();
    let runtimes = [Installed::runc(), crun];
    let plugin = build_plugin(repository()).unwrap().join("kubectl-seccomp");
    let profiles: Vec<_> = PROGRAMS.iter().map(|it| derived(&plugin, root.path(), it)).collect();
    let cases: Vec<_> = PROGRAMS
        .iter()
        .zip(&profiles)
        .flat_map(|it| runtimes.iter().map(move |runtime| (it, runtime)))
        .collect();
    let next = AtomicUsize::new(0);
    let (started, failed) = (Mutex::new(vec![0; cases.len()]), Mutex::new(Vec::new()));
    let begin = Instant::now();
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    let Some(((program, profile), runtime)) = cases.get(number / STARTS) else { return };
                    match start(root.path(), program, runtime, profile) {
                        Ok(()) => started.lock().unwrap()[number / STARTS] += 1,
                        Err(why) => {
                            failed
                                .lock()
                                .unwrap()
                                .push(format!("{} under {}: {why}", program.path, runtime.name));
                        }
                    }
                }
            });
        }
    });
    let started = started.into_inner().unwrap();
    for (((program, profile), runtime), count) in cases.iter().zip(&started) {
        let calls = profile["syscalls"][0]["names"].as_array().unwrap().len();
        println!("{} under {}: {calls} calls, {count} of {STARTS} starts", program.path, runtime.name);
    }
    println!("{} starts in {:.0} s", cases.len() * STARTS, begin.elapsed().as_secs_f64());
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} failed, the first: {:#?}", failed.len(), &failed[..failed.len().min(5)]);
}
