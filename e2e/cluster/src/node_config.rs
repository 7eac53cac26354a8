//! What a node's daemons read when they start.

use std::path::Path;

use serde_json::json;
use xtask::build_images::PAUSE_IMAGE;

use crate::layout::Layout;
use crate::node_id::NodeId;

/// A point-to-point link for each pod; the node routes. No masquerading: there is a route to every network.
pub(crate) fn cni(pods: &str, addresses: &Path) -> String {
    json!({
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [{
            "type": "ptp",
            "mtu": 1400,
            "ipam": {
                "type": "host-local",
                "dataDir": addresses,
                "ranges": [[{"subnet": pods}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }],
    })
    .to_string()
}

/// containerd's configuration, version 3 (containerd 2.x).
pub(crate) fn containerd(programs: &Path, cni: &Path, registries: &Path) -> String {
    let (programs, cni, registries) = (programs.display(), cni.display(), registries.display());
    format!(
        r#"version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
# Nothing of the host's own containerd.
imports = []
disabled_plugins = ["io.containerd.nri.v1.nri"]

[grpc]
address = "/run/containerd/containerd.sock"

[plugins."io.containerd.internal.v1.opt"]
path = "/var/lib/containerd/opt"

[plugins."io.containerd.cri.v1.images"]
snapshotter = "overlayfs"

[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{PAUSE_IMAGE}"

[plugins."io.containerd.cri.v1.images".registry]
config_path = "{registries}"

[plugins."io.containerd.cri.v1.runtime"]
# Where the machine is itself a container, it may not lower a score.
restrict_oom_score_adj = true

[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["{programs}"]
conf_dir = "{cni}"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = "{programs}/runc"
"#
    )
}

/// How containerd asks a registry whose certificate an authority in the file `authority` has given (`hosts.toml`). It is
/// read whenever an image is pulled.
pub(crate) fn registry(host: &str, authority: &Path) -> String {
    let authority = authority.display();
    format!("server = \"https://{host}\"\n\n[host.\"https://{host}\"]\nca = \"{authority}\"\n")
}

/// The kubelet's configuration, as JSON, which is YAML.
pub(crate) fn kubelet(node: NodeId, layout: &Layout, startup_taint: Option<&str>) -> String {
    let taint = |key| json!({"key": key, "effect": "NoSchedule"});
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": layout.pki("ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": layout.pki(&format!("{node}.crt")),
        "tlsPrivateKeyFile": layout.pki(&format!("{node}.key")),
        // Version 1 of cgroups is refused by default since 1.35.
        "failCgroupV1": false,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", layout.instance().kernel_name(node)),
        "enforceNodeAllocatable": [],
        "failSwapOn": false,
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
        "staticPodPath": "/var/lib/kubelet/manifests",
        "resolvConf": "",
        "registerWithTaints": startup_taint.into_iter().map(taint).collect::<Vec<_>>(),
        "nodeStatusUpdateFrequency": "4s",
        "nodeStatusReportFrequency": "5m",
        "syncFrequency": "10s",
        // The images come from archives: a garbage-collected image could not be pulled again.
        "imageGCHighThresholdPercent": 100,
        // A full disk on the developer's machine must not evict pods.
        "evictionHard": {"memory.available": "100Mi"},
        "localStorageCapacityIsolation": false,
        "makeIPTablesUtilChains": false,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::Instance;

    #[test]
    fn a_nodes_pods_get_addresses_from_its_own_network_only() {
        let pods = Instance::FIRST.pods(NodeId::new(7).unwrap());
        let config: serde_json::Value = serde_json::from_str(&cni(&pods, Path::new("/x"))).unwrap();
        assert_eq!(config["plugins"][0]["ipam"]["ranges"], json!([[{"subnet": "10.244.7.0/24"}]]));
    }

    #[test]
    fn containers_of_a_node_live_below_its_cgroup() {
        let config = kubelet(NodeId::new(2).unwrap(), &Layout::new("/state", Instance::FIRST), Some("a/b"));
        let config: serde_json::Value = serde_json::from_str(&config).unwrap();
        assert_eq!(config["cgroupRoot"], "/spe2e-node-2");
        assert_eq!(config["tlsCertFile"], "/state/pki/node-2.crt");
        assert_eq!(config["registerWithTaints"], json!([{"key": "a/b", "effect": "NoSchedule"}]));
    }
}
