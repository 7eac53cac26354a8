//! etcd, in Go: keys, leases, transactions, TLS, members that join, snapshots, rotated logs, a full and a broken
//! database.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::client::{ask_encrypted, certificate, connected, get, send};
use crate::lab::{Lab, until};

/// `key` and `value` in base64, as its gateway takes them.
const PUT: &str = r#"{"key":"a2V5","value":"dmFsdWU="}"#;
const ONE: [&str; 10] = [
    "--data-dir=/srv/one",
    "--name=one",
    "--listen-client-urls=http://127.0.0.1:2379",
    "--advertise-client-urls=http://127.0.0.1:2379",
    "--listen-peer-urls=http://127.0.0.1:2380",
    "--initial-advertise-peer-urls=http://localhost:2380",
    "--initial-cluster=one=http://localhost:2380",
    "--snapshot-count=10",
    "--max-snapshots=1",
    "--max-wals=1",
];

pub(crate) fn load(lab: &mut Lab) {
    for it in [&["--version"][..], &["--help"], &["--no-such"], &["--config-file=/none"]] {
        lab.run(it, "");
    }
    lab.write("/etc/wrong.yaml", "name: [it\nno-such: 1\n");
    lab.run(&["--config-file=/etc/wrong.yaml"], "");
    let rotation = "--log-rotation-config-json={\"maxsize\":1,\"maxbackups\":1,\"compress\":true}";
    let more = [
        "--log-outputs=/var/log/etcd.log,stderr",
        "--enable-log-rotation",
        rotation,
        "--log-level=debug",
        "--enable-pprof",
        "--metrics=extensive",
        "--auto-compaction-mode=revision",
        "--auto-compaction-retention=5",
        "--experimental-none",
    ];
    lab.run(&[&ONE[..], &more].concat(), "");
    let more = &more[..more.len() - 1];
    let running = lab.start(&[&ONE[..], more].concat());
    ready();
    requests();
    // Its port is taken, and its data is another one's.
    lab.run(&["--data-dir=/srv/none", "--name=one"], "");
    // The log is rotated as soon as it is large.
    until("the log is rotated", || {
        (0..20).for_each(|_| _ = call("kv/put", &large()));
        let entries = fs::read_dir(lab.root.join("var/log")).unwrap().flatten();
        (entries.filter(|it| it.file_name().to_string_lossy().starts_with("etcd-")).count() > 0).then_some(())
    });
    joined(lab);
    for path in ["debug/pprof/heap", "debug/pprof/goroutine?debug=2", "debug/pprof/profile?seconds=1"] {
        get(2379, &format!("/{path}"));
    }
    get(2379, "/debug/pprof/trace?seconds=1");
    (0..3).for_each(|_| running.pause());
    running.signal("HUP");
    running.ended();
    signals(lab);
    encrypted(lab);
    elsewhere(lab);
}

fn call(what: &str, body: &str) -> String {
    let answer =
        send(2379, "POST", &format!("/v3/{what}"), "Content-Type: application/json\r\n", body.as_bytes());
    String::from_utf8_lossy(&answer).into_owned()
}

fn ready() {
    until("etcd answers", || call("kv/put", PUT).contains("revision").then_some(()));
}

/// A value of 64 KiB.
fn large() -> String {
    format!(r#"{{"key":"bGFyZ2U=","value":"{}"}}"#, "AAAA".repeat(16 << 10))
}

fn requests() {
    for (what, body) in [
        ("kv/range", r#"{"key":"a2V5"}"#),
        ("kv/range", r#"{"key":"AA==","range_end":"AA=="}"#),
        ("kv/deleterange", r#"{"key":"a2V5"}"#),
        ("kv/txn", r#"{"success":[{"requestPut":{"key":"a2V5","value":"dmFsdWU="}}]}"#),
        ("kv/compaction", r#"{"revision":"2","physical":true}"#),
        ("lease/grant", r#"{"TTL":"1","ID":"7"}"#),
        ("lease/leases", "{}"),
        ("lease/revoke", r#"{"ID":"7"}"#),
        ("maintenance/status", "{}"),
        ("maintenance/hash", "{}"),
        ("maintenance/alarm", r#"{"action":"GET"}"#),
        ("maintenance/defragment", "{}"),
        ("maintenance/snapshot", "{}"),
        ("cluster/member/list", "{}"),
        ("auth/user/add", r#"{"name":"root","password":"secret"}"#),
        ("auth/role/add", r#"{"name":"root"}"#),
        ("auth/user/grant", r#"{"user":"root","role":"root"}"#),
        ("auth/enable", "{}"),
        ("auth/authenticate", r#"{"name":"root","password":"secret"}"#),
        ("none", "no JSON"),
    ] {
        call(what, body);
    }
    for path in ["metrics", "health", "readyz", "livez", "version", "none"] {
        get(2379, &format!("/{path}"));
    }
    let token = call("auth/authenticate", r#"{"name":"root","password":"secret"}"#);
    let token = token.split("\"token\":\"").nth(1).and_then(|it| it.split('"').next()).unwrap_or_default();
    let headers = format!("Content-Type: application/json\r\nAuthorization: {token}\r\n");
    send(2379, "POST", "/v3/auth/disable", &headers, b"{}");
    ready();
    for _ in 0..40 {
        call("kv/put", &large());
    }
}

/// A member that joins, and one whose name nobody knows.
fn joined(lab: &mut Lab) {
    call("cluster/member/add", r#"{"peerURLs":["http://127.0.0.1:2390"]}"#);
    let second = lab.start(&[
        "--data-dir=/srv/two",
        "--name=two",
        "--initial-cluster-state=existing",
        "--listen-client-urls=http://127.0.0.1:2389",
        "--advertise-client-urls=http://127.0.0.1:2389",
        "--listen-peer-urls=http://127.0.0.1:2390",
        "--initial-advertise-peer-urls=http://127.0.0.1:2390",
        "--initial-cluster=one=http://localhost:2380,two=http://127.0.0.1:2390",
    ]);
    ready();
    // Only a member that has been connected for some seconds can be removed.
    until("the member is removed", || {
        let members = call("cluster/member/list", "{}");
        let Some(two) = members.split('{').find(|it| it.contains("127.0.0.1:2390")) else { return Some(()) };
        let id = two.split("\"ID\":\"").nth(1)?.split('"').next()?;
        call("cluster/member/remove", &format!(r#"{{"ID":"{id}"}}"#));
        None
    });
    second.ended();
    ready();
    lab.run(
        &[
            "--data-dir=/srv/three",
            "--name=three",
            "--initial-cluster=three=http://none.example:2380",
            "--initial-advertise-peer-urls=http://none.example:2380",
        ],
        "",
    );
    lab.run(&["--data-dir=/srv/four", "--discovery-srv=none.example"], "");
}

/// Each signal that ends it, also while it writes.
fn signals(lab: &mut Lab) {
    for signal in ["TERM", "INT", "QUIT", "ABRT", "SEGV", "KILL"] {
        let running = lab.start(&ONE);
        ready();
        call("kv/put", &large());
        running.end(signal);
    }
    // A database that is full, and one that is broken.
    lab.run(&[&ONE[..], &["--quota-backend-bytes=none"]].concat(), "");
    let full = lab.start(&[&ONE[..], &["--force-new-cluster", "--quota-backend-bytes=100000"]].concat());
    until("etcd answers", || call("maintenance/status", "{}").contains("dbSize").then_some(()));
    (0..5).for_each(|_| _ = call("kv/put", &large()));
    full.end("TERM");
    lab.write("/srv/one/member/snap/db", "no database");
    lab.run(&ONE, "");
    fs::remove_dir_all(lab.root.join("srv/one")).unwrap();
}

/// Over TLS, with a certificate of clients, and on a socket in the file system.
fn encrypted(lab: &mut Lab) {
    certificate(&lab.root.join("etc/tls"));
    let running = lab.start(&[
        "--data-dir=/srv/encrypted",
        "--listen-client-urls=https://127.0.0.1:2379,unix://localhost:2381",
        "--advertise-client-urls=https://localhost:2379",
        "--cert-file=/etc/tls",
        "--key-file=/etc/tls.key",
        "--peer-auto-tls",
        "--listen-peer-urls=https://127.0.0.1:2380",
        "--initial-advertise-peer-urls=https://127.0.0.1:2380",
        "--initial-cluster=default=https://127.0.0.1:2380",
        "--self-signed-cert-validity=1",
    ]);
    connected(2379);
    (0..3).for_each(|_| ask_encrypted(2379, "GET /health HTTP/1.0\r\n\r\n"));
    running.end("TERM");
}

/// As another user, under a service manager, on an older kernel, in a bare root, and with the variables of Go's runtime.
fn elsewhere(lab: &mut Lab) {
    for variables in [
        &["NOTIFY_SOCKET=/run/none", "GOMAXPROCS=1"][..],
        &["GODEBUG=madvdontneed=1,gctrace=1,schedtrace=100", "GOGC=1"],
        &["GODEBUG=netdns=go+2,multipathtcp=1,asyncpreemptoff=1", "GOMEMLIMIT=50MiB", "GOTRACEBACK=crash"],
    ] {
        lab.with(variables);
        let running = lab.start(&ONE);
        ready();
        (0..5).for_each(|_| _ = call("kv/put", &large()));
        running.end("QUIT");
    }
    lab.with(&[]);
    fs::set_permissions(lab.root.join("srv"), fs::Permissions::from_mode(0o755)).unwrap();
    lab.as_user(Some("server"));
    lab.run(&["--data-dir=/srv/forbidden"], "");
    lab.as_user(None);
    lab.on_old_kernel(true);
    let running = lab.start(&ONE);
    ready();
    running.end("TERM");
    lab.on_old_kernel(false);
    lab.without_kernel_files(|lab| {
        let running = lab.start(&ONE);
        ready();
        running.end("TERM");
    });
}
