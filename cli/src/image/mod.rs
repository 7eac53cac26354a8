//! What the commands about images share.
//!
//! [`RegistryOptions`] are their options, `docker.rs` has the logins, and `baseline.rs` what an image's profile is
//! narrowed to.

mod baseline;
mod docker;
mod options;

use std::path::PathBuf;

use profile::Profile;
use registry::Reference;

use crate::error::CliError;
use crate::image_error::ImageError;
use crate::sources::{Origins, Others};

pub(crate) use baseline::Baseline;
pub(crate) use docker::DockerConfig;
pub use options::RegistryOptions;

/// The reference of an image.
pub(crate) fn reference(image: &str) -> Result<Reference, ImageError> {
    Reference::parse(image).map_err(|error| ImageError::Reference { image: image.to_owned(), error })
}

/// The platform of an architecture, which an image may leave open.
pub(crate) fn platform(architecture: &str) -> String {
    match architecture.is_empty() {
        true => "linux".to_owned(),
        false => format!("linux/{architecture}"),
    }
}

/// The profile in a file that has no other one; `-` is standard input.
pub(crate) fn one_profile(path: &PathBuf) -> Result<Profile, CliError> {
    let origins = Origins::of(std::slice::from_ref(path))?;
    let mut profiles = Vec::new();
    if !origins.need_cluster() {
        for source in origins.read(Others::Refuse) {
            profiles.extend(source?.profiles);
        }
    }
    match (profiles.pop(), profiles.is_empty()) {
        (Some(found), true) => Ok(found.profile),
        _ => Err(ImageError::OneProfile(path.clone()).into()),
    }
}
