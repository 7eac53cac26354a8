//! memcached: both protocols, datagrams, a file for what does not fit, logins; a warm restart, moved memory, ends by signals.

use crate::client::{ask, ask_datagram, ask_encrypted, ask_socket, certificate};
use crate::lab::{Lab, until};

pub(crate) fn load(lab: &mut Lab) {
    lab.run(&["-h"], "");
    lab.run(&["-V"], "");
    let large = ["-u", "server", "-m", "32", "-t", "4", "-l", "127.0.0.1", "-P", "/run/memcached.pid"];
    let options =
        "ext_path=/srv/more:64m,slab_automove=1,slab_automove_window=3,ext_item_age=0,ext_low_ttl=0";
    let running = lab.start(&[&large[..], &["-d", "-v", "-k", "-r", "-o", options]].concat());
    requests(11211);
    let pid =
        until("memcached has written its number", || lab.read("/run/memcached.pid")?.trim().parse().ok());
    crate::lab::signal(pid, "TERM");
    running.ended();
    // As a service of old, whose last number is that of a process that runs.
    lab.write("/run/it.pid", "1\n");
    let plain = ["-u", "server", "-l", "127.0.0.1", "-p", "11216"];
    let running = lab.start(&[&plain[..], &["-d", "-P", "/run/it.pid", "-A", "-t", "12"]].concat());
    ask(11216, "set key1 0 0 1\r\nx\r\nquit\r\n");
    ask(11216, "shutdown graceful\r\n");
    running.ended();
    lab.run_on_terminal(&["-h"], &[]);
    // What does not fit goes to a file at once.
    let small = "ext_page_size=8,ext_path=/srv/parts:64m,ext_wbuf_size=2,ext_item_age=1,ext_item_size=512";
    let running = lab.start(&[&plain[..], &["-m", "16", "-I", "512k", "-o", small]].concat());
    stored(11216);
    running.pause();
    running.end("TERM");
    // The other ways in which its library for events can wait.
    for environment in
        [&["EVENT_PRECISE_TIMER=1"][..], &["EVENT_NOEPOLL=1"], &["EVENT_NOEPOLL=1", "EVENT_NOPOLL=1"]]
    {
        lab.with(environment);
        let running = lab.start(&plain);
        ask(11216, "set key1 0 0 1\r\nx\r\nquit\r\n");
        running.end("TERM");
    }
    lab.with(&[]);
    // Over TLS.
    certificate(&lab.root.join("etc/tls"));
    let encrypted = "ssl_chain_cert=/etc/tls,ssl_key=/etc/tls";
    let running = lab.start(&[&plain[..], &["-Z", "-o", encrypted]].concat());
    ask_encrypted(11216, "set key1 0 0 1\r\nx\r\nrefresh_certs\r\nquit\r\n");
    running.end("TERM");
    lab.cache_names();
    for _ in 0..2 {
        lab.run(&["-u", "server", "-l", "none.example"], "");
    }
    let running = lab.start(&["-u", "server", "-l", "localhost", "-p", "11216"]);
    ask(11216, "quit\r\n");
    running.end("TERM");
    lab.cache_no_names();
    lab.diagnose(&["-V"], "libevent-2.1.so.7");
    lab.without_kernel_files(|lab| {
        // It finds no large pages.
        lab.run(&[&plain[..], &["-L"]].concat(), "");
        let running = lab.start(&[&plain[..], &["-t", "16"]].concat());
        requests(11216);
        running.end("TERM");
    });
    lab.on_old_kernel(true);
    let running = lab.start(&plain);
    ask(11216, "quit\r\n");
    running.end("TERM");
    lab.on_old_kernel(false);
    // A socket in the file system, logins, and what the file with these is read again for.
    lab.write("/etc/logins", "it:secret\n");
    let socket = ["-u", "server", "-s", "/run/it.sock", "-a", "0700", "-Y", "/etc/logins", "-vv"];
    let running = lab.start(&socket);
    let place = lab.root.join("run/it.sock");
    ask_socket(&place, "set login 0 0 9\r\nit secret\r\nset a 0 0 1\r\nb\r\nget a\r\nquit\r\n");
    running.signal("HUP");
    lab.write("/etc/logins", "it:other\n");
    ask_socket(&place, "refresh_certs\r\nquit\r\n");
    running.end("INT");
    // Datagrams.
    let running = lab.start(&["-u", "server", "-l", "127.0.0.1", "-p", "11214", "-U", "11214"]);
    ask(11214, "set key1 0 0 1\r\nx\r\nquit\r\n");
    ask_datagram(11214, b"\x00\x01\x00\x00\x00\x01\x00\x00get key1\r\n");
    running.end("TERM");
    // A warm restart.
    let warm = ["-u", "server", "-l", "127.0.0.1", "-p", "11212", "-e", "/tmp/memory", "-m", "64"];
    let first = lab.start(&warm);
    requests(11212);
    first.end("USR1");
    let second = lab.start(&warm);
    ask(11212, "get key1\r\nquit\r\n");
    second.end("TERM");
    lab.run(&["-u", "server", "-l", "127.0.0.1", "-p", "11215", "-S"], "");
    let binary = ["-u", "server", "-l", "127.0.0.1", "-p", "11213", "-B", "binary", "-R", "5", "-C"];
    let running = lab.start(&binary);
    // No operation, then the version, then the end.
    for operation in [0x0a, 0x0b, 0x07] {
        let mut request = vec![0x80, operation];
        request.resize(24, 0);
        request.extend([0x80, 0x07]);
        request.resize(48, 0);
        ask(11213, request);
    }
    let taken = ["-u", "server", "-l", "127.0.0.1", "-p", "11213"];
    lab.run(&taken, "");
    lab.run(&["-u", "nobody-of-this-name"], "");
    lab.run(&["-u", "server", "-l", "none.example"], "");
    running.end("INT");
}

/// More than the memory has, until the first ones are in the file, and some of them again.
fn stored(port: u16) {
    for first in (0..1200).step_by(100) {
        let set = |it: usize| {
            let size = if it.is_multiple_of(2) { 4000 } else { 60_000 };
            format!("set key{it} 0 0 {size}\r\n{}\r\n", "x".repeat(size))
        };
        ask(port, (first..first + 100).map(set).collect::<String>() + "quit\r\n");
    }
    until("items are in the file", || {
        let stats = String::from_utf8_lossy(&ask(port, "stats\r\nquit\r\n")).into_owned();
        let written = stats.lines().find_map(|it| it.strip_prefix("STAT extstore_bytes_written "))?;
        (written != "0").then_some(())
    });
    let gets = (0..1200).map(|it| format!("get key{it}\r\n")).collect::<String>();
    ask(port, gets + "quit\r\n");
}

fn requests(port: u16) {
    let value = "x".repeat(1000);
    let sets = |range: std::ops::Range<usize>| {
        let all = range.map(|it| format!("set key{it} 0 60 1000\r\n{value}\r\nget key{it}\r\n"));
        all.collect::<String>()
    };
    for first in (0..4000).step_by(1000) {
        ask(port, sets(first..first + 1000) + "quit\r\n");
    }
    let large = "y".repeat(500_000);
    for request in [
        format!("set large 0 0 500000\r\n{large}\r\nget large\r\n"),
        "incr key1 1\r\nappend key1 0 0 1\r\nz\r\ntouch key1 10\r\ngat 10 key1\r\ndelete key2\r\n".to_owned(),
        "mg key1 v t\r\nms key9 2\r\nab\r\nmd key9\r\nmn\r\n".to_owned(),
        "stats\r\nstats items\r\nstats slabs\r\nstats sizes\r\nstats conns\r\nstats settings\r\n".to_owned(),
        "lru_crawler crawl all\r\nlru_crawler metadump all\r\nlru_crawler mgdump all\r\n".to_owned(),
        "slabs reassign -1 5\r\nslabs automove 2\r\nlru tune 10 25 0.1 2.0\r\nverbosity 1\r\n".to_owned(),
        "cache_memlimit 64\r\nextstore recache_rate 100\r\nflush_all\r\nversion\r\n".to_owned(),
        "no such command\r\n".to_owned(),
    ] {
        ask(port, request + "quit\r\n");
    }
}
