//! What each node holds of a profile: read from its disk, or where that is out of reach, as its agent reports it.

use cluster::{Client, Cluster, ClusterError, Node};
use serde_json::Value;

use crate::view::disk;

/// Where to look.
#[derive(Clone, Copy)]
pub(super) enum Evidence<'a> {
    /// The disks of local nodes.
    Disks(&'a Cluster),
    /// The agents' reports.
    Reports(&'a Client),
}

/// What one node holds of a profile.
pub(super) struct Held {
    pub(super) node: String,
    /// The hash of its file, or the beginning of it; `None` where there is no file.
    pub(super) hash: Option<String>,
}

impl Held {
    /// Whether it is what a status shows as `contentHash`.
    pub(super) fn is(&self, shown: &str) -> bool {
        self.hash.as_deref().is_some_and(|hash| shown.starts_with(hash))
    }
}

impl Evidence<'_> {
    /// What every node holds of the profile, by node.
    pub(super) fn of(&self, profile: &str) -> Result<Vec<Held>, ClusterError> {
        match self {
            Evidence::Disks(cluster) => {
                let nodes = cluster.nodes()?;
                let held = |node: &Node| Ok(Held { node: node.name(), hash: disk::hash(node, profile)? });
                nodes.iter().map(held).collect()
            }
            Evidence::Reports(client) => {
                let shown = client.kubectl(["get", "nodeprofilestatuses", "-o", "json"])?;
                let list: Value = serde_json::from_str(&shown).unwrap_or_default();
                let held = |item: &Value| Held {
                    node: item["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
                    hash: item["status"]["report"]["files"][profile]
                        .as_str()
                        .map(|hash| format!("sha256:{hash}")),
                };
                Ok(list["items"].as_array().into_iter().flatten().map(held).collect())
            }
        }
    }

    /// What a hash of this kind is called.
    pub(super) fn source(&self) -> &'static str {
        match self {
            Evidence::Disks(_) => "SHA-256 of the file on each node's disk",
            Evidence::Reports(_) => "SHA-256 of the file as each node's agent reports it",
        }
    }
}
