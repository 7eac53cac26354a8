//! The options of `operator gate`, as the chart sets them.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use daemon::logging::LoggingArgs;

use super::nodes;
use super::nodes::judgement::Rules;
use super::nodes::taint_key::TaintKey;
use crate::agent_options::AgentOptions;
use daemon::lease::{LeaseOptions, duration};

/// Options of [`Task::Gate`](crate::options::Task::Gate).
#[derive(Debug, Clone, Args)]
pub struct GateOptions {
    /// Namespace of the lease and of the agents' pods.
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
    /// Whether to keep the condition of each Node.
    #[arg(long)]
    pub nodes: bool,
    /// Key of the start-up taint, which is taken off a Node once the node has its profiles. Without it no taint is.
    #[arg(long, requires = "nodes")]
    pub startup_taint: Option<TaintKey>,
    /// Take it off although the node lacks profiles, if its agent cannot write any of them because of a lasting problem.
    #[arg(long, requires = "nodes")]
    pub release_nodes_with_problems: bool,
    /// How long no agent may have been ready on a node before it is unknown whether the node has its profiles.
    #[arg(long, default_value = "5m", value_parser = duration)]
    pub nodes_unknown_after: Duration,
    /// The agents.
    #[command(flatten)]
    pub agent: AgentOptions,
    /// The election.
    #[command(flatten)]
    pub lease: LeaseOptions,
    /// Logging.
    #[command(flatten)]
    pub logging: LoggingArgs,
}

impl GateOptions {
    /// What the part about Nodes depends on, if there is one.
    #[must_use]
    pub fn node_settings(&self) -> Option<nodes::Settings> {
        self.nodes.then(|| nodes::Settings {
            directory: self.directory.clone(),
            selection: self.agent.selection(),
            agents: self.agent.pods_in(&self.namespace),
            taint_key: self.startup_taint.clone(),
            rules: Rules {
                release_with_problems: self.release_nodes_with_problems,
                unknown_after: self.nodes_unknown_after,
            },
        })
    }
}
