//! What went wrong, and what to do about it.

use std::path::PathBuf;

use link::chain;

use crate::manifest::DocumentError;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// No kubeconfig, or none that can be used.
    #[error(
        "cannot use the kubeconfig: {0}\nName another with --kubeconfig or KUBECONFIG, or another context with --context."
    )]
    Kubeconfig(String),
    /// The API server was not reached, or what it answered makes no sense.
    #[error(
        "cannot list {what}: {cause}\nDoes `kubectl get --raw /readyz` answer? Name another cluster with --context."
    )]
    Unreachable {
        /// What was asked for.
        what: &'static str,
        /// Why.
        cause: String,
    },
    /// The API server does not know the kinds.
    #[error(
        "the API server has no {what}.seccomp.imjasonh.dev: is the chart installed on this cluster?\nInstall it with `helm install seccomp-profile charts/seccomp-profile -n seccomp-profile --create-namespace`, or name another cluster with --context."
    )]
    NotInstalled {
        /// The plural that was asked for.
        what: &'static str,
    },
    /// Whoever asks has not the right to.
    #[error(
        "{message}\nAsk an administrator to bind the ClusterRole {role}{}: `kubectl create clusterrolebinding NAME --clusterrole={role} --user=YOU`.",
        of_a_release(.role)
    )]
    Forbidden {
        /// What the API server said: who may not do what.
        message: String,
        /// The role that gives the right.
        role: &'static str,
    },
    /// The credentials are not good.
    #[error(
        "the API server does not know who asks ({0}): the credentials of this context are wrong or have expired\nLog in again, or name another context with --context."
    )]
    Unauthorized(String),
    /// The API server refused for another reason.
    #[error("cannot list {what}: {message} ({code})")]
    Refused {
        /// What was asked for.
        what: &'static str,
        /// The HTTP status.
        code: u16,
        /// What it said.
        message: String,
    },
    /// There is no such profile.
    #[error("there is no SeccompProfile {0:?}\n`kubectl get seccompprofiles` shows those that there are.")]
    NoProfile(String),
    /// The profile on the cluster is no valid one, so that nothing can be compared with it.
    #[error(
        "the SeccompProfile {name:?} on the cluster is not valid: {error}\nMend it with `kubectl edit seccompprofiles.seccomp.imjasonh.dev {name}`."
    )]
    Stored {
        /// The profile.
        name: String,
        /// What is wrong.
        error: profile::ParseError,
    },
    /// The file cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file does not hold a profile.
    #[error("{}: {error}", path.display())]
    Document {
        /// The file.
        path: PathBuf,
        /// What it holds instead.
        error: DocumentError,
    },
    /// The answer could not be written.
    #[error("cannot write the answer: {0}")]
    Output(std::io::Error),
}

/// The role that lets people read.
pub const VIEWER: &str = "seccomp-profile-viewer";
/// Kubernetes' own role that lets people read pods and workloads.
pub const VIEW: &str = "view";

/// What to say behind the name of a role: the chart's own are called after the release.
fn of_a_release(role: &str) -> &'static str {
    if role == VIEWER { " (or your release's …-viewer)" } else { "" }
}

impl CliError {
    /// Why a list, or a get, of `what` failed, where `role` gives the right to it.
    #[must_use]
    pub fn of(error: &kube::Error, what: &'static str, role: &'static str) -> Self {
        match error {
            kube::Error::Api(status) => match status.code {
                401 => Self::Unauthorized(status.message.clone()),
                403 => Self::Forbidden { message: status.message.clone(), role },
                404 => Self::NotInstalled { what },
                code => Self::Refused { what, code, message: status.message.clone() },
            },
            other => Self::Unreachable { what, cause: chain(other) },
        }
    }

    /// One word of a bounded vocabulary.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Kubeconfig(_) => "Kubeconfig",
            Self::Unreachable { .. } => "Unreachable",
            Self::NotInstalled { .. } => "NotInstalled",
            Self::Forbidden { .. } => "Forbidden",
            Self::Unauthorized(_) => "Unauthorized",
            Self::Refused { .. } => "Refused",
            Self::NoProfile(_) => "NoProfile",
            Self::Stored { .. } => "StoredProfileInvalid",
            Self::File { .. } => "File",
            Self::Document { error, .. } => error.reason(),
            Self::Output(_) => "Output",
        }
    }
}
