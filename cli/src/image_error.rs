//! Why a command about an image has no answer, with advice.

use std::path::PathBuf;

use narrow::Refused;
use registry::{AttachError, CopyError, FindError, PullError, ReferenceError};

use crate::show::{escaped, escaped_path};

/// Why a command about an image has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// It is no reference.
    #[error("{image:?}: {error}")]
    Reference {
        /// The text.
        image: String,
        /// Why.
        error: ReferenceError,
    },
    /// The registry gave no usable answer, or the image is not for the architecture.
    #[error("{}: {}{}", escaped(image), escaped(error), advice(error.reason()))]
    Image {
        /// The image.
        image: String,
        /// Why.
        error: FindError,
    },
    /// A profile cannot be attached to the image.
    #[error("{}: {}{}", escaped(image), escaped(error), advice(error.reason()))]
    Attach {
        /// The image.
        image: String,
        /// Why.
        error: Box<AttachError>,
    },
    /// A layer of the image is not read.
    #[error("{}: {}{}", escaped(image), escaped(error), advice(error.reason()))]
    Pull {
        /// The image.
        image: String,
        /// Why.
        error: PullError,
    },
    /// The image is not copied.
    #[error("{}: {}{}", escaped(image), escaped(error), advice(error.reason()))]
    Copy {
        /// The image.
        image: String,
        /// Why.
        error: Box<CopyError>,
    },
    /// No cluster would use the profile.
    #[error(
        "{}: nobody would use it as the profile of an image for linux/{architecture}: {}",
        escaped_path(path),
        escaped(error)
    )]
    Useless {
        /// The file with the profile.
        path: PathBuf,
        /// The architecture, as in the nodes' label `kubernetes.io/arch`.
        architecture: String,
        /// Why.
        error: Box<Refused>,
    },
    /// A file has not exactly one profile.
    #[error("{}: expected a file with one profile", escaped_path(.0))]
    OneProfile(PathBuf),
    /// A time has another form.
    #[error("{0}: expected a time in UTC, as 2026-01-31T12:00:00Z")]
    Time(String),
    /// `SOURCE_DATE_EPOCH` has another form.
    #[error("SOURCE_DATE_EPOCH is {0:?}; expected the seconds since 1970")]
    Epoch(String),
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
    /// Something failed after some logins could not be used.
    #[error("{error}{}", notes(remarks))]
    WithoutLogins {
        /// What failed.
        error: Box<ImageError>,
        /// Which logins could not be used, and why.
        remarks: Vec<String>,
    },
    /// Public keys cannot be read or used.
    #[error("cannot read public keys from {}: {}", escaped_path(path), escaped(why))]
    Keys {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// What is said after an error about logins that could not be used: they may be its cause.
fn notes(remarks: &[String]) -> String {
    remarks.iter().map(|remark| format!("\nnote: {}", escaped(remark))).collect()
}

/// What to do.
fn advice(reason: &str) -> &'static str {
    match reason {
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

impl ImageError {
    /// The reason, as one word of a bounded set.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Reference { error, .. } => error.reason(),
            Self::Image { error, .. } => error.reason(),
            Self::WithoutLogins { error, .. } => error.reason(),
            Self::Attach { error, .. } => error.reason(),
            Self::Pull { error, .. } => error.reason(),
            Self::Copy { error, .. } => error.reason(),
            Self::Useless { error, .. } => error.reason(),
            Self::OneProfile(_) => "OneProfile",
            Self::Time(_) | Self::Epoch(_) => "Time",
            Self::Docker { .. } => "DockerConfig",
            Self::Certificates(_) => "Certificates",
            Self::Keys { .. } => "Keys",
        }
    }
}
