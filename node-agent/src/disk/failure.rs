//! The kinds of system calls on the directory, and one that failed.

use std::fmt;

use rustix::io::Errno;

/// One kind of system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SystemCall {
    /// Read the metadata of a name, without following links.
    Stat,
    /// Open for reading.
    Open,
    /// Read bytes.
    Read,
    /// Read a directory's entries.
    List,
    /// Create a temporary file.
    Create,
    /// Write bytes to it.
    Write,
    /// Set its permissions.
    SetMode,
    /// Set its time of modification.
    SetTime,
    /// Flush it to the disk.
    Sync,
    /// Rename it.
    Rename,
    /// Give it a second name, where the file system cannot rename without replacing.
    Link,
    /// Remove a name.
    Unlink,
    /// Remove an empty directory.
    RemoveDirectory,
    /// Flush the directory to the disk.
    SyncDirectory,
}

impl fmt::Display for SystemCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stat => "stat",
            Self::Open => "open",
            Self::Read => "read",
            Self::List => "list",
            Self::Create => "create",
            Self::Write => "write",
            Self::SetMode => "set the permissions of",
            Self::SetTime => "set the time of",
            Self::Sync => "flush",
            Self::Rename => "rename",
            Self::Link => "link",
            Self::Unlink => "remove",
            Self::RemoveDirectory => "remove the directory",
            Self::SyncDirectory => "flush the directory",
        })
    }
}

/// A system call on one name in the directory that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedCall {
    /// Which call.
    pub call: SystemCall,
    /// On which name in the directory; `.` is the directory itself.
    pub name: Box<str>,
    /// The kernel's error.
    pub errno: Errno,
}

impl fmt::Display for FailedCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.call, self.name, self.errno)
    }
}
