//! A cluster that can be used, whoever runs it.

use std::path::Path;

use xtask::programs::Programs;
use xtask::step::step;
use xtask::workspace::repository;

use crate::kind::KindCluster;
use crate::{Client, Cluster, ClusterError, NAMESPACE, Options};

/// A cluster that can be used, whoever runs it.
pub enum TargetCluster {
    /// Started here, and ended here.
    Local(Cluster),
    /// In Docker, started and ended here.
    Kind(KindCluster),
    /// An external cluster.
    External(Client),
}

impl TargetCluster {
    /// Starts a local cluster, with the project's chart if `chart` is true.
    ///
    /// # Errors
    /// The step that failed; what was started is ended then.
    pub fn start(options: &Options, chart: bool) -> Result<Self, ClusterError> {
        let cluster = Cluster::up(&Options { images: chart, ..options.clone() })?;
        if chart && let Err(error) = cluster.install_chart(&[]) {
            // The first error is the useful one.
            let _ = cluster.down();
            return Err(error);
        }
        Ok(TargetCluster::Local(cluster))
    }

    /// Uses the cluster of a kubeconfig, whose nodes must be able to get the images; with the project's chart if
    /// `chart` says so.
    ///
    /// # Errors
    /// kubectl and helm do not build, or the chart is there already or cannot be installed.
    pub fn attach(kubeconfig: &Path, chart: bool) -> Result<Self, ClusterError> {
        let programs = Programs::in_cache();
        programs.build_clients()?;
        let kubeconfig = std::path::absolute(kubeconfig).unwrap_or_else(|_| kubeconfig.to_owned());
        let client = Client::new(programs, kubeconfig);
        if chart {
            // An upgrade with our values would discard the owner's values.
            if client.helm(["status", NAMESPACE, "--namespace", NAMESPACE]).is_ok() {
                return Err(ClusterError::Installed);
            }
            let chart = repository().join("charts").join(NAMESPACE);
            step("install the chart", || client.install_chart(&chart, &[]).map_err(ClusterError::from))?;
        }
        Ok(TargetCluster::External(client))
    }

    /// kubectl and helm against it.
    pub fn client(&self) -> &Client {
        match self {
            TargetCluster::Local(cluster) => cluster.client(),
            TargetCluster::Kind(kind) => kind.client(),
            TargetCluster::External(client) => client,
        }
    }

    /// Where kubectl, helm and the rest are, for a `PATH`.
    pub fn programs_directory(&self) -> String {
        self.client().programs().directory().display().to_string()
    }

    /// What a shell evaluates to use it.
    pub fn exports(&self) -> String {
        let kubeconfig = quoted(&self.client().kubeconfig().display().to_string());
        let programs = quoted(&self.programs_directory());
        format!("export KUBECONFIG={kubeconfig}\nexport PATH={programs}:\"$PATH\"")
    }

    /// Ends it if it was started here.
    ///
    /// # Errors
    /// When something of it stays.
    pub fn end(self) -> Result<(), ClusterError> {
        match self {
            TargetCluster::Local(cluster) => cluster.down(),
            TargetCluster::Kind(kind) => kind.down(),
            TargetCluster::External(_) => Ok(()),
        }
    }
}

/// Single quotes, so that a shell takes the text as it is.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use xtask::command;

    #[test]
    fn what_is_printed_survives_a_shell() {
        let printed =
            command::output(Command::new("sh").args(["-c", &format!("printf %s {}", quoted("a'b $c"))]));
        assert_eq!(printed.unwrap(), "a'b $c");
    }
}
