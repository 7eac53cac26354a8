//! Where every file of a cluster is. Names and addresses in the kernel come from [`Instance`].

use std::path::{Path, PathBuf};

use crate::instance::Instance;
use crate::node_id::NodeId;

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
        Self::of(Instance::FIRST)
    }

    /// Where this one of the machine's clusters is started: beside the first one's directory.
    pub fn of(instance: Instance) -> Self {
        let set = std::env::var_os("SECCOMP_E2E_DIR").filter(|value| !value.is_empty());
        let mut directory = set.unwrap_or_else(|| "/tmp/seccomp-profile-e2e".into());
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
