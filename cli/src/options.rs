//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use lint::RULES;

use crate::attach::AttachArgs;
use crate::build::BuildArgs;
use crate::convert::ConvertArgs;
use crate::copy::CopyArgs;
use crate::derive::DeriveArgs;
use crate::diff::DiffArgs;
use crate::duration::duration;
use crate::explain::ExplainArgs;
use crate::findings::LintArgs;
use crate::inspect::InspectArgs;
use crate::learn::LearnArgs;
use crate::merge::MergeArgs;
use crate::output::OutputOption;
use crate::restart::RestartArgs;
use crate::show::escaped;
use crate::simulate::SimulateArgs;
use crate::wait::WaitFor;

/// Shows which nodes have which seccomp profiles, which do not, and why, and checks profiles in files
///
/// Reads SeccompProfiles, NodeProfileStatuses, SeccompObservations and, if you may list them, pods, workloads, the names of Nodes and
/// RuntimeClasses. Only `restart` and `learn --workload` change anything in the cluster, with your own rights; `lint --fix` changes files. The ClusterRole seccomp-profile-viewer, which is part of Kubernetes' role view, is
/// sufficient for everything else except Nodes and RuntimeClasses.
///
/// Uses the same proxy as kubectl: the `proxy-url` of the kubeconfig's cluster or else HTTPS_PROXY, unless NO_PROXY
/// lists the API server.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "kubectl-seccomp",
    bin_name = "kubectl seccomp",
    version,
    disable_help_subcommand = true,
    after_help = "Exits with 0 on success, with 1 for a negative result (diff: the filters differ, or may; verify: a \
                  difference; wait: not in time; lint: a finding; simulate: a refused call; inspect: a profile \
                  that cannot be used; restart: a container is left under an earlier filter, or may be; learn: calls may be missing, or a workload does not \
                  run under the result), and with 2 for an error."
)]
pub struct Options {
    /// The cluster.
    #[command(flatten)]
    pub cluster: ClusterOptions,
    /// The command.
    #[command(subcommand)]
    pub task: Task,
}

/// The cluster, with kubectl's options.
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

/// The options of a command line. Where it is wrong, or asks for help, the process prints that and ends.
pub fn of_the_command_line(arguments: impl IntoIterator<Item = OsString>) -> Options {
    let arguments: Vec<_> = arguments.into_iter().collect();
    Options::try_parse_from(&arguments).unwrap_or_else(|error| {
        // The message has the wrong argument as it is, and a pattern may stand for a file of any name.
        let shown = arguments.iter().map(|argument| escaped(argument.to_string_lossy()));
        Options::try_parse_from(shown).err().unwrap_or(error).exit()
    })
}

/// The command.
#[derive(Debug, Clone, Subcommand)]
pub enum Task {
    /// Show the state of each profile, and the nodes that are behind and why
    ///
    /// SINCE is the longest time that a node may have been behind: while it is behind, neither the node nor the profile
    /// is ready.
    Status {
        /// Show only this profile, with every node [default: all profiles, with the nodes that are behind]
        profile: Option<String>,
        /// Keep watching, and show every change until interrupted
        #[arg(long, short, conflicts_with = "output")]
        watch: bool,
        /// The output format.
        #[command(flatten)]
        output: OutputOption,
    },
    /// Show which profiles each node has, and whether its agent runs
    Nodes {
        /// The output format.
        #[command(flatten)]
        output: OutputOption,
    },
    /// Wait until profiles are ready on every node, or gone
    ///
    /// Unlike `kubectl wait`, it ignores a status that is about earlier contents, does not wait for an invalid profile,
    /// and at the end names the nodes that are behind and why.
    Wait {
        /// The profiles [default: all that exist now]
        profiles: Vec<String>,
        /// What to wait for
        #[arg(long = "for", value_enum, default_value = "ready", value_name = "WHAT")]
        goal: WaitFor,
        /// How long to wait
        #[arg(long, default_value = "60s", value_parser = duration, value_name = "TIME")]
        timeout: Duration,
    },
    /// Show the pods and workloads that name a profile, including profiles that do not exist
    ///
    /// STATE also shows if the filter is not in force although a pod names the profile: by an annotation that
    /// Kubernetes no longer reads, in privileged containers, or under a RuntimeClass of a sandbox (gVisor, Kata
    /// Containers). Kinds that you may not list are named on standard error. With --outdated it shows the workloads with
    /// running containers that may be under an earlier filter: they are older than the profile's file on their node, or
    /// the node does not hold its present contents. The one with the oldest such container comes first.
    Users {
        /// Show only this profile
        profile: Option<String>,
        /// Show the workloads with containers that may be under an earlier filter
        #[arg(long)]
        outdated: bool,
        /// Show only this namespace
        #[arg(long, short, value_name = "NAME")]
        namespace: Option<String>,
        /// The output format.
        #[command(flatten)]
        output: OutputOption,
    },
    /// Show which system calls filters refused or logged, in which workload
    ///
    /// It needs the chart's observers (observer.enabled). The newest call comes first. A pod without a profile of this
    /// project is shown only if it is named. It also says what would allow the newest calls, and what `lint` finds then.
    /// SCMP_ACT_ERRNO makes no record without spec.report: true of the profile. What the answer does not cover, such as
    /// records that a node's observer has lost, is named on standard error.
    Denials {
        /// Show only this profile, or this pod: seccompprofile/NAME, pod/NAME, or the name of either
        #[arg(value_name = "PROFILE|POD")]
        what: Option<String>,
        /// Keep watching, and show every change until interrupted
        #[arg(long, short, conflicts_with = "output")]
        watch: bool,
        /// Show only this namespace
        #[arg(long, short, value_name = "NAME")]
        namespace: Option<String>,
        /// The output format.
        #[command(flatten)]
        output: OutputOption,
    },
    /// Restart the workloads with containers that may be under an earlier filter of a profile
    ///
    /// It shows what it will do, asks, and restarts Deployments, StatefulSets and DaemonSets as `kubectl rollout restart`
    /// does, the one with the oldest container first, and the next one only when the one before is ready. It ends at the
    /// first one that does not become ready in time, and when the profile is not Ready any more. It skips workloads that
    /// somebody else has restarted since it began. Pods without a controller, workloads of other kinds, paused
    /// Deployments and workloads that do not replace their pods by themselves are listed and left. It exits with 1 if
    /// containers remain under an earlier filter, and if nobody can tell it of some: their nodes are named.
    Restart(RestartArgs),
    /// Show what another profile would do differently, call by call
    ///
    /// It compares what the filters do with every call and all values of its arguments, under the newest known runc and
    /// crun with the newest known libseccomp, or on the nodes of the options. Each profile is a file, which is read as
    /// `kubectl apply` reads it and as the API server stores it, or a profile on the cluster. Two files need no cluster.
    /// Exits with 0 only if both filters are the same on all these nodes, and with 1 if they differ or something was not
    /// compared. Nodes on which no container starts with either profile are named; if there are no others, nothing was
    /// compared.
    Diff(DiffArgs),
    /// Compare every node's report with the contents in the spec
    ///
    /// Exits with 1 if a node lacks a file, has other contents or an extra file, has not reported, or has no running
    /// agent. A NodeProfileStatus whose Node does not exist is named on standard error and does not count, if you may
    /// list Nodes.
    Verify {
        /// Compare only this profile
        profile: Option<String>,
        /// The output format.
        #[command(flatten)]
        output: OutputOption,
    },
    /// Check profiles for what they do not do as their authors probably meant
    ///
    /// It reads files as `kubectl apply` does: SeccompProfiles, or a profile as runtimes read it. In a directory, at any
    /// depth, and among the files that match a pattern, it reads what ends in .yaml, .yml or .json and skips what has no
    /// profile. A name that no file has, without a slash and such an ending, is a SeccompProfile in the cluster;
    /// seccompprofile/NAME always is. Otherwise it needs no cluster. It exits with 1 if it finds anything, and with 2 if a
    /// file is not valid or no profile is found; all others are checked nevertheless. `kubectl seccomp rule` lists the rules, and `kubectl seccomp rule ID` explains one.
    Lint(LintArgs),
    /// Show what a profile does with system calls, and which rule decides
    ///
    /// PROFILE is a file, - for standard input, or a SeccompProfile in the cluster. A CALL is a name (openat) or a number
    /// (257, syscall_0x1c3), for another table than that of the architecture with its name before (i386:socketcall).
    /// Without arguments, or with some left out (_), it shows each condition; arguments are numbers or names such as
    /// AF_NETLINK: "socket(16, _, 0)". With --trace it reads the calls of a real run from what strace wrote, with whatever
    /// options; where the verdict depends on an argument that the log does not show in full, the call counts as possibly
    /// refused. It exits with 1 if a call is refused or possibly refused, and with 2 if there is no answer.
    Simulate(SimulateArgs),
    /// Combine profiles to their union or their intersection
    ///
    /// The result is never more permissive than the exact combination of the filters, for all values of the arguments
    /// and with every known libseccomp. Where it permits less, standard error names the reason.
    Merge(MergeArgs),
    /// Convert profiles of other tools to SeccompProfiles, or to the runtimes' format
    ///
    /// It reads Docker's and Podman's format, whose conditions it decides for the given capabilities, architectures and
    /// kernel, profiles of the Security Profiles Operator with their base profiles, the format of the OCI runtime
    /// specification, and SeccompProfiles. Names in the cluster are the only arguments that need one. What is not in the result, and what was assumed, is named on standard
    /// error.
    Convert(ConvertArgs),
    /// Derive a profile from a program or an image, without running it
    ///
    /// It reads the program, its loader and its libraries, follows everything that the program can reach, and permits the
    /// system calls on the way, with those of the container runtimes. Of an image these are the entry point and the
    /// command; programs that are started by names that are known are derived, too. What is neither a file nor a directory
    /// is an image in a registry, into which it logs in with Docker's configuration and its credential helpers. It needs no
    /// cluster, and only knows x86_64. If it cannot find out the number of a call, it derives nothing and shows the place,
    /// unless --open-numbers says otherwise. What else it cannot follow, such as scripts and plugins, is named on standard
    /// error. With --why it shows how the program reaches a call. With --check it exits with 1 if the profile refuses a call that the program can reach, or
    /// permits one that it cannot.
    Derive(DeriveArgs),
    /// Learn a profile from what programs were seen to do
    ///
    /// It reads logs of strace and of gVisor's runsc, the observations of a cluster's observers (kubectl get
    /// seccompobservations -o json) and profiles that other tools have recorded, and permits every call in them, with those
    /// of the container runtimes; everything else is refused. From files it needs no cluster. What a filter has refused is not
    /// learned.
    /// With --base it extends a profile: what that permits stays permitted, what its rules refuse stays refused, and what
    /// it only logs and was not seen is refused. What is not learned is named on standard error. It exits with 1 if the
    /// files show that they lack calls.
    ///
    /// With --workload it learns from a workload of the cluster while it runs, and needs the chart's observers
    /// (observer.enabled). The workload runs under a profile that refuses what its present one refuses and logs the rest;
    /// what is seen is permitted at the next rollout, until nothing new appears for the time of --quiet. Then it shows the
    /// result, asks, and lets the workload run under it. Otherwise, also after an interrupt, the workload has its former
    /// profile again, and it exits with 1.
    Learn(LearnArgs),
    /// Explain what a profile does, by groups of calls
    ///
    /// It reads profiles as `kubectl apply` does and explains what their filter does on one node: which calls are
    /// permitted, which are refused and how, under which conditions, and what differs from containerd's default. Names in
    /// the cluster are the only arguments that need one. It exits with 1 if no container starts with a profile there.
    Explain(ExplainArgs),
    /// Show where an image carries a seccomp profile, and what remains of it after a baseline
    ///
    /// It needs no cluster. It asks the registry for the places where an image may carry a profile: an artifact that
    /// refers to the image, CRI-O's annotations, Podman's label and the annotation seccomp.imjasonh.dev/profile. The first
    /// place where there is something counts. Of that profile remains what the baseline permits, too. It logs in with
    /// Docker's configuration and its credential helpers. It exits with 1 if the profile that counts cannot be used.
    Inspect(InspectArgs),
    /// Attach a seccomp profile to an image in a registry
    ///
    /// It pushes an artifact with the profile that refers to the image, for each platform of the image. Where the registry
    /// has no API for referrers, it enters the artifact in the index of the tag that stands in for it. The image stays as
    /// it is, and no cluster is needed. If the profile is the image's already, nothing is pushed. The same profile for the
    /// same image gives the same artifact; one that takes the place of another has the present time, unless --created or
    /// SOURCE_DATE_EPOCH says otherwise. It logs in with Docker's configuration and its credential helpers.
    Attach(AttachArgs),
    /// Derive the profile of an image in a registry, and attach it to the image
    ///
    /// It does what `derive` does with the image, applies the overrides, shows the profile with the programs that it is
    /// for, what was not followed and what `lint` finds, and attaches it on yes, as `attach` does, for linux/amd64. It
    /// exits with 1, and attaches nothing, if `lint` finds an error. The image stays as it is, and no cluster is needed. It
    /// logs in with Docker's configuration and its credential helpers.
    Build(BuildArgs),
    /// Copy an image to another registry, with the profiles that are attached to it
    ///
    /// It copies the image with all its platforms, so that it keeps its digest, and the artifacts with a profile that refer
    /// to it; other artifacts, such as signatures, it does not. What is there already is not sent again. The tag is written
    /// last. It logs in to both registries with Docker's configuration and its credential helpers, and needs no cluster.
    Copy(CopyArgs),
    /// Explain a rule of `lint`, or list all
    Rule {
        /// The rule [default: all, one a line]
        #[arg(value_parser = PossibleValuesParser::new(RULES.iter().map(|rule| rule.id)), hide_possible_values = true)]
        id: Option<String>,
    },
    /// Print a completion script for a shell
    ///
    /// It completes `kubectl-seccomp`. kubectl's own script completes `kubectl seccomp` if PATH has a link to this
    /// program named kubectl_complete-seccomp.
    Completion {
        /// The shell
        shell: Shell,
    },
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
    fn text_is_the_form_of_every_answer_unless_another_one_is_named() {
        for task in Options::command().get_subcommands() {
            let Some(output) = task.get_arguments().find(|it| it.get_id() == "output") else { continue };
            let forms: Vec<_> =
                output.get_possible_values().iter().map(|it| it.get_name().to_owned()).collect();
            // A profile has no form for people.
            let expected = if ["merge", "convert", "derive", "learn"].contains(&task.get_name()) {
                "json"
            } else {
                "text"
            };
            assert!(forms.iter().any(|form| form == expected), "{}: {forms:?}", task.get_name());
            let default = output.get_default_values();
            assert!(
                default.iter().any(|it| it.to_str().is_some_and(|it| forms.iter().any(|form| form == it)))
            );
            assert!(
                forms[0] == "text" || forms == ["json", "yaml"] || forms == ["yaml", "json"],
                "{forms:?}"
            );
        }
    }

    #[test]
    fn the_cluster_may_be_named_behind_the_task_as_kubectl_hands_it_on() {
        let options =
            Options::try_parse_from(["kubectl-seccomp", "status", "audit", "--context", "prod"]).unwrap();
        assert_eq!(options.cluster.context.as_deref(), Some("prod"));
    }
}
