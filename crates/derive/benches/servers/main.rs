//! Servers under load, most of them of Debian 12: what they do under strace, beside what is derived from their files.
//!
//! `make bench-derive` runs it. Each server runs in a copy of the unpacked packages, in namespaces of its own in which only
//! loopback exists, with a load and with what training usually misses: reloads, rotated logs, changed settings, purged
//! caches, and ends after an error. A call that was made and not derived fails the run,
//! and so does one with other arguments than those that are known.
//!
//! - `lab`: the copy of the packages, and programs that run in it under strace.
//! - `client`: the requests that the servers get.
//! - `processes`: which of them run the program, and which another one that it has started.
//! - `servers`: which servers there are.
//! - one file a server: what it is configured with and asked for.
//! - `measure`: what is derived, in a process of its own, with its time and its memory.
//! - `arguments`: what programs pass to calls, beside what is known of it.
//! - `namespaces`: where all of it runs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this program is a measurement")]

mod arguments;
mod client;
mod dufs;
mod etcd;
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
mod postgresql;
mod processes;
mod redis;
mod servers;
mod sqlite3;

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use arguments::{Made, compares};
use derive::Request;
use lab::{Calls, Lab};
use machine::Machine;
use measure::Measured;
use servers::{SERVERS, Server};

/// The mean F1 that is to be reached: what the best published static analysis reports for these servers.
const F1: f64 = 0.81;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).filter(|it| it != "--bench").collect();
    match arguments.first().map(String::as_str) {
        Some("--derive") => {
            measure::derive(Path::new(&arguments[1]), &arguments[2], &arguments[3..]);
            ExitCode::SUCCESS
        }
        Some("--inside") => inside(&arguments[1..]),
        _ => outside(&arguments),
    }
}

/// The servers with these names, or all.
fn chosen(names: &[String]) -> impl Iterator<Item = &'static Server> {
    SERVERS.iter().filter(move |it| names.is_empty() || names.iter().any(|name| name == it.name))
}

/// Gets the files of the servers, and goes on in namespaces of its own, whose processes end with the first one.
fn outside(names: &[String]) -> ExitCode {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../e2e/derive-servers.sh");
    let mut arguments = Vec::new();
    for server in chosen(names) {
        let unpacked = Command::new(&script).arg(server.files).output().expect("the script runs");
        if !unpacked.status.success() {
            eprintln!("{}", String::from_utf8_lossy(&unpacked.stderr));
            return ExitCode::FAILURE;
        }
        arguments.push(server.name.to_owned());
        arguments.push(String::from_utf8(unpacked.stdout).unwrap().trim().to_owned());
    }
    namespaces::enter(arguments)
}

/// Measures servers, each with the directory that has its files.
fn inside(servers: &[String]) -> ExitCode {
    namespaces::bring_loopback_up();
    let mut rows = Vec::new();
    for pair in servers.chunks_exact(2) {
        let server = chosen(&pair[..1]).next().expect("the names are those of servers");
        let packages = Path::new(&pair[1]);
        let versions = fs::read_to_string(packages.join("debian-packages")).unwrap();
        eprintln!("{}: under load", server.name);
        let folder = tempfile::tempdir().unwrap();
        let mut lab = Lab::new(folder.path(), packages, server.program);
        (server.load)(&mut lab);
        let Calls { own, others } = lab.end();
        eprintln!("{}: {} calls traced; deriving", server.name, names_of(&own).len());
        let measured = Measured::of(packages, server.program, server.modules);
        assert!(measured.refused.is_none(), "{}: {:?}", server.name, measured.refused);
        let version = versions.lines().find_map(|it| it.strip_prefix(server.package)?.strip_prefix('\t'));
        let version = version.expect("every server is in the list of packages");
        if version != server.version {
            eprintln!("{}: its figures in docs/derive.md are stale: {}", server.name, server.version);
        }
        let row = Row {
            server,
            version: version.to_owned(),
            missed_by_others: missed_by_others(packages, server, &measured, &others),
            traced: names_of(&own),
            contradicted: contradicted(packages, server, &own),
            measured,
        };
        row.explain();
        rows.push(row);
    }
    print_table(&rows)
}

fn names_of(made: &BTreeSet<Made>) -> BTreeSet<String> {
    made.iter().map(|(name, _)| name.clone()).collect()
}

/// The calls of other programs which the server has started that are not derived from them, nor from the server itself, which
/// makes the first ones in a process of theirs.
fn missed_by_others(
    packages: &Path,
    server: &Server,
    own: &Measured,
    made: &BTreeSet<Made>,
) -> BTreeSet<String> {
    let mut left = names_of(made);
    let all = left.len();
    left.retain(|it| !own.calls.contains_key(it));
    for program in server.starts {
        let measured = Measured::of(packages, program, &[""; 0]);
        assert!(measured.refused.is_none() && measured.open.is_empty(), "{program}: {:?}", measured.open);
        left.retain(|it| !measured.calls.contains_key(it));
    }
    eprintln!("{}: {all} calls of other programs that it has started, missed: {left:?}", server.name);
    left
}

/// What was measured of a server.
struct Row {
    server: &'static Server,
    version: String,
    traced: BTreeSet<String>,
    /// The calls that other programs have made and that were not derived.
    missed_by_others: BTreeSet<String>,
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
        let name = self.server.name;
        eprintln!("{name}: missed: {}", self.missed().join(" "));
        for (call, chain) in self.measured.calls.iter().filter(|(it, _)| !self.traced.contains(*it)) {
            eprintln!("{name}: derived and not made: {call}: {chain}");
        }
        self.measured.open.iter().for_each(|it| eprintln!("{name}: {it}"));
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
            row.server.name,
            row.version,
            calls.len(),
            row.traced.len(),
            row.missed().len(),
            row.f1(),
            peak_kib / 1024
        );
    }
    let of_the_mean: Vec<_> = rows.iter().filter(|it| it.server.is_of_the_mean).map(Row::f1).collect();
    if !of_the_mean.is_empty() {
        let mean = of_the_mean.iter().sum::<f64>() / of_the_mean.len() as f64;
        println!("\nMean F1 of the first six {mean:.3} (to be reached: {F1}).");
    }
    let is_right = |it: &Row| {
        let is_complete = it.missed().is_empty() && it.missed_by_others.is_empty();
        is_complete && it.measured.open.is_empty() && it.contradicted == 0
    };
    let is_whole = rows.iter().all(is_right);
    if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
