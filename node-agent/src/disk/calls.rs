//! Every system call on the directory, one method each.
//!
//! All of them go through [`Calls::call`], so that a test can fail any one of them, or end the process between any
//! two. A name is always a single component: nothing is opened through a link or outside the directory.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::SystemTime;

use daemon::Pulse;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, RenameFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::failure::{FailedCall, SystemCall};
use super::stamp::{self, FileTime};

/// Is called before each system call, so that tests can make calls fail or end the process there.
pub trait Faults: Send + 'static {
    /// Called before `call` on `name`.
    ///
    /// # Errors
    /// The call is not made and fails with this error instead.
    fn before(&mut self, call: SystemCall, name: &str) -> Result<(), Errno>;

    /// The node's clock, for the time at which a file replaced other bytes.
    #[expect(
        clippy::disallowed_methods,
        reason = "only reports state this time, and no decision about a file depends on it"
    )]
    fn now(&mut self) -> SystemTime {
        SystemTime::now()
    }
}

/// No faults but the disk's own.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFaults;

impl Faults for NoFaults {
    #[inline]
    fn before(&mut self, _: SystemCall, _: &str) -> Result<(), Errno> {
        Ok(())
    }
}

/// None either. Each call shows that the disk answers: a slow disk makes many of them, and one that hangs is known by
/// a call that does not end.
impl Faults for Pulse {
    fn before(&mut self, _: SystemCall, _: &str) -> Result<(), Errno> {
        self.begins();
        Ok(())
    }
}

/// The directory's descriptor and the system calls on it.
#[derive(Debug)]
pub(crate) struct Calls<F> {
    directory: OwnedFd,
    faults: F,
}

impl<F: Faults> Calls<F> {
    pub(crate) fn new(directory: OwnedFd, faults: F) -> Self {
        Self { directory, faults }
    }

    pub(crate) fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    fn call<T>(
        &mut self,
        call: SystemCall,
        name: &str,
        mut make: impl FnMut(BorrowedFd<'_>) -> Result<T, Errno>,
    ) -> Result<T, FailedCall> {
        self.faults
            .before(call, name)
            .and_then(|()| rustix::io::retry_on_intr(|| make(self.directory.as_fd())))
            .map_err(|errno| FailedCall { call, name: name.into(), errno })
    }

    /// The metadata of what has the name, without following a link; `None` if nothing has it.
    pub(crate) fn stat(&mut self, name: &str) -> Result<Option<Stat>, FailedCall> {
        absent(
            self.call(SystemCall::Stat, name, |dir| rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)),
        )
    }

    /// The metadata of an open file.
    pub(crate) fn stat_open(&mut self, name: &str, file: &OwnedFd) -> Result<Stat, FailedCall> {
        self.call(SystemCall::Stat, name, |_| rustix::fs::fstat(file))
    }

    /// Opens a file for reading; a FIFO that took its place does not block.
    pub(crate) fn open(&mut self, name: &str) -> Result<OwnedFd, FailedCall> {
        self.openat2(SystemCall::Open, name, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty())
    }

    /// Reads once into `buffer`; 0 at the end of the file.
    pub(crate) fn read(
        &mut self,
        name: &str,
        file: &OwnedFd,
        buffer: &mut [u8],
    ) -> Result<usize, FailedCall> {
        self.call(SystemCall::Read, name, |_| rustix::io::read(file, &mut *buffer))
    }

    /// Whether a directory has no entries.
    pub(crate) fn is_empty_directory(&mut self, name: &str) -> Result<bool, FailedCall> {
        let opened =
            self.openat2(SystemCall::Open, name, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
        self.call(SystemCall::List, name, |_| {
            let mut buffer = [MaybeUninit::uninit(); 1024];
            let mut entries = rustix::fs::RawDir::new(&opened, &mut buffer);
            while let Some(entry) = entries.next() {
                if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
                    return Ok(false);
                }
            }
            Ok(true)
        })
    }

    /// The names of all files and links in the directory that are text and that `wanted` picks.
    pub(crate) fn list(&mut self, mut wanted: impl FnMut(&str) -> bool) -> Result<Vec<String>, FailedCall> {
        self.call(SystemCall::List, ".", |dir| {
            let mut names = Vec::new();
            for entry in Dir::read_from(dir)? {
                let entry = entry?;
                let name = entry.file_name().to_str().ok().filter(|name| wanted(name));
                if let Some(name) = name.filter(|_| entry.file_type() != FileType::Directory) {
                    names.push(name.to_owned());
                }
            }
            Ok(names)
        })
    }

    /// Creates a file that only the agent's user can open; the name must be free.
    pub(crate) fn create(&mut self, name: &str) -> Result<OwnedFd, FailedCall> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        self.openat2(SystemCall::Create, name, flags, Mode::RUSR | Mode::WUSR)
    }

    /// Writes once; returns how many bytes were written.
    pub(crate) fn write(&mut self, name: &str, file: &OwnedFd, bytes: &[u8]) -> Result<usize, FailedCall> {
        self.call(SystemCall::Write, name, |_| rustix::io::write(file, bytes))
    }

    /// Makes the file readable for all: runtimes need not run as root.
    pub(crate) fn set_mode(&mut self, name: &str, file: &OwnedFd) -> Result<(), FailedCall> {
        self.call(SystemCall::SetMode, name, |_| rustix::fs::fchmod(file, super::MODE))
    }

    /// Sets the time of modification of an open file, a whole second.
    pub(crate) fn set_time(&mut self, name: &str, file: &OwnedFd, time: FileTime) -> Result<(), FailedCall> {
        self.call(SystemCall::SetTime, name, |_| rustix::fs::futimens(file, &stamp::times(time)))
    }

    /// Sets the time of modification of a file, a whole second.
    pub(crate) fn set_time_of(&mut self, name: &str, time: FileTime) -> Result<(), FailedCall> {
        self.call(SystemCall::SetTime, name, |dir| {
            rustix::fs::utimensat(dir, name, &stamp::times(time), AtFlags::SYMLINK_NOFOLLOW)
        })
    }

    /// The node's clock.
    pub(crate) fn now(&mut self) -> SystemTime {
        self.faults.now()
    }

    pub(crate) fn sync(&mut self, name: &str, file: &OwnedFd) -> Result<(), FailedCall> {
        self.call(SystemCall::Sync, name, |_| rustix::fs::fsync(file))
    }

    /// Renames over whatever has the name.
    pub(crate) fn rename(&mut self, from: &str, to: &str) -> Result<(), FailedCall> {
        self.call(SystemCall::Rename, to, |dir| rustix::fs::renameat(dir, from, dir, to))
    }

    /// Renames to a name that must be free.
    pub(crate) fn rename_to_free(&mut self, from: &str, to: &str) -> Result<(), FailedCall> {
        let flags = RenameFlags::NOREPLACE;
        let renamed =
            self.call(SystemCall::Rename, to, |dir| rustix::fs::renameat_with(dir, from, dir, to, flags));
        match renamed {
            // NFS and some others cannot; a second name is as strict, and the first one goes after it.
            Err(FailedCall { errno: Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP, .. }) => {
                self.call(SystemCall::Link, to, |dir| {
                    rustix::fs::linkat(dir, from, dir, to, AtFlags::empty())
                })?;
                self.unlink(from)
            }
            renamed => renamed,
        }
    }

    /// Removes a file or link; a name that nothing has is as good as removed.
    pub(crate) fn unlink(&mut self, name: &str) -> Result<(), FailedCall> {
        absent(self.call(SystemCall::Unlink, name, |dir| rustix::fs::unlinkat(dir, name, AtFlags::empty())))
            .map(drop)
    }

    pub(crate) fn remove_directory(&mut self, name: &str) -> Result<(), FailedCall> {
        let removed = self.call(SystemCall::RemoveDirectory, name, |dir| {
            rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR)
        });
        absent(removed).map(drop)
    }

    pub(crate) fn sync_directory(&mut self) -> Result<(), FailedCall> {
        self.call(SystemCall::SyncDirectory, ".", |dir| rustix::fs::fsync(dir))
    }

    fn openat2(
        &mut self,
        call: SystemCall,
        name: &str,
        flags: OFlags,
        mode: Mode,
    ) -> Result<OwnedFd, FailedCall> {
        let inside = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        self.call(call, name, |dir| rustix::fs::openat2(dir, name, flags, mode, inside))
    }
}

fn absent<T>(result: Result<T, FailedCall>) -> Result<Option<T>, FailedCall> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(FailedCall { errno: Errno::NOENT, .. }) => Ok(None),
        Err(failure) => Err(failure),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::super::NoFaults;
    use super::*;

    #[test]
    fn no_path_leads_out_of_the_directory_even_if_a_name_were_one() {
        let root = tempfile::tempdir().unwrap();
        let inside = root.path().join("inside");
        fs::create_dir_all(inside.join("sub")).unwrap();
        fs::write(root.path().join("file"), "theirs").unwrap();
        symlink(root.path(), inside.join("link")).unwrap();
        symlink("sub", inside.join("harmless")).unwrap();
        symlink("../file", inside.join("to-file")).unwrap();
        let mut calls = Calls::new(fs::File::open(&inside).unwrap().into(), NoFaults);
        let absolute = root.path().join("file").display().to_string();
        for path in ["..", "../file", "sub/../../file", "link/file", "to-file", "/proc/self/cwd", &absolute] {
            let errno = calls.open(path).unwrap_err().errno;
            assert!(matches!(errno, Errno::XDEV | Errno::LOOP), "{path}: {errno}");
        }
        let new = root.path().join("new").display().to_string();
        for path in ["../new", "sub/../../new", "link/new", "harmless/new", &new] {
            let errno = calls.create(path).unwrap_err().errno;
            assert!(matches!(errno, Errno::XDEV | Errno::LOOP), "{path}: {errno}");
        }
        assert!(!root.path().join("new").exists() && !inside.join("sub/new").exists());
        for path in ["..", "link", "harmless"] {
            let errno = calls.is_empty_directory(path).unwrap_err().errno;
            assert!(matches!(errno, Errno::XDEV | Errno::LOOP | Errno::NOTDIR), "{path}: {errno}");
        }
    }
}
