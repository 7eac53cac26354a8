//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use api::NodeName;
use clap::Parser;
use daemon::logging::LoggingArgs;

/// Counts the system calls that seccomp filters refuse on this node, by container, and reports them.
#[derive(Debug, Clone, Parser)]
#[command(name = "observer", version)]
pub struct Options {
    /// The node that this observer runs on.
    #[arg(long, env = "NODE_NAME")]
    pub node_name: NodeName,
    /// Where a /proc of the node's first PID namespace is mounted.
    #[arg(long, default_value = "/proc")]
    pub proc: PathBuf,
    /// The directory of the kubelet's links to the logs of containers, which have their names.
    #[arg(long, default_value = "/var/log/containers")]
    pub log_links: PathBuf,
    /// Where /metrics, /healthz and /readyz are served; [::] is IPv4, too, and alone where there is no IPv6.
    #[arg(long, env = "LISTEN", default_value = "[::]:8080")]
    pub listen: SocketAddr,
    /// What is logged, and how.
    #[command(flatten)]
    pub logging: LoggingArgs,
}
