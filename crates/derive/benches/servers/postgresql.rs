//! PostgreSQL: initdb, all kinds of statements, workers, shared memory of each kind, extensions, programs that it starts,
//! archives, a standby, logical replication; new settings, rotated logs, backends that die, recovery.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

use crate::client::certificate;
use crate::lab::{Lab, signal, until};

/// Those that its catalogs and its configuration name here.
pub(crate) const MODULES: &[&str] = &[
    "/usr/lib/postgresql/15/lib/adminpack.so",
    "/usr/lib/postgresql/15/lib/auto_explain.so",
    "/usr/lib/postgresql/15/lib/basebackup_to_shell.so",
    "/usr/lib/postgresql/15/lib/basic_archive.so",
    "/usr/lib/postgresql/15/lib/dblink.so",
    "/usr/lib/postgresql/15/lib/dict_snowball.so",
    "/usr/lib/postgresql/15/lib/file_fdw.so",
    "/usr/lib/postgresql/15/lib/libpqwalreceiver.so",
    "/usr/lib/postgresql/15/lib/llvmjit.so",
    "/usr/lib/postgresql/15/lib/pg_buffercache.so",
    "/usr/lib/postgresql/15/lib/pg_prewarm.so",
    "/usr/lib/postgresql/15/lib/pg_stat_statements.so",
    "/usr/lib/postgresql/15/lib/pg_trgm.so",
    "/usr/lib/postgresql/15/lib/pgcrypto.so",
    "/usr/lib/postgresql/15/lib/pgoutput.so",
    "/usr/lib/postgresql/15/lib/pgxml.so",
    "/usr/lib/postgresql/15/lib/plpgsql.so",
    "/usr/lib/postgresql/15/lib/postgres_fdw.so",
    "/usr/lib/postgresql/15/lib/test_decoding.so",
    "/usr/lib/postgresql/15/lib/utf8_and_iso8859_1.so",
    "/usr/lib/postgresql/15/lib/uuid-ossp.so",
];
/// What its settings and statements name here, and what starts it.
pub(crate) const STARTS: &[&str] =
    &["/bin/sh", "/bin/cat", "/bin/cp", "/bin/true", INITDB, PG_CTL, "/usr/lib/postgresql/15/bin/postgres"];

const INITDB: &str = "/usr/lib/postgresql/15/bin/initdb";
const PG_CTL: &str = "/usr/lib/postgresql/15/bin/pg_ctl";
const PSQL: &str = "/usr/lib/postgresql/15/bin/psql";
const DATA: &str = "/srv/data";

const SETTINGS: &str = "
listen_addresses = 'localhost'
port = 5432
unix_socket_directories = '/run'
unix_socket_permissions = 0770
unix_socket_group = 'server'
ssl = on
ssl_cert_file = '/srv/tls'
ssl_key_file = '/srv/tls.key'
shared_preload_libraries = 'pg_stat_statements, pg_prewarm, auto_explain'
auto_explain.log_min_duration = 0
pg_prewarm.autoprewarm_interval = 1s
wal_level = logical
max_connections = 30
shared_buffers = 16MB
huge_pages = try
logging_collector = on
log_destination = 'stderr, csvlog, jsonlog, syslog'
log_directory = '/var/log/it'
log_rotation_size = 100kB
log_connections = on
log_hostname = on
log_temp_files = 0
track_io_timing = on
track_commit_timestamp = on
archive_mode = on
archive_command = 'cp %p /srv/archive/%f'
archive_timeout = 1s
checkpoint_flush_after = 256kB
backend_flush_after = 256kB
autovacuum_naptime = 1s
autovacuum_vacuum_threshold = 1
client_connection_check_interval = 100ms
tcp_keepalives_idle = 10
tcp_user_timeout = 1000
idle_session_timeout = 60s
effective_io_concurrency = 4
maintenance_io_concurrency = 4
max_wal_size = 64MB
min_wal_size = 32MB
krb_server_keyfile = '/srv/none'
";

const LOGINS: &str = "
local all server peer map=all
local replication server trust
host all radius 127.0.0.1/32 radius radiusservers=\"127.0.0.1\" radiussecrets=\"secret\"
host all ldap 127.0.0.1/32 ldap ldapserver=127.0.0.1 ldapbasedn=\"it\"
host all pam 127.0.0.1/32 pam
host all ident 127.0.0.1/32 ident
hostssl all encrypted 127.0.0.1/32 scram-sha-256
host all named none.example trust
host all all 127.0.0.1/32 trust
host replication all 127.0.0.1/32 trust
";

const STATEMENTS: &str = include_str!("postgresql.sql");

pub(crate) fn load(lab: &mut Lab) {
    prepare(lab);
    // As root it does not run.
    lab.run(&["-D", DATA], "");
    lab.as_user(Some("server"));
    for it in [&["--version"][..], &["--describe-config"], &["-C", "port", "-D", "/none"], &["--no-such"]] {
        lab.run(it, "");
    }
    let initial =
        ["-D", DATA, "--locale=C.UTF-8", "--username=server", "--data-checksums", "--no-instructions"];
    lab.run_by(INITDB, &[&initial[..], &["--auth=trust"]].concat(), "");
    lab.write("/srv/data/postgresql.conf", SETTINGS);
    lab.write("/srv/data/pg_hba.conf", LOGINS);
    lab.write("/srv/data/pg_ident.conf", "all /^(.*)$ \\1\n");
    let running = lab.start(&["-D", DATA]);
    ready(lab, 5432);
    ask(lab, 5432, STATEMENTS);
    logins(lab);
    several(lab);
    // A port that is taken, and settings that are wrong.
    lab.run(&["-D", "/srv/none"], "");
    lab.run(&["-D", DATA], "");
    lab.write("/srv/wrong.conf", "no_such = on\nport = many\n");
    lab.run(&["-c", "config_file=/srv/wrong.conf", "-D", DATA], "");
    standby(lab);
    logical(lab);
    // A new certificate, a rotated log, a reload by each way, and a promotion of what is no standby.
    certificates(lab);
    running.signal("HUP");
    lab.run_by(PG_CTL, &["reload", "-D", DATA], "");
    lab.run_by(PG_CTL, &["logrotate", "-D", DATA], "");
    lab.run_by(PG_CTL, &["promote", "-D", DATA], "");
    lab.run_by(PG_CTL, &["status", "-D", DATA], "");
    (0..3).for_each(|_| running.pause());
    dying(lab, running.pid);
    running.end("INT");
    elsewhere(lab);
}

fn prepare(lab: &mut Lab) {
    lab.mount(&["-t", "tmpfs", "tmpfs"], "dev/shm");
    for path in ["srv/data", "srv/archive", "srv/space", "srv/standby", "srv/subscriber", "var/log/it"] {
        let place = lab.root.join(path);
        fs::create_dir_all(&place).unwrap();
        fs::set_permissions(&place, fs::Permissions::from_mode(0o700)).unwrap();
        chown(&place, Some(998), Some(998)).unwrap();
    }
    lab.write("/etc/pam.d/other", "auth required pam_none.so\naccount required pam_none.so\n");
    certificates(lab);
}

fn certificates(lab: &Lab) {
    certificate(&lab.root.join("srv/tls"));
    for path in ["srv/tls", "srv/tls.key"] {
        fs::set_permissions(lab.root.join(path), fs::Permissions::from_mode(0o600)).unwrap();
        chown(lab.root.join(path), Some(998), Some(998)).unwrap();
    }
}

/// What psql prints for statements, over the socket in the file system.
fn ask(lab: &Lab, port: u16, statements: &str) -> String {
    let port = port.to_string();
    lab.client(
        "server",
        &[PSQL, "-X", "-At", "-h", "/run", "-p", &port, "-U", "server", "-d", "postgres"],
        statements,
    )
}

fn ready(lab: &Lab, port: u16) {
    until("PostgreSQL answers", || (ask(lab, port, "SELECT 7") == "7\n").then_some(()));
}

/// Each way to log in.
fn logins(lab: &Lab) {
    for login in [
        "user=encrypted password=secret sslmode=require",
        "user=encrypted password=wrong sslmode=require",
        "user=radius password=wrong",
        "user=ldap password=wrong",
        "user=pam password=wrong",
        "user=ident",
        "user=named",
        "user=server gssencmode=prefer",
        "user=none",
    ] {
        let login = format!("host=127.0.0.1 dbname=postgres connect_timeout=10 {login}");
        lab.client("server", &[PSQL, "-X", "-At", &login], "SELECT * FROM it LIMIT 1000;\n");
    }
}

/// Sessions that wait for each other, that are cancelled, and that end in the middle.
fn several(lab: &Lab) {
    std::thread::scope(|scope| {
        let session = |statements: &'static str| scope.spawn(move || ask(lab, 5432, statements));
        let first = "BEGIN; UPDATE it SET text = 'a' WHERE id = 1; SELECT pg_sleep(1); UPDATE it SET text = 'a' WHERE id = 2; COMMIT;";
        let second = "BEGIN; UPDATE it SET text = 'b' WHERE id = 2; SELECT pg_sleep(1); UPDATE it SET text = 'b' WHERE id = 1; COMMIT;";
        let sessions = [
            session(first),
            session(second),
            session("SELECT pg_sleep(60);"),
            session("SELECT pg_sleep(61);"),
        ];
        until("the sessions sleep", || {
            let count = ask(
                lab,
                5432,
                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(6_)%'",
            );
            (count == "2\n").then_some(())
        });
        ask(lab, 5432, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(60)%';
            SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(61)%';");
        sessions.into_iter().for_each(|it| _ = it.join().unwrap());
    });
}

/// A standby that streams, from a copy that the server makes, and that is promoted.
fn standby(lab: &mut Lab) {
    let copy = [
        "/usr/lib/postgresql/15/bin/pg_basebackup",
        "-h",
        "/run",
        "-U",
        "server",
        "-D",
        "/srv/standby",
        "-R",
    ];
    lab.client("server", &[&copy[..], &["-X", "stream", "-c", "fast", "-C", "-S", "standby"]].concat(), "");
    for target in ["--target=server:/srv/archive/whole", "--target=blackhole"] {
        let copy = [
            copy[0],
            "-h",
            "/run",
            "-U",
            "server",
            "-X",
            "none",
            "-c",
            "fast",
            target,
            "--compress=server-zstd:workers=2",
        ];
        lab.client("server", &copy, "");
    }
    let more = [
        "-c",
        "port=5433",
        "-c",
        "restore_command=cp /srv/archive/%f %p",
        "-c",
        "archive_cleanup_command=true",
        "-c",
        "recovery_end_command=true",
        "-c",
        "hot_standby_feedback=on",
        "-c",
        "log_directory=/srv/standby/log",
        "-c",
        "recovery_prefetch=on",
        "-c",
        "primary_slot_name=standby",
    ];
    let running = lab.start(&[&["-D", "/srv/standby"][..], &more].concat());
    ready(lab, 5433);
    ask(
        lab,
        5432,
        "SET synchronous_commit = remote_apply; INSERT INTO it(text) VALUES ('streamed'); CHECKPOINT;",
    );
    until("the standby has it", || {
        (ask(lab, 5433, "SELECT count(*) FROM it WHERE text = 'streamed'") == "1\n").then_some(())
    });
    ask(
        lab,
        5433,
        "SELECT pg_wal_replay_pause(); SELECT pg_wal_replay_resume(); CHECKPOINT; INSERT INTO it(text) VALUES ('x');",
    );
    lab.run_by(PG_CTL, &["promote", "-D", "/srv/standby"], "");
    ask(lab, 5433, "INSERT INTO it(text) VALUES ('promoted');");
    running.end("QUIT");
    ask(lab, 5432, "SELECT pg_drop_replication_slot('standby');");
}

/// Another server that gets the changes of a table.
fn logical(lab: &mut Lab) {
    let initial = ["-D", "/srv/subscriber", "--locale=C", "--username=server", "--auth=trust", "--no-sync"];
    lab.run_by(INITDB, &initial, "");
    let more = [
        "-D",
        "/srv/subscriber",
        "-c",
        "port=5434",
        "-c",
        "unix_socket_directories=/run",
        "-c",
        "shared_memory_type=sysv",
    ];
    let running = lab
        .start(&[&more[..], &["-c", "dynamic_shared_memory_type=sysv", "-c", "listen_addresses="]].concat());
    ready(lab, 5434);
    ask(
        lab,
        5432,
        "CREATE TABLE followed(id bigint PRIMARY KEY); INSERT INTO followed VALUES (1); CREATE PUBLICATION it FOR TABLE followed;",
    );
    ask(lab, 5434, "CREATE TABLE followed(id bigint PRIMARY KEY);
        CREATE SUBSCRIPTION it CONNECTION 'host=127.0.0.1 user=server dbname=postgres' PUBLICATION it WITH (streaming = on);");
    ask(lab, 5432, "INSERT INTO followed SELECT generate_series(2, 1000);");
    until("the subscriber has it", || {
        (ask(lab, 5434, "SELECT count(*) FROM followed") == "1000\n").then_some(())
    });
    ask(lab, 5434, "SET max_parallel_workers_per_gather = 2; SET parallel_setup_cost = 0; SET min_parallel_table_scan_size = 0;
        SET parallel_tuple_cost = 0; SELECT count(*) FROM followed; DROP SUBSCRIPTION it;");
    running.end("TERM");
}

/// Processes that die: the server begins anew. And a file that it misses.
fn dying(lab: &Lab, pid: u32) {
    for name in ["KILL", "SEGV", "ABRT"] {
        let backend =
            ask(lab, 5432, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'background writer'");
        signal(backend.trim().parse().unwrap(), name);
        let is_new = |it: &String| !it.trim().is_empty() && *it != backend;
        until("PostgreSQL has recovered", || {
            let now =
                ask(lab, 5432, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'background writer'");
            is_new(&now).then_some(())
        });
    }
    // The one that writes the logs, and the one that copies what is to be archived.
    for name in ["archiver", "autovacuum launcher"] {
        let one = ask(lab, 5432, &format!("SELECT pid FROM pg_stat_activity WHERE backend_type = '{name}'"));
        signal(one.trim().parse().unwrap(), "TERM");
    }
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let is_logger = |it: &&str| {
        let title = fs::read_to_string(format!("/proc/{it}/cmdline"));
        title.is_ok_and(|it| it.contains("logger"))
    };
    let logger = children.split_whitespace().find(is_logger).expect("it has a logger");
    signal(logger.parse().unwrap(), "KILL");
    ready(lab, 5432);
}

/// With other ways to write and to share memory, under a service manager, alone, on an older kernel, and looked into.
fn elsewhere(lab: &mut Lab) {
    lab.cache_names();
    for (settings, end) in [
        (&["wal_sync_method=open_sync", "dynamic_shared_memory_type=mmap", "huge_pages=off"][..], "QUIT"),
        (&["wal_sync_method=open_datasync", "recovery_init_sync_method=syncfs", "wal_init_zero=off"], "INT"),
        (
            &[
                "wal_sync_method=fsync",
                "fsync=on",
                "full_page_writes=off",
                "wal_compression=zstd",
                "archive_library=basic_archive",
                "archive_command=",
                "basic_archive.archive_directory=/srv/archive",
            ],
            "KILL",
        ),
        (
            &["logging_collector=off", "wal_recycle=off", "wal_compression=lz4", "archive_command=false"],
            "TERM",
        ),
    ] {
        let settings: Vec<_> = settings.iter().flat_map(|it| ["-c", it]).collect();
        lab.with(&[
            "NOTIFY_SOCKET=/run/notify",
            "PG_OOM_ADJUST_FILE=/proc/self/oom_score_adj",
            "PG_OOM_ADJUST_VALUE=0",
        ]);
        let running = lab.start(&[&["-D", DATA][..], &settings].concat());
        ready(lab, 5432);
        ask(lab, 5432, "SET max_parallel_workers_per_gather = 2; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;
            SET min_parallel_table_scan_size = 0; SELECT count(*) FROM it; INSERT INTO it(text) SELECT 'x' FROM generate_series(1, 3000);
            CHECKPOINT; SELECT pg_switch_wal();");
        running.end(end);
    }
    lab.cache_no_names();
    lab.with(&[]);
    // It is told that its data is gone.
    let running = lab.start(&["-D", DATA]);
    ready(lab, 5432);
    fs::rename(lab.root.join("srv/data/global/pg_control"), lab.root.join("srv/control")).unwrap();
    ask(lab, 5432, "CHECKPOINT;");
    fs::rename(lab.root.join("srv/control"), lab.root.join("srv/data/global/pg_control")).unwrap();
    ready(lab, 5432);
    running.end("INT");
    lab.run(&["--single", "-D", DATA, "postgres"], "VACUUM it\n");
    let first = lab.start_by(PG_CTL, &["start", "-w", "-D", DATA, "-l", "/srv/log"]);
    ready(lab, 5432);
    let second = lab.start_by(PG_CTL, &["restart", "-m", "immediate", "-D", DATA, "-l", "/srv/log"]);
    first.ended();
    ready(lab, 5432);
    lab.run_by(PG_CTL, &["stop", "-D", DATA], "");
    second.ended();
    lab.on_old_kernel(true);
    let running = lab.start(&["-D", DATA]);
    ready(lab, 5432);
    ask(lab, 5432, "SELECT count(*) FROM it; COPY it TO PROGRAM 'cat > /srv/by-program';");
    running.end("TERM");
    lab.on_old_kernel(false);
    lab.without_kernel_files(|lab| {
        let running = lab.start(&["-D", DATA]);
        ready(lab, 5432);
        running.end("TERM");
    });
    lab.diagnose(&["-C", "port", "-D", DATA], "libm.so.6");
}
