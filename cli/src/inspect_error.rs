//! Why an image cannot be inspected, with advice.

use std::path::PathBuf;

use registry::{FindError, ReferenceError};

use crate::show::{escaped, escaped_path};

/// Why an image cannot be inspected.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// It is no reference.
    #[error("{image:?}: {error}")]
    Reference {
        /// The text.
        image: String,
        /// Why.
        error: ReferenceError,
    },
    /// The registry gave no usable answer, or the image is not for the architecture.
    #[error("{}: {}{}", escaped(image), escaped(error), advice(error))]
    Image {
        /// The image.
        image: String,
        /// Why.
        error: FindError,
    },
    /// Docker's configuration cannot be used.
    #[error("Docker's configuration {} cannot be used: {}", escaped_path(path), escaped(why))]
    Docker {
        /// The file.
        path: PathBuf,
        /// Why, without a part of the file.
        why: String,
    },
    /// A certificate cannot be read or used.
    #[error("{}", escaped(.0))]
    Certificates(String),
    /// The file with the baseline has not exactly one profile.
    #[error("{}: a baseline is one profile", escaped_path(.0))]
    Baseline(PathBuf),
}

/// What to do.
fn advice(error: &FindError) -> &'static str {
    match error.reason() {
        "RegistryNotPermitted" => {
            "\nName a host that may be asked without TLS with --plain-http HOST, one with a private address with --inside HOST."
        }
        "RegistryUnauthorized" | "RegistryDenied" => "\nLog in with `docker login`.",
        "RegistryNotFound" => {
            "\nIs the name right? A registry may hide images from whoever is not logged in."
        }
        "RegistryUnreachable" => {
            "\nA private certificate authority is named with --ca-file FILE. A proxy is not used."
        }
        _ => "",
    }
}

impl InspectError {
    /// The reason, as one word of a bounded set.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Reference { error, .. } => error.reason(),
            Self::Image { error, .. } => error.reason(),
            Self::Docker { .. } => "DockerConfig",
            Self::Certificates(_) => "Certificates",
            Self::Baseline(_) => "Baseline",
        }
    }
}
