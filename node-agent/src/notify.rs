//! What happens in the directory, by inotify(7).
//!
//! An event is only a hint: what counts is what is read from the disk. Where the kernel grants no watch (a user has 128
//! of them by default), the periodic full check still finds every change.

use std::collections::BTreeSet;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::disk::LEDGER;

/// What happened in the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DirectoryEvent {
    /// Something happened to files of these names.
    Files(Vec<String>),
    /// Something happened to the directory itself: it was moved or its attributes were changed. That it was removed
    /// causes no event while a process has it open (Linux sends one when the inode goes); the retries find it.
    Directory,
    /// The watch has ended: its directory is gone, or no longer mounted.
    Lost,
    /// The kernel's queue has overflowed: any file may have changed.
    Overflow,
}

/// The watch on the directory.
#[derive(Debug)]
pub struct DirectoryWatch {
    inotify: AsyncFd<OwnedFd>,
}

impl DirectoryWatch {
    /// Watches an open directory.
    ///
    /// # Errors
    /// The kernel grants no watch, or there is no `/proc`.
    pub fn new(directory: BorrowedFd<'_>) -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        // Through the descriptor, so that it is the directory that was opened, whatever has its path by now.
        let path = format!("/proc/self/fd/{}", directory.as_raw_fd());
        let flags = WatchFlags::ATTRIB
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MODIFY
            | WatchFlags::MOVE
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        inotify::add_watch(&inotify, path, flags)?;
        #[expect(
            deprecated,
            reason = "unsound where the type is not its descriptor's owner; an OwnedFd is, and the successor is unsafe"
        )]
        let inotify = AsyncFd::with_interest(inotify, Interest::READABLE)?;
        Ok(Self { inotify })
    }

    /// Waits until something happens, and takes all events that there are.
    ///
    /// # Errors
    /// The watch can be read no more.
    pub async fn next(&self) -> io::Result<DirectoryEvent> {
        loop {
            let mut ready = self.inotify.readable().await?;
            match ready.try_io(|inotify| read(inotify.get_ref())) {
                Ok(Ok(Some(event))) => return Ok(event),
                Ok(Err(error)) => return Err(error),
                // Only other files have changed.
                Ok(Ok(None)) | Err(_) => {}
            }
        }
    }
}

/// Reads until there is nothing left; an error of the kind `WouldBlock` if there was nothing at all.
fn read(inotify: &OwnedFd) -> io::Result<Option<DirectoryEvent>> {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(inotify, &mut buffer);
    let mut files = BTreeSet::new();
    // What happened to the directory itself, or to the watch.
    let mut itself = ReadFlags::empty();
    let mut any = false;
    loop {
        let event = match reader.next() {
            Ok(event) => event,
            Err(Errno::WOULDBLOCK) if any => break,
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno.into()),
        };
        match event.file_name().map(|name| name.to_str()) {
            Some(Ok(name)) if is_relevant(name) && !files.contains(name) => {
                files.insert(name.to_owned());
            }
            Some(_) => {}
            None => itself |= event.events(),
        }
        any = true;
    }
    Ok(if itself.intersects(ReadFlags::IGNORED | ReadFlags::UNMOUNT) {
        Some(DirectoryEvent::Lost)
    } else if itself.contains(ReadFlags::QUEUE_OVERFLOW) {
        Some(DirectoryEvent::Overflow)
    } else if !itself.is_empty() {
        // Attributes count, because the agent may have no permission any more.
        Some(DirectoryEvent::Directory)
    } else if files.is_empty() {
        None
    } else {
        Some(DirectoryEvent::Files(files.into_iter().collect()))
    })
}

/// Whether a file of this name can be a profile's or the ledger; temporary files are neither.
fn is_relevant(file: &str) -> bool {
    file == LEDGER || (file.ends_with(".json") && !file.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    fn watched() -> (tempfile::TempDir, DirectoryWatch) {
        let directory = tempfile::tempdir().unwrap();
        let opened = std::fs::File::open(directory.path()).unwrap();
        let watch = DirectoryWatch::new(opened.as_fd()).unwrap();
        (directory, watch)
    }

    #[tokio::test]
    async fn every_kind_of_change_to_a_file_is_an_event() {
        let (directory, watch) = watched();
        let path = |name: &str| directory.path().join(name);
        let changed =
            |names: &[&str]| DirectoryEvent::Files(names.iter().map(|&name| name.to_owned()).collect());
        std::fs::write(path(".a.seccomp-tmp"), "{}").unwrap();
        std::fs::rename(path(".a.seccomp-tmp"), path("a.json")).unwrap();
        assert_eq!(watch.next().await.unwrap(), changed(&["a.json"]));
        std::fs::write(path("a.json"), "[]").unwrap();
        assert_eq!(watch.next().await.unwrap(), changed(&["a.json"]));
        std::fs::rename(path("a.json"), path("b.json")).unwrap();
        assert_eq!(watch.next().await.unwrap(), changed(&["a.json", "b.json"]));
        std::fs::set_permissions(path("b.json"), std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
        assert_eq!(watch.next().await.unwrap(), changed(&["b.json"]));
        std::fs::remove_file(path("b.json")).unwrap();
        assert_eq!(watch.next().await.unwrap(), changed(&["b.json"]));
    }

    #[tokio::test]
    async fn a_directory_that_is_removed_is_an_event() {
        let (directory, watch) = watched();
        std::fs::remove_dir(directory.path()).unwrap();
        assert_eq!(watch.next().await.unwrap(), DirectoryEvent::Lost);
    }

    #[tokio::test]
    async fn a_directory_that_moves_or_changes_its_permissions_is_an_event() {
        let root = tempfile::tempdir().unwrap();
        let (path, aside) = (root.path().join("profiles"), root.path().join("aside"));
        std::fs::create_dir(&path).unwrap();
        let opened = std::fs::File::open(&path).unwrap();
        let watch = DirectoryWatch::new(opened.as_fd()).unwrap();
        std::fs::rename(&path, &aside).unwrap();
        assert_eq!(watch.next().await.unwrap(), DirectoryEvent::Directory);
        opened.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        assert_eq!(watch.next().await.unwrap(), DirectoryEvent::Directory);
    }

    #[test]
    fn temporary_files_cause_no_event() {
        assert!(is_relevant("a.json") && is_relevant(LEDGER));
        assert!(!is_relevant(".a.seccomp-tmp") && !is_relevant(".a.json.swp") && !is_relevant("notes.txt"));
    }
}
