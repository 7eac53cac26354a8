//! 300 programs of Debian 12, drawn by a seed: how many calls are derived, what is refused, what it takes, and whether a
//! call is missing that the program makes when it is started.
//!
//! `make bench-derive-breadth` runs it. Each program has a root of its own: its package and the libraries of those that it
//! depends on, unpacked. It is derived there, and started there as a user that is not root, in namespaces of its own in
//! which only loopback exists. A call that was made and not derived fails the run, unless the program is refused, or only
//! modules make the call that the program opens by names that are not constant: these are what `--module` is for, and the
//! call has to be derived with them.
//!
//! - `index`: Debian's index of packages, and what a program can load.
//! - `store`: packages that are downloaded and unpacked.
//! - `draw`: which programs; `-- --draw` draws `programs.txt` anew, and `-- --list-packages` writes
//!   `packages.txt`, the versions of all packages that they are measured with.
//! - `room`: the root of one program, which runs there under strace.
//! - `summary`: the figures of all.
//! - `network`: 50 network programs, and which families of sockets they make.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this program is a measurement")]

#[path = "../servers/arguments.rs"]
mod arguments;
mod draw;
mod index;
#[allow(dead_code, reason = "each test is a crate of its own and takes what it needs")]
#[path = "../../tests/machine/mod.rs"]
mod machine;
#[path = "../servers/measure.rs"]
mod measure;
#[path = "../servers/namespaces.rs"]
mod namespaces;
mod network;
mod room;
mod store;
mod summary;

use std::collections::BTreeSet;
use std::env;
use std::path::Path;
use std::process::ExitCode;

use draw::Drawn;
use index::Index;
use measure::Measured;
use room::{Room, Traced};
use store::Store;

const NONE: &[&str] = &[];

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).filter(|it| it != "--bench").collect();
    match arguments.first().map(String::as_str) {
        Some("--derive") => {
            measure::derive(Path::new(&arguments[1]), &arguments[2], &arguments[3..]);
            ExitCode::SUCCESS
        }
        Some("--draw") => {
            draw::draw();
            ExitCode::SUCCESS
        }
        Some("--draw-network") => {
            draw::draw_network();
            ExitCode::SUCCESS
        }
        Some("--list-packages") => {
            draw::list_packages();
            ExitCode::SUCCESS
        }
        Some("--inside") => inside(&arguments[1..]),
        _ => outside(&arguments),
    }
}

/// Gets the packages, and goes on in namespaces of its own, whose processes end with the first one.
fn outside(names: &[String]) -> ExitCode {
    let (index, store) = (Index::of_this_machine(), Store::new());
    let needed: BTreeSet<_> = chosen(names).iter().flat_map(|it| index.loaded(&it.package)).collect();
    store.fill(needed.iter().map(|it| &index.packages[*it]));
    namespaces::enter(names)
}

/// The programs that were drawn, or those of some packages.
fn chosen(names: &[String]) -> Vec<Drawn> {
    if is_network(names) {
        return draw::network();
    }
    draw::programs().into_iter().filter(|it| names.is_empty() || names.contains(&it.package)).collect()
}

fn is_network(names: &[String]) -> bool {
    names.first().is_some_and(|it| it == "--network")
}

/// What was measured of a program.
struct Row {
    drawn: Drawn,
    /// What it has done; `None` if it was not started.
    traced: Option<Traced>,
    measured: Measured,
    /// The libraries that it has opened by names that are not constant, if it has made calls that were not derived.
    modules: Vec<String>,
    /// The calls that it has made and that were not derived with these modules either.
    missed: Vec<String>,
}

impl Row {
    /// Derives a program, and starts it.
    fn of(drawn: Drawn, room: &Room) -> Self {
        let measured = Measured::of(&room.root, &drawn.program, NONE);
        let traced = room.run(&drawn.program);
        let mut row = Self { drawn, traced, measured, modules: Vec::new(), missed: Vec::new() };
        row.missed = row.missing_from(&row.measured);
        if !row.missed.is_empty() {
            let opened =
                row.traced.iter().flat_map(|it| it.unnamed_modules(&room.root, &row.measured.objects));
            row.modules = opened.collect();
        }
        if !row.modules.is_empty() {
            let with = Measured::of(&room.root, &row.drawn.program, &row.modules);
            with.refused.iter().for_each(|it| eprintln!("{} with its modules: {it}", row.drawn.package));
            row.missed = row.missing_from(&with);
        }
        row
    }

    /// The calls that it has made and that are not derived. Of a program that is refused nothing can be missing.
    fn missing_from(&self, measured: &Measured) -> Vec<String> {
        if self.refused().is_some() {
            return Vec::new();
        }
        let made = self.traced.iter().flat_map(|it| &it.calls);
        made.filter(|it| !measured.calls.contains_key(*it)).cloned().collect()
    }

    /// Why the program is refused, as a word.
    fn refused(&self) -> Option<&str> {
        let error = self.measured.refused.as_deref().and_then(|it| it.split(' ').next());
        error.or_else(|| self.measured.open.first().map(|_| "OpenNumber"))
    }
}

fn inside(names: &[String]) -> ExitCode {
    if is_network(names) {
        return network::measure();
    }
    namespaces::bring_loopback_up();
    let (index, store) = (Index::of_this_machine(), Store::new());
    let mut rows = Vec::new();
    println!("{}", summary::HEAD);
    for drawn in chosen(names) {
        let packages: Vec<_> = index.loaded(&drawn.package).iter().map(|it| &index.packages[*it]).collect();
        let listed = draw::packages();
        let stale = |it: &str| !listed.contains(it);
        let stale: Vec<_> =
            packages.iter().map(|it| format!("{} {}", it.name, it.version)).filter(|it| stale(it)).collect();
        if !stale.is_empty() {
            eprintln!("{}: its figures in docs/derive.md are stale: {}", drawn.package, stale.join(", "));
        }
        let room = Room::new(&store.folder, &packages.iter().map(|it| store.place(it)).collect::<Vec<_>>());
        let row = Row::of(drawn, &room);
        println!("{}", summary::line(&row));
        explain(&row);
        rows.push(row);
    }
    summary::print(&rows);
    ExitCode::from(u8::from(rows.iter().any(|it| !it.missed.is_empty())))
}

fn explain(row: &Row) {
    let package = &row.drawn.package;
    row.measured.refused.iter().for_each(|it| eprintln!("{package}: {it}"));
    row.measured.open.iter().for_each(|it| eprintln!("{package}: {it}"));
    for call in row.missing_from(&row.measured) {
        let by =
            if row.missed.contains(&call) { "" } else { ", which a module calls whose name is not constant" };
        eprintln!("{package}: missed: {call}{by}");
    }
    row.modules
        .iter()
        .for_each(|it| eprintln!("{package}: opens a module by a name that is not constant: {it}"));
}
