//! Watches files on every node's disk and detects every change, however short it is.

use std::collections::BTreeMap;
use std::fs;
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use cluster::Node;
use e2e::view::disk;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

use super::support::{allow_all, bytes_of, shared, until_repaired};

/// How long it waits for the kernel's events between two reads of the files.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };

/// Files that are watched until [`FileWatch::end`].
pub(crate) struct FileWatch {
    stop: Arc<AtomicBool>,
    nodes: Vec<JoinHandle<Changes>>,
}

/// What happened to the files, and how often they were read.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) happened: Vec<String>,
    pub(crate) reads: usize,
}

impl FileWatch {
    /// Watches the files of these profiles, each with the bytes that it must have, from when this returns.
    pub(crate) fn start(nodes: &[Node], profiles: &BTreeMap<String, Vec<u8>>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = nodes.iter().map(|node| {
            let files: BTreeMap<PathBuf, Vec<u8>> =
                profiles.iter().map(|(name, bytes)| (disk::path(node, name), bytes.clone())).collect();
            let directory = node.seccomp_dir().join(disk::DIRECTORY);
            let events = watch_directory(&directory);
            let stop = stop.clone();
            thread::spawn(move || {
                let mut seen = Changes::default();
                while !stop.load(Ordering::Relaxed) {
                    read_files(&files, &mut seen);
                    let _ = poll(&mut [PollFd::new(&events, PollFlags::IN)], Some(&PAUSE));
                    read(&events, &directory, &files, &mut seen);
                }
                // The kernel queues events since the watch was added, also those after the last read of the files.
                read(&events, &directory, &files, &mut seen);
                seen
            })
        });
        let nodes = threads.collect();
        FileWatch { stop, nodes }
    }

    /// Ends the watch and returns every change on all nodes.
    pub(crate) fn end(self) -> Changes {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Changes::default();
        for node in self.nodes {
            let seen = node.join().unwrap();
            all.happened.extend(seen.happened);
            all.reads += seen.reads;
        }
        all
    }
}

/// An inotify instance with every event that changes a file in the directory, or the directory itself.
fn watch_directory(directory: &Path) -> OwnedFd {
    let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
    let flags = WatchFlags::CREATE
        | WatchFlags::DELETE
        | WatchFlags::MODIFY
        | WatchFlags::ATTRIB
        | WatchFlags::MOVE
        | WatchFlags::DELETE_SELF
        | WatchFlags::MOVE_SELF;
    inotify::add_watch(&inotify, directory, flags).unwrap();
    inotify
}

/// Reads each file as the runtime does.
fn read_files(files: &BTreeMap<PathBuf, Vec<u8>>, seen: &mut Changes) {
    for (path, wanted) in files {
        match fs::read(path) {
            Ok(found) if found == *wanted => {}
            Ok(found) => seen.happened.push(format!("{} had {} other bytes", path.display(), found.len())),
            Err(error) => seen.happened.push(format!("{}: {error}", path.display())),
        }
        seen.reads += 1;
    }
}

/// Reads the kernel's events about these files and the directory.
fn read(events: &OwnedFd, directory: &Path, files: &BTreeMap<PathBuf, Vec<u8>>, seen: &mut Changes) {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(events, &mut buffer);
    loop {
        match reader.next() {
            Err(Errno::WOULDBLOCK) => return,
            Err(error) => panic!("{}: {error}", directory.display()),
            Ok(event) => {
                let name = event.file_name().map(|name| name.to_string_lossy().into_owned());
                let path = directory.join(name.as_deref().unwrap_or_default());
                let lost = event.events().contains(ReadFlags::QUEUE_OVERFLOW);
                if lost || name.is_none() || files.contains_key(&path) {
                    seen.happened.push(format!("{}: {:?}", path.display(), event.events()));
                }
            }
        }
    }
}

#[test]
fn a_change_of_a_file_for_an_instant_is_detected() {
    let cluster = shared();
    let profile = cluster.profile("looked-at", &allow_all(0));
    profile.wait_ready();
    let nodes = cluster.node_list();
    let bytes = bytes_of(&allow_all(0));
    let watched = FileWatch::start(&nodes, &BTreeMap::from([("looked-at".to_owned(), bytes.clone())]));
    let path = profile.path(&nodes[0]);
    let aside = path.with_extension("aside");
    fs::rename(&path, &aside).unwrap();
    fs::rename(&aside, &path).unwrap();
    until_repaired(&nodes[0], "looked-at", &bytes);
    let seen = watched.end();
    let gone = format!("{}: {:?}", path.display(), ReadFlags::MOVED_FROM);
    assert!(seen.happened.contains(&gone), "{:?} has no {gone}", seen.happened);
}
