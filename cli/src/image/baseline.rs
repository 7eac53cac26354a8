//! What an image's profile is narrowed to.

use std::path::PathBuf;

use convert::Machine;
use filter::RuntimeDefault;
use profile::Profile;

use super::one_profile;
use crate::error::CliError;

/// The profile that an image's profile is intersected with.
#[derive(Debug, Clone)]
pub(crate) struct Baseline {
    /// Its name, for people.
    pub(crate) name: String,
    /// The profile of a file; without one, that of the runtime.
    file: Option<Profile>,
}

impl Baseline {
    pub(crate) fn read(path: Option<&PathBuf>) -> Result<Self, CliError> {
        let Some(path) = path else { return Ok(Self::runtime_default()) };
        Ok(Self { name: path.display().to_string(), file: Some(one_profile(path)?) })
    }

    /// The default profile of containerd.
    pub(crate) fn runtime_default() -> Self {
        Self { name: format!("the default of {}", RuntimeDefault::CONTAINERD.name), file: None }
    }

    /// The profile on nodes of this architecture; `None` if it is not known.
    pub(crate) fn of(&self, machine: Machine) -> Option<Profile> {
        match &self.file {
            Some(profile) => Some(profile.clone()),
            None => RuntimeDefault::CONTAINERD.profile(machine.native()),
        }
    }
}
