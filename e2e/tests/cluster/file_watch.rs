//! Watches files on every node's disk so that nothing that happens to them escapes, however short it is.

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

use super::support::{bytes_of, harmless, shared, until_mended};

/// How long the kernel's news is waited for between two looks at the files.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };

/// Files that are watched, until they are asked for what was seen.
pub(crate) struct Watched {
    stop: Arc<AtomicBool>,
    nodes: Vec<JoinHandle<Seen>>,
}

/// What happened to the files, and how often they were read.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) happened: Vec<String>,
    pub(crate) reads: usize,
}

impl Watched {
    /// Watches the files of these profiles, each with the bytes that it must have, from when this returns.
    pub(crate) fn on(nodes: &[Node], profiles: &BTreeMap<String, Vec<u8>>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = nodes.iter().map(|node| {
            let files: BTreeMap<PathBuf, Vec<u8>> =
                profiles.iter().map(|(name, bytes)| (disk::path(node, name), bytes.clone())).collect();
            let directory = node.seccomp_dir().join(disk::DIRECTORY);
            let news = news_of(&directory);
            let stop = stop.clone();
            thread::spawn(move || {
                let mut seen = Seen::default();
                while !stop.load(Ordering::Relaxed) {
                    look(&files, &mut seen);
                    let _ = poll(&mut [PollFd::new(&news, PollFlags::IN)], Some(&PAUSE));
                    read(&news, &directory, &files, &mut seen);
                }
                // The kernel keeps what happened between the last look and the end, or before the first one.
                read(&news, &directory, &files, &mut seen);
                seen
            })
        });
        let nodes = threads.collect();
        Watched { stop, nodes }
    }

    /// Everything that was seen on all nodes.
    pub(crate) fn end(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Seen::default();
        for node in self.nodes {
            let seen = node.join().unwrap();
            all.happened.extend(seen.happened);
            all.reads += seen.reads;
        }
        all
    }
}

/// Whatever changes a file in the directory, or the directory itself.
fn news_of(directory: &Path) -> OwnedFd {
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
fn look(files: &BTreeMap<PathBuf, Vec<u8>>, seen: &mut Seen) {
    for (path, wanted) in files {
        match fs::read(path) {
            Ok(found) if found == *wanted => {}
            Ok(found) => seen.happened.push(format!("{} had {} other bytes", path.display(), found.len())),
            Err(error) => seen.happened.push(format!("{}: {error}", path.display())),
        }
        seen.reads += 1;
    }
}

/// Takes what the kernel says of these files and of the directory.
fn read(news: &OwnedFd, directory: &Path, files: &BTreeMap<PathBuf, Vec<u8>>, seen: &mut Seen) {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(news, &mut buffer);
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
fn what_happens_to_a_file_for_an_instant_is_seen() {
    let cluster = shared();
    let profile = cluster.profile("looked-at", &harmless(0));
    profile.ready();
    let nodes = cluster.disks();
    let bytes = bytes_of(&harmless(0));
    let watched = Watched::on(&nodes, &BTreeMap::from([("looked-at".to_owned(), bytes.clone())]));
    let path = profile.path(&nodes[0]);
    let aside = path.with_extension("aside");
    fs::rename(&path, &aside).unwrap();
    fs::rename(&aside, &path).unwrap();
    until_mended(&nodes[0], "looked-at", &bytes);
    let seen = watched.end();
    let gone = format!("{}: {:?}", path.display(), ReadFlags::MOVED_FROM);
    assert!(seen.happened.contains(&gone), "{:?} has no {gone}", seen.happened);
}
