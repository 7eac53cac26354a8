//! The files of profiles on the disks of local nodes, as the host sees them.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use cluster::Node;
use profile::ContentHash;
use xtask::files::{FileError, NamePath};

/// The chart's default directory for profiles below a kubelet's `seccomp/`.
pub const DIRECTORY: &str = "profiles";

/// The file of a profile on a node.
pub fn path(node: &Node, profile: &str) -> PathBuf {
    node.seccomp_dir().join(DIRECTORY).join(format!("{profile}.json"))
}

/// What the file of a profile holds on a node; `None` where there is none.
///
/// # Errors
/// When it cannot be read.
pub fn bytes(node: &Node, profile: &str) -> Result<Option<Vec<u8>>, FileError> {
    let path = path(node, profile);
    match fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        result => result.name_path("read", &path).map(Some),
    }
}

/// The hash of what the file holds, in the form of `status.contentHash`.
///
/// # Errors
/// Same as [`bytes`].
pub fn hash(node: &Node, profile: &str) -> Result<Option<String>, FileError> {
    Ok(bytes(node, profile)?.map(|bytes| ContentHash::of(&bytes).to_string()))
}
