//! One start or end of a cluster at a time on a machine.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::Path;

use xtask::files::{self, FileError, NamePath};

/// The links, namespaces and cgroups have one set of names a machine, so the lock is the machine's.
const PATH: &str = "/run/lock/seccomp-profile-e2e";

/// The lock cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The lock file refused.
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
    _file: File,
}

impl Lock {
    pub(crate) fn take() -> Result<Self, LockError> {
        Self::take_at(Path::new(PATH))
    }

    fn take_at(path: &Path) -> Result<Self, LockError> {
        let mut options = OpenOptions::new();
        if let Some(directory) = path.parent() {
            files::create_dir(directory)?;
        }
        let file = options.read(true).write(true).create(true).truncate(false).open(path);
        let mut file = file.name_path("open", path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                file.read_to_string(&mut pid).name_path("read", path)?;
                return Err(LockError::Held { pid: pid.trim().to_owned() });
            }
            Err(TryLockError::Error(error)) => Err(error).name_path("lock", path)?,
        }
        file.set_len(0).name_path("truncate", path)?;
        writeln!(file, "{}", std::process::id()).name_path("write", path)?;
        Ok(Lock { _file: file })
    }
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
