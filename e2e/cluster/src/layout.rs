//! Where every file of a cluster lies. What the kernel knows by a name or an address is made by [`Instance`].

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::instance::Instance;

/// A node, by its number from 1 to [`NodeId::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u8);

/// Text or a number that is not a node's.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no node {0:?}: a node is called node-1 to node-{max}", max = NodeId::MAX)]
pub struct NoSuchNode(pub String);

impl NodeId {
    /// The highest number. Each node's pods have a network of their own, to which every other node has a route.
    pub const MAX: u8 = 32;
    /// The node with the highest number.
    #[cfg(test)]
    pub(crate) const LAST: Self = NodeId(Self::MAX);

    /// The node with this number.
    ///
    /// # Errors
    /// When the number is 0 or above [`NodeId::MAX`].
    pub fn new(number: u8) -> Result<Self, NoSuchNode> {
        match number {
            1..=Self::MAX => Ok(NodeId(number)),
            _ => Err(NoSuchNode(number.to_string())),
        }
    }

    /// Every node that there could be, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (1..=Self::MAX).map(NodeId)
    }

    pub(crate) fn number(self) -> u8 {
        self.0
    }
}

fn directory_from_environment() -> PathBuf {
    let set = std::env::var_os("SECCOMP_E2E_DIR").filter(|value| !value.is_empty());
    set.map_or_else(|| "/tmp/seccomp-profile-e2e".into(), PathBuf::from)
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node-{}", self.0)
    }
}

impl FromStr for NodeId {
    type Err = NoSuchNode;

    fn from_str(name: &str) -> Result<Self, NoSuchNode> {
        let number = name.strip_prefix("node-").and_then(|number| number.parse().ok());
        let id = number.and_then(|number| NodeId::new(number).ok());
        id.filter(|id| id.to_string() == name).ok_or_else(|| NoSuchNode(name.to_owned()))
    }
}

/// The paths of one cluster's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    directory: PathBuf,
    instance: Instance,
}

impl Layout {
    /// The state of one of the machine's clusters in this directory; a relative path starts at the working directory.
    pub fn new(directory: impl Into<PathBuf>, instance: Instance) -> Self {
        let directory = directory.into();
        // Daemons work in another directory. Only an empty path has no absolute form.
        let directory = std::path::absolute(&directory).unwrap_or(directory);
        Layout { directory, instance }
    }

    /// The directory that the first cluster has and that a test of any cluster finds it in: `$SECCOMP_E2E_DIR`, or
    /// `/tmp/seccomp-profile-e2e`.
    pub fn from_environment() -> Self {
        Self::new(directory_from_environment(), Instance::FIRST)
    }

    /// Where this one of the machine's clusters is started: beside the first one's directory.
    pub fn of(instance: Instance) -> Self {
        let mut directory = directory_from_environment().into_os_string();
        directory.push(instance.suffix());
        Self::new(directory, instance)
    }

    /// The directory itself.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Which of the machine's clusters this is.
    pub fn instance(&self) -> Instance {
        self.instance
    }

    /// What [`Cluster::attach`](crate::Cluster::attach) reads; it also marks the directory as ours to remove.
    pub(crate) fn description(&self) -> PathBuf {
        self.directory.join("cluster.json")
    }

    pub(crate) fn pki(&self, file: &str) -> PathBuf {
        self.directory.join("pki").join(file)
    }

    /// The kubeconfig of `admin`, `controller-manager`, `scheduler`, `proxy` or a node.
    pub(crate) fn kubeconfig(&self, user: &str) -> PathBuf {
        self.directory.join("kubeconfig").join(user)
    }

    /// The log of a daemon, or the directory of all logs for the empty name.
    pub(crate) fn log(&self, daemon: &str) -> PathBuf {
        self.directory.join("log").join(daemon)
    }

    pub(crate) fn pid_file(&self, daemon: &str) -> PathBuf {
        self.directory.join("pid").join(daemon)
    }

    /// The image archives that every node imports when it starts.
    pub(crate) fn images(&self) -> PathBuf {
        self.directory.join("images")
    }

    pub(crate) fn audit_policy(&self) -> PathBuf {
        self.directory.join("audit-policy.yaml")
    }

    pub(crate) fn audit_log(&self) -> PathBuf {
        self.directory.join("audit.log")
    }

    pub(crate) fn etcd(&self) -> PathBuf {
        self.directory.join("etcd")
    }

    pub(crate) fn nodes(&self) -> PathBuf {
        self.directory.join("nodes")
    }

    pub(crate) fn node(&self, id: NodeId) -> PathBuf {
        self.nodes().join(id.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_read_back_from_its_name_and_from_no_other() {
        assert!(NodeId::all().all(|id| id.to_string().parse() == Ok(id)));
        for name in ["node-0", "node-33", "node-01", "node-", "node-+1", "1", "node-1 "] {
            assert_eq!(name.parse::<NodeId>(), Err(NoSuchNode(name.into())));
        }
    }
}
