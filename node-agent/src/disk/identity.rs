//! Whether the opened directory is still the one that the kubelet's runtime sees.
//!
//! A container keeps the directory that was mounted when it started: if it is removed or replaced on the node, the
//! agent would go on writing into a directory that no runtime reads. It has to end; a new container mounts the new one.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::Stat;

/// The path does not lead to the opened directory any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the directory {path} was {what} while the agent had it open", path = path.display())]
pub struct Displaced {
    path: PathBuf,
    what: &'static str,
}

impl Displaced {
    /// One word for reports.
    pub const REASON: &'static str = "DirectoryLost";
}

/// Where the directory was when it was opened.
#[derive(Debug)]
pub(crate) struct Identity {
    path: PathBuf,
    device_and_inode: (u64, u64),
    mount_root: Option<String>,
}

impl Identity {
    pub(crate) fn of(path: &Path, directory: BorrowedFd<'_>) -> rustix::io::Result<Self> {
        let stat = rustix::fs::fstat(directory)?;
        Ok(Self {
            path: path.to_owned(),
            device_and_inode: device_and_inode(&stat),
            mount_root: mount_root(directory),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether all is as it was; what cannot be seen counts as unchanged.
    pub(crate) fn check(&self, directory: BorrowedFd<'_>) -> Result<(), Displaced> {
        let displaced = |what| Err(Displaced { path: self.path.clone(), what });
        if rustix::fs::fstat(directory).is_ok_and(|stat| stat.st_nlink == 0) {
            return displaced("removed");
        }
        match rustix::fs::stat(&self.path) {
            Ok(stat) if device_and_inode(&stat) != self.device_and_inode => return displaced("replaced"),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return displaced("removed"),
            Ok(_) | Err(_) => {}
        }
        // In a pod the path is a mount point and always leads here, but the mount's root is followed by name.
        match (&self.mount_root, mount_root(directory)) {
            (Some(_), Some(now)) if now.ends_with("//deleted") => displaced("removed"),
            (Some(before), Some(now)) if *before != now => displaced("moved"),
            _ => Ok(()),
        }
    }
}

#[allow(clippy::unnecessary_cast, reason = "the types differ between architectures")]
fn device_and_inode(stat: &Stat) -> (u64, u64) {
    (stat.st_dev as u64, stat.st_ino as u64)
}

/// The root of the mount that the directory was opened through, as a path on the mounted file system: proc(5),
/// `/proc/pid/mountinfo`, field 4. The kernel appends `//deleted` once it is removed.
fn mount_root(directory: BorrowedFd<'_>) -> Option<String> {
    let fd = directory.as_fd().as_raw_fd();
    let about = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok()?;
    let id = about.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    root_of(&mounts, id)
}

fn root_of(mounts: &str, id: &str) -> Option<String> {
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ');
        (fields.next() == Some(id)).then(|| fields.nth(2).map(str::to_owned))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(path: &Path) -> (std::fs::File, Identity) {
        let directory = std::fs::File::open(path).unwrap();
        let identity = Identity::of(path, directory.as_fd()).unwrap();
        (directory, identity)
    }

    #[test]
    fn a_directory_that_stays_is_the_same() {
        let root = tempfile::tempdir().unwrap();
        let (directory, identity) = opened(root.path());
        std::fs::write(root.path().join("a.json"), "{}").unwrap();
        assert_eq!(identity.check(directory.as_fd()), Ok(()));
    }

    #[test]
    fn a_directory_that_was_removed_replaced_or_moved_is_displaced() {
        let root = tempfile::tempdir().unwrap();
        let (path, aside) = (root.path().join("profiles"), root.path().join("aside"));
        std::fs::create_dir(&path).unwrap();
        let (directory, identity) = opened(&path);
        std::fs::rename(&path, &aside).unwrap();
        assert_eq!(identity.check(directory.as_fd()).unwrap_err().what, "removed");
        std::fs::create_dir(&path).unwrap();
        assert_eq!(identity.check(directory.as_fd()).unwrap_err().what, "replaced");
        std::fs::remove_dir(&path).unwrap();
        std::fs::remove_dir(&aside).unwrap();
        assert_eq!(identity.check(directory.as_fd()).unwrap_err().what, "removed");
    }

    #[test]
    fn the_root_of_a_mount_is_field_four() {
        let mounts = "31 1 254:0 / / rw - ext4 /dev/vda rw\n\
            977 31 254:0 /var/lib/kubelet/seccomp/profiles//deleted /p rw - ext4 /dev/vda rw\n";
        assert_eq!(root_of(mounts, "977").as_deref(), Some("/var/lib/kubelet/seccomp/profiles//deleted"));
        assert_eq!(root_of(mounts, "31").as_deref(), Some("/"));
        assert_eq!(root_of(mounts, "97"), None);
    }
}
