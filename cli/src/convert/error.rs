//! Why files cannot be converted.

use std::path::PathBuf;

use api::ProfileName;
use convert::{CapabilityError, ConvertError};

use crate::excerpt::{document_error, field_errors};
use crate::manifest::{DocumentError, Marks, Place};
use crate::show::{escaped, escaped_path};

/// Why files cannot be converted.
#[derive(Debug, thiserror::Error)]
pub enum ConversionError {
    /// An option names a capability that does not exist, or two options the same one.
    #[error("{0}")]
    Capability(#[from] CapabilityError),
    /// A file contains no profile, or kubectl would refuse it.
    #[error("{}", document_error(path, error))]
    Document {
        /// The file.
        path: PathBuf,
        /// What it contains instead.
        error: DocumentError,
    },
    /// A profile cannot be converted.
    #[error("{}", shown(object, error, places))]
    Convert {
        /// The file, and the name of the object in it.
        object: (String, Option<String>),
        /// Why not.
        error: ConvertError,
        /// Where each of its problems is.
        places: Vec<Place>,
    },
    /// A file that was given for one base profile has several, or none.
    #[error(
        "{}: {found} profiles of the Security Profiles Operator, but {} is one",
        escaped_path(path),
        escaped(name)
    )]
    Base {
        /// The file.
        path: PathBuf,
        /// The number of profiles in it.
        found: usize,
        /// The `baseProfileName`.
        name: String,
    },
    /// An option names a profile that is in none of the files.
    #[error("no file has a profile named {} (--only)", escaped(.0))]
    NoSuchProfile(String),
    /// A profile has no name.
    #[error("{}: the profile has no name that a SeccompProfile may have; give one with --name", escaped(.0))]
    Nameless(String),
    /// Several profiles have one name.
    #[error("two profiles are named {name} ({}); convert them one by one, with --name", escaped(.places.join(", ")))]
    SameName {
        /// The name.
        name: ProfileName,
        /// The file of each, and the object in it.
        places: [String; 2],
    },
    /// Several profiles cannot be one JSON document.
    #[error("{} profiles ({}), but --to oci and --name are for one; choose it with --only", .0.len(), escaped(.0.join(", ")))]
    Several(Vec<String>),
}

/// The error, with the lines of the fields that are wrong.
fn shown((file, name): &(String, Option<String>), error: &ConvertError, places: &[Place]) -> String {
    let messages = error.problems().into_iter().map(|(_, message)| message);
    match name {
        _ if !places.is_empty() => field_errors(file, messages.zip(places)),
        Some(name) => format!("{}: {}: {error}", escaped(file), escaped(name)),
        None => format!("{}: {error}", escaped(file)),
    }
}

impl ConversionError {
    /// The error of an object of a file.
    pub(super) fn of(object: (String, Option<String>), error: ConvertError, marks: &Marks<'_>) -> Self {
        let places = error.problems().iter().map(|(path, _)| marks.place(path)).collect();
        Self::Convert { object, error, places }
    }

    /// The reason, as one word of a bounded set.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Capability(error) => error.reason(),
            Self::Document { error, .. } => error.reason(),
            Self::Convert { error, .. } => error.reason(),
            Self::Base { .. } => "Base",
            Self::NoSuchProfile(_) => "NoSuchProfile",
            Self::Nameless(_) => "Nameless",
            Self::SameName { .. } => "SameName",
            Self::Several(_) => "SeveralProfiles",
        }
    }
}
