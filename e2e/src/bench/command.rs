//! `e2e bench`: measurements on the cluster that runs.

use clap::Subcommand;

use super::{BenchError, latency, memory};
use crate::cluster::{Cluster, ClusterError, Layout};

/// What to measure.
#[derive(Debug, Clone, Subcommand)]
pub enum Bench {
    /// From apply to disk and to Ready, beside a bare watch echo
    Latency {
        /// How many applies
        #[arg(long, default_value_t = 200)]
        rounds: usize,
    },
    /// The programs' resident memory with 0, 100 and 1,000 profiles, and with the largest one
    Memory,
}

/// A measurement that did not come about, or a bar that was not reached.
#[derive(Debug, thiserror::Error)]
pub enum BenchCommandError {
    /// There is no cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The measurement failed.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// A file of the cluster cannot be read.
    #[error(transparent)]
    File(#[from] crate::files::FileError),
    /// There is no runtime for the measurement.
    #[error("runtime: {0}")]
    Runtime(std::io::Error),
}

impl Bench {
    /// Measures on the local cluster that runs.
    ///
    /// # Errors
    /// There is no cluster, it failed, or a bar was not reached.
    pub fn perform(self) -> Result<(), BenchCommandError> {
        let cluster = Cluster::attach(&Layout::from_environment())?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(BenchCommandError::Runtime)?;
        match self {
            Self::Latency { rounds } => {
                let directories: Vec<_> =
                    cluster.nodes()?.iter().map(|node| node.seccomp_dir().join("profiles")).collect();
                runtime.block_on(latency::measure(cluster.kubeconfig(), &directories, rounds))?;
            }
            Self::Memory => runtime.block_on(memory::measure(cluster.kubeconfig()))?,
        }
        Ok(())
    }
}
