//! A node: a machine of its own in all that Kubernetes can see of it.
//!
//! Its network, mount and host-name namespaces are held by one sleeping process, the *machine*; containerd,
//! kubelet and kube-proxy enter them. So each sees `/var/lib/kubelet` and the other usual paths as its
//! node's alone, and one of them can be restarted while the machine stays.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use xtask::command;
use xtask::files::{self, FileError, NamePath};

use crate::client::Client;
use crate::instance::Instance;
use crate::layout::Layout;
use crate::node_id::NodeId;
use crate::process::{Daemon, Identity};
use crate::wait;
use crate::{ClusterError, cgroup, network, node_config, pki};

/// How long each part may take to start; some seconds on an idle machine.
const START: Duration = Duration::from_mins(1);
/// How long a node may take from its start until it is Ready; about 10 s on an idle machine.
const READY: Duration = Duration::from_mins(3);

/// A daemon of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeDaemon {
    /// The container runtime.
    Containerd,
    /// The kubelet.
    Kubelet,
    /// The service proxy.
    KubeProxy,
}

impl NodeDaemon {
    fn name(self) -> &'static str {
        match self {
            NodeDaemon::Containerd => "containerd",
            NodeDaemon::Kubelet => "kubelet",
            NodeDaemon::KubeProxy => "kube-proxy",
        }
    }
}

/// A file system that is soon full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmallDisk {
    /// On a loop device, of 8 MiB.
    Ext4,
    /// In memory, of 1 MiB.
    Tmpfs,
}

/// The image of a small ext4, in the node's directory.
const SMALL_DISK: &str = "small-disk.img";

/// The key of the taint with which the kubelet registers the node, in the node's directory; absent where there is none.
const STARTUP_TAINT: &str = "startup-taint";

/// One node of a local cluster. It is a name with its paths: nothing happens when it is dropped.
#[derive(Debug, Clone)]
pub struct Node {
    id: NodeId,
    layout: Layout,
    client: Client,
}

/// The node's directories and what they are mounted over, in its mount namespace. The last one keeps
/// the pods' network namespaces off the host.
const MOUNTS: [(&str, &str); 6] = [
    ("kubelet", "/var/lib/kubelet"),
    ("containerd", "/var/lib/containerd"),
    ("run", "/run/containerd"),
    ("log-pods", "/var/log/pods"),
    ("log-containers", "/var/log/containers"),
    ("netns", "/run/netns"),
];
/// Where it has the configuration of each registry that containerd asks in its own way.
const REGISTRIES: &str = "registries";
/// Those that a real machine loses with its power.
const VOLATILE: [&str; 2] = ["run", "netns"];

/// Becomes the machine: its directory and name are the arguments.
const MACHINE: &str = r#"set -e
mount --make-rprivate /
for pair in $3; do mount --bind "$1/${pair%%:*}" "${pair#*:}"; done
mount --make-rshared /
hostname "$2"
: >"$1/booted"
exec sleep infinity"#;

impl Node {
    pub(crate) fn new(id: NodeId, layout: &Layout, client: &Client) -> Self {
        Node { id, layout: layout.clone(), client: client.clone() }
    }

    /// Which node it is.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Its name in Kubernetes: `node-1`.
    pub fn name(&self) -> String {
        self.id.to_string()
    }

    /// Its address, which the control plane and the other nodes reach.
    pub fn address(&self) -> Ipv4Addr {
        self.instance().address(self.id)
    }

    fn instance(&self) -> Instance {
        self.layout.instance()
    }

    fn kernel_name(&self) -> String {
        self.instance().kernel_name(self.id)
    }

    /// Its `/var/lib/kubelet`, as the host sees it. What the kubelet mounts inside shows as empty.
    pub fn kubelet_dir(&self) -> PathBuf {
        self.directory().join("kubelet")
    }

    /// The kubeconfig of its kubelet.
    pub fn kubeconfig(&self) -> PathBuf {
        self.layout.kubeconfig(&self.name())
    }

    /// Where localhost seccomp profiles are on it, as the host sees it.
    pub fn seccomp_dir(&self) -> PathBuf {
        self.kubelet_dir().join("seccomp")
    }

    /// Where the manifests of its static pods are, as the host sees it.
    pub fn static_pods_dir(&self) -> PathBuf {
        self.kubelet_dir().join("manifests")
    }

    /// The log of one of its daemons.
    pub fn log(&self, daemon: NodeDaemon) -> PathBuf {
        self.layout.log(&self.daemon_name(daemon.name()))
    }

    /// Whether the node has power.
    pub fn is_running(&self) -> bool {
        self.machine().running().is_some()
    }

    /// Starts the machine and its daemons and waits until Kubernetes calls it Ready.
    ///
    /// # Errors
    /// When a part does not start, with the end of its log.
    pub fn power_on(&self) -> Result<(), ClusterError> {
        self.boot()?;
        self.wait_ready()
    }

    /// Kills everything on it at once and removes its link, as a power cut would. Its disk stays.
    ///
    /// # Errors
    /// When something on it does not die.
    pub fn power_off(&self) -> Result<(), ClusterError> {
        let hierarchies = cgroup::Hierarchies::of_this_machine()?;
        let group = self.kernel_name();
        hierarchies.kill(&group)?;
        hierarchies.remove(&group)?;
        network::remove_node(self.instance(), self.id)?;
        for daemon in [NodeDaemon::Containerd, NodeDaemon::Kubelet, NodeDaemon::KubeProxy] {
            self.daemon(daemon).stop()?;
        }
        Ok(self.machine().stop()?)
    }

    /// Cuts it off from the control plane and the other nodes; everything on it goes on.
    ///
    /// # Errors
    /// When it has no link.
    pub fn partition(&self) -> Result<(), ClusterError> {
        Ok(network::set_link(self.instance(), self.id, false)?)
    }

    /// Ends a [`Node::partition`].
    ///
    /// # Errors
    /// When it has no link.
    pub fn heal(&self) -> Result<(), ClusterError> {
        Ok(network::set_link(self.instance(), self.id, true)?)
    }

    /// Powers it off and removes its disk. The Node object stays, as it does in a real cluster until
    /// an administrator deletes it: [`Node::delete_object`].
    ///
    /// # Errors
    /// When something on it does not die or cannot be removed.
    pub fn remove(&self) -> Result<(), ClusterError> {
        self.power_off()?;
        let directory = self.directory();
        Ok(files::or_absent(fs::remove_dir_all(&directory)).name_path("remove", &directory)?)
    }

    /// Deletes the Node object.
    ///
    /// # Errors
    /// When the API server refuses.
    pub fn delete_object(&self) -> Result<(), ClusterError> {
        self.client.kubectl(["delete", "node", &self.name(), "--ignore-not-found"])?;
        Ok(())
    }

    /// Kills one daemon, as a crash would.
    ///
    /// # Errors
    /// When it does not die.
    pub fn kill(&self, daemon: NodeDaemon) -> Result<(), ClusterError> {
        Ok(self.daemon(daemon).kill()?)
    }

    /// Starts one daemon again after [`Node::kill`].
    ///
    /// # Errors
    /// When the node has no power or the daemon cannot be started.
    pub fn start(&self, daemon: NodeDaemon) -> Result<(), ClusterError> {
        let groups = cgroup::Hierarchies::of_this_machine()?.create(&self.kernel_name())?;
        let mut command = self.inside()?;
        let programs = self.client.programs();
        command.push(programs.path(daemon.name()).display().to_string());
        command.extend(match daemon {
            NodeDaemon::Containerd => vec![format!("--config={}", self.file("containerd.toml"))],
            NodeDaemon::Kubelet => vec![
                format!("--config={}", self.file("kubelet.json")),
                format!("--kubeconfig={}", self.kubeconfig().display()),
                format!("--hostname-override={}", self.id),
                format!("--node-ip={}", self.address()),
            ],
            NodeDaemon::KubeProxy => vec![
                format!("--kubeconfig={}", self.layout.kubeconfig("proxy").display()),
                format!("--hostname-override={}", self.id),
                "--proxy-mode=nftables".into(),
                format!("--cluster-cidr={}", self.instance().all_pods()),
                // Only the first network namespace may set these; 0 leaves them as they are.
                "--conntrack-max-per-core=0".into(),
                "--conntrack-tcp-timeout-established=0s".into(),
                "--conntrack-tcp-timeout-close-wait=0s".into(),
            ],
        });
        Ok(self.daemon(daemon).start(&groups, command)?)
    }

    /// Makes a container image known to it.
    ///
    /// # Errors
    /// When containerd refuses the archive.
    pub fn import_image(&self, archive: &Path) -> Result<(), ClusterError> {
        let mut words = self.inside()?;
        words.push(self.client.programs().path("ctr").display().to_string());
        words.extend(["--namespace", "k8s.io", "images", "import"].map(String::from));
        words.push(archive.display().to_string());
        let mut command = std::process::Command::new(&words[0]);
        command::output(command.args(&words[1..]))?;
        Ok(())
    }

    /// Has it pull images from a registry whose certificate an authority in the file `authority` has given, which must
    /// stay as long as that is so.
    ///
    /// # Errors
    /// When the configuration cannot be written.
    pub fn trust_registry(&self, host: &str, authority: &Path) -> Result<(), ClusterError> {
        let directory = self.directory().join(REGISTRIES).join(host);
        files::create_dir(&directory)?;
        Ok(files::write(&directory.join("hosts.toml"), node_config::registry(host, authority))?)
    }

    /// Ends [`Node::trust_registry`].
    ///
    /// # Errors
    /// When the configuration cannot be removed.
    pub fn forget_registry(&self, host: &str) -> Result<(), ClusterError> {
        let directory = self.directory().join(REGISTRIES).join(host);
        Ok(files::or_absent(fs::remove_dir_all(&directory)).name_path("remove", &directory)?)
    }

    /// Everything up to a running kubelet; [`Node::wait_ready`] is the rest.
    pub(crate) fn boot(&self) -> Result<(), ClusterError> {
        self.write_files()?;
        network::create_node(self.instance(), self.id)?;
        self.start_machine()?;
        self.start(NodeDaemon::Containerd)?;
        let socket = self.directory().join("run/containerd.sock");
        wait::until("containerd's socket", START, || {
            self.daemon(NodeDaemon::Containerd).expect_running()?;
            Ok::<_, ClusterError>(socket.exists().then_some(()))
        })?;
        // Before the kubelet: a pod of a daemon set comes within a second of its registration, and containerd would ask
        // a registry that is not there for its images, for longer than any test waits.
        for archive in files::entries(&self.layout.images())? {
            self.import_image(&archive)?;
        }
        self.start(NodeDaemon::Kubelet)?;
        self.start(NodeDaemon::KubeProxy)
    }

    /// Waits until Kubernetes calls it Ready.
    ///
    /// # Errors
    /// When it takes too long or one of its daemons ends.
    pub fn wait_ready(&self) -> Result<(), ClusterError> {
        let name = format!("node/{}", self.id);
        wait::until(&format!("{} being Ready", self.id), READY, || {
            for daemon in [NodeDaemon::Containerd, NodeDaemon::Kubelet, NodeDaemon::KubeProxy] {
                self.daemon(daemon).expect_running()?;
            }
            // Both watch, so the answer comes at once; the limit is there for the check above.
            let wait = |what| self.client.kubectl(["wait", what, "--timeout=5s", &name]).is_ok();
            Ok((wait("--for=create") && wait("--for=condition=Ready")).then_some(()))
        })
    }

    /// Its root directory as its own processes see it, with all that is mounted there. Valid while it has power.
    ///
    /// # Errors
    /// When it has no power.
    pub fn root(&self) -> Result<PathBuf, ClusterError> {
        let machine = self.machine().expect_running()?;
        Ok(format!("/proc/{}/root", machine.pid().as_raw_nonzero()).into())
    }

    /// Runs a program on it and returns what it printed.
    ///
    /// # Errors
    /// When it has no power, or the program fails.
    pub fn run(&self, words: &[&str]) -> Result<String, ClusterError> {
        Ok(command::output(&mut self.command(words)?)?)
    }

    /// A program that runs on it once it is started. The process is the program's own.
    ///
    /// # Errors
    /// When it has no power.
    pub fn command(&self, words: &[&str]) -> Result<std::process::Command, ClusterError> {
        let inside = self.inside()?;
        let mut command = std::process::Command::new(&inside[0]);
        command.args(&inside[1..]).args(words);
        Ok(command)
    }

    /// Mounts a small, empty file system at a directory of it. What is there is hidden until [`Node::unmount`].
    ///
    /// # Errors
    /// When something is mounted there already that came from here, or the kernel refuses.
    pub fn mount(&self, kind: SmallDisk, at: &str) -> Result<(), ClusterError> {
        match kind {
            SmallDisk::Ext4 => {
                let image = self.file(SMALL_DISK);
                fs::File::create_new(&image)
                    .and_then(|file| file.set_len(8 * 1024 * 1024))
                    .name_path("create", Path::new(&image))?;
                // No blocks are kept back for root, and there are few inodes, so that both can be used up.
                self.run(&["mke2fs", "-q", "-t", "ext4", "-b", "1024", "-m", "0", "-N", "64", &image])?;
                self.run(&["mount", "-o", "loop", &image, at])?;
            }
            SmallDisk::Tmpfs => {
                self.run(&["mount", "-t", "tmpfs", "-o", "size=1m,nr_inodes=64,mode=755", "tmpfs", at])?;
            }
        }
        Ok(())
    }

    /// Ends a [`Node::mount`]. Processes that have it open keep it until they end.
    ///
    /// # Errors
    /// When nothing is mounted there.
    pub fn unmount(&self, at: &str) -> Result<(), ClusterError> {
        self.run(&["umount", "--lazy", at])?;
        let image = self.file(SMALL_DISK);
        // The kernel keeps what it has open, and the loop device goes with it.
        Ok(files::or_absent(fs::remove_file(&image)).name_path("remove", Path::new(&image))?)
    }

    fn start_machine(&self) -> Result<(), ClusterError> {
        let groups = cgroup::Hierarchies::of_this_machine()?.create(&self.kernel_name())?;
        let booted = self.directory().join("booted");
        files::or_absent(fs::remove_file(&booted)).name_path("remove", &booted)?;
        let namespace = format!("--net={}", self.instance().namespace(self.id).display());
        let pairs: Vec<String> = MOUNTS.iter().map(|(from, to)| format!("{from}:{to}")).collect();
        let directory = self.directory().display().to_string();
        // Not `ip netns exec`: it mounts a new /sys, and the kubelet would find no cgroups below it.
        let mut command = vec!["nsenter", &namespace, "unshare", "--mount", "--uts", "sh", "-c", MACHINE];
        let (name, pairs) = (self.name(), pairs.join(" "));
        command.extend(["machine", &directory, &name, &pairs]);
        self.machine().start(&groups, command)?;
        wait::until("the node's mounts", START, || {
            self.machine().expect_running()?;
            Ok(booted.exists().then_some(()))
        })
    }

    /// Certificates, directories and configuration. What is volatile starts empty.
    fn write_files(&self) -> Result<(), ClusterError> {
        let directory = self.directory();
        for (name, _) in MOUNTS {
            let path = directory.join(name);
            if VOLATILE.contains(&name) {
                files::or_absent(fs::remove_dir_all(&path)).name_path("remove", &path)?;
            }
            files::create_dir(&path)?;
        }
        files::create_dir(&self.static_pods_dir())?;
        if !self.kubeconfig().exists() {
            pki::create_node(&self.layout, self.id)?;
        }
        let write =
            |name: &str, text: String| -> Result<(), FileError> { files::write(&directory.join(name), text) };
        files::create_dir(&directory.join("cni"))?;
        let addresses = directory.join("cni-addresses");
        write("cni/10-ptp.conflist", node_config::cni(&self.instance().pods(self.id), &addresses))?;
        let programs = self.client.programs().directory();
        let (cni, registries) = (directory.join("cni"), directory.join(REGISTRIES));
        write("containerd.toml", node_config::containerd(programs, &cni, &registries))?;
        let taint = directory.join(STARTUP_TAINT);
        let taint =
            if taint.exists() { Some(fs::read_to_string(&taint).name_path("read", &taint)?) } else { None };
        write("kubelet.json", node_config::kubelet(self.id, &self.layout, taint.as_deref()))?;
        Ok(())
    }

    /// The taint with which the kubelet registers the node.
    pub(crate) fn set_startup_taint(&self, key: &str) -> Result<(), FileError> {
        files::write(&self.directory().join(STARTUP_TAINT), key)
    }

    /// The words that run a command inside the machine.
    fn inside(&self) -> Result<Vec<String>, ClusterError> {
        let machine: Identity = self.machine().expect_running()?;
        let target = format!("--target={}", machine.pid().as_raw_nonzero());
        let path = std::env::var("PATH").unwrap_or_default();
        // containerd finds its shim, and the kubelet mount and others, on the PATH.
        let path = format!("PATH={}:{path}:/usr/sbin:/sbin", self.client.programs().directory().display());
        Ok(["nsenter", &target, "--net", "--mount", "--uts", "env", &path].map(String::from).into())
    }

    fn directory(&self) -> PathBuf {
        self.layout.node(self.id)
    }

    fn file(&self, name: &str) -> String {
        self.directory().join(name).display().to_string()
    }

    fn daemon_name(&self, part: &str) -> String {
        format!("{}.{part}", self.id)
    }

    fn machine(&self) -> Daemon {
        Daemon::new(&self.layout, self.daemon_name("machine"))
    }

    fn daemon(&self, daemon: NodeDaemon) -> Daemon {
        Daemon::new(&self.layout, self.daemon_name(daemon.name()))
    }
}
