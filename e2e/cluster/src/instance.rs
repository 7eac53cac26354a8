//! The number of a cluster on this machine, and every name and address that is derived from it.
//!
//! Clusters run side by side when no two of them share a name of a link, network namespace or cgroup, nor an address.
//! So every such name and address is made here, from the cluster's number.

use std::fmt;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::node_id::NodeId;

/// The number of a cluster on this machine, from 1 to [`Instance::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Instance(u8);

/// A number that is out of range.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no cluster {0:?}: clusters are numbered 1 to {max}", max = Instance::MAX)]
pub struct NoSuchInstance(String);

impl Instance {
    /// The cluster that is meant where none is named.
    pub const FIRST: Self = Instance(1);
    /// The highest number. More would not make the tests faster on the machines that run them.
    pub const MAX: u8 = 2;

    /// Every cluster that there could be, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (1..=Self::MAX).map(Instance)
    }

    /// Suffix of the name of a file or directory of which each cluster has one: nothing for the first, `-2` for the
    /// second.
    pub(crate) fn suffix(self) -> String {
        if self == Self::FIRST { String::new() } else { format!("-{}", self.0) }
    }

    /// Prefix of the name of every link, network namespace and cgroup of the cluster, and of no other one's.
    pub fn prefix(self) -> String {
        if self == Self::FIRST { "spe2e-".into() } else { format!("spe2e{}-", self.0) }
    }

    /// The bridge that joins the control plane and the nodes.
    pub(crate) fn bridge(self) -> String {
        format!("{}br0", self.prefix())
    }

    /// The cgroup of the control plane.
    pub(crate) fn control_plane_group(self) -> String {
        format!("{}control-plane", self.prefix())
    }

    /// The control plane's address on the bridge.
    pub fn control_plane(self) -> Ipv4Addr {
        Ipv4Addr::new(172, 30, self.offset(), 1)
    }

    /// The addresses of all pods.
    pub(crate) fn all_pods(self) -> String {
        format!("10.{}.0.0/16", 244 + self.offset())
    }

    /// The addresses of all services; the first is the API server's.
    pub(crate) fn services(self) -> String {
        format!("10.{}.0.0/16", 96 + self.offset())
    }

    /// The API server's address as pods see it.
    pub(crate) fn api_service(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 96 + self.offset(), 0, 1)
    }

    /// Where etcd serves its client. An unusual port, so that another etcd on the machine does not conflict.
    pub(crate) fn etcd_client(self) -> String {
        format!("http://127.0.0.1:{}", 23_790 + u16::from(self.offset()))
    }

    /// Where etcd would serve further members.
    pub(crate) fn etcd_peer(self) -> String {
        format!("http://127.0.0.1:{}", 23_800 + u16::from(self.offset()))
    }

    /// A node's address on the bridge.
    pub fn address(self, node: NodeId) -> Ipv4Addr {
        Ipv4Addr::new(172, 30, self.offset(), 10 + node.number())
    }

    /// The addresses of a node's pods, to which every other node has a route.
    pub(crate) fn pods(self, node: NodeId) -> String {
        format!("10.{}.{}.0/24", 244 + self.offset(), node.number())
    }

    /// The host's end of a node's link.
    pub(crate) fn link(self, node: NodeId) -> String {
        format!("{}v{}", self.prefix(), node.number())
    }

    /// The name of a node's network namespace and of its cgroup.
    pub(crate) fn kernel_name(self, node: NodeId) -> String {
        format!("{}{node}", self.prefix())
    }

    /// A node's network namespace as a file.
    pub(crate) fn namespace(self, node: NodeId) -> PathBuf {
        Path::new("/run/netns").join(self.kernel_name(node))
    }

    fn offset(self) -> u8 {
        self.0 - 1
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<u8> for Instance {
    type Error = NoSuchInstance;

    fn try_from(number: u8) -> Result<Self, NoSuchInstance> {
        match number {
            1..=Self::MAX => Ok(Instance(number)),
            _ => Err(NoSuchInstance(number.to_string())),
        }
    }
}

impl From<Instance> for u8 {
    fn from(instance: Instance) -> u8 {
        instance.0
    }
}

impl FromStr for Instance {
    type Err = NoSuchInstance;

    fn from_str(text: &str) -> Result<Self, NoSuchInstance> {
        let number: Option<u8> = text.parse().ok();
        number.and_then(|number| number.try_into().ok()).ok_or_else(|| NoSuchInstance(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_that_the_kernel_sees_has_the_prefix_and_a_length_that_it_takes() {
        for instance in Instance::all() {
            let prefix = instance.prefix();
            for id in NodeId::all() {
                assert!(instance.kernel_name(id).starts_with(&prefix));
                assert!(instance.link(id).starts_with(&prefix) && instance.link(id).len() <= 15);
            }
            assert!(instance.bridge().starts_with(&prefix) && instance.bridge().len() <= 15);
            assert!(instance.control_plane_group().starts_with(&prefix));
        }
    }

    #[test]
    fn no_prefix_matches_another_clusters_names() {
        for one in Instance::all() {
            for other in Instance::all().filter(|other| *other != one) {
                assert!(!one.bridge().starts_with(&other.prefix()), "{one} and {other}");
            }
        }
    }

    #[test]
    fn no_two_clusters_share_an_address_or_a_file() {
        let of = |instance: Instance| {
            let addresses =
                [instance.control_plane(), instance.api_service(), instance.address(NodeId::LAST)];
            let texts = [instance.all_pods(), instance.services(), instance.pods(NodeId::LAST)];
            let etcd = [instance.etcd_client(), instance.etcd_peer(), instance.suffix()];
            addresses.map(|address| address.to_string()).into_iter().chain(texts).chain(etcd)
        };
        let all: Vec<String> = Instance::all().flat_map(of).collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "{all:?}");
    }

    #[test]
    fn a_number_without_a_cluster_is_refused_with_those_that_there_are() {
        assert_eq!("2".parse(), Ok(Instance(2)));
        for text in ["0", "3", "", "one", "-1"] {
            let error = text.parse::<Instance>().unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("there is no cluster {text:?}: clusters are numbered 1 to 2")
            );
        }
    }
}
