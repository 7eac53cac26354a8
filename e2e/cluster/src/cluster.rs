//! The local cluster as a whole: its start, its nodes, its components and its end.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use xtask::build_images::{self, base_images, build_images};
use xtask::command::CommandError;
use xtask::files::{self, FileError, NamePath};
use xtask::interrupt;
use xtask::programs::Programs;
use xtask::step::{note, step};
use xtask::workspace::repository;

use crate::client::{Client, NAMESPACE};
use crate::control_plane::{Component, ControlPlane};
use crate::error::ClusterError;
use crate::instance::Instance;
use crate::layout::Layout;
use crate::lock::Lock;
use crate::node::Node;
use crate::node_id::NodeId;
use crate::record::HostRecord;
use crate::{cgroup, doctor, network, pki, teardown, wait};

/// Options of a cluster.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many nodes it starts with.
    pub nodes: u8,
    /// Where its state goes.
    pub layout: Layout,
    /// Where its programs are, or are built into.
    pub programs: Programs,
    /// Whether etcd syncs to the disk. Only a test of durability needs it; everything is faster without.
    pub etcd_fsync: bool,
    /// Whether the project's images are compiled beside its programs, for a chart that is installed afterwards.
    pub images: bool,
}

impl Default for Options {
    /// Two nodes, in the places that the environment names.
    fn default() -> Self {
        Options {
            nodes: 2,
            layout: Layout::from_environment(),
            programs: Programs::in_cache(),
            etcd_fsync: false,
            images: false,
        }
    }
}

impl Options {
    /// Builds the programs, and the images' beside them where there are programs to build: the linker that optimises a
    /// whole image uses one core, and leaves the others to the Go compiler.
    fn build(&self) -> Result<(), ClusterError> {
        if !self.images || self.programs.complete() {
            return Ok(self.programs.build()?);
        }
        note("nothing is cached yet: the first start builds Kubernetes and takes some tens of minutes");
        thread::scope(|scope| {
            let images = scope.spawn(|| {
                step("compile the project's images beside them", || {
                    build_images::compile(repository()).map_err(ClusterError::from)
                })
                .map_err(ClusterError::from)
            });
            self.programs.build()?;
            images.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).map(drop)
        })
    }
}

/// What [`Cluster::attach`] needs to know of a running cluster.
#[derive(Debug, Serialize, Deserialize)]
struct Description {
    instance: Instance,
    programs: PathBuf,
    etcd_fsync: bool,
}

/// A local cluster. It continues to run when this value is dropped; [`Cluster::down`] ends it.
#[derive(Debug)]
pub struct Cluster {
    layout: Layout,
    client: Client,
    etcd_fsync: bool,
    /// Held by the process that started it, so that no second one is started meanwhile.
    lock: Option<Lock>,
}

impl Cluster {
    /// Starts a cluster and returns when every node is Ready. What an earlier one left behind is removed
    /// first, and an earlier one that still runs is replaced. A failed or interrupted start is torn down.
    ///
    /// # Errors
    /// What this machine lacks, or the step that failed.
    pub fn up(options: &Options) -> Result<Self, ClusterError> {
        let lock = Lock::take(options.layout.instance())?;
        step("check this machine", || doctor::check(!options.programs.complete()))?;
        options.build()?;
        if teardown::anything_left(&options.layout)? {
            step("clear what an earlier cluster left", || teardown::everything(&options.layout))?;
        }
        let client = Client::new(options.programs.clone(), options.layout.kubeconfig("admin"));
        let cluster = Cluster {
            layout: options.layout.clone(),
            client,
            etcd_fsync: options.etcd_fsync,
            lock: Some(lock),
        };
        match cluster.start(options.nodes) {
            Ok(()) => Ok(cluster),
            Err(error) => {
                // The first error is the useful one; the step reports its own failure itself.
                let _ = step("tear down what was started", || teardown::everything(&cluster.layout));
                Err(error)
            }
        }
    }

    /// The cluster that runs with its state in this place.
    ///
    /// # Errors
    /// When there is none.
    pub fn attach(layout: &Layout) -> Result<Self, ClusterError> {
        let path = layout.description();
        let text =
            fs::read_to_string(&path).map_err(|_| ClusterError::NoCluster(layout.directory().to_owned()))?;
        let description: Description = serde_json::from_str(&text)
            .map_err(|_| ClusterError::NoCluster(layout.directory().to_owned()))?;
        let client = Client::new(Programs::in_directory(description.programs), layout.kubeconfig("admin"));
        let layout = Layout::new(layout.directory(), description.instance);
        Ok(Cluster { layout, client, etcd_fsync: description.etcd_fsync, lock: None })
    }

    /// Ends the cluster and removes everything of it.
    ///
    /// # Errors
    /// When something cannot be removed; another call continues from there.
    pub fn down(self) -> Result<(), ClusterError> {
        match self.lock {
            Some(_) => Ok(step("tear down the cluster", || teardown::everything(&self.layout))?),
            None => Self::clear(&self.layout),
        }
    }

    /// Removes all remains of a cluster, even if there is too little left to [`Cluster::attach`] to.
    ///
    /// # Errors
    /// When another process is about to start or end a cluster, or something cannot be removed.
    pub fn clear(layout: &Layout) -> Result<(), ClusterError> {
        let _lock = Lock::take(layout.instance())?;
        if teardown::anything_left(layout)? {
            step("tear down the cluster", || teardown::everything(layout))?;
        }
        Ok(())
    }

    /// kubectl and helm, as the cluster's administrator.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        self.client.kubeconfig()
    }

    /// Which of the machine's clusters it is.
    pub fn instance(&self) -> Instance {
        self.layout.instance()
    }

    /// The directory with the cluster's state.
    pub fn directory(&self) -> &Path {
        self.layout.directory()
    }

    /// The API server's audit log: one JSON object a line for every request of a service account in the
    /// namespace [`NAMESPACE`].
    pub fn audit_log(&self) -> PathBuf {
        self.layout.audit_log()
    }

    /// The ids of all processes of the cluster, those in its containers included, as the host sees them.
    ///
    /// # Errors
    /// When the machine's cgroups cannot be read.
    pub fn processes(&self) -> Result<BTreeSet<u32>, FileError> {
        let hierarchies = cgroup::Hierarchies::of_this_machine()?;
        let groups = hierarchies.of_instance(self.instance())?;
        let pids = groups.iter().flat_map(|group| hierarchies.processes(group));
        Ok(pids.map(|pid| pid.as_raw_nonzero().get().unsigned_abs()).collect())
    }

    /// Runs kubectl and returns its standard output.
    ///
    /// # Errors
    /// When it fails, with its standard error.
    pub fn kubectl(
        &self,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Result<String, CommandError> {
        self.client.kubectl(arguments)
    }

    /// Runs kubectl with `input` as its standard input, as `kubectl apply -f -` wants it.
    ///
    /// # Errors
    /// When it fails, with its standard error.
    pub fn kubectl_input(
        &self,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        input: &str,
    ) -> Result<String, CommandError> {
        self.client.kubectl_input(arguments, input)
    }

    /// Runs helm and returns its standard output.
    ///
    /// # Errors
    /// When it fails, with its standard error.
    pub fn helm(
        &self,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Result<String, CommandError> {
        self.client.helm(arguments)
    }

    /// The nodes that have a disk, with or without power, by number.
    ///
    /// # Errors
    /// When the state directory cannot be read.
    pub fn nodes(&self) -> Result<Vec<Node>, FileError> {
        let paths = files::entries(&self.layout.nodes())?;
        let names = paths.iter().filter_map(|path| path.file_name()?.to_str()?.parse().ok());
        let mut ids: Vec<NodeId> = names.collect();
        ids.sort();
        Ok(ids.into_iter().map(|id| self.node(id)).collect())
    }

    /// A handle to a node, whether or not it exists.
    pub fn node(&self, id: NodeId) -> Node {
        Node::new(id, &self.layout, &self.client)
    }

    /// Starts one more node, with the lowest number that is free, and waits until it is Ready. A failed
    /// one is removed again.
    ///
    /// # Errors
    /// When it does not start, or there are [`NodeId::MAX`] already.
    pub fn add_node(&self) -> Result<Node, ClusterError> {
        self.add_prepared_node(|_| Ok(()))
    }

    /// Like [`Cluster::add_node`], but `prepare` changes the node's disk before it starts, and its kubelet registers it
    /// with this taint, of the effect `NoSchedule`.
    ///
    /// # Errors
    /// When it does not start, or there are [`NodeId::MAX`] already.
    pub fn add_tainted_node(
        &self,
        taint: &str,
        prepare: impl FnOnce(&Node) -> Result<(), FileError>,
    ) -> Result<Node, ClusterError> {
        self.add_prepared_node(|node| {
            node.set_startup_taint(taint)?;
            prepare(node)
        })
    }

    fn add_prepared_node(
        &self,
        prepare: impl FnOnce(&Node) -> Result<(), FileError>,
    ) -> Result<Node, ClusterError> {
        let node = self.claim_node()?;
        let started = prepare(&node).map_err(ClusterError::from).and_then(|()| self.start_node(&node));
        if let Err(error) = started {
            let _deferred = interrupt::defer_signals();
            let _ = node.remove();
            return Err(error);
        }
        Ok(node)
    }

    /// Makes an image known to every node that has power, and to those that start later.
    ///
    /// # Errors
    /// When a node refuses the archive.
    pub fn load_image(&self, archive: &Path) -> Result<(), ClusterError> {
        let kept = self.layout.images().join(archive.file_name().unwrap_or_default());
        if kept != archive {
            fs::copy(archive, &kept).name_path("copy to", &kept)?;
        }
        let nodes = self.nodes()?;
        in_parallel(nodes.iter().filter(|node| node.is_running()), |node| node.import_image(&kept))
    }

    /// Builds the project's own images, loads them and installs the chart of the workspace. `values` are
    /// further arguments for helm.
    ///
    /// # Errors
    /// The step that failed.
    pub fn install_chart(&self, values: &[&str]) -> Result<(), ClusterError> {
        let archives = step("build the project's images", || {
            build_images(repository(), &self.layout.images()).map_err(ClusterError::from)
        })?;
        step("load them into the nodes", || {
            archives.iter().try_for_each(|archive| self.load_image(archive))
        })?;
        let chart = repository().join("charts").join(NAMESPACE);
        step("install the chart", || self.client.install_chart(&chart, values).map_err(ClusterError::from))?;
        // An agent is ready some moments before its first report, and until then its node joins.
        Ok(step("wait until every node has reported", || self.wait_reported())?)
    }

    fn wait_reported(&self) -> Result<(), ClusterError> {
        let nodes = self.nodes()?.len();
        let counts = r#"jsonpath={range .items[*]}{.status.report.fileCount}{"\n"}{end}"#;
        let get = ["get", "nodeprofilestatuses.seccomp.imjasonh.dev", "-o", counts];
        wait::until("a report of every node", Duration::from_mins(1), || {
            let reported = self.client.kubectl(get)?.lines().filter(|count| !count.is_empty()).count();
            Ok((reported == nodes).then_some(()))
        })
    }

    /// Ends one component of the control plane: SIGTERM, and SIGKILL when that does not help.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(&self, component: Component) -> Result<(), ClusterError> {
        Ok(self.control_plane().daemon(component).stop()?)
    }

    /// Kills one component of the control plane, as a crash would.
    ///
    /// # Errors
    /// When it does not die.
    pub fn kill(&self, component: Component) -> Result<(), ClusterError> {
        Ok(self.control_plane().daemon(component).kill()?)
    }

    /// Starts one component of the control plane again and waits until the API server is ready, which it
    /// cannot be while another one that it needs is stopped.
    ///
    /// # Errors
    /// When it does not start.
    pub fn restart(&self, component: Component) -> Result<(), ClusterError> {
        self.control_plane().start(component)?;
        self.control_plane().wait_ready(&self.client)
    }

    fn start(&self, nodes: u8) -> Result<(), ClusterError> {
        step("prepare certificates, images and the network", || self.prepare())?;
        step("start the control plane", || self.control_plane().up(&self.client))?;
        let claimed: Vec<Node> = (0..nodes).map(|_| self.claim_node()).collect::<Result<_, _>>()?;
        in_parallel(&claimed, |node| self.start_node(node))?;
        Ok(step("wait until pods can be created", || self.control_plane().wait_for_pods(&self.client))?)
    }

    fn prepare(&self) -> Result<(), ClusterError> {
        HostRecord::prepare_host(&self.layout)?;
        files::create_dir(self.layout.directory())?;
        let description = Description {
            instance: self.layout.instance(),
            programs: self.client.programs().directory().into(),
            etcd_fsync: self.etcd_fsync,
        };
        files::write(&self.layout.description(), serde_json::to_string(&description).unwrap_or_default())?;
        for directory in [self.layout.log(""), self.layout.pid_file(""), self.layout.nodes()] {
            files::create_dir(&directory)?;
        }
        pki::create(&self.layout)?;
        base_images(&self.layout.images())?;
        Ok(network::create_bridge(self.layout.instance())?)
    }

    /// Making its directory is what claims a number, so two processes never get the same one.
    fn claim_node(&self) -> Result<Node, ClusterError> {
        for id in NodeId::all() {
            let path = self.layout.node(id);
            match fs::create_dir(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                result => {
                    return result.name_path("create", &path).map(|()| self.node(id)).map_err(Into::into);
                }
            }
        }
        Err(ClusterError::Full)
    }

    fn start_node(&self, node: &Node) -> Result<(), ClusterError> {
        step(format!("start {}", node.name()), || node.boot())?;
        Ok(step(format!("wait until {} is Ready", node.name()), || node.wait_ready())?)
    }

    fn control_plane(&self) -> ControlPlane<'_> {
        ControlPlane { layout: &self.layout, programs: self.client.programs(), etcd_fsync: self.etcd_fsync }
    }
}

/// Does the work for all nodes side by side and returns the first error, after all have ended.
fn in_parallel<'a>(
    nodes: impl IntoIterator<Item = &'a Node>,
    work: impl Fn(&Node) -> Result<(), ClusterError> + Sync,
) -> Result<(), ClusterError> {
    let work = &work;
    thread::scope(|scope| {
        let threads: Vec<_> = nodes.into_iter().map(|node| scope.spawn(move || work(node))).collect();
        let results: Vec<_> = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect();
        results.into_iter().collect()
    })
}
