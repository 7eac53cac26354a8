//! Links that somebody puts in the agent's way, at every moment: nothing outside the directory is ever changed.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use super::testing::{file, keeper, list, name, short};
use super::*;
use crate::disk::SystemCall;
use crate::disk::testing::Script;

/// What somebody else holds dear.
const TREASURE: &str = "theirs";

/// The directory, and what lies beside it. In memory where there is such a place: a flush costs nothing there.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        fs::create_dir(root.path().join("outside")).unwrap();
        fs::write(root.path().join("outside/treasure"), TREASURE).unwrap();
        // Other permissions than a profile's file, so that it shows if they are set.
        fs::set_permissions(root.path().join("outside/treasure"), fs::Permissions::from_mode(0o600)).unwrap();
        Self(root)
    }

    fn directory(&self) -> PathBuf {
        self.0.path().join("profiles")
    }

    fn treasure(&self) -> PathBuf {
        self.0.path().join("outside/treasure")
    }

    /// Its bytes, permissions, owner and time, and that nothing lies beside it.
    fn outside(&self) -> (String, u32, u32, i64, usize) {
        let about = fs::metadata(self.treasure()).unwrap();
        let entries = fs::read_dir(self.0.path().join("outside")).unwrap().count();
        let bytes = fs::read_to_string(self.treasure()).unwrap();
        (bytes, about.mode(), about.uid(), about.mtime_nsec(), entries)
    }
}

/// What is put under a name of the directory.
#[derive(Debug, Clone, Copy)]
enum Lure {
    File,
    FileByParent,
    Directory,
    Dangling,
    Ledger,
    Itself,
    HardLink,
}

const LURES: [Lure; 7] = [
    Lure::File,
    Lure::FileByParent,
    Lure::Directory,
    Lure::Dangling,
    Lure::Ledger,
    Lure::Itself,
    Lure::HardLink,
];

/// Puts it there in one step, over whatever lies there.
fn put(lure: Lure, root: &Path, name: &str) {
    let (directory, outside) = (root.join("profiles"), root.join("outside"));
    let prepared = directory.join("prepared");
    let link = |target: &Path| symlink(target, &prepared).unwrap();
    match lure {
        Lure::File => link(&outside.join("treasure")),
        Lure::FileByParent => link(Path::new("../outside/treasure")),
        Lure::Directory => link(&outside),
        Lure::Dangling => link(&outside.join("new")),
        Lure::Ledger => link(Path::new(LEDGER)),
        Lure::Itself => link(Path::new(name)),
        Lure::HardLink => fs::hard_link(outside.join("treasure"), &prepared).unwrap(),
    }
    fs::rename(&prepared, directory.join(name)).unwrap();
}

fn listed(keeper: &mut Keeper<Script>, profiles: &[(&str, &str)]) {
    list(keeper, profiles);
    keeper.sync();
}

/// An update, a removal and a first write, with a link put under `name` before the `n`th call. False once there are
/// no more calls.
fn lured_at(n: usize, name: &'static str, lure: Lure) -> bool {
    let (place, script) = (Place::new(), Script::default());
    let root = place.0.path().to_owned();
    let mut keeper = keeper(&place.directory(), &script);
    listed(&mut keeper, &[("a", "one"), ("b", "one")]);
    let before = place.outside();
    let calls = Arc::new(AtomicUsize::new(0));
    let made = Arc::clone(&calls);
    script.on(move |_, _| {
        if made.fetch_add(1, Ordering::Relaxed) == n {
            put(lure, &root, name);
        }
        Ok(())
    });
    listed(&mut keeper, &[("a", "two"), ("c", "one")]);
    let more = calls.load(Ordering::Relaxed) > n;
    script.calm();
    keeper.directory_changed().unwrap();
    keeper.sync();
    keeper.retry().unwrap();
    keeper.sync();
    assert_eq!(place.outside(), before, "{lure:?} under {name} before call {n}");
    let a = fs::symlink_metadata(place.directory().join("a.json")).unwrap();
    let bytes = fs::read_to_string(place.directory().join("a.json")).unwrap();
    assert!(a.is_file() && bytes == "two", "{lure:?} under {name} before call {n}: {a:?}");
    more
}

#[test]
fn a_link_that_appears_between_any_two_calls_leads_nowhere() {
    let mut tried = 0;
    for name in [
        "a.json",
        "b.json",
        "c.json",
        ".a.seccomp-tmp",
        ".c.seccomp-tmp",
        LEDGER,
        ".seccomp-profile-ledger.seccomp-tmp",
    ] {
        for lure in LURES {
            let calls = (0..).take_while(|&n| lured_at(n, name, lure)).count();
            assert!(calls > 30, "only {calls} calls");
            tried += calls;
        }
    }
    assert!(tried > 1500, "only {tried}");
}

/// Threads that put links under names of the directory without end, until this is dropped.
struct Swappers {
    stop: Arc<AtomicBool>,
    swaps: Arc<AtomicUsize>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Swappers {
    fn start(place: &Place, names: &[&'static str]) -> Self {
        let (stop, swaps) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let targets =
            [place.treasure(), "../outside/treasure".into(), place.treasure().with_file_name("new")];
        let swap = |&name: &&'static str| {
            let (stop, swaps, targets) = (Arc::clone(&stop), Arc::clone(&swaps), targets.clone());
            let directory = place.directory();
            thread::spawn(move || {
                let prepared = directory.join(format!("prepared-{name}"));
                for target in targets.iter().cycle() {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    symlink(target, &prepared).unwrap();
                    fs::rename(&prepared, directory.join(name)).unwrap();
                    swaps.fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        Self { threads: names.iter().map(swap).collect(), stop, swaps }
    }

    fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        self.swaps.load(Ordering::Relaxed)
    }
}

/// Syncs while links are put under the names, until there were so many; returns how often a file was published.
fn raced(names: &[&'static str], least: usize) -> usize {
    let (place, script) = (Place::new(), Script::default());
    let mut keeper = keeper(&place.directory(), &script);
    listed(&mut keeper, &[("a", "0")]);
    let before = place.outside();
    script.log();
    let swappers = Swappers::start(&place, names);
    for round in 1.. {
        keeper.set_goal(name("a"), file(&round.to_string()), Instant::now());
        keeper.file_changed("a.json");
        keeper.file_changed(LEDGER);
        keeper.sync();
        keeper.retry().unwrap();
        keeper.sync();
        // What a link leads to is not reported either.
        let report = keeper.report();
        assert!(!report.files.values().any(|hash| *hash == short(TREASURE)), "{report:?}");
        if round >= 200 && swappers.swaps.load(Ordering::Relaxed) >= least {
            keeper.set_goal(name("a"), file("last"), Instant::now());
            break;
        }
    }
    let swaps = swappers.end();
    assert!(swaps >= least);
    assert_eq!(place.outside(), before, "after {swaps} swaps");
    let renames = script.count(SystemCall::Rename);
    keeper.directory_changed().unwrap();
    keeper.retry().unwrap();
    keeper.sync();
    assert_eq!(fs::read_to_string(place.directory().join("a.json")).unwrap(), "last");
    assert!(fs::symlink_metadata(place.directory().join("a.json")).unwrap().is_file());
    assert_eq!(keeper.report().problems, []);
    renames
}

#[test]
fn links_swapped_in_for_the_file_without_end_lead_nowhere() {
    assert!(raced(&["a.json"], 20_000) >= 100);
}

#[test]
fn links_swapped_in_for_the_temporary_file_without_end_lead_nowhere() {
    // Most writes find the name taken twice and are tried again.
    assert!(raced(&[".a.seccomp-tmp"], 20_000) >= 1);
}

#[test]
fn links_swapped_in_for_the_ledger_and_everything_else_without_end_lead_nowhere() {
    raced(&["a.json", ".a.seccomp-tmp", LEDGER, ".seccomp-profile-ledger.seccomp-tmp"], 20_000);
}
