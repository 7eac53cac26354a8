//! The 300 programs of Debian 12 of `make bench-derive-breadth`, each started under runc and under crun with the profile that
//! is derived for both: do they behave as without a profile?
//!
//! `make bench-derive-starts` runs it, as root. Each program is started with `--version`, with `--help` and without
//! arguments, in the root that it is derived in, as a user that is not root, by runc without a profile and by each runtime
//! with it. Exit status, output and errors have to be the same. Where they are not, it is started three more times without
//! a profile by this runtime, because some programs print a time or a number of a process. The lines are
//! `measured.tsv` beside this file. Packages can be named as arguments.
//!
//! The bench of the crate `derive` has the programs, their packages and their roots, and the tests of runtimes have the
//! runtimes: this target takes its files from both.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this program is a measurement")]

#[allow(dead_code, reason = "the bench of `derive` takes all of it")]
#[path = "../../../crates/derive/benches/servers/arguments.rs"]
mod arguments;
mod behaviour;
#[allow(dead_code, reason = "the tests of runtimes take all of it")]
#[path = "../runtimes/container.rs"]
mod container;
#[allow(dead_code, reason = "the bench of `derive` takes all of it")]
#[path = "../../../crates/derive/benches/breadth/draw.rs"]
mod draw;
#[allow(dead_code, reason = "the bench of `derive` takes all of it")]
#[path = "../../../crates/derive/benches/breadth/index.rs"]
mod index;
#[allow(dead_code, reason = "the tests of runtimes take all of it")]
#[path = "../runtimes/installed.rs"]
mod installed;
#[allow(dead_code, reason = "the bench of `derive` takes all of it")]
#[path = "../../../crates/derive/tests/machine/mod.rs"]
mod machine;
#[path = "../../../crates/derive/benches/servers/namespaces.rs"]
mod namespaces;
#[allow(dead_code, reason = "the bench of `derive` takes all of it")]
#[path = "../../../crates/derive/benches/breadth/room.rs"]
mod room;
#[path = "../../../crates/derive/benches/breadth/store.rs"]
mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use behaviour::{Behaviour, Likeness};
use draw::Drawn;
use index::Index;
use installed::Installed;
use room::{ARGUMENTS, Room};
use serde_json::Value;
use store::Store;
use xtask::build_program::build_plugin;
use xtask::workspace::repository;

/// How many programs are started at a time: a start mostly waits.
const AT_A_TIME: usize = 6;
/// How often a program is started again without a profile where it behaves in another way with one.
const MORE: usize = 3;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    match arguments.split_first() {
        Some((first, rest)) if first == "--inside" => inside(Path::new(&rest[0]), &names(&rest[1..])),
        _ => outside(&arguments),
    }
}

fn names(arguments: &[OsString]) -> Vec<String> {
    arguments.iter().map(|it| it.to_str().expect("the name of a package").to_owned()).collect()
}

/// The programs that were drawn, or those of some packages.
fn chosen(names: &[String]) -> Vec<Drawn> {
    draw::programs().into_iter().filter(|it| names.is_empty() || names.contains(&it.package)).collect()
}

/// Gets all that the starts need, and goes on in namespaces of its own, whose processes end with the first one.
fn outside(arguments: &[OsString]) -> ExitCode {
    let (index, store) = (Index::of_this_machine(), Store::new());
    let needed: BTreeSet<_> =
        chosen(&names(arguments)).iter().flat_map(|it| index.loaded(&it.package)).collect();
    store.fill(needed.iter().map(|it| &index.packages[*it]));
    _ = Installed::of_debian();
    let plugin = build_plugin(repository()).unwrap().join("kubectl-seccomp");
    namespaces::enter([plugin.into_os_string()].iter().chain(arguments))
}

/// What became of a program.
struct Row {
    drawn: Drawn,
    /// How many calls the profile has, and how each start compares, by the name of the runtime; why there is no profile,
    /// otherwise.
    found: Result<(usize, BTreeMap<&'static str, Vec<Likeness>>), String>,
    /// The statuses without a profile, by arguments.
    statuses: Vec<Option<i32>>,
    /// How many modules were named that the program opens by names that are not constant.
    modules: usize,
    /// What was looked at closer: starts that were not the same, for people.
    remarks: String,
}

/// What the starts of all programs have in common.
struct Starts<'a> {
    plugin: &'a Path,
    runtimes: [Installed; 2],
    index: Index,
    store: Store,
}

impl Starts<'_> {
    /// The root of a program.
    fn room(&self, drawn: &Drawn) -> Room {
        let packages = self.index.loaded(&drawn.package);
        let places: Vec<_> = packages.iter().map(|it| self.store.place(&self.index.packages[*it])).collect();
        Room::new(&self.store.folder, &places)
    }

    /// Derives a program, and starts it.
    fn of(&self, drawn: Drawn) -> Row {
        let room = self.room(&drawn);
        let modules = modules(&room, &drawn);
        let profile = self.profile(&room, &drawn, &modules);
        let found = profile.as_ref().map(|it| (calls(it), BTreeMap::new())).map_err(Clone::clone);
        let mut row =
            Row { drawn, found, modules: modules.len(), statuses: Vec::new(), remarks: String::new() };
        let Ok(profile) = profile else { return row };
        for arguments in ARGUMENTS {
            self.compare(&room, &profile, arguments, &mut row);
        }
        row
    }

    /// The profile that is derived from the program for both runtimes.
    fn profile(&self, room: &Room, drawn: &Drawn, modules: &[String]) -> Result<Value, String> {
        let mut derive = Command::new(self.plugin);
        derive.arg("derive").arg(&room.root).args(["--program", &drawn.program, "--output", "json"]);
        modules.iter().for_each(|it| _ = derive.args(["--module", it]));
        let found = derive.output().unwrap();
        match found.status.success() {
            true => Ok(serde_json::from_slice(&found.stdout).unwrap()),
            false => Err(String::from_utf8_lossy(&found.stderr).into_owned()),
        }
    }

    /// Starts a program without the profile and with it.
    fn compare(&self, room: &Room, profile: &Value, arguments: &[&str], row: &mut Row) {
        let words: Vec<_> = [row.drawn.program.as_str()].iter().chain(arguments).copied().collect();
        let start = |runtime, profile| Behaviour::of(runtime, &room.root, &words, profile);
        let first = start(&self.runtimes[0], None);
        row.statuses.push(first.status.filter(|_| !first.was_ended()));
        let Ok((_, likenesses)) = &mut row.found else { return };
        for runtime in &self.runtimes {
            let with = start(runtime, Some(profile));
            let mut without = vec![first.clone()];
            if with != first {
                without.extend((0..MORE).map(|_| start(runtime, None)));
            }
            let likeness = with.likeness(&without);
            if likeness != Likeness::Same {
                let without: Vec<_> =
                    without.iter().map(|it| format!("\n without: {}", it.shown())).collect();
                row.remarks.push_str(&format!(
                    "{} under {}: {}\n with: {}{}\n",
                    words.join(" "),
                    runtime.name,
                    likeness.name(),
                    with.shown(),
                    without.concat()
                ));
            }
            likenesses.entry(runtime.name).or_default().push(likeness);
        }
    }

    /// A program that cannot load its libraries must be told from one that can: otherwise nothing here says anything.
    fn assert_that_a_difference_is_seen(&self) {
        let drawn = draw::programs().into_iter().find(|it| it.package == "genimage").expect("it was drawn");
        let room = self.room(&drawn);
        let mut profile = self.profile(&room, &drawn, &[]).unwrap();
        let names = profile["syscalls"][0]["names"].as_array_mut().unwrap();
        names.retain(|it| it != "mmap");
        for runtime in &self.runtimes {
            let start = |profile| Behaviour::of(runtime, &room.root, &[&drawn.program, "--version"], profile);
            let (without, with) = (start(None), start(Some(&profile)));
            assert_eq!(without.status, Some(0), "{}: {}", runtime.name, without.shown());
            assert!(with.likeness(&[without]) == Likeness::Differs, "{}: {}", runtime.name, with.shown());
        }
    }
}

/// The modules that a program opens by names that are not constant, if it makes calls through them: of these programs
/// `crates/derive/benches/breadth/measured.tsv` has a number of missed calls.
fn modules(room: &Room, drawn: &Drawn) -> Vec<String> {
    let measured = include_str!("../../../crates/derive/benches/breadth/measured.tsv");
    let cells = measured.lines().map(|it| it.split('\t').collect::<Vec<_>>());
    let missed = cells.filter(|it| it[0] == drawn.package).map(|it| it[6].to_owned()).next();
    if missed.expect("each program was measured") == "0" {
        return Vec::new();
    }
    let files = machine::Machine { root: room.root.clone(), ..machine::Machine::like_an_image() };
    let derived = machine::derived(&files, &drawn.program);
    let traced = room.run(&drawn.program).expect("the kernel starts it");
    traced.unnamed_modules(&room.root, &derived.objects)
}

fn calls(profile: &Value) -> usize {
    profile["syscalls"][0]["names"].as_array().expect("a profile permits calls").len()
}

fn inside(plugin: &Path, names: &[String]) -> ExitCode {
    namespaces::bring_loopback_up();
    let [_, crun] = Installed::of_debian();
    let starts = Starts {
        plugin,
        runtimes: [Installed::runc(), crun],
        index: Index::of_this_machine(),
        store: Store::new(),
    };
    if names.is_empty() {
        starts.assert_that_a_difference_is_seen();
    }
    let programs = Mutex::new(chosen(names).into_iter().enumerate());
    let (rows, done) = (Mutex::new(BTreeMap::new()), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let next = programs.lock().unwrap().next();
                    let Some((number, drawn)) = next else { return };
                    let row = starts.of(drawn);
                    let before = done.fetch_add(1, Ordering::SeqCst);
                    eprint!("{}: {}\n{}", before + 1, row.line(&starts.runtimes), row.remarks);
                    rows.lock().unwrap().insert(number, row);
                }
            });
        }
    });
    let rows: Vec<_> = rows.into_inner().unwrap().into_values().collect();
    print(&rows, &starts.runtimes);
    let differs = |it: &Row| {
        it.found.as_ref().is_ok_and(|(_, of)| of.values().flatten().any(|it| *it == Likeness::Differs))
    };
    ExitCode::from(u8::from(rows.iter().any(differs)))
}

const HEAD: &str =
    "package\tversion\tprogram\tcalls with the runtimes'\tmodules named\tstatuses\trunc 1.5.2\tcrun 1.8.1";

impl Row {
    /// The start under a runtime that has least in common with those without a profile.
    fn worst(&self, runtime: &Installed) -> Option<Likeness> {
        self.found.as_ref().ok()?.1.get(runtime.name)?.iter().max().copied()
    }

    /// A line; `-` is what a program does not have.
    fn line(&self, runtimes: &[Installed; 2]) -> String {
        let Drawn { package, version, program } = &self.drawn;
        let Ok((calls, _)) = &self.found else {
            return format!("{package}\t{version}\t{program}\t-\t-\t-\trefused\trefused");
        };
        let status = |it: &Option<i32>| it.map_or_else(|| "ended".to_owned(), |it| it.to_string());
        let statuses = self.statuses.iter().map(status).collect::<Vec<_>>().join(" ");
        let [first, second] = runtimes.each_ref().map(|it| self.worst(it).map_or("-", Likeness::name));
        format!("{package}\t{version}\t{program}\t{calls}\t{}\t{statuses}\t{first}\t{second}", self.modules)
    }
}

/// A line a program, and then how many there are of each kind.
fn print(rows: &[Row], runtimes: &[Installed; 2]) {
    println!("{HEAD}");
    rows.iter().for_each(|it| println!("{}", it.line(runtimes)));
    println!("\nrefused: {}", rows.iter().filter(|it| it.found.is_err()).count());
    for runtime in runtimes {
        let mut counts = BTreeMap::<Likeness, usize>::new();
        rows.iter().filter_map(|it| it.worst(runtime)).for_each(|it| *counts.entry(it).or_default() += 1);
        counts.iter().for_each(|(it, count)| println!("{}: {}: {count}", runtime.name, it.name()));
    }
}
