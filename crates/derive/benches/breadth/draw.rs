//! Which programs are measured: drawn by a seed from all packages that may have programs.
//!
//! The order is that of a hash of the seed and the name, so that a package that comes or goes changes nothing about the
//! others. The list was drawn and committed before the first measurement.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::index::{Index, Package};
use crate::store::Store;

const SEED: &str = "300 programs of Debian 12";
const COUNT: usize = 300;
const NETWORK_SEED: &str = "50 network programs of Debian 12";
const NETWORK_COUNT: usize = 50;
/// Sections of network programs.
const NETWORK: &[&str] = &["net", "httpd", "mail", "comm", "news"];
/// Where programs are.
const FOLDERS: &[&str] = &["usr/bin", "usr/sbin", "bin", "sbin"];
/// Sections of libraries, modules of interpreters, data, and texts.
const WITHOUT_PROGRAMS: &[&str] = &[
    "cli-mono",
    "debug",
    "doc",
    "fonts",
    "gnu-r",
    "golang",
    "haskell",
    "introspection",
    "java",
    "javascript",
    "kernel",
    "libdevel",
    "libs",
    "lisp",
    "localization",
    "metapackages",
    "ocaml",
    "oldlibs",
    "otherosfs",
    "perl",
    "php",
    "python",
    "ruby",
    "rust",
    "tex",
    "zope",
];
/// How the names of packages without programs end.
const NAMES_WITHOUT_PROGRAMS: &[&str] = &["-data", "-dbg", "-dbgsym", "-dev", "-doc"];

/// A program that was drawn.
pub(crate) struct Drawn {
    pub(crate) package: String,
    /// The version that was drawn.
    pub(crate) version: String,
    /// Its path in the root.
    pub(crate) program: String,
}

/// The programs that were drawn.
pub(crate) fn programs() -> Vec<Drawn> {
    listed(include_str!("programs.txt"))
}

/// The network programs that were drawn.
pub(crate) fn network() -> Vec<Drawn> {
    listed(include_str!("network.txt"))
}

fn listed(text: &str) -> Vec<Drawn> {
    let line = |line: &str| {
        let mut words = line.split(' ').map(str::to_owned);
        let mut next = || words.next().expect("PACKAGE VERSION PROGRAM");
        Drawn { package: next(), version: next(), program: next() }
    };
    text.lines().map(line).collect()
}

/// The packages that the figures in `docs/derive.md` are of, as `NAME VERSION`.
pub(crate) fn packages() -> BTreeSet<&'static str> {
    include_str!("packages.txt").lines().collect()
}

/// Draws the programs and writes their list.
pub(crate) fn draw() {
    draw_to("programs.txt", SEED, COUNT, &|_| true, &|_| true);
}

/// Draws the network programs, which make sockets themselves, and writes their list.
pub(crate) fn draw_network() {
    let is_network = |it: &Package| NETWORK.contains(&it.section.as_str());
    let makes_sockets = |path: &Path| fs::read(path).unwrap().windows(8).any(|it| it == b"\0socket\0");
    draw_to("network.txt", NETWORK_SEED, NETWORK_COUNT, &is_network, &makes_sockets);
}

/// Draws from the packages and programs that are wanted.
fn draw_to(
    list: &str,
    seed: &str,
    count: usize,
    is_wanted: &dyn Fn(&Package) -> bool,
    has: &dyn Fn(&Path) -> bool,
) {
    let (index, store) = (Index::of_this_machine(), Store::new());
    let mut order: Vec<_> =
        index.packages.values().filter(|it| may_have_programs(it) && is_wanted(it)).collect();
    order.sort_by_key(|it| hash(seed, &it.name));
    eprintln!("{} packages may have programs", order.len());
    let (mut programs, mut drawn, mut empty) = (String::new(), 0, 0);
    for some in order.chunks(50) {
        store.fill(some.iter().copied());
        for package in some {
            let Some(program) = program(&store.place(package), seed, has) else {
                empty += 1;
                _ = fs::remove_dir_all(store.place(package));
                continue;
            };
            writeln!(programs, "{} {} {program}", package.name, package.version).unwrap();
            drawn += 1;
            if drawn == count {
                break;
            }
        }
        if drawn == count {
            break;
        }
    }
    eprintln!("{empty} packages had no program");
    write_list(list, &programs);
}

/// Writes the list of the packages that the programs are measured with.
pub(crate) fn list_packages() {
    let index = Index::of_this_machine();
    let needed: BTreeSet<_> = programs().iter().flat_map(|it| index.loaded(&it.package)).collect();
    let line = |it: &&str| format!("{it} {}\n", index.packages[*it].version);
    write_list("packages.txt", &needed.iter().map(line).collect::<String>());
}

fn write_list(name: &str, text: &str) {
    fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/breadth").join(name), text).unwrap();
}

fn may_have_programs(package: &Package) -> bool {
    package.architecture == "amd64"
        && !WITHOUT_PROGRAMS.contains(&package.section.as_str())
        && !package.name.starts_with("lib")
        && !NAMES_WITHOUT_PROGRAMS.iter().any(|it| package.name.ends_with(it))
        && (package.roles.is_empty() || package.roles.iter().any(|it| it == "program"))
}

/// One of the programs in an unpacked package.
fn program(place: &Path, seed: &str, has: &dyn Fn(&Path) -> bool) -> Option<String> {
    let mut found = Vec::new();
    for folder in FOLDERS {
        for entry in fs::read_dir(place.join(folder)).into_iter().flatten() {
            let entry = entry.unwrap();
            // A link leads to a program that is another one's, or that is found by itself.
            let is_file = entry.file_type().unwrap().is_file();
            if is_file
                && entry.metadata().unwrap().permissions().mode() & 0o111 != 0
                && is_program(&entry.path())
                && has(&entry.path())
            {
                found.push(format!("/{folder}/{}", entry.file_name().to_str()?));
            }
        }
    }
    found.into_iter().min_by_key(|it| hash(seed, it))
}

/// Whether it is an ELF file for x86_64 that runs: `ET_EXEC` or `ET_DYN`.
fn is_program(path: &Path) -> bool {
    let bytes = fs::read(path).unwrap();
    bytes.starts_with(b"\x7fELF\x02\x01") && matches!(bytes.get(16..20), Some([2 | 3, 0, 0x3e, 0]))
}

/// FNV-1a, whose bits are then mixed as in splitmix64.
fn hash(seed: &str, name: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in seed.bytes().chain([0]).chain(name.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}
