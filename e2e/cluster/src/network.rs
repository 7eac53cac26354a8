//! The bridge on the host, and each node's network namespace with its link to the bridge.

use std::path::Path;
use std::process::Command;

use xtask::command::{self, CommandError};
use xtask::files::{self, FileError};

use crate::instance::Instance;
use crate::node_id::NodeId;

/// Makes the bridge, with the control plane's address.
pub(crate) fn create_bridge(instance: Instance) -> Result<(), CommandError> {
    let bridge = instance.bridge();
    ip(&format!("link add {bridge} type bridge"))?;
    ip(&format!("address add {}/24 dev {bridge}", instance.control_plane()))?;
    ip(&format!("link set {bridge} up"))
}

/// Makes the node's network namespace and link, and the routes between its pods and all others.
pub(crate) fn create_node(instance: Instance, node: NodeId) -> Result<(), CommandError> {
    let (namespace, link, address) =
        (instance.kernel_name(node), instance.link(node), instance.address(node));
    ip(&format!("netns add {namespace}"))?;
    ip(&format!("link add {link} type veth peer name eth0 netns {namespace}"))?;
    ip(&format!("link set {link} master {} up", instance.bridge()))?;
    ip(&format!("-n {namespace} link set lo up"))?;
    ip(&format!("-n {namespace} address add {address}/24 dev eth0"))?;
    ip(&format!("-n {namespace} link set eth0 up"))?;
    ip(&format!("-n {namespace} route add default via {}", instance.control_plane()))?;
    // The other nodes need not be there yet: their addresses follow from their numbers.
    for other in NodeId::all().filter(|other| *other != node) {
        let (pods, via) = (instance.pods(other), instance.address(other));
        ip(&format!("-n {namespace} route add {pods} via {via}"))?;
    }
    // The host reaches pods too: the API server calls webhooks, tests read metrics.
    ip(&format!("route replace {} via {address}", instance.pods(node)))?;
    let forward = "echo 1 >/proc/sys/net/ipv4/ip_forward";
    let mut enter = Command::new("nsenter");
    enter.arg(format!("--net={}", instance.namespace(node).display())).args(["sh", "-c", forward]);
    command::output(&mut enter).map(drop)
}

/// Takes the node's link down or up.
pub(crate) fn set_link(instance: Instance, node: NodeId, up: bool) -> Result<(), CommandError> {
    ip(&format!("link set {} {}", instance.link(node), if up { "up" } else { "down" }))?;
    if up {
        // The kernel dropped the host's route when the link's routes went with it, but only if the
        // bridge lost its last carrier; setting it again is right in both cases.
        ip(&format!("route replace {} via {}", instance.pods(node), instance.address(node)))?;
    }
    Ok(())
}

/// Removes the node's link and network namespace, as far as they are there.
pub(crate) fn remove_node(instance: Instance, node: NodeId) -> Result<(), CommandError> {
    let link = instance.link(node);
    if link_exists(&link) {
        ip(&format!("link delete {link}"))?;
    }
    if instance.namespace(node).exists() {
        ip(&format!("netns delete {}", instance.kernel_name(node)))?;
    }
    Ok(())
}

/// Every link and network namespace of the cluster, by its name.
pub(crate) struct Leftovers {
    pub(crate) links: Vec<String>,
    pub(crate) namespaces: Vec<String>,
}

impl Leftovers {
    pub(crate) fn find(instance: Instance) -> Result<Self, FileError> {
        let prefix = instance.prefix();
        let ours = |directory| -> Result<Vec<String>, FileError> {
            let paths = files::entries(Path::new(directory))?;
            let named = paths.iter().filter(|path| files::name_begins_with(path, &prefix));
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
