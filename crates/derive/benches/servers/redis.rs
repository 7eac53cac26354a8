//! redis: data of all kinds, both ways to keep it, replicas, a sentinel, Lua, TLS; changed and rewritten settings, a crash.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;

use crate::client::{ask, ask_encrypted, ask_socket, certificate};
use crate::lab::{Lab, until};

const CONFIGURATION: &str = "
bind 127.0.0.1
port 6379
unixsocket /run/redis.sock
unixsocketperm 700
tls-port 6380
tls-cert-file /etc/tls
tls-key-file /etc/tls
tls-ca-cert-file /etc/tls
tls-auth-clients no
dir /srv
logfile /var/log/redis.log
pidfile /run/redis.pid
syslog-enabled yes
appendonly yes
appendfsync everysec
save 1 1
io-threads 2
io-threads-do-reads yes
enable-debug-command yes
enable-module-command yes
maxmemory 256mb
server_cpulist 0-1
bio_cpulist 0-1
oom-score-adj yes
maxmemory-policy allkeys-lru
latency-monitor-threshold 1
repl-diskless-sync no
activedefrag no
aclfile /etc/acl
";

pub(crate) fn load(lab: &mut Lab) {
    lab.write("/etc/redis.conf", CONFIGURATION);
    lab.write("/etc/acl", "user default on nopass ~* &* +@all\n");
    certificate(&lab.root.join("etc/tls"));
    lab.run(&["--version"], "");
    let running = lab.start(&["/etc/redis.conf"]);
    let large = "x".repeat(100_000);
    let mut requests: Vec<String> = (0..500).map(|it| format!("SET key:{it} {large:.200}")).collect();
    for request in [
        "APPEND key:0 more",
        "INCR count",
        "LPUSH list a b c",
        "BRPOP list 1",
        "SADD set a b",
        "ZADD sorted 1 a 2 b",
        "HSET hash a 1",
        "XADD stream * a 1",
        "PFADD log a b",
        "GEOADD place 1 2 here",
        "SETEX short 1 x",
        "PUBLISH channel text",
        "MULTI",
        "SET in it",
        "EXEC",
        "SCAN 0",
        "SORT list",
        "OBJECT ENCODING list",
        "EVAL \"return redis.call('get','key:1')\" 0",
        "FUNCTION LIST",
        "SCRIPT FLUSH ASYNC",
        "INFO everything",
        "CLIENT LIST",
        "MEMORY DOCTOR",
        "MEMORY PURGE",
        "LATENCY DOCTOR",
        "SLOWLOG GET",
        "TIME",
        "LASTSAVE",
        "SAVE",
        "CONFIG SET appendfsync always",
        "SET always 1",
        "CONFIG SET appendfsync no",
        "CONFIG SET maxmemory 128mb",
        "CONFIG SET save \"5 1\"",
        "CONFIG SET maxclients 500",
        "CONFIG SET port 6378",
        "CONFIG SET port 6379",
        "CONFIG SET dir /tmp",
        "CONFIG SET dir /srv",
        "CONFIG SET activedefrag yes",
        "CONFIG REWRITE",
        "ACL SAVE",
        "ACL LOAD",
        "CONFIG SET appendonly no",
        "CONFIG SET appendonly yes",
        "DEBUG RELOAD",
        "DEBUG SLEEP 0.01",
        "DEBUG LOADAOF",
        "MODULE LOAD /none.so",
        "DEBUG JMAP",
        "DEBUG STRINGMATCH-LEN 1000 x",
        "DEBUG MALLCTL x",
        "DEBUG POPULATE 20000 many 500",
        "MIGRATE 127.0.0.1 6390 key:1 0 100",
        "UNLINK key:3",
        "FLUSHDB ASYNC",
        "WAIT 0 10",
    ] {
        requests.push(request.to_owned());
    }
    ask(6379, request(&requests));
    let socket = lab.root.join("run/redis.sock");
    ask_socket(&socket, request(&[format!("SET large {large}"), "GET large".to_owned()]));
    ask_encrypted(6380, &request(&["SET key value", "GET key"]));
    // A replica, also without a disk between, and the other way round.
    lab.write("/etc/replica.conf", "port 6381\nbind 127.0.0.1\ndir /tmp\nreplicaof 127.0.0.1 6379\n");
    let replica = lab.start(&["/etc/replica.conf", "--daemonize", "yes", "--pidfile", "/run/replica.pid"]);
    let is_linked = || {
        let info = ask(6381, request(&["INFO replication"]));
        String::from_utf8_lossy(&info).contains("master_link_status:up").then_some(())
    };
    until("the replica has the data", is_linked);
    ask(6379, request(&["CONFIG SET repl-diskless-sync yes", "CONFIG SET repl-diskless-sync-delay 0"]));
    ask(6381, request(&["REPLICAOF NO ONE", "SET own 1", "REPLICAOF 127.0.0.1 6379"]));
    until("the replica has the data again", is_linked);
    ask(6379, request(&["SET on both", "WAIT 1 1000", "CLIENT KILL TYPE replica", "FAILOVER ABORT"]));
    let is_saved = |what: &'static str| {
        move || {
            let info = ask(6379, request(&["INFO persistence"]));
            String::from_utf8_lossy(&info).contains(what).then_some(())
        }
    };
    ask(6379, request(&["BGREWRITEAOF"]));
    until("the log is rewritten", is_saved("aof_rewrite_in_progress:0"));
    ask(6379, request(&["BGSAVE"]));
    until("the data is saved", is_saved("rdb_bgsave_in_progress:0"));
    // A sentinel that watches it.
    lab.write("/etc/sentinel.conf", "port 6382\nbind 127.0.0.1\nsentinel monitor it 127.0.0.1 6379 1\n");
    let sentinel = lab.start(&["/etc/sentinel.conf", "--sentinel"]);
    ask(
        6382,
        request(&["SENTINEL MASTERS", "SENTINEL SET it down-after-milliseconds 500", "SENTINEL FLUSHCONFIG"]),
    );
    sentinel.end("TERM");
    ask(6381, request(&["SHUTDOWN SAVE"]));
    replica.ended();
    // A taken port, and wrong settings.
    lab.run(&["--port", "6379", "--bind", "127.0.0.1"], "");
    lab.run(&["--port", "6385", "--bind", "none.example"], "");
    lab.run(&["-"], "no-such-setting yes\n");
    fs::rename(lab.root.join("var/log/redis.log"), lab.root.join("var/log/redis.log.1")).unwrap();
    ask(6379, request(&["PING"]));
    running.end("TERM");
    // Again, from what was kept: its last part is cut off. It begins anew in place, and then it crashes.
    let kept = lab.root.join("srv/appendonlydir");
    for it in fs::read_dir(&kept)
        .unwrap()
        .flatten()
        .filter(|it| it.path().extension().is_some_and(|it| it == "aof"))
    {
        let mut file = fs::OpenOptions::new().append(true).open(it.path()).unwrap();
        file.write_all(b"*3\r\n$3\r\nSET\r\n$3\r\nke").unwrap();
    }
    let running = lab.start(&["/etc/redis.conf"]);
    ask(6379, request(&["DBSIZE", "DEBUG RESTART 10"]));
    ask(6379, request(&["DBSIZE", "DEBUG SEGFAULT"]));
    running.ended();
    // A log that is cut off, a cluster, and a member of it that is told to go.
    lab.write("/etc/cluster.conf", "port 6383\nbind 127.0.0.1\ndir /tmp\ncluster-enabled yes\n");
    let running = lab.start(&["/etc/cluster.conf"]);
    ask(6383, request(&["CLUSTER ADDSLOTSRANGE 0 16383", "CLUSTER NODES", "CLUSTER MEET 127.0.0.1 6384"]));
    ask(6383, request(&["CLUSTER SAVECONFIG", "CLUSTER RESET HARD"]));
    running.end("INT");
    elsewhere(lab);
}

/// Under service managers, with cached names, on an older kernel, and looked into; with data that is written in parts.
fn elsewhere(lab: &mut Lab) {
    let plain = ["--port", "6386", "--bind", "127.0.0.1", "--dir", "/tmp"];
    let manager = UnixDatagram::bind(lab.root.join("run/notify")).unwrap();
    lab.with(&["NOTIFY_SOCKET=/run/notify"]);
    let large = ["--rdbcompression", "no", "--enable-debug-command", "yes", "--repl-diskless-sync", "yes"];
    let more = ["--repl-diskless-sync-delay", "0", "--rdb-key-save-delay", "1000", "--supervised", "systemd"];
    lab.cache_names();
    let running = lab.start(&[&plain[..], &large, &more].concat());
    ask(6386, request(&["DEBUG POPULATE 20000 many 1000"]));
    // A replica that goes while it gets the data.
    lab.write("/etc/leaving.conf", "port 6387\nbind 127.0.0.1\ndir /srv\nreplicaof 127.0.0.1 6386\n");
    let replica = lab.start(&["/etc/leaving.conf"]);
    until("the replica gets the data", || {
        let info = String::from_utf8_lossy(&ask(6386, request(&["INFO everything"]))).into_owned();
        (info.contains("state=wait_bgsave") && info.contains("rdb_bgsave_in_progress:1")).then_some(())
    });
    ask(6386, request(&["CONFIG SET rdb-key-save-delay 0", "CLIENT KILL TYPE replica"]));
    replica.end("KILL");
    until("the data is not saved any more", || {
        let info = String::from_utf8_lossy(&ask(6386, request(&["INFO persistence"]))).into_owned();
        info.contains("rdb_bgsave_in_progress:0").then_some(())
    });
    ask(6386, request(&["SAVE", "MIGRATE none.example 6390 many:1 0 100"]));
    ask(6386, request(&["REPLICAOF none.example 6379", "REPLICAOF NO ONE"]));
    running.end("TERM");
    lab.cache_no_names();
    drop(manager);
    // One that stops itself as soon as it is ready, and is told to go on.
    lab.with(&["UPSTART_JOB=it"]);
    let running =
        lab.start(&[&plain[..], &["--supervised", "upstart", "--enable-debug-command", "yes"]].concat());
    until("redis goes on", || {
        running.signal("CONT");
        TcpStream::connect(("127.0.0.1", 6386)).ok()
    });
    let sleeping = std::thread::spawn(|| ask(6386, request(&["DEBUG SLEEP 2"])));
    (0..3).for_each(|_| running.pause());
    sleeping.join().unwrap();
    ask(6386, request(&["SET key 1", "MIGRATE none.example 6390 key 0 100"]));
    running.end("TERM");
    lab.with(&[]);
    lab.on_old_kernel(true);
    let running = lab.start(&plain);
    ask(6386, request(&["PING"]));
    running.end("TERM");
    lab.on_old_kernel(false);
    lab.diagnose(&["--version"], "libm.so.6");
}

/// Requests as people type them, the last of which ends the connection.
fn request(requests: &[impl AsRef<str>]) -> String {
    let lines = requests.iter().map(AsRef::as_ref).chain(["QUIT"]);
    lines.map(|it| format!("{it}\r\n")).collect()
}
