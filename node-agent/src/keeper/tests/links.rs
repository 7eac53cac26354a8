//! Links that another program puts into the directory at any moment: nothing outside the directory is ever changed.

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

/// The bytes of a file outside the directory, which must never change.
const OUTSIDE_BYTES: &str = "theirs";

/// The directory, and what is beside it. On tmpfs if available, where a flush costs nothing.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        fs::create_dir(root.path().join("outside")).unwrap();
        fs::write(root.path().join("outside/file"), OUTSIDE_BYTES).unwrap();
        // Other permissions than a profile's file, so that it shows if they are set.
        fs::set_permissions(root.path().join("outside/file"), fs::Permissions::from_mode(0o600)).unwrap();
        Self(root)
    }

    fn directory(&self) -> PathBuf {
        self.0.path().join("profiles")
    }

    fn outside_file(&self) -> PathBuf {
        self.0.path().join("outside/file")
    }

    /// Its bytes, permissions, owner and time, and that nothing is beside it.
    fn outside(&self) -> (String, u32, u32, i64, usize) {
        let about = fs::metadata(self.outside_file()).unwrap();
        let entries = fs::read_dir(self.0.path().join("outside")).unwrap().count();
        let bytes = fs::read_to_string(self.outside_file()).unwrap();
        (bytes, about.mode(), about.uid(), about.mtime_nsec(), entries)
    }
}

/// What is put under a name of the directory.
#[derive(Debug, Clone, Copy)]
enum Planted {
    File,
    FileByParent,
    Directory,
    Dangling,
    Ledger,
    Itself,
    HardLink,
}

const ALL_PLANTED: [Planted; 7] = [
    Planted::File,
    Planted::FileByParent,
    Planted::Directory,
    Planted::Dangling,
    Planted::Ledger,
    Planted::Itself,
    Planted::HardLink,
];

/// Puts it there in one step, over whatever is there.
fn put(planted: Planted, root: &Path, name: &str) {
    let (directory, outside) = (root.join("profiles"), root.join("outside"));
    let prepared = directory.join("prepared");
    let link = |target: &Path| symlink(target, &prepared).unwrap();
    match planted {
        Planted::File => link(&outside.join("file")),
        Planted::FileByParent => link(Path::new("../outside/file")),
        Planted::Directory => link(&outside),
        Planted::Dangling => link(&outside.join("new")),
        Planted::Ledger => link(Path::new(LEDGER)),
        Planted::Itself => link(Path::new(name)),
        Planted::HardLink => fs::hard_link(outside.join("file"), &prepared).unwrap(),
    }
    fs::rename(&prepared, directory.join(name)).unwrap();
}

fn listed(keeper: &mut Keeper<Script>, profiles: &[(&str, &str)]) {
    list(keeper, profiles);
    keeper.sync();
}

/// An update, a removal and a first write, with a link put under `name` before the `n`th call. False once there are
/// no more calls.
fn with_planted_at(n: usize, name: &'static str, planted: Planted) -> bool {
    let (place, script) = (Place::new(), Script::default());
    let root = place.0.path().to_owned();
    let mut keeper = keeper(&place.directory(), &script);
    listed(&mut keeper, &[("a", "one"), ("b", "one")]);
    let before = place.outside();
    let calls = Arc::new(AtomicUsize::new(0));
    let made = Arc::clone(&calls);
    script.on(move |_, _| {
        if made.fetch_add(1, Ordering::Relaxed) == n {
            put(planted, &root, name);
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
    assert_eq!(place.outside(), before, "{planted:?} under {name} before call {n}");
    let a = fs::symlink_metadata(place.directory().join("a.json")).unwrap();
    let bytes = fs::read_to_string(place.directory().join("a.json")).unwrap();
    assert!(a.is_file() && bytes == "two", "{planted:?} under {name} before call {n}: {a:?}");
    more
}

#[test]
fn a_link_that_appears_between_any_two_calls_is_never_followed() {
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
        for planted in ALL_PLANTED {
            let calls = (0..).take_while(|&n| with_planted_at(n, name, planted)).count();
            assert!(calls > 30, "only {calls} calls");
            tried += calls;
        }
    }
    assert!(tried > 1500, "only {tried}");
}

/// Threads that put links under names of the directory until [`Self::end`] is called.
struct LinkSwapper {
    stop: Arc<AtomicBool>,
    swaps: Arc<AtomicUsize>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl LinkSwapper {
    fn start(place: &Place, names: &[&'static str]) -> Self {
        let (stop, swaps) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let targets =
            [place.outside_file(), "../outside/file".into(), place.outside_file().with_file_name("new")];
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
fn sync_while_swapping(names: &[&'static str], least: usize) -> usize {
    let (place, script) = (Place::new(), Script::default());
    let mut keeper = keeper(&place.directory(), &script);
    listed(&mut keeper, &[("a", "0")]);
    let before = place.outside();
    script.log();
    let swapper = LinkSwapper::start(&place, names);
    for round in 1.. {
        keeper.set_goal(name("a"), file(&round.to_string()), Instant::now());
        keeper.file_changed("a.json");
        keeper.file_changed(LEDGER);
        keeper.sync();
        keeper.retry().unwrap();
        keeper.sync();
        // What a link leads to is not reported either.
        let report = keeper.report();
        assert!(!report.files.values().any(|hash| *hash == short(OUTSIDE_BYTES)), "{report:?}");
        if round >= 200 && swapper.swaps.load(Ordering::Relaxed) >= least {
            keeper.set_goal(name("a"), file("last"), Instant::now());
            break;
        }
    }
    let swaps = swapper.end();
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
fn links_swapped_in_for_the_file_without_end_are_never_followed() {
    assert!(sync_while_swapping(&["a.json"], 20_000) >= 100);
}

#[test]
fn links_swapped_in_for_the_temporary_file_without_end_are_never_followed() {
    // Most writes find the name taken twice and are tried again.
    assert!(sync_while_swapping(&[".a.seccomp-tmp"], 20_000) >= 1);
}

#[test]
fn links_swapped_in_for_the_ledger_and_everything_else_without_end_are_never_followed() {
    sync_while_swapping(&["a.json", ".a.seccomp-tmp", LEDGER, ".seccomp-profile-ledger.seccomp-tmp"], 20_000);
}
