//! The options of `learn --workload`.

use std::str::FromStr;
use std::time::Duration;

use api::ProfileName;
use clap::Args;

use crate::duration::duration;
use crate::owner::GroupKind;
use crate::restart::rollout::Kind;

/// Which workload learns, and for how long.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "From a workload of the cluster")]
pub struct WorkloadArgs {
    /// The SeccompProfile that is made of what the workload is seen to do
    #[arg(requires = "workload")]
    pub profile: Option<ProfileName>,
    /// Learn from this Deployment, StatefulSet or DaemonSet while it runs: deploy/web, sts/db, ds/agent
    #[arg(long, value_name = "KIND/NAME", requires = "profile")]
    pub workload: Option<WorkloadName>,
    /// The workload's namespace [default: that of the kubeconfig's context]
    #[arg(long, short, value_name = "NAME", requires = "workload")]
    pub namespace: Option<String>,
    /// Learn from this container only
    #[arg(long, value_name = "NAME", requires = "workload")]
    pub only: Option<String>,
    /// Begin from a profile that permits everything, whatever the workload has now
    #[arg(long, requires = "workload")]
    pub from_unconfined: bool,
    /// For how long nothing new must have been seen. An observer reports at most every 30 s
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = duration)]
    pub quiet: Duration,
    /// How long after a new call further ones are awaited before the workload is rolled out with them
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub settle: Duration,
    /// How long to learn at most
    #[arg(long, value_name = "TIME", default_value = "2h", value_parser = duration)]
    pub at_most: Duration,
    /// How long a profile or a rollout may take to become ready
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration)]
    pub timeout: Duration,
    /// Do not ask
    #[arg(long, short, requires = "workload")]
    pub yes: bool,
    /// Give the workload the profile that it had before a run that was killed, and do nothing else
    #[arg(long, requires = "workload", conflicts_with = "yes")]
    pub undo: bool,
}

/// A workload as kubectl names it: `deploy/web`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadName {
    pub(super) kind: Kind,
    pub(super) name: String,
}

/// A text names no workload that can learn.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a Deployment, StatefulSet or DaemonSet, such as deploy/web, sts/db or ds/agent")]
pub struct NoWorkloadName;

impl FromStr for WorkloadName {
    type Err = NoWorkloadName;

    fn from_str(text: &str) -> Result<Self, NoWorkloadName> {
        let (kind, name) = text.split_once('/').ok_or(NoWorkloadName)?;
        let kind = match kind.strip_suffix(".apps").unwrap_or(kind) {
            "deploy" | "deployment" | "deployments" => Kind::Deployment,
            "sts" | "statefulset" | "statefulsets" => Kind::StatefulSet,
            "ds" | "daemonset" | "daemonsets" => Kind::DaemonSet,
            _ => return Err(NoWorkloadName),
        };
        // The grammar of names is the same.
        if !ProfileName::is_valid(name) {
            return Err(NoWorkloadName);
        }
        Ok(Self { kind, name: name.to_owned() })
    }
}

impl WorkloadName {
    /// Its kind, as objects state it.
    pub(super) fn group_kind(&self) -> GroupKind {
        let kind = match self.kind {
            Kind::Deployment => "Deployment",
            Kind::StatefulSet => "StatefulSet",
            Kind::DaemonSet => "DaemonSet",
        };
        GroupKind::of("apps/v1", kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_is_named_as_for_kubectl() {
        for (text, kind) in [
            ("deploy/web", Kind::Deployment),
            ("deployments.apps/web", Kind::Deployment),
            ("sts/web", Kind::StatefulSet),
            ("daemonset/web", Kind::DaemonSet),
        ] {
            let name: WorkloadName = text.parse().unwrap();
            assert_eq!((name.kind, name.name.as_str()), (kind, "web"));
            assert_eq!(Kind::of(&name.group_kind()), Some(kind));
        }
        for wrong in ["web", "pod/web", "deploy/", "deploy/../secrets", "job/web"] {
            assert_eq!(wrong.parse::<WorkloadName>(), Err(NoWorkloadName), "{wrong}");
        }
    }
}
