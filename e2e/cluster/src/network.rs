//! The bridge on the host, and each node's network namespace with its link to the bridge.

use std::path::Path;
use std::process::Command;

use xtask::command::{self, CommandError};
use xtask::files::{self, FileError};

use crate::layout::{BRIDGE, CONTROL_PLANE, NodeId, PREFIX};

/// Makes the bridge, with the control plane's address.
pub(crate) fn create_bridge() -> Result<(), CommandError> {
    ip(&format!("link add {BRIDGE} type bridge"))?;
    ip(&format!("address add {CONTROL_PLANE}/24 dev {BRIDGE}"))?;
    ip(&format!("link set {BRIDGE} up"))
}

/// Makes the node's network namespace and link, and the routes between its pods and all others.
pub(crate) fn create_node(node: NodeId) -> Result<(), CommandError> {
    let (namespace, link, address) = (node.kernel_name(), node.link(), node.address());
    ip(&format!("netns add {namespace}"))?;
    ip(&format!("link add {link} type veth peer name eth0 netns {namespace}"))?;
    ip(&format!("link set {link} master {BRIDGE} up"))?;
    ip(&format!("-n {namespace} link set lo up"))?;
    ip(&format!("-n {namespace} address add {address}/24 dev eth0"))?;
    ip(&format!("-n {namespace} link set eth0 up"))?;
    ip(&format!("-n {namespace} route add default via {CONTROL_PLANE}"))?;
    // The other nodes need not be there yet: their addresses follow from their numbers.
    for other in NodeId::all().filter(|other| *other != node) {
        ip(&format!("-n {namespace} route add {} via {}", other.pod_network(), other.address()))?;
    }
    // The host reaches pods too: the API server calls webhooks, tests read metrics.
    ip(&format!("route replace {} via {address}", node.pod_network()))?;
    let forward = "echo 1 >/proc/sys/net/ipv4/ip_forward";
    let mut enter = Command::new("nsenter");
    enter.arg(format!("--net={}", node.namespace().display())).args(["sh", "-c", forward]);
    command::output(&mut enter).map(drop)
}

/// Cuts the node's link, or mends it.
pub(crate) fn set_link(node: NodeId, up: bool) -> Result<(), CommandError> {
    ip(&format!("link set {} {}", node.link(), if up { "up" } else { "down" }))?;
    if up {
        // The kernel dropped the host's route when the link's routes went with it, but only if the
        // bridge lost its last carrier; setting it again is right in both cases.
        ip(&format!("route replace {} via {}", node.pod_network(), node.address()))?;
    }
    Ok(())
}

/// Removes the node's link and network namespace, as far as they are there.
pub(crate) fn remove_node(node: NodeId) -> Result<(), CommandError> {
    if link_exists(&node.link()) {
        ip(&format!("link delete {}", node.link()))?;
    }
    if node.namespace().exists() {
        ip(&format!("netns delete {}", node.kernel_name()))?;
    }
    Ok(())
}

/// Every link and network namespace of the cluster, by its name.
pub(crate) struct Leftovers {
    pub(crate) links: Vec<String>,
    pub(crate) namespaces: Vec<String>,
}

impl Leftovers {
    pub(crate) fn find() -> Result<Self, FileError> {
        let ours = |directory| -> Result<Vec<String>, FileError> {
            let paths = files::entries(Path::new(directory))?;
            let named = paths.iter().filter(|path| files::name_begins_with(path, PREFIX));
            Ok(named.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect())
        };
        Ok(Leftovers { links: ours("/sys/class/net")?, namespaces: ours("/run/netns")? })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.links.is_empty() && self.namespaces.is_empty()
    }

    pub(crate) fn remove(&self) -> Result<(), CommandError> {
        for link in self.links.iter().filter(|link| link_exists(link)) {
            ip(&format!("link delete {link}"))?;
        }
        self.namespaces.iter().try_for_each(|namespace| ip(&format!("netns delete {namespace}")))
    }
}

fn link_exists(name: &str) -> bool {
    Path::new("/sys/class/net").join(name).exists()
}

fn ip(arguments: &str) -> Result<(), CommandError> {
    command::output(Command::new("ip").args(arguments.split(' '))).map(drop)
}
