//! nginx: files, a proxy with a cache, uploads, TLS, name lookups; reloads, rotated logs, a new binary, dead workers.

use std::fs;
use std::net::Ipv4Addr;

use crate::client::{ask, ask_encrypted, ask_socket, certificate, get, send};
use crate::lab::{Lab, signal, until};

const CONFIGURATION: &str = "
user server server;
worker_processes WORKERS;
pid /run/nginx.pid;
error_log /var/log/error.log info;
worker_priority 5;
worker_cpu_affinity auto;
worker_rlimit_nofile 2048;
worker_rlimit_core 1m;
working_directory /tmp;
thread_pool default threads=2 max_queue=64;
events { worker_connections 256; multi_accept on; }
http {
    access_log /var/log/access.log combined;
    access_log /var/log/buffered.log combined buffer=4k flush=1s gzip;
    access_log syslog:server=127.0.0.1:5140 combined;
    open_file_cache max=100;
    client_body_temp_path /tmp/body;
    proxy_temp_path /tmp/proxy;
    proxy_cache_path /tmp/cache keys_zone=it:1m max_size=64k inactive=1s levels=1:2;
    ssl_session_cache shared:tls:1m;
    resolver 127.0.0.1:5353 valid=1s;
    resolver_timeout 1s;
    include /etc/more/*.conf;
    read_ahead 64k;
    sendfile on;
    tcp_nopush on;
    gzip on;
    gzip_types application/octet-stream;
    geo $place { ranges; default none; include /etc/places; }
    limit_req_zone $binary_remote_addr zone=slow:1m rate=20r/s;
    upstream behind { server 127.0.0.1:8081; server 127.0.0.1:8099 backup; keepalive 4; }
    server {
        listen 127.0.0.1:8080 deferred reuseport;
        listen unix:/run/nginx.sock;
        listen 127.0.0.1:8443 ssl http2;
        ssl_certificate /etc/tls;
        ssl_certificate_key /etc/tls;
        root /srv;
        location /list/ { alias /srv/; autoindex on; }
        location /threads/ { alias /srv/; aio threads; directio 64k; output_buffers 2 32k; }
        location /slow/ { alias /srv/; limit_rate 500k; limit_req zone=slow burst=5; }
        location /plain/ { alias /srv/; sendfile off; gzip off; add_header X-Root $realpath_root; }
        location /random/ { alias /srv/; random_index on; }
        location /up/ {
            root /srv;
            client_max_body_size 8m;
            dav_methods PUT DELETE MKCOL COPY MOVE;
            create_full_put_path on;
            dav_access user:rw group:rw all:r;
        }
        location /behind/ {
            proxy_pass http://behind/;
            proxy_cache it;
            proxy_cache_valid any 1s;
            proxy_cache_use_stale updating error;
            proxy_cache_lock on;
        }
        location /stored/ { proxy_pass http://behind/; proxy_store on; root /srv/up; }
        location /body/ { client_max_body_size 8m; client_body_buffer_size 8k; proxy_pass http://behind/; }
        location /seen/ { proxy_pass http://behind/; proxy_bind $remote_addr transparent; }
        location /named/ { proxy_pass http://$arg_host/; }
        location /fast/ { fastcgi_pass unix:/run/none.sock; }
        location /status { stub_status; }
    }
    server { listen 127.0.0.1:8081; root /srv; gzip off; location /body/ { return 200 ok; } }
}
";

pub(crate) fn load(lab: &mut Lab) {
    let configured = |workers: &str| CONFIGURATION.replace("WORKERS", workers);
    let start = ["-c", "/etc/it.conf", "-e", "/var/log/error.log"];
    lab.write("/etc/it.conf", configured("2"));
    lab.write("/etc/more/it.conf", "keepalive_timeout 5s;\n");
    certificate(&lab.root.join("etc/tls"));
    lab.write("/srv/index.html", "it\n".repeat(100));
    // So many that it keeps them in a form of its own.
    let place = |it: u32| format!("{0}-{0} p{1};\n", Ipv4Addr::from(0x0100_0000 + 2 * it), it % 4);
    lab.write("/etc/places", (0..100_001).map(place).collect::<String>());
    lab.write("/srv/large", vec![b'x'; 2 << 20]);
    fs::create_dir_all(lab.root.join("tmp/body")).unwrap();
    for path in ["srv/up", "tmp/body"] {
        fs::create_dir_all(lab.root.join(path)).unwrap();
        crate::machine::run(std::process::Command::new("chown").arg("998:998").arg(lab.root.join(path)));
    }
    lab.run(&[&start[..], &["-t"]].concat(), "");
    lab.run(&["-V"], "");
    // In the background, as its service runs it.
    let running = lab.start(&start);
    requests(lab);
    // More workers, and fewer.
    for workers in ["3", "1", "2"] {
        lab.write("/etc/it.conf", configured(workers));
        let before = workers_of(lab);
        lab.run(&[&start[..], &["-s", "reload"]].concat(), "");
        until("nginx has other workers", || {
            // And what manages the cache, and for a minute what loads it.
            let (now, count) = (workers_of(lab), workers.parse::<usize>().unwrap());
            let is_new = now.iter().all(|it| !before.contains(it));
            (is_new && (count + 1..=count + 2).contains(&now.len())).then_some(())
        });
        get(8080, "/large");
    }
    // Rotated logs.
    fs::rename(lab.root.join("var/log/access.log"), lab.root.join("var/log/access.log.1")).unwrap();
    lab.run(&[&start[..], &["-s", "reopen"]].concat(), "");
    until("nginx writes a new log", || lab.read("/var/log/access.log"));
    // A worker that dies.
    let before = workers_of(lab);
    signal(before[0], "KILL");
    until("nginx has a new worker", || workers_of(lab).iter().any(|it| !before.contains(it)).then_some(()));
    // The cache is over its limit, and its entries are not used.
    for index in 0..40 {
        get(8080, &format!("/behind/index.html?{index}"));
    }
    until("nginx has purged its cache", || {
        fs::read_dir(lab.root.join("tmp/cache")).ok().filter(|it| it.size_hint().0 == 0)?;
        (files_below(&lab.root.join("tmp/cache")) == 0).then_some(())
    });
    // A configuration that is wrong, and one whose port is taken.
    lab.write("/etc/wrong.conf", "events { } http { server { listen wrong; } }");
    lab.run(&["-c", "/etc/wrong.conf", "-e", "/var/log/error.log"], "");
    lab.write(
        "/etc/taken.conf",
        "user server server; pid /run/other.pid; events { } http { server { listen 127.0.0.1:8080; } }",
    );
    lab.run(&["-c", "/etc/taken.conf", "-e", "/var/log/error.log"], "");
    // A new binary takes over.
    let old = pid(lab);
    signal(old, "USR2");
    until("the new binary runs", || lab.read("/run/nginx.pid.oldbin").filter(|_| pid_if(lab).is_some()));
    requests(lab);
    signal(old, "WINCH");
    signal(old, "QUIT");
    until("the old binary has ended", || lab.read("/run/nginx.pid.oldbin").is_none().then_some(()));
    get(8080, "/index.html");
    lab.run(&[&start[..], &["-s", "stop"]].concat(), "");
    running.ended();
    // In the foreground, until it is told to finish.
    let foreground = [&start[..], &["-g", "daemon off;"]].concat();
    let running = lab.start(&foreground);
    get(8080, "/index.html");
    running.end("QUIT");
    let single = [&start[..], &["-g", "daemon off; master_process off;"]].concat();
    let running = lab.start(&single);
    get(8080, "/index.html");
    running.end("TERM");
    elsewhere(lab, &start);
}

/// Suspended, on an older kernel, in a bare root, and looked into.
fn elsewhere(lab: &mut Lab, start: &[&str]) {
    // The second server does not say where it listens.
    let small = "events { } http { resolver 127.0.0.1:5353; server { listen 127.0.0.1:8080; root /srv; } server { root /srv; } }";
    lab.write(
        "/etc/small.conf",
        format!("user server server; daemon off; master_process off; pid /run/nginx.pid; {small}"),
    );
    let single = ["-c", "/etc/small.conf", "-e", "/var/log/error.log"];
    let running = lab.start(&single);
    get(8080, "/index.html");
    // While it waits for a port that another one has.
    let waiting = lab.start(&["-c", "/etc/taken.conf", "-e", "/var/log/error.log"]);
    (0..3).for_each(|_| waiting.pause());
    waiting.ended();
    running.end("QUIT");
    lab.on_old_kernel(true);
    let running = lab.start(&[start, &["-g", "daemon off;"]].concat());
    requests(lab);
    running.end("QUIT");
    lab.on_old_kernel(false);
    lab.without_kernel_files(|lab| {
        let running = lab.start(&single);
        get(8080, "/index.html");
        running.end("QUIT");
    });
    lab.diagnose(&[start, &["-t"]].concat(), "libz.so.1");
}

fn requests(lab: &Lab) {
    for path in ["index.html", "large", "list/", "threads/large", "slow/large", "plain/large", "random/"] {
        get(8080, &format!("/{path}"));
    }
    for path in [
        "none",
        "status",
        "seen/index.html",
        "behind/large",
        "behind/index.html",
        "stored/index.html",
        "fast/",
    ] {
        get(8080, &format!("/{path}"));
        get(8080, &format!("/{path}"));
    }
    get(8080, "/named/?host=none.example");
    ask(8080, "GET /large HTTP/1.1\r\nHost: it\r\nRange: bytes=10-20,30-4000\r\nConnection: close\r\n\r\n");
    ask(8080, "no request\r\n\r\n");
    ask_socket(&lab.root.join("run/nginx.sock"), "GET /large HTTP/1.0\r\n\r\n");
    let body = vec![b'y'; 1 << 20];
    send(8080, "POST", "/body/", "", &body);
    send(8080, "PUT", "/up/new/file", "", &body);
    send(8080, "MKCOL", "/up/folder/", "", b"");
    send(8080, "COPY", "/up/new/file", "Destination: /up/copy\r\n", b"");
    send(8080, "COPY", "/up/new/", "Destination: /up/copies/\r\n", b"");
    send(8080, "MOVE", "/up/copy", "Destination: /up/moved\r\n", b"");
    send(8080, "DELETE", "/up/moved", "", b"");
    send(8080, "DELETE", "/up/new/", "", b"");
    ask_encrypted(8443, "GET /index.html HTTP/1.0\r\n\r\n");
}

fn pid_if(lab: &Lab) -> Option<u32> {
    lab.read("/run/nginx.pid")?.trim().parse().ok()
}

fn pid(lab: &Lab) -> u32 {
    until("nginx has written its number", || pid_if(lab))
}

/// The processes that nginx has begun: workers, and the manager of the cache.
fn workers_of(lab: &Lab) -> Vec<u32> {
    let pid = pid(lab);
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_whitespace().map(|it| it.parse().unwrap()).collect()
}

fn files_below(folder: &std::path::Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|it| if it.path().is_dir() { files_below(&it.path()) } else { 1 }).sum()
}
