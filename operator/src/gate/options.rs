//! The options of `operator gate`, as the chart sets them.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use daemon::logging::LoggingArgs;

use crate::lease::{LeaseOptions, duration};

/// Options of [`Task::Gate`](crate::options::Task::Gate).
#[derive(Debug, Clone, Args)]
pub struct GateOptions {
    /// Namespace of the lease.
    #[arg(long, env = "POD_NAMESPACE")]
    pub namespace: String,
    /// Where profiles are, below the kubelet's `seccomp/`.
    #[arg(long, default_value = api::names::DEFAULT_DIRECTORY)]
    pub directory: String,
    /// Where `/metrics`, `/healthz` and `/readyz` are served; `[::]` is IPv4, too, and alone where there is no IPv6.
    #[arg(long, default_value = "[::]:8080")]
    pub listen: SocketAddr,
    /// How long nodes must have failed to hold a profile before pods that name it are scheduled on the other nodes.
    #[arg(long, default_value = "60s", value_parser = duration)]
    pub leave_out_failed_nodes_after: Duration,
    /// The election.
    #[command(flatten)]
    pub lease: LeaseOptions,
    /// Logging.
    #[command(flatten)]
    pub logging: LoggingArgs,
}
