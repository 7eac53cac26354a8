//! Servers of Debian 12 under load: what they do under strace, beside what is derived from their files.
//!
//! `make bench-derive` runs it. Each server runs in a copy of the unpacked packages, in namespaces of its own in which only
//! loopback exists, with a load and with what training usually misses: reloads, rotated logs, changed settings, purged
//! caches, and ends after an error. A call that was made and not derived fails the run,
//! and so does one with other arguments than those that are known.
//!
//! - `lab`: the copy of the packages, and programs that run in it under strace.
//! - `client`: the requests that the servers get.
//! - one file a server: what it is configured with and asked for.
//! - `measure`: what is derived, in a process of its own, with its time and its memory.
//! - `arguments`: what programs pass to calls, beside what is known of it.
//! - `namespaces`: where all of it runs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this program is a measurement")]

mod arguments;
mod client;
mod haproxy;
mod lab;
mod lighttpd;
#[allow(dead_code, reason = "each test is a crate of its own and takes what it needs")]
#[path = "../../tests/machine/mod.rs"]
mod machine;
#[allow(dead_code, reason = "another bench takes more of it")]
mod measure;
mod memcached;
mod namespaces;
mod nginx;
mod redis;
mod sqlite3;

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use arguments::{Made, compares};
use derive::Request;
use lab::Lab;
use machine::Machine;
use measure::Measured;

/// A server, and how it is measured.
struct Server {
    name: &'static str,
    package: &'static str,
    /// The version that the figures in `docs/derive.md` are of.
    version: &'static str,
    program: &'static str,
    /// What it opens by names that its configuration has.
    modules: &'static [&'static str],
    load: fn(&mut Lab),
}

const SERVERS: &[Server] = &[
    Server {
        name: "nginx",
        package: "nginx",
        version: "1.22.1-9+deb12u11",
        program: "/usr/sbin/nginx",
        modules: &[],
        load: nginx::load,
    },
    Server {
        name: "redis",
        package: "redis-server",
        version: "5:7.0.15-1~deb12u10",
        program: "/usr/bin/redis-server",
        modules: &[],
        load: redis::load,
    },
    Server {
        name: "memcached",
        package: "memcached",
        version: "1.6.18-1+deb12u1",
        program: "/usr/bin/memcached",
        modules: &[],
        load: memcached::load,
    },
    Server {
        name: "lighttpd",
        package: "lighttpd",
        version: "1.4.69-1",
        program: "/usr/sbin/lighttpd",
        modules: lighttpd::MODULES,
        load: lighttpd::load,
    },
    Server {
        name: "haproxy",
        package: "haproxy",
        version: "2.6.12-1+deb12u4",
        program: "/usr/sbin/haproxy",
        modules: &[],
        load: haproxy::load,
    },
    Server {
        name: "sqlite3",
        package: "sqlite3",
        version: "3.40.1-2+deb12u2",
        program: "/usr/bin/sqlite3",
        modules: &[],
        load: sqlite3::load,
    },
];

/// The mean F1 that is to be reached: what the best published static analysis reports for these servers.
const F1: f64 = 0.81;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).filter(|it| it != "--bench").collect();
    match arguments.first().map(String::as_str) {
        Some("--derive") => {
            measure::derive(Path::new(&arguments[1]), &arguments[2], &arguments[3..]);
            ExitCode::SUCCESS
        }
        Some("--inside") => inside(Path::new(&arguments[1]), &arguments[2..]),
        _ => outside(&arguments),
    }
}

/// Gets the packages, and goes on in namespaces of its own, whose processes end with the first one.
fn outside(names: &[String]) -> ExitCode {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../e2e/derive-servers.sh");
    let unpacked = Command::new(script).output().expect("the script runs");
    if !unpacked.status.success() {
        eprintln!("{}", String::from_utf8_lossy(&unpacked.stderr));
        return ExitCode::FAILURE;
    }
    let packages = PathBuf::from(String::from_utf8(unpacked.stdout).unwrap().trim());
    namespaces::enter([packages.as_os_str()].into_iter().chain(names.iter().map(OsStr::new)))
}

fn inside(packages: &Path, names: &[String]) -> ExitCode {
    namespaces::bring_loopback_up();
    let versions = fs::read_to_string(packages.join("debian-packages")).unwrap();
    let mut rows = Vec::new();
    for server in SERVERS.iter().filter(|it| names.is_empty() || names.iter().any(|name| name == it.name)) {
        eprintln!("{}: under load", server.name);
        let folder = tempfile::tempdir().unwrap();
        let mut lab = Lab::new(folder.path(), packages, server.program);
        (server.load)(&mut lab);
        let made = lab.end();
        let traced: BTreeSet<_> = made.iter().map(|(name, _)| name.clone()).collect();
        eprintln!("{}: {} calls traced; deriving", server.name, traced.len());
        let measured = Measured::of(packages, server.program, server.modules);
        assert!(measured.refused.is_none(), "{}: {:?}", server.name, measured.refused);
        let version = versions.lines().find_map(|it| it.strip_prefix(server.package)?.strip_prefix('\t'));
        let version = version.expect("every server is in the list of packages");
        if version != server.version {
            eprintln!("{}: its figures in docs/derive.md are stale: {}", server.name, server.version);
        }
        let contradicted = contradicted(packages, server, &made);
        let row = Row { name: server.name, version: version.to_owned(), traced, measured, contradicted };
        row.explain();
        rows.push(row);
    }
    print_table(&rows)
}

/// What was measured of a server.
struct Row {
    name: &'static str,
    version: String,
    traced: BTreeSet<String>,
    measured: Measured,
    /// The calls with other arguments than those that are known.
    contradicted: usize,
}

/// The number of calls with other arguments than those that are known.
fn contradicted(packages: &Path, server: &Server, made: &BTreeSet<Made>) -> usize {
    let files = Machine { root: packages.to_owned(), ..Machine::like_an_image() };
    let modules = server.modules.iter().map(|it| (*it).to_owned()).collect();
    let program = server.program.to_owned();
    let request = Request { program, modules, examine_arguments: true, ..Request::default() };
    let found = derive::derive(&files, &request).unwrap();
    let compared: Vec<_> = made.iter().filter_map(|it| Some((it, compares(&found, it)?))).collect();
    let wrong: Vec<_> = compared.iter().filter(|(_, agrees)| !agrees).collect();
    eprintln!("{}: {} calls with known arguments, contradicted: {wrong:x?}", server.name, compared.len());
    for call in &found.calls {
        for it in call.arguments.iter().filter(|it| it.is_bounded()) {
            let values: Vec<_> = it.values.iter().map(|it| format!("{:#x}", it.value)).collect();
            eprintln!("{}: argument {} of call {}: {}", server.name, it.index, call.number, values.join(" "));
        }
    }
    wrong.len()
}

impl Row {
    fn missed(&self) -> Vec<&str> {
        let is_derived = |it: &&str| self.measured.calls.contains_key(*it);
        self.traced.iter().map(String::as_str).filter(|it| !is_derived(it)).collect()
    }

    /// The harmonic mean of the share of what was derived that was made, and of the share of what was made that was derived.
    fn f1(&self) -> f64 {
        let both = self.traced.len() - self.missed().len();
        2.0 * both as f64 / (self.traced.len() + self.measured.calls.len()) as f64
    }

    fn explain(&self) {
        eprintln!("{}: missed: {}", self.name, self.missed().join(" "));
        for (call, chain) in self.measured.calls.iter().filter(|(it, _)| !self.traced.contains(*it)) {
            eprintln!("{}: derived and not made: {call}: {chain}", self.name);
        }
        self.measured.open.iter().for_each(|it| eprintln!("{}: {it}", self.name));
    }
}

fn print_table(rows: &[Row]) -> ExitCode {
    println!(
        "| program | version | derived | traced | missed | F1 | time, s | processor, s | peak memory, MiB |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for row in rows {
        let Measured { calls, seconds, processor, peak_kib, .. } = &row.measured;
        println!(
            "| {} | {} | {} | {} | {} | {:.2} | {seconds:.2} | {processor:.2} | {} |",
            row.name,
            row.version,
            calls.len(),
            row.traced.len(),
            row.missed().len(),
            row.f1(),
            peak_kib / 1024
        );
    }
    let mean = rows.iter().map(Row::f1).sum::<f64>() / rows.len() as f64;
    println!("\nMean F1 {mean:.3} (to be reached: {F1}).");
    let is_right = |it: &Row| it.missed().is_empty() && it.measured.open.is_empty() && it.contradicted == 0;
    let is_whole = rows.iter().all(is_right);
    if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
