//! A lock on a file, which one process on the machine has at a time.

use std::fs::{File, TryLockError};
use std::io;

/// An exclusive lock on an open file, until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct FileLock(File);

impl FileLock {
    /// The lock, or the file if another process has the lock.
    ///
    /// # Errors
    /// When the file system refuses locks.
    pub fn try_take(file: File) -> io::Result<Result<Self, File>> {
        match file.try_lock() {
            Ok(()) => Ok(Ok(FileLock(file))),
            Err(TryLockError::WouldBlock) => Ok(Err(file)),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// The lock, as soon as no other process has it.
    ///
    /// # Errors
    /// When the file system refuses locks.
    pub fn wait(file: File) -> io::Result<Self> {
        file.lock()?;
        Ok(FileLock(file))
    }

    /// The file.
    pub fn file(&self) -> &File {
        &self.0
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Closing the file is not enough: a child that another thread has just forked has it open until it becomes its
        // program. Nothing is lost if this fails: the lock ends with the process.
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_ends_when_it_is_dropped_although_a_child_still_has_the_file_open() {
        let directory = tempfile::tempdir().unwrap();
        let open = || File::create(directory.path().join("lock")).unwrap();
        let first = FileLock::try_take(open()).unwrap().unwrap();
        let of_the_child = first.file().try_clone().unwrap();
        assert!(FileLock::try_take(open()).unwrap().is_err());
        drop(first);
        FileLock::try_take(open()).unwrap().unwrap();
        drop(of_the_child);
    }
}
