//! The command line.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use api::NodeName;
use api::names::{DEFAULT_DIRECTORY, DEFAULT_KUBELET_ROOT};
use clap::Parser;
use daemon::logging::LoggingArgs;

use crate::goal::Listeners;

/// Keeps this node's seccomp profiles on its disk, and reports what is there.
#[derive(Debug, Clone, Parser)]
#[command(name = "node-agent", version)]
pub struct Options {
    /// The node that this agent runs on.
    #[arg(long, env = "NODE_NAME")]
    pub node_name: NodeName,
    /// Where the kubelet keeps its state (its --root-dir).
    #[arg(long, env = "KUBELET_ROOT", default_value = DEFAULT_KUBELET_ROOT, value_parser = absolute)]
    pub kubelet_root: PathBuf,
    /// The directory for the profiles, below <kubelet-root>/seccomp/; pods name it in localhostProfile.
    #[arg(long, env = "DIRECTORY", default_value = DEFAULT_DIRECTORY)]
    pub directory: RelativeDirectory,
    /// Where /metrics, /healthz and /readyz are served; [::] is IPv4, too, and alone where there is no IPv6.
    #[arg(long, env = "LISTEN", default_value = "[::]:8080")]
    pub listen: SocketAddr,
    /// How often every byte of every file is read, whether or not something seems to have changed (such as 60s).
    #[arg(long, env = "CHECK_INTERVAL", default_value = "60s", value_parser = interval)]
    pub check_interval: Duration,
    /// Write files of profiles that name a listener, for which the container runtime connects to a socket on this node.
    #[arg(long, env = "LISTENERS")]
    pub listeners: bool,
    /// How many bytes of memory the agent may take; without it, as many as it likes. Profiles that do not fit are
    /// refused.
    #[arg(long, env = "MEMORY_LIMIT")]
    pub memory_limit: Option<u64>,
    /// What is logged, and how.
    #[command(flatten)]
    pub logging: LoggingArgs,
}

impl Options {
    /// Whether profiles may name a listener.
    #[must_use]
    pub fn listeners(&self) -> Listeners {
        if self.listeners { Listeners::Admitted } else { Listeners::Refused }
    }

    /// The absolute path of the directory that the agent keeps.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.kubelet_root.join("seccomp").join(&self.directory.0)
    }
}

/// A path that stays below the directory that it is joined to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelativeDirectory(PathBuf);

/// A path that might lead elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a path below <kubelet-root>/seccomp/, such as profiles: not empty, not absolute, without . and .."
)]
pub struct NotBelow;

impl FromStr for RelativeDirectory {
    type Err = NotBelow;

    fn from_str(text: &str) -> Result<Self, NotBelow> {
        let path = Path::new(text);
        let below = path.components().all(|part| matches!(part, Component::Normal(_)));
        // Path::components leaves out a `.` in the middle, which pods would then have to write in the same way.
        let plain = text.split('/').all(|part| !part.is_empty() && part != ".");
        if below && plain { Ok(Self(path.to_owned())) } else { Err(NotBelow) }
    }
}

impl fmt::Display for RelativeDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

fn absolute(text: &str) -> Result<PathBuf, &'static str> {
    let path = PathBuf::from(text);
    if path.is_absolute() { Ok(path) } else { Err("expected an absolute path") }
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval: kube::core::Duration =
        text.parse().map_err(|error: kube::core::duration::ParseError| error.to_string())?;
    if interval < Duration::from_secs(1) {
        return Err("expected at least 1s".to_owned());
    }
    Ok(interval.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Options, clap::Error> {
        Options::try_parse_from(["node-agent", "--node-name", "n"].iter().chain(args))
    }

    #[test]
    fn the_defaults_are_the_kubelets() {
        let options = parsed(&[]).unwrap();
        assert_eq!(options.path(), Path::new("/var/lib/kubelet/seccomp/profiles"));
        assert_eq!(options.check_interval, Duration::from_mins(1));
    }

    #[test]
    fn listeners_are_refused_unless_they_are_asked_for() {
        assert_eq!(parsed(&[]).unwrap().listeners(), Listeners::Refused);
        assert_eq!(parsed(&["--listeners"]).unwrap().listeners(), Listeners::Admitted);
    }

    #[test]
    fn a_directory_outside_the_kubelets_is_refused() {
        for bad in ["", "/etc", "..", "a/../b", "a/./b", "./a", "a//b", "a/", "."] {
            assert!(parsed(&["--directory", bad]).is_err(), "{bad:?}");
        }
        let nested = parsed(&["--kubelet-root", "/data", "--directory", "team/profiles"]).unwrap();
        assert_eq!(nested.path(), Path::new("/data/seccomp/team/profiles"));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for bad in [
            ["--check-interval", "0s"],
            ["--check-interval", "60"],
            ["--check-interval", "-5m"],
            ["--kubelet-root", "kubelet"],
        ] {
            assert!(parsed(&bad).is_err(), "{bad:?}");
        }
        assert!(Options::try_parse_from(["node-agent", "--node-name", "../n"]).is_err());
    }
}
