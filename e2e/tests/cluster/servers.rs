//! Six servers of Debian 12 as pods, each with a container beside it that gives it work.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use xtask::command::output;
use xtask::workspace::repository;

/// What the process of a server's container has in its command line until it may begin.
pub(crate) const WAITS: &str = "may-begin";
/// The file in the container for which it waits.
pub(crate) const BEGIN: &str = "begin";

pub(crate) struct Server {
    pub(crate) name: &'static str,
    /// What it runs, in a root of Debian's packages.
    runs: &'static str,
    /// What the other container does once; it fails if an answer is wrong.
    work: &'static str,
}

pub(crate) const SERVERS: [Server; 6] = [
    Server {
        name: "nginx",
        // As a program does that has changed its configuration.
        runs: "(while sleep 9; do chroot /debian /usr/sbin/nginx -c /etc/it-nginx.conf -e /tmp/error.log -s reload; done) & \
               exec chroot /debian /usr/sbin/nginx -c /etc/it-nginx.conf -e /tmp/error.log -g 'daemon off;'",
        work: "for path in index.html large threads/large plain/large behind/index.html list/; do \
               wget -q -O /it http://127.0.0.1:8080/$path; done; test -s /it; \
               wget -q -O /it http://127.0.0.1:8080/large; test $(wc -c </it) = 2097152",
    },
    Server {
        name: "redis",
        runs: "exec chroot /debian /usr/bin/redis-server --dir /tmp --save '2 1' --appendonly yes",
        work: "chroot /debian /usr/bin/redis-benchmark -q -n 200 -c 5 >/it; grep -q SET /it",
    },
    Server {
        name: "memcached",
        runs: "exec chroot /debian /usr/bin/memcached -u server -m 16 -l 127.0.0.1",
        work: "printf 'set a 0 60 1\\r\\nx\\r\\nget a\\r\\nstats\\r\\nquit\\r\\n' | nc 127.0.0.1 11211 >/it; grep -q STORED /it",
    },
    Server {
        name: "lighttpd",
        runs: "exec chroot /debian /usr/sbin/lighttpd -D -f /etc/it-lighttpd.conf",
        work: "for path in index.html list/ large; do wget -q -O /it http://127.0.0.1:8080/$path; done; \
               test $(wc -c </it) = 2097152",
    },
    Server {
        name: "haproxy",
        runs: "exec chroot /debian /usr/sbin/haproxy -W -db -f /etc/it-haproxy.cfg",
        work: "[ -e /www/large ] || { mkdir -p /www; head -c 2097152 /dev/zero >/www/large; httpd -p 127.0.0.1:8081 -h /www; }; \
               wget -q -O /it http://127.0.0.1:8080/large; test $(wc -c </it) = 2097152",
    },
    Server {
        name: "sqlite3",
        // A program that is started again and again, as by a script.
        runs: "while true; do chroot /debian /usr/bin/sqlite3 /tmp/it.db 'pragma journal_mode=wal; create table if not exists t(a); \
               begin; insert into t values (random()); commit; select count(*) from t; vacuum; pragma integrity_check;'; \
               sleep 1; done",
        work: "true",
    },
];

const NGINX: &str = "
user server server; worker_processes 2; pid /tmp/nginx.pid; error_log /tmp/error.log info;
thread_pool default threads=2 max_queue=64;
events { worker_connections 256; multi_accept on; }
http {
    access_log /tmp/access.log combined buffer=4k flush=1s;
    client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/f; uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s;
    proxy_cache_path /tmp/cache keys_zone=it:1m max_size=64k inactive=1s;
    open_file_cache max=100; sendfile on; tcp_nopush on; gzip on;
    server {
        listen 127.0.0.1:8080; root /srv;
        location /list/ { alias /srv/; autoindex on; }
        location /threads/ { alias /srv/; aio threads; directio 64k; output_buffers 2 32k; }
        location /plain/ { alias /srv/; sendfile off; gzip off; }
        location /behind/ { proxy_pass http://127.0.0.1:8081/; proxy_cache it; proxy_cache_valid any 1s; }
    }
    server { listen 127.0.0.1:8081; root /srv; }
}
";
const LIGHTTPD: &str = "
server.port = 8080
server.bind = \"127.0.0.1\"
server.document-root = \"/srv\"
server.username = \"server\"
server.errorlog = \"/tmp/error.log\"
server.modules = (\"mod_dirlisting\", \"mod_accesslog\", \"mod_alias\")
alias.url = (\"/list/\" => \"/srv/\")
dir-listing.activate = \"enable\"
accesslog.filename = \"/tmp/access.log\"
";
const HAPROXY: &str = "
global
    user server
    stats socket /tmp/haproxy.sock
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
frontend it
    bind 127.0.0.1:8080
    default_backend behind
backend behind
    server one 127.0.0.1:8081 check inter 2s
";

/// A root of Debian's packages in which the servers run: `folder` is readable by all.
pub(crate) fn root(folder: &Path) {
    let unpacked = output(&mut Command::new(repository().join("e2e/derive-servers.sh")));
    let unpacked = unpacked.unwrap_or_else(|error| panic!("{error}"));
    let mut copy = Command::new("cp");
    copy.arg("-a").arg(format!("{}/.", unpacked.trim())).arg(folder);
    assert!(copy.status().unwrap().success());
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    for directory in ["dev", "proc", "tmp", "srv", "run", "var/log", "var/tmp"] {
        fs::create_dir_all(folder.join(directory)).unwrap();
    }
    for (name, minor) in [("null", "3"), ("urandom", "9")] {
        let made = Command::new("mknod")
            .args(["-m", "666"])
            .arg(folder.join("dev").join(name))
            .args(["c", "1", minor])
            .status();
        assert!(made.unwrap().success());
    }
    let large = "x".repeat(2 << 20);
    for (path, text) in [
        ("etc/passwd", "root:x:0:0::/:/none\nserver:x:998:998::/:/none\n"),
        ("etc/group", "root:x:0:\nserver:x:998:\n"),
        ("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
        ("etc/hosts", "127.0.0.1 localhost\n"),
        ("etc/it-nginx.conf", NGINX),
        ("etc/it-lighttpd.conf", LIGHTTPD),
        ("etc/it-haproxy.cfg", HAPROXY),
        ("srv/index.html", "it\n"),
        ("srv/large", &large),
    ] {
        fs::write(folder.join(path), text).unwrap();
    }
}

impl Server {
    /// What its pods are made of: the server, once it may begin, and what gives it work until `ends`.
    pub(crate) fn pod(
        &self,
        root: &Path,
        node: &str,
        seccomp: Option<&str>,
        waits: bool,
        ends: &str,
    ) -> Value {
        let mounts = json!([
            { "name": "debian", "mountPath": "/debian" },
            { "name": "tmp", "mountPath": "/debian/tmp" },
        ]);
        let wait = if waits {
            format!(": {WAITS} {}; until [ -e /{BEGIN} ]; do sleep 0.1; done; ", self.name)
        } else {
            String::new()
        };
        let container = |name: &str, script: String| {
            json!({
                "name": name, "image": "docker.io/library/busybox:latest", "imagePullPolicy": "IfNotPresent",
                "command": ["sh", "-c", script], "volumeMounts": mounts,
            })
        };
        // The server may not have begun yet.
        let load = format!("until ( set -e; {} ); do sleep 1; done; {ends}", self.work);
        let mut server = container("server", format!("{wait}{}", self.runs));
        if let Some(profile) = seccomp {
            server["securityContext"] =
                json!({ "seccompProfile": { "type": "Localhost", "localhostProfile": profile } });
        }
        json!({
            "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 1,
            "nodeSelector": { "kubernetes.io/hostname": node },
            "containers": [server, container("load", load)],
            "volumes": [
                { "name": "debian", "hostPath": { "path": root, "type": "Directory" } },
                { "name": "tmp", "emptyDir": {} },
            ],
        })
    }

    /// Does the work again and again.
    pub(crate) fn without_end(&self) -> String {
        format!("while true; do ( set -e; {} ); sleep 1; done", self.work)
    }

    /// Does the work so often, and ends; it fails if one of them fails.
    pub(crate) fn times(&self, times: usize) -> String {
        format!("set -e; for it in $(seq {times}); do ( set -e; {} ); done", self.work)
    }
}
