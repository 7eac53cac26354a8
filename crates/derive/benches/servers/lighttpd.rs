//! lighttpd: files, lists of them, logins, a proxy, programs that it starts; a new start without a pause, rotated logs.

use std::fs;

use crate::client::{ask, get, send};
use crate::lab::{Lab, until};

/// Those that its configuration here names.
pub(crate) const MODULES: &[&str] = &[
    "/usr/lib/lighttpd/mod_accesslog.so",
    "/usr/lib/lighttpd/mod_auth.so",
    "/usr/lib/lighttpd/mod_authn_file.so",
    "/usr/lib/lighttpd/mod_cgi.so",
    "/usr/lib/lighttpd/mod_dirlisting.so",
    "/usr/lib/lighttpd/mod_proxy.so",
    "/usr/lib/lighttpd/mod_ssi.so",
    "/usr/lib/lighttpd/mod_status.so",
    "/usr/lib/lighttpd/mod_userdir.so",
];

const CONFIGURATION: &str = r#"
server.modules = ( "mod_indexfile", "mod_access", "mod_accesslog", "mod_alias", "mod_auth", "mod_authn_file", "mod_cgi",
    "mod_dirlisting", "mod_expire", "mod_fastcgi", "mod_proxy", "mod_redirect", "mod_rewrite", "mod_setenv",
    "mod_ssi", "mod_status", "mod_userdir", "mod_staticfile" )
server.bind = "127.0.0.1"
server.port = 8090
server.document-root = "/srv"
server.username = "server"
server.groupname = "server"
server.pid-file = "/run/lighttpd.pid"
server.errorlog = "/var/log/lighttpd-error.log"
server.upload-dirs = ( "/tmp" )
server.max-keep-alive-idle = 1
server.socket-perms = "0770"
server.stat-cache-engine = "inotify"
mimetype.use-xattr = "enable"
server.feature-flags += ( "server.graceful-shutdown-timeout" => 2 )
accesslog.filename = "/var/log/lighttpd.log"
index-file.names = ( "index.html" )
status.status-url = "/status"
cgi.assign = ( ".cgi" => "" )
auth.backend = "plain"
auth.backend.plain.userfile = "/etc/logins"
auth.require = ( "/secret" => ( "method" => "basic", "realm" => "it", "require" => "valid-user" ) )
ssi.extension = ( ".shtml" )
$HTTP["url"] =~ "^/list/" { dir-listing.activate = "enable" }
$HTTP["url"] =~ "^/behind/" {
    proxy.server = ( "" => ( ( "host" => "127.0.0.1", "port" => 8091 ) ) )
    proxy.header = ( "map-urlpath" => ( "/behind/" => "/" ) )
}
$HTTP["url"] =~ "^/fast/" { fastcgi.server = ( "/fast/" => ( ( "socket" => "/run/none.sock", "check-local" => "disable" ) ) ) }
$SERVER["socket"] == "127.0.0.1:8091" { }
$SERVER["socket"] == "/run/lighttpd.sock" { }
"#;

pub(crate) fn load(lab: &mut Lab) {
    lab.write("/etc/it.conf", CONFIGURATION);
    lab.write("/etc/logins", "it:secret\n");
    lab.write("/srv/index.html", "it\n".repeat(100));
    lab.write("/srv/large", vec![b'x'; 2 << 20]);
    lab.write("/srv/list/one", "1");
    lab.write("/srv/list/two", "2");
    lab.write("/srv/watched/it", "it");
    lab.write(
        "/srv/page.shtml",
        "<!--#echo var=\"DATE_LOCAL\" --><!--#fsize file=\"large\" --><!--#include file=\"index.html\" -->",
    );
    lab.write("/srv/wrong.cgi", "no program");
    let more = |lines: &str| format!("{CONFIGURATION}\n{lines}\n");
    lab.write(
        "/etc/workers.conf",
        more("server.max-worker = 2\nserver.event-handler = \"poll\"\nserver.network-backend = \"writev\""),
    );
    lab.write("/etc/select.conf", more("server.event-handler = \"select\"\nserver.network-backend = \"write\"\nserver.max-fds = 512\nserver.core-files = \"enable\"\nserver.chroot = \"/\""));
    lab.run(&["-tt", "-f", "/etc/it.conf"], "");
    lab.run(&["-V"], "");
    // In the background, as a service of old.
    let running = lab.start(&["-f", "/etc/it.conf"]);
    requests();
    let pid: u32 =
        until("lighttpd has written its number", || lab.read("/run/lighttpd.pid")?.trim().parse().ok());
    fs::rename(lab.root.join("var/log/lighttpd.log"), lab.root.join("var/log/lighttpd.log.1")).unwrap();
    crate::lab::signal(pid, "HUP");
    until("lighttpd writes a new log", || lab.read("/var/log/lighttpd.log"));
    // A folder that it watches is removed.
    fs::remove_dir_all(lab.root.join("srv/watched")).unwrap();
    get(8090, "/watched/it");
    // It reads its configuration again, without closing its port.
    crate::lab::signal(pid, "USR1");
    requests();
    lab.run(&["-f", "/etc/it.conf", "-D"], "");
    lab.write("/etc/wrong.conf", "server.port = \"wrong");
    lab.run(&["-f", "/etc/wrong.conf"], "");
    lab.write(
        "/etc/unknown.conf",
        "server.document-root = \"/srv\"\nserver.bind = \"none.example\"\nserver.port = 8092\n",
    );
    lab.run(&["-D", "-f", "/etc/unknown.conf"], "");
    crate::lab::signal(pid, "INT");
    running.ended();
    for (file, end) in [("/etc/workers.conf", "TERM"), ("/etc/select.conf", "INT")] {
        let running = lab.start(&["-D", "-f", file]);
        requests();
        running.signal("HUP");
        running.end(end);
    }
    // With its input as the connection, as inetd starts it; and only for a time.
    lab.run(&["-1", "-f", "/etc/it.conf"], "GET /index.html HTTP/1.0\r\n\r\n");
    lab.run_on_connection(&["-1", "-f", "/etc/it.conf"], "GET /index.html HTTP/1.0\r\n\r\n");
    lab.run(&["-D", "-i", "1", "-f", "/etc/it.conf"], "");
    elsewhere(lab);
}

/// As a user that is not root, under a service manager that keeps its socket, with cached names, suspended, on an older
/// kernel, and looked into.
fn elsewhere(lab: &mut Lab) {
    let own = "server.document-root = \"/srv\"\nserver.bind = \"127.0.0.1\"\nserver.port = 8093\n";
    lab.write("/etc/own.conf", own);
    lab.as_user(Some("998:998"));
    let running = lab.start(&["-D", "-f", "/etc/own.conf"]);
    get(8093, "/index.html");
    running.end("INT");
    lab.as_user(None);
    lab.write("/etc/kept.conf", format!("{own}server.systemd-socket-activation = \"enable\"\n"));
    lab.with(&["LISTEN_PID=1", "LISTEN_FDS=1"]);
    let running = lab.start(&["-D", "-f", "/etc/kept.conf"]);
    get(8093, "/index.html");
    running.end("INT");
    lab.with(&[]);
    let poll = format!(
        "{own}server.event-handler = \"poll\"\nserver.username = \"server\"\nserver.groupname = \"server\"\n"
    );
    lab.write("/etc/poll.conf", poll);
    lab.cache_names();
    lab.write("/etc/named.conf", "server.document-root = \"/srv\"\nserver.bind = \"none.example\"\n");
    let behind = "server.modules = ( \"mod_proxy\" )\nproxy.server = ( \"\" => ( ( \"host\" => \"none.example\", \"port\" => 80 ) ) )\n";
    lab.write("/etc/behind.conf", format!("{own}{behind}"));
    for file in ["/etc/named.conf", "/etc/named.conf", "/etc/behind.conf"] {
        lab.run(&["-D", "-f", file], "");
    }
    let running = lab.start(&["-D", "-f", "/etc/poll.conf"]);
    get(8093, "/index.html");
    (0..3).for_each(|_| running.pause());
    running.end("INT");
    lab.cache_no_names();
    lab.run(&["-D", "-f", "/etc/behind.conf"], "");
    // A program that it starts itself ends at once.
    lab.write(
        "/etc/spawned.conf",
        format!(
            "{own}server.modules = ( \"mod_fastcgi\" )\nfastcgi.server = ( \"/fast/\" => ( ( \"socket\" => \"/run/fast.sock\", \
             \"bin-path\" => \"/usr/sbin/lighttpd -V\" ) ) )\n"
        ),
    );
    lab.run(&["-D", "-i", "1", "-f", "/etc/spawned.conf"], "");
    lab.on_old_kernel(true);
    let running = lab.start(&["-D", "-f", "/etc/poll.conf"]);
    get(8093, "/index.html");
    running.end("INT");
    lab.on_old_kernel(false);
    lab.diagnose(&["-tt", "-f", "/etc/it.conf"], "libpcre2-8.so.0");
}

fn requests() {
    for path in [
        "index.html",
        "large",
        "watched/it",
        "list/",
        "none",
        "status",
        "status?auto",
        "page.shtml",
        "wrong.cgi",
        "~server/",
    ] {
        get(8090, &format!("/{path}"));
    }
    for path in ["behind/index.html", "behind/large", "fast/it", "secret"] {
        get(8090, &format!("/{path}"));
    }
    ask(8090, "GET /secret HTTP/1.0\r\nAuthorization: Basic aXQ6c2VjcmV0\r\n\r\n");
    ask(8090, "GET /large HTTP/1.1\r\nHost: it\r\nRange: bytes=10-20,30-4000\r\nConnection: close\r\n\r\n");
    ask(8090, "no request\r\n\r\n");
    let body = vec![b'y'; 1 << 20];
    send(8090, "POST", "/behind/index.html", "", &body);
    send(8090, "POST", "/wrong.cgi", "", &body);
}
