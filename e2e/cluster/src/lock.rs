//! One process that starts, uses or ends a cluster, and one that changes the host for it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use xtask::file_lock::FileLock;
use xtask::files::{self, FileError, NamePath};

use crate::instance::Instance;

/// The links, namespaces and cgroups of a cluster have one set of names a machine, so its lock is the machine's.
const PATH: &str = "/run/lock/seccomp-profile-e2e";
/// The settings of the host belong to all clusters.
const HOST: &str = "/run/lock/seccomp-profile-e2e-host";

/// The lock could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// A file operation on the lock file failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// Another process has it.
    #[error("process {pid} is using the cluster; wait for its end, or end it")]
    Held {
        /// Which one.
        pid: String,
    },
}

/// The lock, until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _lock: FileLock,
}

impl Lock {
    /// The lock of one of the machine's clusters, if no other process has it.
    pub(crate) fn take(instance: Instance) -> Result<Self, LockError> {
        Self::take_at(&PathBuf::from(format!("{PATH}{}", instance.suffix())))
    }

    /// The lock of the host's settings. It is only ever held for milliseconds, so this waits for it.
    pub(crate) fn of_host() -> Result<Self, FileError> {
        let path = Path::new(HOST);
        Ok(Lock { _lock: FileLock::wait(open(path)?).name_path("lock", path)? })
    }

    fn take_at(path: &Path) -> Result<Self, LockError> {
        let lock = match FileLock::try_take(open(path)?).name_path("lock", path)? {
            Ok(lock) => lock,
            Err(mut file) => {
                let mut pid = String::new();
                file.read_to_string(&mut pid).name_path("read", path)?;
                return Err(LockError::Held { pid: pid.trim().to_owned() });
            }
        };
        lock.file().set_len(0).name_path("truncate", path)?;
        writeln!(lock.file(), "{}", std::process::id()).name_path("write", path)?;
        Ok(Lock { _lock: lock })
    }
}

fn open(path: &Path) -> Result<File, FileError> {
    if let Some(directory) = path.parent() {
        files::create_dir(directory)?;
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).open(path).name_path("open", path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_of_a_second_holder_names_the_first_and_it_gets_the_lock_afterwards() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let first = Lock::take_at(&path).unwrap();
        match Lock::take_at(&path) {
            Err(LockError::Held { pid }) => assert_eq!(pid, std::process::id().to_string()),
            other => panic!("{other:?}"),
        }
        drop(first);
        Lock::take_at(&path).unwrap();
    }
}
