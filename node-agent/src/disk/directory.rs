//! The opened directory.

use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use api::ProfileName;
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::calls::{Calls, Faults, NoFaults};
use super::decide::Replaces;
use super::failure::{FailedCall, SystemCall};
use super::fingerprint::Fingerprint;
use super::found::{self, Found};
use super::identity::{Displaced, Identity};
use super::ledger::{self, Ledger, LedgerError};
use super::stamp::{FileTime, Stamp, rounded_up};

/// The ledger's file.
pub const LEDGER: &str = ".seccomp-profile-ledger";
const LEDGER_TEMPORARY: &str = ".seccomp-profile-ledger.seccomp-tmp";

/// With the dot before it and a name of 240 characters, 253 bytes: a file name has 255.
const TEMPORARY: &str = ".seccomp-tmp";

/// Why the directory cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It does not exist and cannot be created, or is not a directory.
    #[error("cannot open the directory {path}: {source}", path = path.display())]
    Open {
        /// The directory.
        path: PathBuf,
        /// The kernel's error.
        source: io::Error,
    },
    /// Another agent has it open. Each of two agents would take the other's writes for drift.
    #[error("another agent keeps the directory {path}", path = path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
}

/// The directory with the profiles' files, opened once; no other agent has it open at the same time.
#[derive(Debug)]
pub struct Directory<F = NoFaults> {
    calls: Calls<F>,
    identity: Identity,
    /// The user that files created here belong to: not the agent's where the file system maps users, as NFS does.
    owner: u32,
}

impl Directory {
    /// Opens the directory, and creates it if it does not exist.
    ///
    /// # Errors
    /// It cannot be opened or created, or another agent has it open.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::with_faults(path, NoFaults)
    }
}

impl<F: Faults> Directory<F> {
    /// Opens the directory; `faults` is asked before each system call on it.
    ///
    /// # Errors
    /// It cannot be opened or created, or another agent has it open.
    pub fn with_faults(path: &Path, faults: F) -> Result<Self, OpenError> {
        let failed = |source: io::Error| OpenError::Open { path: path.to_owned(), source };
        std::fs::DirBuilder::new().recursive(true).mode(0o755).create(path).map_err(failed)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| failed(errno.into()))?;
        match rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(OpenError::Locked { path: path.to_owned() }),
            Err(errno) => return Err(failed(errno.into())),
        }
        let calls = Calls::new(directory, faults);
        let identity = Identity::of(path, calls.directory()).map_err(|errno| failed(errno.into()))?;
        Ok(Self { calls, identity, owner: rustix::process::geteuid().as_raw() })
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.identity.path()
    }

    /// Its descriptor.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.calls.directory()
    }

    /// Whether the path still leads to it.
    ///
    /// # Errors
    /// It was removed, moved or replaced.
    pub fn check_identity(&self) -> Result<(), Displaced> {
        self.identity.check(self.calls.directory())
    }

    /// What is under the name of a profile's file, with every byte read.
    pub fn find(&mut self, name: &ProfileName) -> Found {
        found::find(&mut self.calls, name, self.owner)
    }

    /// Writes a file with these bytes under the profile's name. No reader ever sees a part of it.
    ///
    /// The bytes are on the disk when this returns; the name is on the disk only after [`Self::sync`]. Returns since when
    /// the bytes have been in the place of others; `None` if there were no others.
    ///
    /// # Errors
    /// Whatever was there is still there.
    pub fn put(
        &mut self,
        name: &ProfileName,
        bytes: &[u8],
        replaces: Replaces,
        stamp: Stamp,
    ) -> Result<Option<FileTime>, FailedCall> {
        let (file, temporary) = (name.file_name(), temporary_name(name));
        // Before the rename, so that an agent that is killed right after it leaves a file that states a time.
        let before = match stamp {
            Stamp::First => None,
            Stamp::Replaced => Some(rounded_up(self.calls.now())),
            Stamp::Same(replaced) => replaced,
        };
        self.through_temporary(&temporary, bytes, before, |calls| match replaces {
            Replaces::OwnFile => calls.rename(&temporary, &file),
            Replaces::Nothing => calls.rename_to_free(&temporary, &file),
            Replaces::EmptyDirectory => {
                calls.remove_directory(&file)?;
                calls.rename_to_free(&temporary, &file)
            }
        })?;
        if stamp != Stamp::Replaced {
            return Ok(before);
        }
        // The flush before the rename can take seconds, in which containers still read the old bytes.
        let after = rounded_up(self.calls.now());
        if Some(after) != before {
            // This process knows the time all the same, and a report must not fail because of it.
            let _ = self.calls.set_time_of(&file, after);
        }
        Ok(Some(after))
    }

    /// Removes what is under the profile's name: a file, a link or, if `directory`, an empty directory.
    ///
    /// # Errors
    /// It is still there.
    pub fn remove(&mut self, name: &ProfileName, directory: bool) -> Result<(), FailedCall> {
        let file = name.file_name();
        if directory { self.calls.remove_directory(&file) } else { self.calls.unlink(&file) }
    }

    /// Makes renames and removals last.
    ///
    /// # Errors
    /// They may be undone by a power cut.
    pub fn sync(&mut self) -> Result<(), FailedCall> {
        self.calls.sync_directory()
    }

    /// Reads the ledger; where there is none it is empty.
    ///
    /// # Errors
    /// It cannot be used.
    pub fn load_ledger(&mut self) -> Result<Ledger, LedgerError> {
        match found::read_regular(&mut self.calls, LEDGER, ledger::LARGEST as u64) {
            Ok(Some((Some(bytes), _))) => Ledger::from_bytes(&bytes),
            Ok(Some((None, _))) => Err(LedgerError::NotALedger("too large a file")),
            Ok(None) => Err(LedgerError::NotALedger("no regular file")),
            Err(FailedCall { errno: Errno::NOENT, .. }) => Ok(Ledger::default()),
            Err(failure) => Err(LedgerError::Read(failure)),
        }
    }

    /// The fingerprint of the ledger's file; `None` if there is no file or `stat` fails.
    pub fn ledger_fingerprint(&mut self) -> Option<Fingerprint> {
        self.calls.stat(LEDGER).ok().flatten().map(|stat| Fingerprint::of(&stat))
    }

    /// Writes the ledger; it is on the disk when this returns.
    ///
    /// # Errors
    /// The old one is still there, or which of the two a power cut would leave is unknown.
    pub fn store_ledger(&mut self, ledger: &Ledger) -> Result<(), FailedCall> {
        let bytes = ledger.to_bytes();
        self.through_temporary(LEDGER_TEMPORARY, &bytes, None, |calls| {
            calls.rename(LEDGER_TEMPORARY, LEDGER)
        })?;
        self.sync()
    }

    /// Removes the temporary files of an agent that ended in the middle of a write.
    ///
    /// # Errors
    /// The directory cannot be read, or one of the files cannot be removed.
    pub fn sweep(&mut self) -> Result<(), FailedCall> {
        for name in self.calls.list(is_temporary)? {
            self.calls.unlink(&name)?;
        }
        Ok(())
    }

    fn through_temporary(
        &mut self,
        temporary: &str,
        bytes: &[u8],
        time: Option<FileTime>,
        publish: impl FnOnce(&mut Calls<F>) -> Result<(), FailedCall>,
    ) -> Result<(), FailedCall> {
        let result = self.write_temporary(temporary, bytes, time).and_then(|()| publish(&mut self.calls));
        if result.is_err() {
            // What cannot be removed now is overwritten by the next attempt or swept at the next start.
            let _ = self.calls.unlink(temporary);
        }
        result
    }

    fn write_temporary(
        &mut self,
        name: &str,
        bytes: &[u8],
        time: Option<FileTime>,
    ) -> Result<(), FailedCall> {
        let calls = &mut self.calls;
        let file = match calls.create(name) {
            Err(FailedCall { errno: Errno::EXIST, .. }) => {
                calls.unlink(name)?;
                calls.create(name)?
            }
            created => created?,
        };
        self.owner = calls.stat_open(name, &file)?.st_uid;
        let mut rest = bytes;
        while !rest.is_empty() {
            let written = calls.write(name, &file, rest)?;
            if written == 0 {
                return Err(FailedCall { call: SystemCall::Write, name: name.into(), errno: Errno::NOSPC });
            }
            rest = &rest[written..];
        }
        calls.set_mode(name, &file)?;
        if let Some(time) = time {
            // A file system that stores no times must not keep the profile from the node.
            let _ = calls.set_time(name, &file, time);
        }
        calls.sync(name, &file)
    }
}

fn temporary_name(name: &ProfileName) -> String {
    format!(".{name}{TEMPORARY}")
}

/// Whether a file has a name that only an agent's temporary file has.
fn is_temporary(file: &str) -> bool {
    let profile = file.strip_prefix('.').and_then(|rest| rest.strip_suffix(TEMPORARY));
    file == LEDGER_TEMPORARY || profile.is_some_and(|name| name.parse::<ProfileName>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_temporary_name_of_the_longest_profile_name_fits_a_file_name() {
        let name: ProfileName = "a".repeat(240).parse().unwrap();
        assert!(temporary_name(&name).len() <= 255);
        assert!(is_temporary(&temporary_name(&name)));
    }

    #[test]
    fn a_file_of_another_owner_is_not_as_it_should_be_unless_the_file_system_maps_users() {
        let root = tempfile::tempdir().unwrap();
        let mut directory = Directory::open(root.path()).unwrap();
        let name: ProfileName = "a".parse().unwrap();
        directory.put(&name, b"{}", Replaces::Nothing, Stamp::First).unwrap();
        assert!(matches!(directory.find(&name), Found::File { access_is_right: true, .. }));
        // As if the file belonged to somebody else than the agent.
        directory.owner += 1;
        assert!(matches!(directory.find(&name), Found::File { access_is_right: false, .. }));
        // What belongs to somebody else right after it was made does so for good reason.
        directory.put(&name, b"{}", Replaces::OwnFile, Stamp::Replaced).unwrap();
        assert!(matches!(directory.find(&name), Found::File { access_is_right: true, .. }));
    }

    #[test]
    fn only_the_agents_own_temporary_names_are_swept() {
        for kept in
            [LEDGER, "a.json", ".a.tmp", "a.seccomp-tmp", "..seccomp-tmp", ".A.seccomp-tmp", ".a.json.swp"]
        {
            assert!(!is_temporary(kept), "{kept}");
        }
        assert!(is_temporary(LEDGER_TEMPORARY));
    }
}
