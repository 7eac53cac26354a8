//! The operator's options, as the chart sets them.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use daemon::logging::LoggingArgs;

use crate::agent_options::AgentOptions;
use crate::gate::options::GateOptions;
use daemon::lease::{LeaseOptions, duration};

#[derive(Debug, Clone, Subcommand)]
enum Command {
    /// Take the operator's finalizer off every profile, once the operator is gone for good
    LiftFinalizers(LiftOptions),
    /// Keep pods from being scheduled until the nodes have the profiles that they name
    Gate(GateOptions),
}

/// The task of a process.
#[derive(Debug, Clone)]
pub enum Task {
    /// Run the operator.
    Operate(Options),
    /// Take the operator's finalizer off every profile, once the operator is gone for good.
    LiftFinalizers(LiftOptions),
    /// Keep pods from being scheduled until the nodes have the profiles that they name.
    Gate(GateOptions),
}

impl Task {
    /// Reads the arguments, of which the first is the program.
    ///
    /// # Errors
    /// The arguments are invalid, or ask for help.
    pub fn of(arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<Self, clap::Error> {
        let command = Command::augment_subcommands(Options::command())
            .subcommand_negates_reqs(true)
            .args_conflicts_with_subcommands(true);
        let matches = command.try_get_matches_from(arguments)?;
        match matches.subcommand_name() {
            None => Options::from_arg_matches(&matches).map(Self::Operate),
            Some(_) => Command::from_arg_matches(&matches).map(|command| match command {
                Command::LiftFinalizers(options) => Self::LiftFinalizers(options),
                Command::Gate(options) => Self::Gate(options),
            }),
        }
    }

    /// The logging options.
    #[must_use]
    pub fn logging(&self) -> &LoggingArgs {
        match self {
            Self::Operate(options) => &options.logging,
            Self::LiftFinalizers(options) => &options.logging,
            Self::Gate(options) => &options.logging,
        }
    }
}

/// Options of [`Task::LiftFinalizers`].
#[derive(Debug, Clone, Args)]
pub struct LiftOptions {
    /// Namespace that the operator and the agents ran in.
    #[arg(long, env = "POD_NAMESPACE")]
    pub namespace: String,
    /// Label selector of their pods, as for kubectl.
    #[arg(long)]
    pub pods: String,
    /// The operator's Deployment there. While it exists and is not being deleted, nothing is done.
    #[arg(long, env = "DEPLOYMENT")]
    pub deployment: Option<String>,
    /// The agents' DaemonSet there, to which the same applies.
    #[arg(long, env = "DAEMON_SET")]
    pub daemon_set: Option<String>,
    /// How long to wait until these pods are gone. A pod on an unreachable node never ends.
    #[arg(long, default_value = "20s", value_parser = duration)]
    pub patience: Duration,
    /// A lease in the namespace to delete; several times for several.
    #[arg(long = "lease")]
    pub leases: Vec<String>,
    /// A Secret in the namespace to delete; several, separated by commas, for several.
    #[arg(long = "secret", env = "SECRETS", value_delimiter = ',')]
    pub secrets: Vec<String>,
    /// How long the whole run may take.
    #[arg(long, default_value = "2m", value_parser = duration)]
    pub limit: Duration,
    /// Logging.
    #[command(flatten)]
    pub logging: LoggingArgs,
}

/// Computes from the nodes' reports whether each seccomp profile is on every node that needs it.
#[derive(Debug, Clone, Parser)]
#[command(name = "operator", version)]
pub struct Options {
    /// Namespace of the agents' pods.
    #[arg(long, env = "POD_NAMESPACE")]
    pub namespace: String,
    /// The agents.
    #[command(flatten)]
    pub agent: AgentOptions,
    /// Where profiles are, below the kubelet's `seccomp/`.
    #[arg(long, default_value = api::names::DEFAULT_DIRECTORY)]
    pub directory: String,
    /// How long no pod may have named a profile that an image brought before it is removed; without it, none is.
    #[arg(long, value_parser = duration)]
    pub remove_unused_image_profiles_after: Option<Duration>,
    /// Count the calls in the observations of nodes, and publish Events about those that were refused.
    #[arg(long)]
    pub observations: bool,
    /// Where `/metrics`, `/healthz` and `/readyz` are served; `[::]` is IPv4, too, and alone where there is no IPv6.
    #[arg(long, default_value = "[::]:8080")]
    pub listen: SocketAddr,
    /// The election.
    #[command(flatten)]
    pub lease: LeaseOptions,
    /// Logging.
    #[command(flatten)]
    pub logging: LoggingArgs,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn options_of_the_chart_are_read() {
        let task = Task::of([
            "operator",
            "--namespace=ns",
            "--agent-label-selector=a=b,c=",
            r#"--node-selector={"kubernetes.io/os":"linux"}"#,
            r#"--node-affinity={"nodeSelectorTerms":[{"matchExpressions":[{"key":"x","operator":"Exists"}]}]}"#,
        ])
        .unwrap();
        let Task::Operate(options) = task else { panic!("{task:?}") };
        assert_eq!(
            options.agent.pods_in(&options.namespace).labels,
            BTreeMap::from([("a".into(), "b".into()), ("c".into(), String::new())])
        );
        assert_eq!(options.agent.selection().affinity.unwrap().node_selector_terms.len(), 1);
    }

    #[test]
    fn invalid_and_missing_options_are_refused() {
        for bad in ["--agent-label-selector=a", "--node-selector=[]", "--node-affinity={}x"] {
            assert!(Task::of(["operator", "--namespace=ns", bad]).is_err(), "{bad}");
        }
        for missing in [&["operator"][..], &["operator", "--lease=l"], &["operator", "lift-finalizers"]] {
            assert!(Task::of(missing).is_err(), "{missing:?}");
        }
    }

    #[test]
    fn the_gate_needs_no_option_of_the_operator_but_its_namespace() {
        let task = Task::of([
            "operator",
            "gate",
            "--namespace=ns",
            "--lease=l",
            "--leave-out-failed-nodes-after=5s",
        ]);
        let Ok(Task::Gate(options)) = task else { panic!("{task:?}") };
        assert_eq!(options.leave_out_failed_nodes_after, Duration::from_secs(5));
        assert_eq!((options.lease.lease.as_deref(), options.directory.as_str()), (Some("l"), "profiles"));
        assert!(Task::of(["operator", "gate"]).is_err());
    }

    #[test]
    fn lift_finalizers_needs_no_option_of_the_operator() {
        let task = Task::of(["operator", "lift-finalizers", "--namespace=ns", "--pods=a=b", "--patience=3s"]);
        let Ok(Task::LiftFinalizers(options)) = task else { panic!("{task:?}") };
        assert_eq!((options.patience, options.leases), (Duration::from_secs(3), Vec::<String>::new()));
    }
}
