//! Why nothing is derived.

use std::path::PathBuf;

use crate::merge_error::MergeError;
use crate::show::{escaped, escaped_path};

/// Why nothing is derived.
#[derive(Debug, thiserror::Error)]
pub enum DeriveCommandError {
    /// The program cannot be read.
    #[error("{}", escaped(.0))]
    Program(#[from] derive::DeriveError),
    /// The number of a call is not known, so that calls may be missing.
    #[error(
        "the profile may lack calls, because numbers are not known:\n{}\nWith --open-numbers runtime-default the \
         profile also permits what the default profile of containerd permits; --without PROGRAM leaves a program out that \
         does not run.",
        .0.iter().map(escaped).collect::<Vec<_>>().join("\n")
    )]
    Open(Vec<String>),
    /// A file cannot be read.
    #[error("cannot read {}: {error}", escaped_path(path))]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The image cannot be used.
    #[error("{}: {}", escaped_path(target), escaped(error))]
    Image {
        /// The image, as it was named.
        target: PathBuf,
        /// Why.
        error: image::ImageError,
    },
    /// There is no place for the contents of an image.
    #[error("cannot use a temporary file: {0}\nName a directory with more space in TMPDIR.")]
    Temporary(std::io::Error),
    /// The image starts nothing, and no program is named.
    #[error(
        "{}: the image has neither an entry point nor a command; name its programs with --program, such as --program /usr/sbin/nginx",
        escaped_path(.0)
    )]
    NothingStarts(PathBuf),
    /// The target is a directory, and no program is named.
    #[error("{}: name the programs in this directory with --program, such as --program /usr/sbin/nginx", escaped_path(.0))]
    NoProgram(PathBuf),
    /// The target is no directory, and programs in it are named.
    #[error("{}: --program is about a directory, and this is none", escaped_path(.0))]
    NoDirectory(PathBuf),
    /// The program is not in the root.
    #[error("{}: not in the directory of --root", escaped_path(.0))]
    Outside(PathBuf),
    /// No name for the profile.
    #[error("{}: its name is none of a SeccompProfile; choose one with --name", escaped_path(.0))]
    Nameless(PathBuf),
    /// A text is no call of x86_64.
    #[error("{0:?} is no system call of x86_64")]
    NoCall(String),
    /// The program cannot make a call.
    #[error("{}: the program does not reach this call", escaped(.0))]
    Unreached(String),
    /// The profile to be checked loads nowhere.
    #[error("no container starts with this profile: {0}")]
    Unloadable(#[from] filter::Unloadable),
    /// The profile to be checked is too complex.
    #[error("the profile cannot be compared: {0}")]
    TooComplex(#[from] filter::diagram::TooComplex),
    /// The file of overrides is none.
    #[error(
        "{}: expected the lists allow and deny, of names, reason, architectures and args: {}",
        escaped_path(path),
        escaped(why)
    )]
    Overrides {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// An override is not valid.
    #[error("{}: {field}: {}", escaped_path(path), escaped(why))]
    Override {
        /// The file.
        path: PathBuf,
        /// The field.
        field: String,
        /// Why.
        why: String,
    },
    /// What is refused with certain arguments cannot be expressed.
    #[error("the overrides cannot be applied: {0}")]
    Merge(#[from] MergeError),
    /// The derived profile is not valid.
    #[error("the derived profile is not valid: {0}")]
    Profile(#[from] profile::ParseError),
}

impl DeriveCommandError {
    /// The reason, as one word of a bounded set.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Program(error) => error.reason(),
            Self::Open(_) => "OpenNumbers",
            Self::File { .. } => "Unreadable",
            Self::Image { error, .. } => error.reason(),
            Self::Temporary(_) => "TemporaryFile",
            Self::NothingStarts(_) => "NothingStarts",
            Self::NoProgram(_) => "NoProgram",
            Self::NoDirectory(_) => "NoDirectory",
            Self::Outside(_) => "Outside",
            Self::Nameless(_) => "Nameless",
            Self::NoCall(_) => "NoCall",
            Self::Unreached(_) => "Unreached",
            Self::Unloadable(_) => "Unloadable",
            Self::TooComplex(_) => "TooComplex",
            Self::Overrides { .. } => "Overrides",
            Self::Override { .. } => "Override",
            Self::Merge(error) => error.reason(),
            Self::Profile(_) => "Profile",
        }
    }
}
