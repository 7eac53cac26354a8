//! A kind cluster instead of the local one, for those who have Docker.
//!
//! There is no Docker where the project is tested, so this never runs there. The tests below check only the arguments
//! passed to kind, and the error without Docker; that a cluster starts is not tested.

use std::path::PathBuf;
use std::process::Command;

use serde_json::json;
use xtask::build_images::build_images;
use xtask::command;
use xtask::files::NamePath;
use xtask::programs::{self, Programs};
use xtask::step::step;
use xtask::workspace::repository;

use crate::{Client, ClusterError, NAMESPACE};

/// What kind calls the cluster.
const NAME: &str = "seccomp-profile-e2e";

/// The kind cluster of this project. It continues to run when this value is dropped.
pub struct KindCluster {
    client: Client,
}

impl KindCluster {
    /// Starts one, with the project's images and chart if `chart` is true. A running cluster of this name is replaced,
    /// like the local one.
    ///
    /// # Errors
    /// There is no Docker, or the step that failed.
    pub fn up(nodes: u8, chart: bool) -> Result<Self, ClusterError> {
        let kind = Self::on_this_machine()?;
        let started = kind.start(nodes).and_then(|()| if chart { kind.install_chart() } else { Ok(()) });
        if let Err(error) = started {
            // The first error is the useful one.
            let _ = kind.down();
            return Err(error);
        }
        Ok(kind)
    }

    /// A handle to the cluster, running or not.
    ///
    /// # Errors
    /// There is no Docker, or kind does not build.
    pub fn on_this_machine() -> Result<Self, ClusterError> {
        // Many machines have the Docker client without a daemon.
        command::output(Command::new("docker").arg("info")).map_err(ClusterError::NoDocker)?;
        let programs = Programs::in_cache();
        programs.build_clients()?;
        programs.build_kind()?;
        Ok(KindCluster { client: Client::new(programs, kubeconfig()) })
    }

    /// kubectl and helm against it.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Deletes it; succeeds if there is none.
    ///
    /// # Errors
    /// kind fails.
    pub fn down(&self) -> Result<(), ClusterError> {
        let mut kind = self.client.command("kind");
        kind.args(["delete", "cluster", "--name", NAME]);
        step("delete the kind cluster", || command::output(&mut kind).map(drop).map_err(ClusterError::from))?;
        Ok(())
    }

    fn start(&self, nodes: u8) -> Result<(), ClusterError> {
        self.down()?;
        let mut kind = self.client.command("kind");
        kind.args(["create", "cluster", "--name", NAME, "--wait", "3m", "--config", "-"]);
        step("create a kind cluster", || {
            command::output_with_input(&mut kind, &config(nodes)).map(drop).map_err(ClusterError::from)
        })?;
        Ok(())
    }

    fn install_chart(&self) -> Result<(), ClusterError> {
        let directory = tempfile::tempdir().name_path("create", &std::env::temp_dir())?;
        let archives = step("build the project's images", || {
            build_images(repository(), directory.path()).map_err(ClusterError::from)
        })?;
        step("load them into the nodes", || {
            archives.iter().try_for_each(|archive| {
                let mut kind = self.client.command("kind");
                kind.args(["load", "image-archive", "--name", NAME]).arg(archive);
                command::output(&mut kind).map(drop).map_err(ClusterError::from)
            })
        })?;
        let chart = repository().join("charts").join(NAMESPACE);
        step("install the chart", || self.client.install_chart(&chart, &[]).map_err(ClusterError::from))?;
        Ok(())
    }
}

/// Where the programs find the cluster: kind writes and removes it.
fn kubeconfig() -> PathBuf {
    programs::cache().join("kind.kubeconfig")
}

/// The cluster with this many nodes, of which one is the control plane: agents run on all. JSON is YAML to kind.
fn config(nodes: u8) -> String {
    let roles = (0..nodes.max(1)).map(|node| if node == 0 { "control-plane" } else { "worker" });
    let nodes: Vec<_> = roles.map(|role| json!({ "role": role })).collect();
    json!({ "kind": "Cluster", "apiVersion": "kind.x-k8s.io/v1alpha4", "nodes": nodes }).to_string()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;

    /// A program in kind's place that records its arguments.
    fn recorder(directory: &Path) -> KindCluster {
        let script = "#!/bin/sh\necho \"$@\" >>\"$0.log\"\n[ \"$1\" != create ] || cat >>\"$0.log\"\n";
        let path = directory.join("kind");
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        KindCluster { client: Client::new(Programs::in_directory(directory), directory.join("kubeconfig")) }
    }

    #[test]
    fn an_earlier_cluster_is_replaced_by_one_with_as_many_nodes_as_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        recorder(directory.path()).start(2).unwrap();
        let said = xtask::files::read(&directory.path().join("kind.log")).unwrap();
        let lines: Vec<_> = said.lines().collect();
        assert_eq!(lines[0], "delete cluster --name seccomp-profile-e2e");
        assert_eq!(lines[1], "create cluster --name seccomp-profile-e2e --wait 3m --config -");
        let config: serde_json::Value = serde_json::from_str(lines[2]).unwrap();
        assert_eq!(config["nodes"], json!([{ "role": "control-plane" }, { "role": "worker" }]));
        assert_eq!(lines.len(), 3);
    }
}
