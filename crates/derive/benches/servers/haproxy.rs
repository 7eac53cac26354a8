//! haproxy: HTTP and TCP, TLS, a cache, compression, name lookups, peers, checks; reloads both ways, changes over its socket.

use std::os::unix::net::UnixDatagram;
use std::process::Command;

use crate::client::{ask, ask_encrypted, ask_socket, certificate, get, send};
use crate::lab::{Lab, until};

const CONFIGURATION: &str = "
global
    localpeer here
    log 127.0.0.1:5140 local0
    log stdout format raw local1
    user server
    group server
    nbthread 2
    maxconn 200
    pidfile /run/haproxy.pid
    stats socket /run/admin.sock mode 600 level admin expose-fd listeners
    stats timeout 5s
    ssl-default-bind-options ssl-min-ver TLSv1.2
    hard-stop-after 5s
    external-check
    insecure-fork-wanted
defaults
    mode http
    log global
    option httplog
    option redispatch
    retries 2
    timeout connect 2s
    timeout client 10s
    timeout server 10s
resolvers names
    nameserver one 127.0.0.1:5353
    resolve_retries 1
    timeout resolve 1s
peers others
    bind 127.0.0.1:10000
    server here
    server there 127.0.0.1:10001
cache small
    total-max-size 4
    max-age 10
ring kept
    size 32764
    backing-file /tmp/kept
    timeout connect 2s
    timeout server 2s
    server log 127.0.0.1:5142
ring events
    size 32764
    timeout connect 2s
    timeout server 2s
    format rfc5424
    server log 127.0.0.1:5141
frontend web
    bind 127.0.0.1:8070
    bind /run/web.sock mode 666 user server group server
    bind 127.0.0.1:8075 namespace it
    bind 127.0.0.1:8073 ssl crt /etc/tls alpn h2,http/1.1
    compression algo gzip
    compression type text/plain
    stick-table type ip size 1k expire 10s store http_req_rate(10s) peers others
    http-request track-sc0 src
    http-request cache-use small
    http-response cache-store small
    acl is_down path /down
    use_backend down if is_down
    default_backend files
backend files
    balance roundrobin
    option httpchk GET /
    cookie it insert indirect
    server one 127.0.0.1:8071 check inter 500
    server two 127.0.0.1:8072 check inter 500 backup
    server named none.example:80 check resolvers names init-addr none
    server known none.example:80 init-addr libc,none
    server away 127.0.0.1:8071 namespace it backup
backend down
    server none 127.0.0.1:8099
backend outside
    mode tcp
    option external-check
    external-check command /none
    server one 127.0.0.1:8071 check inter 500
listen bytes
    bind 127.0.0.1:8074
    mode tcp
    option splice-request
    option splice-response
    option tcplog
    server one 127.0.0.1:8071
frontend answers
    bind 127.0.0.1:8071
    http-request return status 200 content-type text/plain file /srv/large
frontend others
    bind 127.0.0.1:8072
    http-request return status 200 content-type text/plain string others
";

pub(crate) fn load(lab: &mut Lab) {
    lab.write("/etc/it.cfg", CONFIGURATION);
    // It keeps such a file in a buffer of 16 KiB.
    lab.write("/srv/large", "x".repeat(8 << 10));
    certificate(&lab.root.join("etc/tls"));
    lab.write("/run/netns/it", "");
    lab.mount(&["--bind", "/proc/self/ns/net"], "run/netns/it");
    lab.run(&["-c", "-f", "/etc/it.cfg"], "");
    lab.run(&["-vv"], "");
    // A master and its worker.
    let running = lab.start(&["-W", "-S", "/run/master.sock", "-f", "/etc/it.cfg"]);
    requests(lab);
    for command in [
        "show info",
        "show stat",
        "show sess all",
        "show errors",
        "show table web",
        "show servers state",
        "show fd",
        "show activity",
        "show threads",
        "show pools",
        "show cache",
        "show resolvers",
        "show peers",
        "show ssl cert",
        "show ring events",
        "show env",
        "show map",
        "show startup-logs",
        "disable server files/one",
        "enable server files/one",
        "set server files/one weight 50%",
        "set server files/one addr 127.0.0.1 port 8072",
        "set server files/one addr 127.0.0.1 port 8071",
        "set maxconn global 100",
        "set maxconn frontend web 50",
        "set rate-limit connections global 1000",
        "clear table web",
        "clear counters all",
        "shutdown sessions server files/one",
        "disable frontend web",
        "enable frontend web",
        "set ssl cert /etc/tls <<\nnone\n",
        "debug dev info",
        "expert-mode on; debug dev delay 10",
    ] {
        ask_socket(&lab.root.join("run/admin.sock"), format!("{command}\n"));
    }
    // Reloads: by a signal to the master, and by the command of its socket.
    running.signal("USR2");
    until_answered();
    requests(lab);
    ask_socket(&lab.root.join("run/master.sock"), "show proc\nreload\n");
    until_answered();
    requests(lab);
    lab.write("/etc/wrong.cfg", "frontend it\n    bind wrong\n    no such word\n");
    lab.run(&["-f", "/etc/wrong.cfg"], "");
    running.end("TERM");
    // One process takes the ports over from another one.
    let first = lab.start(&["-db", "-f", "/etc/it.cfg"]);
    requests(lab);
    let pid = first.pid.to_string();
    first.signal("HUP");
    let second = lab.start(&["-D", "-f", "/etc/it.cfg", "-x", "/run/admin.sock", "-sf", &pid]);
    first.ended();
    requests(lab);
    let pid: u32 =
        until("haproxy has written its number", || lab.read("/run/haproxy.pid")?.trim().parse().ok());
    crate::lab::signal(pid, "QUIT");
    crate::lab::signal(pid, "USR1");
    second.ended();
    // With a root of its own, settings in a directory, and what Lua does.
    let small = "
global
    insecure-fork-wanted
    chroot /tmp
    uid 998
    gid 998
    nbthread 2
    cpu-map all 0
    cpu-map 1/all 0
    ulimit-n 4096
    lua-load /etc/it.lua
    log stderr format raw local0
defaults
    mode http
    timeout client 5s
    timeout server 5s
    timeout connect 5s
frontend it
    bind 127.0.0.1:8070
    http-request use-service lua.it
";
    let lua = "
local it = io.open('/tmp/one', 'w'); it:write('it'); it:close(); os.rename('/tmp/one', '/tmp/two'); os.remove('/tmp/two')
local it = io.open('/tmp/compiled', 'wb'); it:write(string.dump(function() end)); it:close(); dofile('/tmp/compiled')
os.remove('/tmp/folder'); os.clock(); os.tmpname(); os.execute('none'); local all = io.popen('none'); if all then all:close() end
core.register_service('it', 'http', function(all) all:set_status(200); all:start_response(); all:send('it') end)
";
    lab.write("/etc/it.lua", lua);
    std::fs::create_dir_all(lab.root.join("tmp/folder")).unwrap();
    lab.write("/etc/small/it.cfg", small);
    let running = lab.start(&["-db", "-f", "/etc/small"]);
    get(8070, "/it");
    running.end("USR1");
    // With the other ways to wait, and with a port that is taken.
    for way in ["-dp", "-de", "-dS"] {
        let running = lab.start(&["-db", way, "-f", "/etc/it.cfg"]);
        get(8070, "/it");
        if way == "-dp" {
            lab.write("/etc/taken.cfg", "defaults\n timeout client 1s\nfrontend it\n bind 127.0.0.1:8070\n");
            lab.run(&["-db", "-dR", "-f", "/etc/taken.cfg"], "");
            // The number in its file is that of another process, which does not give the port away.
            let mut other = Command::new("sleep").arg("60").spawn().unwrap();
            lab.run(&["-db", "-dR", "-f", "/etc/taken.cfg", "-sf", &other.id().to_string()], "");
            _ = other.kill();
            _ = other.wait();
        }
        (0..3).for_each(|_| running.pause());
        running.end("TERM");
    }
    elsewhere(lab);
}

/// Under a service manager that it tells its state, with cached names, on an older kernel, and looked into.
fn elsewhere(lab: &mut Lab) {
    let manager = UnixDatagram::bind(lab.root.join("run/notify")).unwrap();
    lab.with(&["NOTIFY_SOCKET=/run/notify"]);
    lab.cache_names();
    let running = lab.start(&["-Ws", "-f", "/etc/it.cfg"]);
    requests(lab);
    running.end("TERM");
    lab.with(&[]);
    lab.cache_no_names();
    drop(manager);
    lab.on_old_kernel(true);
    let running = lab.start(&["-db", "-f", "/etc/small"]);
    get(8070, "/it");
    running.end("USR1");
    lab.on_old_kernel(false);
    lab.diagnose(&["-c", "-f", "/etc/it.cfg"], "libpcre2-8.so.0");
}

fn until_answered() {
    until("haproxy answers", || get(8070, "/").starts_with(b"HTTP").then_some(()));
}

fn requests(lab: &Lab) {
    for port in [8070, 8074, 8070] {
        for _ in 0..5 {
            get(port, "/it");
        }
    }
    get(8070, "/down");
    send(8074, "POST", "/it", "", &vec![b'y'; 1 << 20]);
    send(8070, "POST", "/it", "", &vec![b'y'; 1 << 18]);
    ask(8070, "no request\r\n\r\n");
    ask_socket(&lab.root.join("run/web.sock"), "GET /it HTTP/1.0\r\n\r\n");
    ask_encrypted(8073, "GET /it HTTP/1.0\r\n\r\n");
}
