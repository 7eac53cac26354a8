//! dufs, in Rust (tokio): files that are read, written, moved and searched, TLS, logins, a log, a taken port, wrong settings.

use std::fs;
use std::os::unix::fs::symlink;

use crate::client::{ask, ask_encrypted, ask_socket, certificate, connected, get, send};
use crate::lab::Lab;

const LOG: &str = "--log-file=/var/log/dufs.log";

pub(crate) fn load(lab: &mut Lab) {
    lab.write("/srv/files/index.html", "it\n".repeat(100));
    lab.write("/srv/files/large", vec![b'x'; 2 << 20]);
    lab.write("/srv/files/folder/file", "text");
    symlink("/etc", lab.root.join("srv/files/away")).unwrap();
    symlink("large", lab.root.join("srv/files/link")).unwrap();
    symlink("none", lab.root.join("srv/files/broken")).unwrap();
    for it in [&["--version"][..], &["--help"], &["--no-such"], &["/none"], &["--completions", "bash"]] {
        lab.run(it, "");
    }
    lab.write("/etc/wrong.yaml", "port: many\nno-such: [\n");
    lab.run(&["--config", "/etc/wrong.yaml"], "");
    lab.write(
        "/etc/it.yaml",
        "serve-path: /srv/files\nbind: [127.0.0.1, /run/dufs.sock]\nport: 5000\nallow-all: true\n",
    );
    let running = lab.start(&["--config", "/etc/it.yaml", LOG, "--enable-cors", "--compress", "medium"]);
    requests();
    ask_socket(&lab.root.join("run/dufs.sock"), "GET /large HTTP/1.0\r\n\r\n");
    // A port that is taken, and a log that is rotated.
    lab.run(&["--bind", "127.0.0.1", "--port", "5000", "/srv/files"], "");
    fs::rename(lab.root.join("var/log/dufs.log"), lab.root.join("var/log/dufs.log.1")).unwrap();
    get(5000, "/index.html");
    (0..3).for_each(|_| running.pause());
    running.end("TERM");
    let plain = ["--bind", "127.0.0.1", "--port", "5000", "--allow-all", "--allow-symlink", "/srv/files"];
    for signal in ["INT", "QUIT", "HUP", "USR1", "ABRT", "SEGV", "KILL"] {
        let running = lab.start(&plain);
        get(5000, "/away/passwd");
        get(5000, "/folder/?zip");
        running.end(signal);
    }
    logins(lab);
    elsewhere(lab, &plain);
}

fn requests() {
    let body = vec![b'y'; 1 << 20];
    for path in [
        "",
        "index.html",
        "large",
        "link",
        "broken",
        "away/passwd",
        "none",
        "folder/",
        "folder/?json",
        "?q=file",
        "?zip",
        "large?hash",
        "large?edit",
        "large?view",
        "?sort=size&order=desc",
        "__dufs__/health",
        "%2e%2e/etc/passwd",
    ] {
        get(5000, &format!("/{path}"));
    }
    ask(5000, "GET /large HTTP/1.1\r\nHost: it\r\nRange: bytes=10-20,30-4000\r\nConnection: close\r\n\r\n");
    ask(5000, "GET /large HTTP/1.1\r\nHost: it\r\nRange: bytes=10-20\r\nConnection: close\r\n\r\n");
    ask(5000, "no request\r\n\r\n");
    for (method, path, headers, body) in [
        ("PUT", "/new/deep/file", "", &body[..]),
        ("PATCH", "/new/deep/file", "X-Update-Range: append\r\n", b"more"),
        ("HEAD", "/new/deep/file", "", b""),
        ("MKCOL", "/made", "", b""),
        ("COPY", "/new/deep/file", "Destination: http://localhost/made/copy\r\n", b""),
        ("MOVE", "/made/copy", "Destination: http://localhost/made/moved\r\n", b""),
        ("PROPFIND", "/", "Depth: 1\r\n", b""),
        ("PROPPATCH", "/made/moved", "", b"<a/>"),
        ("LOCK", "/made/moved", "", b""),
        ("UNLOCK", "/made/moved", "", b""),
        ("OPTIONS", "/", "", b""),
        ("POST", "/", "", b""),
        ("DELETE", "/made/moved", "", b""),
        ("DELETE", "/made", "", b""),
        ("DELETE", "/new", "", b""),
        ("DELETE", "/none", "", b""),
    ] {
        send(5000, method, path, headers, body);
    }
}

fn logins(lab: &mut Lab) {
    certificate(&lab.root.join("etc/tls"));
    let login = "--auth=it:secret@/:rw";
    let arguments = [
        "--bind",
        "127.0.0.1",
        "--port",
        "5000",
        login,
        "--tls-cert",
        "/etc/tls",
        "--tls-key",
        "/etc/tls.key",
        "/srv/files",
    ];
    let running = lab.start(&arguments);
    for headers in ["", "Authorization: Basic aXQ6c2VjcmV0\r\n", "Authorization: Basic bm9uZQ==\r\n"] {
        connected(5000);
        ask_encrypted(
            5000,
            &format!("GET /large HTTP/1.1\r\nHost: it\r\nConnection: close\r\n{headers}\r\n"),
        );
    }
    running.end("TERM");
    lab.run(&[&arguments[..5], &["--tls-cert", "/none", "--tls-key", "/none", "/srv/files"]].concat(), "");
}

/// As another user, with variables, on an older kernel, in a bare root, and looked into.
fn elsewhere(lab: &mut Lab, plain: &[&str]) {
    lab.with(&["RUST_BACKTRACE=full", "TOKIO_WORKER_THREADS=3", "TZ=Europe/Berlin"]);
    let running = lab.start(plain);
    requests();
    running.end("TERM");
    lab.with(&[]);
    lab.as_user(Some("server"));
    let running = lab.start(plain);
    requests();
    running.end("TERM");
    lab.as_user(None);
    lab.on_old_kernel(true);
    let running = lab.start(plain);
    requests();
    running.end("TERM");
    lab.on_old_kernel(false);
    lab.without_kernel_files(|lab| {
        let running = lab.start(plain);
        requests();
        running.end("TERM");
    });
    lab.diagnose(&["--version"], "libgcc_s.so.1");
}
