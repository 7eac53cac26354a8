//! Where everything lies and what it is called. Whatever the kernel knows by a name (links, network
//! namespaces, cgroups) begins with [`PREFIX`], so that nothing of others is ever touched.

use std::fmt;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Begins the name of every link, network namespace and cgroup of the cluster.
pub(crate) const PREFIX: &str = "spe2e-";
/// The bridge that joins the control plane and the nodes.
pub(crate) const BRIDGE: &str = "spe2e-br0";
/// The control plane's address on the bridge.
pub(crate) const CONTROL_PLANE: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 1);
/// The cgroup of the control plane.
pub(crate) const CONTROL_PLANE_GROUP: &str = "spe2e-control-plane";
/// The addresses of all pods.
pub(crate) const POD_NETWORK: &str = "10.244.0.0/16";
/// The addresses of all services; the first is the API server's.
pub(crate) const SERVICE_NETWORK: &str = "10.96.0.0/16";
/// The API server's address as pods see it.
pub(crate) const API_SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);

/// A node, by its number from 1 to [`NodeId::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u8);

/// Text or a number that is not a node's.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no node {0:?}: a node is called node-1 to node-{max}", max = NodeId::MAX)]
pub struct NoSuchNode(pub String);

impl NodeId {
    /// The highest number. Each node's pods have a 10.244.N.0/24 to which every other node has a route.
    pub const MAX: u8 = 32;

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

    /// Its address on the bridge.
    pub fn address(self) -> Ipv4Addr {
        Ipv4Addr::new(172, 30, 0, 10 + self.0)
    }

    /// The addresses of its pods.
    pub fn pod_network(self) -> String {
        format!("10.244.{}.0/24", self.0)
    }

    /// The host's end of its link.
    pub(crate) fn link(self) -> String {
        format!("{PREFIX}v{}", self.0)
    }

    /// The name of its network namespace and of its cgroup.
    pub(crate) fn kernel_name(self) -> String {
        format!("{PREFIX}{self}")
    }

    /// Its network namespace as a file.
    pub(crate) fn namespace(self) -> PathBuf {
        Path::new("/run/netns").join(self.kernel_name())
    }
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
pub struct Layout(PathBuf);

impl Layout {
    /// The state in this directory; a relative path starts at the working directory.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        let directory = directory.into();
        // Daemons work in another directory. Only an empty path has no absolute form.
        Layout(std::path::absolute(&directory).unwrap_or(directory))
    }

    /// `$SECCOMP_E2E_DIR`, or `/tmp/seccomp-profile-e2e`.
    pub fn from_environment() -> Self {
        let set = std::env::var_os("SECCOMP_E2E_DIR").filter(|value| !value.is_empty());
        Self::new(set.map_or_else(|| "/tmp/seccomp-profile-e2e".into(), PathBuf::from))
    }

    /// The directory itself.
    pub fn directory(&self) -> &Path {
        &self.0
    }

    /// What [`Cluster::attach`](crate::Cluster::attach) reads; it also marks the directory as ours to remove.
    pub(crate) fn description(&self) -> PathBuf {
        self.0.join("cluster.json")
    }

    pub(crate) fn pki(&self, file: &str) -> PathBuf {
        self.0.join("pki").join(file)
    }

    /// The kubeconfig of `admin`, `controller-manager`, `scheduler`, `proxy` or a node.
    pub(crate) fn kubeconfig(&self, user: &str) -> PathBuf {
        self.0.join("kubeconfig").join(user)
    }

    /// The log of a daemon, or the directory of all logs for the empty name.
    pub(crate) fn log(&self, daemon: &str) -> PathBuf {
        self.0.join("log").join(daemon)
    }

    pub(crate) fn pid_file(&self, daemon: &str) -> PathBuf {
        self.0.join("pid").join(daemon)
    }

    /// The image archives that every node imports when it starts.
    pub(crate) fn images(&self) -> PathBuf {
        self.0.join("images")
    }

    pub(crate) fn audit_policy(&self) -> PathBuf {
        self.0.join("audit-policy.yaml")
    }

    pub(crate) fn audit_log(&self) -> PathBuf {
        self.0.join("audit.log")
    }

    pub(crate) fn etcd(&self) -> PathBuf {
        self.0.join("etcd")
    }

    pub(crate) fn nodes(&self) -> PathBuf {
        self.0.join("nodes")
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

    #[test]
    fn every_name_that_the_kernel_sees_has_our_prefix_and_a_length_that_it_takes() {
        for id in NodeId::all() {
            assert!(id.kernel_name().starts_with(PREFIX));
            assert!(id.link().starts_with(PREFIX) && id.link().len() <= 15);
        }
        assert!(BRIDGE.starts_with(PREFIX) && CONTROL_PLANE_GROUP.starts_with(PREFIX));
    }
}
