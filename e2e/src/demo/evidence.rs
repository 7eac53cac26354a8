//! Each node's file of a profile: read from its disk, or on an external cluster from its agent's report.

use cluster::{Client, Cluster, ClusterError, Node};
use serde_json::Value;

use crate::view::disk;

/// The source of the hashes.
#[derive(Clone, Copy)]
pub(super) enum Evidence<'a> {
    /// The disks of local nodes.
    Disks(&'a Cluster),
    /// The agents' reports.
    Reports(&'a Client),
}

/// One node's file of a profile.
pub(super) struct NodeFile {
    pub(super) node: String,
    /// The hash of its file, or the beginning of it; `None` where there is no file.
    pub(super) hash: Option<String>,
}

impl NodeFile {
    /// Whether it is what a status shows as `contentHash`.
    pub(super) fn is(&self, shown: &str) -> bool {
        self.hash.as_deref().is_some_and(|hash| shown.starts_with(hash))
    }
}

impl Evidence<'_> {
    /// Every node's file of the profile.
    pub(super) fn of(&self, profile: &str) -> Result<Vec<NodeFile>, ClusterError> {
        match self {
            Evidence::Disks(cluster) => {
                let nodes = cluster.nodes()?;
                let held = |node: &Node| Ok(NodeFile { node: node.name(), hash: disk::hash(node, profile)? });
                nodes.iter().map(held).collect()
            }
            Evidence::Reports(client) => {
                let shown = client.kubectl(["get", "nodeprofilestatuses", "-o", "json"])?;
                let list: Value = serde_json::from_str(&shown).unwrap_or_default();
                let held = |item: &Value| NodeFile {
                    node: item["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
                    hash: item["status"]["report"]["files"][profile]
                        .as_str()
                        .map(|hash| format!("sha256:{hash}")),
                };
                Ok(list["items"].as_array().into_iter().flatten().map(held).collect())
            }
        }
    }

    /// The name of the source, for the output.
    pub(super) fn source(&self) -> &'static str {
        match self {
            Evidence::Disks(_) => "SHA-256 of the file on each node's disk",
            Evidence::Reports(_) => "SHA-256 of the file as each node's agent reports it",
        }
    }
}
