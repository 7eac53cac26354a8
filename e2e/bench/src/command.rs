//! The command line: measurements on the cluster that runs, or on an API server of their own.

use std::time::Duration;

use clap::Subcommand;
use cluster::wait::WaitError;
use cluster::{Cluster, ClusterError, Layout};
use xtask::interrupt;

use crate::{BenchError, hostile_connections, latency, memory, scale};

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
    /// What hundreds of untrusted connections to the programs' port cost, without a cluster
    Strangers {
        /// Build the programs quickly instead of as in the images
        #[arg(long)]
        quick: bool,
    },
    /// Many nodes on an API server without a cluster, beside a floor
    Scale {
        /// Nodes
        #[arg(long, default_value_t = 1000)]
        nodes: usize,
        /// What is measured
        #[command(flatten)]
        options: scale::Options,
    },
    /// Like `scale`, at several numbers of nodes, with a plot
    Sweep(scale::Sweep),
    /// What other ways to learn of profiles and to report would cost, on bare watchers
    Ways {
        /// Nodes
        #[arg(long, default_value_t = 1000)]
        nodes: usize,
        /// What is measured
        #[command(flatten)]
        options: scale::Options,
    },
}

/// A measurement that failed, or a bar that was not reached.
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
    File(#[from] xtask::files::FileError),
    /// There is no runtime for the measurement.
    #[error("runtime: {0}")]
    Runtime(std::io::Error),
}

impl Bench {
    /// Measures on the local cluster that runs, if it takes one.
    ///
    /// # Errors
    /// There is no cluster, it failed, or a bar was not reached.
    pub fn perform(self) -> Result<(), BenchCommandError> {
        let runtime = match self {
            Self::Latency { .. } | Self::Memory | Self::Strangers { .. } => {
                tokio::runtime::Builder::new_current_thread()
            }
            Self::Scale { .. } | Self::Ways { .. } | Self::Sweep(_) => {
                tokio::runtime::Builder::new_multi_thread()
            }
        }
        .enable_all()
        .build()
        .map_err(BenchCommandError::Runtime)?;
        let attach = || Cluster::attach(&Layout::from_environment());
        match self {
            Self::Latency { rounds } => {
                let cluster = attach()?;
                let directories: Vec<_> =
                    cluster.nodes()?.iter().map(|node| node.seccomp_dir().join("profiles")).collect();
                runtime.block_on(latency::measure(cluster.kubeconfig(), &directories, rounds))?;
            }
            Self::Strangers { quick } => runtime.block_on(hostile_connections::measure(!quick))?,
            Self::Memory => runtime.block_on(memory::measure(attach()?.kubeconfig()))?,
            Self::Scale { nodes, options } => {
                runtime.block_on(unless_interrupted(scale::measure(nodes, &options)))?;
            }
            Self::Ways { nodes, options } => {
                runtime.block_on(unless_interrupted(scale::ways(nodes, &options)))?;
            }
            Self::Sweep(sweep) => runtime.block_on(unless_interrupted(scale::sweep(&sweep)))?,
        }
        Ok(())
    }
}

/// Drops a measurement, and with it everything that it started, when a signal requests the end.
async fn unless_interrupted(
    measurement: impl Future<Output = Result<(), BenchError>>,
) -> Result<(), BenchError> {
    let interrupted = async {
        loop {
            if let Err(interrupted) = interrupt::check() {
                return interrupted;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::select! {
        measured = measurement => measured,
        interrupted = interrupted => Err(WaitError::from(interrupted).into()),
    }
}
