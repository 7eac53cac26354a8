//! Errors of the commands, with advice.

use std::path::PathBuf;

use link::chain;

use crate::call::CallError;
use crate::convert::ConversionError;
use crate::derive_error::DeriveCommandError;
use crate::excerpt::document_error;
use crate::image_error::ImageError;
use crate::learn::LearnError;
use crate::learn::workload::error::WorkloadError;
use crate::manifest::DocumentError;
use crate::merge_error::MergeError;
use crate::proxy::ProxyError;
use crate::show::{escaped, escaped_path};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// There is no usable kubeconfig.
    #[error(
        "cannot use the kubeconfig: {}\nName another with --kubeconfig or KUBECONFIG, or another context with --context.", escaped(.0)
    )]
    Kubeconfig(String),
    /// The proxy that the kubeconfig or the environment names cannot be used.
    #[error("cannot go through a proxy: {0}")]
    Proxy(#[from] ProxyError),
    /// The API server was not reached, or its answer cannot be read.
    #[error(
        "cannot {verb} {what}: {}\nDoes `kubectl get --raw /readyz` answer? Name another cluster with --context.",
        escaped(cause)
    )]
    Unreachable {
        /// What was to be done with it.
        verb: &'static str,
        /// The requested plural.
        what: &'static str,
        /// Why.
        cause: String,
    },
    /// The API server does not know the kinds.
    #[error(
        "the API server has no {what}.seccomp.imjasonh.dev: is the chart installed on this cluster?\nInstall it with `helm install seccomp-profile charts/seccomp-profile -n seccomp-profile --create-namespace`, or name another cluster with --context."
    )]
    NotInstalled {
        /// The requested plural.
        what: &'static str,
    },
    /// The user lacks the right.
    #[error(
        "{}\nAsk an administrator to bind the ClusterRole {role}{}: `kubectl create clusterrolebinding NAME --clusterrole={role} --user=YOU`.",
        escaped(message), of_a_release(.role)
    )]
    Forbidden {
        /// The API server's message: who may not do what.
        message: String,
        /// The role that grants the right.
        role: &'static str,
    },
    /// The credentials are invalid.
    #[error(
        "the API server does not accept the credentials ({}): those of this context are wrong or have expired\nLog in again, or name another context with --context.", escaped(.0)
    )]
    Unauthorized(String),
    /// The API server refused for another reason.
    #[error("cannot {verb} {what}: {} ({code})", escaped(message))]
    Refused {
        /// What was to be done with it.
        verb: &'static str,
        /// The requested plural.
        what: &'static str,
        /// The HTTP status.
        code: u16,
        /// The API server's message.
        message: String,
    },
    /// The profile does not exist.
    #[error("there is no SeccompProfile {0:?}\n`kubectl get seccompprofiles` lists the existing ones.")]
    NoProfile(String),
    /// The profile on the cluster is invalid, so it cannot be compared.
    #[error(
        "the SeccompProfile {name:?} on the cluster is not valid: {error}\nCorrect it with `kubectl edit seccompprofiles.seccomp.imjasonh.dev {name}`."
    )]
    Stored {
        /// The profile.
        name: String,
        /// What is wrong.
        error: profile::ParseError,
    },
    /// The file cannot be read.
    #[error("cannot read {}: {error}", escaped_path(path))]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Only a file can be fixed.
    #[error("--fix changes files; {} is none", escaped(.0))]
    NotAFile(String),
    /// A file cannot be written.
    #[error("cannot write {}: {error}", escaped_path(path))]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The directory has no manifest.
    #[error("{}: no file there ends in .yaml, .yml or .json", escaped_path(.0))]
    NothingIn(PathBuf),
    /// None of the files that were found has a profile.
    #[error("no profile in {}", paths(.0))]
    NoProfiles(Vec<PathBuf>),
    /// A pattern is not valid, or nothing matches.
    #[error("{}: {why}", escaped(pattern))]
    Pattern {
        /// The pattern.
        pattern: String,
        /// Why.
        why: String,
    },
    /// The file does not contain a profile.
    #[error("{}", document_error(path, error))]
    Document {
        /// The file.
        path: PathBuf,
        /// What it contains instead.
        error: DocumentError,
    },
    /// There are several profiles in the file or directory.
    #[error(
        "{} has several profiles; choose one by its own file, or with --name NAME: {}",
        escaped_path(path),
        names(found)
    )]
    OneOfSeveral {
        /// The file or directory.
        path: PathBuf,
        /// The names of the profiles, or the files of those without a name.
        found: Vec<String>,
    },
    /// There is no profile of the requested name in the file or directory.
    #[error(
        "{} has no profile named {}; {}", escaped_path(path), escaped(wanted),
        if found.is_empty() { "none in it has a name, so leave --name out".to_owned() } else { format!("found: {}", names(found)) }
    )]
    NoneNamed {
        /// The file or directory.
        path: PathBuf,
        /// The requested name.
        wanted: String,
        /// The names of the profiles that have one.
        found: Vec<String>,
    },
    /// Arguments that are no files were taken for profiles in the cluster, which was not reached.
    #[error(
        "{error}\nThe cluster is asked because there is no file {}: such an argument is the name of a SeccompProfile in the \
         cluster.", self::names(.names)
    )]
    AssumedName {
        /// The arguments.
        names: Vec<String>,
        /// Why the cluster was not reached, or has no such profile.
        error: Box<CliError>,
    },
    /// The profile has no filter on the node.
    #[error("{}: {}: {error}", escaped(file), .error.consequence().of("this profile"))]
    Unloadable {
        /// The file.
        file: String,
        /// Why.
        error: filter::Unloadable,
    },
    /// A text is no system call.
    #[error("{call:?}: {error}")]
    Call {
        /// The text.
        call: String,
        /// Why.
        error: CallError,
    },
    /// The conditions on a call are too complex to be listed.
    #[error("{}: the profile's conditions on this call are too complex to be listed", escaped(call))]
    Undecided {
        /// The call.
        call: String,
    },
    /// There is no call in the logs.
    #[error(
        "no system call in {}: is it what strace wrote?", paths(.0)
    )]
    NoCalls(Vec<PathBuf>),
    /// Two arguments are standard input.
    #[error("standard input (-) can be read once, and two arguments name it; write one of the two to a file")]
    StandardInputTwice,
    /// The profiles cannot be compared.
    #[error("the profiles cannot be compared: {0}")]
    TooComplex(#[from] filter::diagram::TooComplex),
    /// The profiles cannot be combined.
    #[error(transparent)]
    Merge(#[from] MergeError),
    /// A profile of another tool cannot be converted.
    #[error("{0}")]
    Conversion(#[from] ConversionError),
    /// A command about an image has no answer.
    #[error("{0}")]
    Image(#[from] ImageError),
    /// The profile is not Ready, so that a restarted pod may start under its earlier contents.
    #[error(
        "{name} is not Ready: pods that start now may still be under its earlier contents\nWait with `kubectl seccomp wait {name}`.",
        name = escaped(.0)
    )]
    NotReady(String),
    /// Nobody said yes.
    #[error("nothing was restarted: nobody said yes")]
    NotConfirmed,
    /// Nobody can be asked.
    #[error(
        "nobody can be asked before something is changed, because standard input is no terminal\nGive --yes, or --dry-run."
    )]
    NobodyToAsk,
    /// No profile can be derived.
    #[error("{0}")]
    Derive(#[from] DeriveCommandError),
    /// No profile can be learned.
    #[error("{0}")]
    Learn(#[from] LearnError),
    /// A workload does not learn.
    #[error(transparent)]
    LearnWorkload(Box<WorkloadError>),
    /// The answer could not be written.
    #[error("cannot write the answer: {0}")]
    Output(std::io::Error),
}

/// The role that permits reading the two kinds.
pub const VIEWER: &str = "seccomp-profile-viewer";
/// The role that permits changing profiles.
pub const EDITOR: &str = "seccomp-profile-editor";
/// Kubernetes' role that permits reading pods and workloads.
pub const VIEW: &str = "view";
/// Kubernetes' role that permits changing workloads.
pub const EDIT: &str = "edit";

/// Text after the name of a role: the names of the chart's roles contain the release's name.
fn of_a_release(role: &str) -> &'static str {
    match role {
        VIEWER => " (or your release's …-viewer)",
        EDITOR => " (or your release's …-editor)",
        _ => "",
    }
}

/// Paths in a list.
fn paths(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| escaped_path(path)).collect::<Vec<_>>().join(", ")
}

/// Names in a list.
fn names(names: &[String]) -> String {
    escaped(names.join(", "))
}

impl From<WorkloadError> for CliError {
    fn from(error: WorkloadError) -> Self {
        Self::LearnWorkload(Box::new(error))
    }
}

impl CliError {
    /// The error of a failed list or get of `what`; `role` grants the right to it.
    #[must_use]
    pub fn of(error: &kube::Error, what: &'static str, role: &'static str) -> Self {
        Self::of_request(error, "list", what, role)
    }

    /// The error of another failed request about `what`, which was to do `verb` with it.
    #[must_use]
    pub fn of_request(
        error: &kube::Error,
        verb: &'static str,
        what: &'static str,
        role: &'static str,
    ) -> Self {
        match error {
            kube::Error::Api(status) => match status.code {
                401 => Self::Unauthorized(status.message.clone()),
                403 => Self::Forbidden { message: status.message.clone(), role },
                404 => Self::NotInstalled { what },
                code => Self::Refused { verb, what, code, message: status.message.clone() },
            },
            other => Self::Unreachable { verb, what, cause: chain(other) },
        }
    }

    /// Whether the API server gave no answer, or none for the moment, so that the same request may succeed later.
    #[must_use]
    pub fn is_no_answer(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { code, .. } => *code == 429 || *code >= 500,
            _ => false,
        }
    }

    /// The error without advice.
    #[must_use]
    pub fn first_line(&self) -> String {
        self.to_string().lines().next().unwrap_or_default().to_owned()
    }

    /// The reason, as one word of a bounded set.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Kubeconfig(_) => "Kubeconfig",
            Self::Proxy(_) => "Proxy",
            Self::Unreachable { .. } => "Unreachable",
            Self::NotInstalled { .. } => "NotInstalled",
            Self::Forbidden { .. } => "Forbidden",
            Self::Unauthorized(_) => "Unauthorized",
            Self::Refused { .. } => "Refused",
            Self::NoProfile(_) => "NoProfile",
            Self::Stored { .. } => "StoredProfileInvalid",
            Self::File { .. } => "File",
            Self::NotAFile(_) => "NotAFile",
            Self::Write { .. } => "Write",
            Self::NothingIn(_) => "NothingInDirectory",
            Self::NoProfiles(_) => "NoProfile",
            Self::Pattern { .. } => "Pattern",
            Self::Document { error, .. } => error.reason(),
            Self::OneOfSeveral { .. } => "SeveralProfiles",
            Self::NoneNamed { .. } => "NoProfileNamed",
            Self::AssumedName { error, .. } => error.reason(),
            Self::Unloadable { .. } => "Unloadable",
            Self::Call { error, .. } => error.reason(),
            Self::Undecided { .. } => "TooComplex",
            Self::NoCalls(_) => "NoCalls",
            Self::StandardInputTwice => "StandardInputTwice",
            Self::TooComplex(_) => "TooComplex",
            Self::Merge(error) => error.reason(),
            Self::Conversion(error) => error.reason(),
            Self::Image(error) => error.reason(),
            Self::NotReady(_) => "NotReady",
            Self::NotConfirmed => "NotConfirmed",
            Self::NobodyToAsk => "NobodyToAsk",
            Self::Derive(error) => error.reason(),
            Self::Learn(error) => error.reason(),
            Self::LearnWorkload(error) => error.reason(),
            Self::Output(_) => "Output",
        }
    }
}
