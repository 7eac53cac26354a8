//! Why nothing is learned.

use std::path::PathBuf;

/// Why nothing is learned.
#[derive(Debug, thiserror::Error)]
pub enum LearnError {
    /// A file cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A file in JSON is neither observations nor a profile.
    #[error("{}: {error}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Why.
        error: JsonError,
    },
    /// There is no call in the files that can be learned.
    #[error(
        "no system call to learn in {}: is it a log of strace or of runsc, or has an observation containers whose calls are \
         logged?",
        .0.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
    )]
    NoCalls(Vec<PathBuf>),
    /// Two files are standard input.
    #[error("standard input (-) can be read once, and two arguments name it; write one of the two to a file")]
    StandardInputTwice,
    /// The learned profile is not valid.
    #[error("the learned profile is not valid: {0}")]
    Profile(#[from] profile::ParseError),
}

/// A text in JSON is neither observations nor a profile.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// It is not JSON.
    #[error("{0}")]
    Syntax(#[from] serde_json::Error),
    /// It is an object of another kind.
    #[error("{0} is neither a SeccompObservation nor a list of them")]
    OtherKind(String),
    /// It is no profile.
    #[error("{0}")]
    Profile(#[from] profile::ParseError),
}

impl LearnError {
    /// The reason, as one word of a bounded set.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::File { .. } => "Unreadable",
            Self::Json { error, .. } => match error {
                JsonError::Syntax(_) => "NoJson",
                JsonError::OtherKind(_) => "OtherKind",
                JsonError::Profile(error) => error.reason(),
            },
            Self::NoCalls(_) => "NoCalls",
            Self::StandardInputTwice => "StandardInputTwice",
            Self::Profile(error) => error.reason(),
        }
    }
}
