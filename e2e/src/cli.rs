//! The command line. Progress goes to standard error; standard output is for what a shell evaluates.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::{Args, Parser, Subcommand, ValueEnum};
use cluster::Instance;
use cluster::KindCluster;
use cluster::TargetCluster;
use cluster::doctor;
use cluster::{Cluster, ClusterError, Layout, Options};
use xtask::command;
use xtask::interrupt;

use crate::demo;

/// A real Kubernetes cluster on this machine, in namespaces and cgroups of its own.
#[derive(Debug, Parser)]
#[command(name = "e2e")]
struct Cli {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Check whether this machine can run the cluster
    Doctor,
    /// Start a cluster, or replace the one that runs, and print what a shell needs to use it
    Up(Target),
    /// End the machine's local clusters and remove everything of them
    Down {
        /// Which
        #[arg(long, value_enum, default_value_t)]
        cluster: Where,
    },
    /// Start one more node
    AddNode,
    /// Show the whole life of a profile, and check every claim on the way
    Demo {
        /// Leave the cluster up and print what a shell needs to use it
        #[arg(long)]
        keep: bool,
        /// Where the cluster runs
        #[arg(long, value_enum, default_value_t)]
        cluster: Where,
        /// Use the cluster of this kubeconfig and start none; its nodes must be able to get the images
        #[arg(long, value_name = "FILE", conflicts_with = "cluster")]
        kubeconfig: Option<PathBuf>,
        /// The other cluster has the chart already
        #[arg(long, requires = "kubeconfig")]
        no_chart: bool,
    },
    /// Start a cluster, run a command with it and end it; exits as the command does
    Run {
        #[command(flatten)]
        target: Target,
        /// The command and its arguments, after `--`
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
}

#[derive(Debug, Args)]
struct Target {
    /// Where the cluster runs
    #[arg(long, value_enum, default_value_t)]
    cluster: Where,
    /// Which of the machine's local clusters; two can run side by side
    #[arg(long, value_name = "NUMBER", default_value_t = Instance::FIRST)]
    instance: Instance,
    /// How many nodes to start
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=32))]
    nodes: u8,
    /// Leave the cluster empty: build no images and install no chart
    #[arg(long)]
    no_chart: bool,
    /// Let etcd sync to the disk, as tests of durability need it
    #[arg(long, conflicts_with = "cluster")]
    etcd_fsync: bool,
    /// Use the cluster of this kubeconfig and start none; its nodes must be able to get the images
    #[arg(long, value_name = "FILE", conflicts_with_all = ["cluster", "instance", "nodes", "etcd_fsync"])]
    kubeconfig: Option<PathBuf>,
}

/// Where a cluster runs that is started here.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Where {
    /// On this machine, without Docker
    #[default]
    Local,
    /// In Docker, by kind; not run where the project is tested
    Kind,
}

/// Parses the arguments and runs the command.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    interrupt::exit_code_of(|| cli.action.perform())
}

impl Action {
    fn perform(self) -> Result<ExitCode, ClusterError> {
        match self {
            Action::Doctor => doctor::check(true)?,
            Action::Up(target) => {
                println!("{}", target.start()?.exports());
            }
            Action::Down { cluster: Where::Local } => {
                Instance::all().try_for_each(|instance| Cluster::clear(&Layout::of(instance)))?;
            }
            Action::Down { cluster: Where::Kind } => KindCluster::on_this_machine()?.down()?,
            Action::AddNode => {
                Cluster::attach(&Layout::from_environment())?.add_node()?;
            }
            Action::Demo { keep, cluster, kubeconfig, no_chart } => {
                let start = || match (kubeconfig, cluster) {
                    (Some(kubeconfig), _) => TargetCluster::attach(&kubeconfig, !no_chart),
                    (None, Where::Local) => TargetCluster::start(&Options::default(), true),
                    (None, Where::Kind) => {
                        KindCluster::up(Options::default().nodes, true).map(TargetCluster::Kind)
                    }
                };
                return demo::run(start, keep);
            }
            Action::Run { target, command } => return run(&target, &command),
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn run(target: &Target, words: &[String]) -> Result<ExitCode, ClusterError> {
    let running = target.start()?;
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).env("KUBECONFIG", running.client().kubeconfig());
    command.env(
        "PATH",
        format!("{}:{}", running.programs_directory(), std::env::var("PATH").unwrap_or_default()),
    );
    if let TargetCluster::Local(cluster) = &running {
        command.env("SECCOMP_E2E_DIR", cluster.directory());
    }
    let status = command::run_interactive(&mut command);
    running.end()?;
    // A program that a signal ended has no code of its own; the shell's convention gives it one.
    let status = status?;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

impl Target {
    fn start(&self) -> Result<TargetCluster, ClusterError> {
        match (&self.kubeconfig, self.cluster) {
            (Some(kubeconfig), _) => TargetCluster::attach(kubeconfig, !self.no_chart),
            (None, Where::Kind) => KindCluster::up(self.nodes, !self.no_chart).map(TargetCluster::Kind),
            (None, Where::Local) => {
                let (nodes, etcd_fsync, layout) = (self.nodes, self.etcd_fsync, Layout::of(self.instance));
                TargetCluster::start(
                    &Options { nodes, layout, etcd_fsync, ..Options::default() },
                    !self.no_chart,
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
