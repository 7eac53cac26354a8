//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::wait::Goal;

/// Shows where seccomp profiles are, where they are not, and why
///
/// Reads SeccompProfiles, NodeProfileStatuses and, where that is allowed, pods, workloads, the names of Nodes and
/// RuntimeClasses; changes nothing. The ClusterRole seccomp-profile-viewer, which is a part of Kubernetes' own role view,
/// is enough for all but the Nodes and RuntimeClasses.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "kubectl-seccomp",
    bin_name = "kubectl seccomp",
    version,
    disable_help_subcommand = true,
    after_help = "Exits with 0 if all is well, 1 if the answer is no (diff: it differs, or may; verify: something differs; wait: \
                  not in time), and 2 if there is no answer."
)]
pub struct Options {
    /// Which cluster to ask.
    #[command(flatten)]
    pub cluster: ClusterOptions,
    /// What to do.
    #[command(subcommand)]
    pub task: Task,
}

/// Which cluster to ask, as kubectl takes it.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Cluster")]
pub struct ClusterOptions {
    /// The kubeconfig, instead of KUBECONFIG or ~/.kube/config
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig, instead of the current one
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// The cluster of the kubeconfig, instead of the context's
    #[arg(long, global = true, value_name = "NAME")]
    pub cluster: Option<String>,
    /// The user of the kubeconfig, instead of the context's
    #[arg(long, global = true, value_name = "NAME")]
    pub user: Option<String>,
}

/// What to do.
#[derive(Debug, Clone, Subcommand)]
pub enum Task {
    /// Show how far each profile is, and where it is not and why
    ///
    /// SINCE says how long, at most, a node has been behind: as long as it is, neither the node nor the profile is ready.
    Status {
        /// One profile, with every node; all of them otherwise, with the nodes that are behind
        profile: Option<String>,
        /// Show it again whenever it changes, until interrupted
        #[arg(long, short, conflicts_with = "output")]
        watch: bool,
        /// The form of the answer.
        #[command(flatten)]
        output: OutputOption,
    },
    /// Show what each node holds of all profiles, and whether its agent lives
    Nodes {
        /// The form of the answer.
        #[command(flatten)]
        output: OutputOption,
    },
    /// Wait until profiles are ready on every node, or gone
    ///
    /// Unlike `kubectl wait`, it takes nothing for ready that is about earlier contents, does not wait for a profile that
    /// is not valid, and says at the end which node is behind and why.
    Wait {
        /// The profiles; all that there are now if none is named
        profiles: Vec<String>,
        /// What to wait for
        #[arg(long = "for", value_enum, default_value = "ready", value_name = "WHAT")]
        goal: Goal,
        /// How long to wait
        #[arg(long, default_value = "60s", value_parser = duration, value_name = "TIME")]
        timeout: Duration,
    },
    /// Show the pods and workloads that name a profile, also one that does not exist
    ///
    /// STATE says, too, where the filter is not in force although a pod asks for it: by an annotation that Kubernetes no
    /// longer reads, in privileged containers, or under a RuntimeClass of a sandbox (gVisor, Kata Containers). Kinds that
    /// you may not list are named on standard error.
    Users {
        /// The profile; all of them otherwise
        profile: Option<String>,
        /// Look in this namespace only, instead of all
        #[arg(long, short, value_name = "NAME")]
        namespace: Option<String>,
        /// The form of the answer.
        #[command(flatten)]
        output: OutputOption,
    },
    /// Show what a file would change about a profile, syscall by syscall
    ///
    /// The file is read as `kubectl apply` reads it and as the API server stores it. Compares what runc, crun and youki make
    /// of the two filters, not how they are written. What the profiles alone do not tell is said as not compared. Exits
    /// with 0 only if both are known to be the same, with 1 if they differ or something was not compared.
    Diff {
        /// The profile on the cluster
        profile: String,
        /// A manifest with the SeccompProfile, or the profile itself as runtimes read it; - for standard input
        #[arg(long, short = 'f', value_name = "FILE")]
        filename: PathBuf,
        /// The form of the answer.
        #[command(flatten)]
        output: OutputOption,
    },
    /// Hold every node's report against the contents in the spec
    ///
    /// Exits with 1 if a node lacks a file, has other contents or one too many, has not reported, or is not watched by
    /// an agent now. A NodeProfileStatus whose Node does not exist is named on standard error and does not count, where
    /// you may list Nodes.
    Verify {
        /// One profile; all of them otherwise
        profile: Option<String>,
        /// The form of the answer.
        #[command(flatten)]
        output: OutputOption,
    },
    /// Print a completion script for a shell
    ///
    /// It completes `kubectl-seccomp`. kubectl's own script completes `kubectl seccomp` as soon as there is a link to this
    /// program by the name kubectl_complete-seccomp in PATH.
    Completion {
        /// The shell
        shell: Shell,
    },
}

/// The form of the answer.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct OutputOption {
    /// For programs instead of people
    #[arg(long = "output", short, value_name = "FORM")]
    pub output: Option<Format>,
}

/// A form for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// JSON
    Json,
    /// YAML
    Yaml,
}

fn duration(text: &str) -> Result<Duration, String> {
    text.parse::<kube::core::Duration>().map(Into::into).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn the_cluster_may_be_named_behind_the_task_as_kubectl_hands_it_on() {
        let options =
            Options::try_parse_from(["kubectl-seccomp", "status", "audit", "--context", "prod"]).unwrap();
        assert_eq!(options.cluster.context.as_deref(), Some("prod"));
    }
}
