//! A whole image with the profile that is derived from it: nginx of Debian 12's packages, from the build to a pod that
//! serves, reloads and rotates its logs, and is refused what nginx has no code for.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use xtask::command;
use xtask::workspace::repository;

use super::image_registry::ImageRegistry;
use super::removal::Reinstall;
use super::support::{LIMIT, Session, alone, expect_cleanup, print_line, until};
use super::webhook::{self, IncludedNamespace};

const DOCKERFILE: &str =
    "FROM scratch\nCOPY . /\nENTRYPOINT [\"/usr/sbin/nginx\"]\nCMD [\"-g\", \"daemon off;\"]\n";

const CONFIGURATION: &str = "
user www-data;
worker_processes 2;
pid /run/nginx.pid;
error_log /var/log/nginx/error.log notice;
events { worker_connections 256; }
http {
    access_log /var/log/nginx/access.log;
    sendfile on;
    gzip on;
    proxy_cache_path /var/cache/nginx keys_zone=it:1m;
    upstream itself { server 127.0.0.1:80; keepalive 4; }
    server {
        listen 80;
        root /srv;
        location /behind/ { proxy_pass http://itself/; proxy_cache it; }
        location /status { stub_status; }
    }
}
";

/// How long nginx is under load before it reloads, and after it.
const LOAD: Duration = Duration::from_secs(5);
/// How many clients ask at a time.
const CLIENTS: usize = 4;
/// The namespace in which pods get what their images bring.
const SHOP: &str = "shop";
/// What nginx has no code for, and the default of runtimes permits.
const REFUSED: [&str; 3] = ["busybox", "mkfifo", "/srv/pipe"];

/// Debian's nginx, and busybox for the test to look around.
fn files(root: &Path) {
    let mut packages = Command::new(repository().join("e2e/derive-servers.sh"));
    let packages = command::output(&mut packages).unwrap_or_else(|error| panic!("{error}"));
    let copied = Command::new("cp").args(["-a", packages.trim_end()]).arg(root).status().unwrap();
    assert!(copied.success());
    for folder in ["dev", "proc", "sys", "tmp", "run", "srv", "var/cache/nginx", "var/log/nginx"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    let write = |path: &str, text: &str| fs::write(root.join(path), text).unwrap();
    write("etc/nginx/nginx.conf", CONFIGURATION);
    write("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n");
    write("etc/passwd", "root:x:0:0::/:/none\nwww-data:x:33:33::/:/none\n");
    write("etc/group", "root:x:0:\nwww-data:x:33:\n");
    write("srv/index.html", &"it works\n".repeat(100));
    write("srv/large", &"x".repeat(1 << 20));
    let busybox = command::find("busybox").unwrap();
    fs::copy(busybox, root.join("usr/bin/busybox")).unwrap();
}

/// The pod of the image as the API server creates it, or would create it (`dry_run`).
fn create(cluster: &Session, namespace: &str, image: &str, dry_run: &str) -> Value {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "nginx" },
        "spec": { "containers": [{
            "name": "nginx", "image": image, "securityContext": { "allowPrivilegeEscalation": false },
            "readinessProbe": { "httpGet": { "path": "/index.html", "port": 80 }, "periodSeconds": 1 },
        }] },
    });
    let dry_run = format!("--dry-run={dry_run}");
    let create = ["--namespace", namespace, "create", &dry_run, "--output=json", "--filename=-"];
    let created = cluster.kubectl_input(create, &pod.to_string()).unwrap_or_else(|error| panic!("{error}"));
    serde_json::from_str(&created).unwrap()
}

/// The file of the profile of a pod's container, below the directory for profiles.
fn profile_of(pod: &Value) -> Option<String> {
    let profile = &pod["spec"]["containers"][0]["securityContext"]["seccompProfile"]["localhostProfile"];
    Some(profile.as_str()?.strip_prefix("profiles/")?.strip_suffix(".json")?.to_owned())
}

/// A pod of the image that is ready; it is deleted when this is dropped.
struct Nginx<'a> {
    cluster: &'a Session,
    namespace: &'static str,
    profile: Option<String>,
}

impl<'a> Nginx<'a> {
    fn start(cluster: &'a Session, namespace: &'static str, image: &str) -> Self {
        let profile = profile_of(&create(cluster, namespace, image, "none"));
        let nginx = Self { cluster, namespace, profile };
        let ready =
            ["wait", "--for=condition=Ready", "pod/nginx", "--timeout=120s", "--namespace", namespace];
        cluster.ok(ready);
        nginx
    }

    /// What a program in the container prints, or why it failed.
    fn exec(&self, words: &[&str]) -> Result<String, String> {
        let exec = ["--namespace", self.namespace, "exec", "nginx", "--"];
        self.cluster.kubectl(exec.iter().chain(words)).map_err(|error| error.to_string())
    }

    fn address(&self) -> String {
        let pod = self.cluster.json(["--namespace", self.namespace, "get", "pod", "nginx"]);
        format!("{}:80", pod["status"]["podIP"].as_str().unwrap())
    }

    /// Its own log of errors and notices.
    fn log(&self) -> String {
        self.exec(&["busybox", "cat", "/var/log/nginx/error.log"]).unwrap()
    }
}

impl Drop for Nginx<'_> {
    fn drop(&mut self) {
        let delete =
            ["--namespace", self.namespace, "delete", "pod", "nginx", "--ignore-not-found", "--timeout=60s"];
        expect_cleanup(self.cluster.kubectl(delete).map(drop));
    }
}

/// The answer to a request for a file.
fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: it\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Asks for files, directly and through nginx as a proxy with a cache, from several clients at a time. Returns how many
/// answers were right; all must be.
fn load(address: &str) -> usize {
    let end = Instant::now() + LOAD;
    thread::scope(|scope| {
        let clients = (0..CLIENTS).map(|client| {
            scope.spawn(move || {
                let mut count = 0;
                while Instant::now() < end {
                    for (path, length) in [
                        ("/index.html".to_owned(), 900),
                        ("/large".to_owned(), 1 << 20),
                        (format!("/behind/index.html?{client}-{count}"), 900),
                    ] {
                        let answer = get(address, &path);
                        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
                        assert!(
                            head.starts_with("HTTP/1.1 200 OK") && body.len() == length,
                            "{path}: {head}"
                        );
                        count += 1;
                    }
                }
                count
            })
        });
        let clients: Vec<_> = clients.collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    })
}

#[test]
#[ignore = "long: builds a registry, and derives nginx with a program that is not optimised"]
fn nginx_is_built_derived_attached_admitted_and_works_under_its_own_profile() {
    let cluster = alone();
    let _reinstall = Reinstall(&cluster);
    let registry = ImageRegistry::start(&cluster);
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    files(&root);
    let image = registry.push("shop/nginx:1", DOCKERFILE, &root);
    let built = registry.seccomp(&["build", &image, "--yes"]);
    assert!(built.contains("attached") && built.contains(" accept4,") && !built.contains("mknod"), "{built}");

    webhook::install(&cluster, Some(&registry), &["images.enabled=true", "images.architectures={amd64}"]);
    let _shop = IncludedNamespace::create(&cluster, SHOP);
    // Some moments after the installation the API server asks the webhook.
    let name = until("the webhook giving the pod its profile", LIMIT, || {
        profile_of(&create(&cluster, SHOP, &image, "server"))
    });
    let _profile = cluster.existing(&name);
    let nginx = Nginx::start(&cluster, SHOP, &image);
    assert_eq!(nginx.profile, Some(name.clone()));

    let address = nginx.address();
    let first = load(&address);
    // Under load, so that old workers have connections that they end first.
    let second = thread::scope(|scope| {
        let load = scope.spawn(|| load(&address));
        nginx.exec(&["nginx", "-s", "reload"]).unwrap();
        load.join().unwrap()
    });
    until("old workers having ended", LIMIT, || {
        let log = nginx.log();
        (log.contains("reconfiguring") && log.matches("exited with code 0").count() >= 2).then_some(())
    });
    // Rotated logs.
    nginx.exec(&["busybox", "mv", "/var/log/nginx/access.log", "/var/log/nginx/access.log.1"]).unwrap();
    nginx.exec(&["nginx", "-s", "reopen"]).unwrap();
    until("requests in the new log", LIMIT, || {
        get(&address, "/index.html");
        nginx.exec(&["busybox", "grep", "-c", "index.html", "/var/log/nginx/access.log"]).ok()
    });
    let third = load(&address);
    let log = nginx.log();
    let failed: Vec<_> = log
        .lines()
        .filter(|line| ["[alert]", "[emerg]", "[crit]", "not permitted"].iter().any(|it| line.contains(it)))
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
    let calls = built.lines().find(|line| line.ends_with("permitted")).unwrap_or_default();
    print_line(&format!(
        "nginx: {calls}; {first} answers, {second} while it reloads, {third} after it and rotated logs"
    ));

    // The profile refuses what nginx has no code for, and nothing else does.
    let refused = nginx.exec(&REFUSED).unwrap_err();
    assert!(refused.contains("Operation not permitted"), "{refused}");
    drop(nginx);
    Nginx::start(&cluster, "default", &image).exec(&REFUSED).unwrap();
}
