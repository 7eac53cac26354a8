//! The options of `learn`.

use std::path::PathBuf;
use std::str::FromStr;

use api::ProfileName;
use clap::{Args, ValueHint};

use super::workload::WorkloadArgs;
use crate::output::ProfileForm;
use crate::setting::ArchitectureOption;
use crate::started_by::StartedBy;

/// What to learn from.
#[derive(Debug, Clone, Args)]
pub struct LearnArgs {
    /// A log of strace (-f) or of gVisor's runsc (--strace), SeccompObservations as JSON, a profile that another tool has
    /// recorded, or - for standard input; may be repeated
    #[arg(
        long,
        required_unless_present = "workload",
        conflicts_with = "workload",
        value_name = "FILE",
        value_hint = ValueHint::FilePath
    )]
    pub from: Vec<PathBuf>,
    /// Of observations, learn from these containers only; * stands for any text; may be repeated
    #[arg(long = "container", conflicts_with = "workload", value_name = "NAMESPACE/POD/CONTAINER")]
    pub containers: Vec<ContainerPattern>,
    /// A profile to extend: what it permits stays permitted, and what it logs and nothing was seen to do is refused
    #[arg(long, conflicts_with = "workload", value_name = "PROFILE", value_hint = ValueHint::FilePath)]
    pub base: Option<PathBuf>,
    /// The architecture of the machine on which the logs were written, or of the workload's nodes
    #[arg(long, value_name = "NAME", value_enum, default_value = "x86_64")]
    pub architecture: ArchitectureOption,
    /// A runtime that starts the containers, whose own calls are added; may be repeated
    #[arg(long = "runtime", value_name = "NAME", value_enum, default_values = ["runc", "crun"])]
    pub runtimes: Vec<StartedBy>,
    /// The containers do not have allowPrivilegeEscalation: false, so that runtimes make more calls under the filter
    #[arg(long, conflicts_with = "workload")]
    pub allow_privilege_escalation: bool,
    /// Write where each call was seen, and how often, to this file, as JSON
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub evidence: Option<PathBuf>,
    /// The name of the SeccompProfile
    #[arg(long, conflicts_with = "workload", value_name = "NAME", default_value = "learned")]
    pub name: ProfileName,
    /// The output format
    #[arg(long, short, conflicts_with = "workload", value_name = "FORM", value_enum, default_value = "yaml")]
    pub output: ProfileForm,
    /// A workload of the cluster.
    #[command(flatten)]
    pub workload: WorkloadArgs,
}

/// Containers by their namespace, pod and name, each a text in which `*` stands for any text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerPattern([Box<str>; 3]);

/// A text is no [`ContainerPattern`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected NAMESPACE/POD/CONTAINER, such as 'shop/web-*/main'")]
pub struct NoContainerPattern;

impl FromStr for ContainerPattern {
    type Err = NoContainerPattern;

    fn from_str(text: &str) -> Result<Self, NoContainerPattern> {
        let parts: Vec<Box<str>> = text.split('/').filter(|part| !part.is_empty()).map(Box::from).collect();
        // Not fewer than there are slashes: a part that is empty is a mistake.
        let parts = Some(parts).filter(|parts| parts.len() == text.split('/').count());
        parts.and_then(|parts| parts.try_into().ok()).map(Self).ok_or(NoContainerPattern)
    }
}

impl ContainerPattern {
    /// Whether it is one of these containers.
    #[must_use]
    pub fn matches(&self, namespace: &str, pod: &str, container: &str) -> bool {
        self.0.iter().zip([namespace, pod, container]).all(|(pattern, name)| matches(pattern, name))
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    let Some((begin, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(begin) else { return false };
    let mut parts = rest.split('*');
    let Some(end) = parts.next_back() else { return true };
    for part in parts {
        let Some((_, after)) = name.split_once(part) else { return false };
        name = after;
    }
    name.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_are_named_in_three_parts_with_stars() {
        let pattern: ContainerPattern = "shop/web-*/*".parse().unwrap();
        assert!(pattern.matches("shop", "web-5d-x", "main") && pattern.matches("shop", "web-", "a"));
        assert!(!pattern.matches("shop", "web", "main") && !pattern.matches("shops", "web-1", "main"));
        for (pattern, name, expected) in [
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "acb", false),
            ("*", "", true),
            ("xy*yx", "xyx", false),
            ("**", "x", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
        for wrong in ["", "shop", "shop/web", "shop//main", "a/b/c/d"] {
            assert_eq!(wrong.parse::<ContainerPattern>(), Err(NoContainerPattern), "{wrong}");
        }
    }
}
