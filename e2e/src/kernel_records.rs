//! The kernel's audit records of refused calls, which come to every reader on the machine: to the observers of all clusters
//! and to tests that read them without a cluster.

use std::fs::File;
use std::io;

use xtask::file_lock::FileLock;

/// Keeps other tests on the machine from reading the kernel's records, or making many, until it is dropped: what one test
/// makes fills the buffers of another. It is waited for if another test has it.
///
/// # Errors
/// When the lock's file, which all tests share, cannot be opened or locked.
pub fn alone() -> io::Result<FileLock> {
    let path = std::env::temp_dir().join("seccomp-profile-kernel-records.lock");
    FileLock::wait(File::options().create(true).truncate(false).write(true).open(path)?)
}
