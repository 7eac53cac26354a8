//! `inspect`: where an image in a registry carries a profile, and what remains of it.
//!
//! [`RegistryOptions`] are those of every command that asks a registry, `docker.rs` has the logins, `view.rs` the output.

mod docker;
mod options;
#[cfg(test)]
mod tests;
mod view;

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::{Args, ValueHint};
use convert::Machine;
use filter::RuntimeDefault;
use profile::Profile;
use registry::{Carried, Depth, Finder, Reference};

use crate::error::CliError;
use crate::inspect_error::InspectError;
use crate::output::OutputOption;
use crate::sources::{Origins, Others};
use docker::DockerConfig;

pub use options::RegistryOptions;
pub use view::InspectView;

/// The image, and where a container would run.
#[derive(Debug, Clone, Args)]
pub struct InspectArgs {
    /// The image, as in a pod
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// A file with the baseline [default: the default profile of containerd, which is RuntimeDefault there]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub baseline: Option<PathBuf>,
    /// The architecture of the nodes, as in their label kubernetes.io/arch; may be repeated [default: all that the image
    /// is for]
    #[arg(long, value_name = "NAME")]
    pub architecture: Vec<Machine>,
    /// The name of the container, which CRI-O's annotations may name
    #[arg(long, value_name = "NAME")]
    pub container: Option<String>,
    /// Print only what a node would run, as runtimes read it
    #[arg(long, conflicts_with = "output")]
    pub contents: bool,
    /// The output format.
    #[command(flatten)]
    pub output: OutputOption,
    /// The registry.
    #[command(flatten)]
    pub registry: RegistryOptions,
}

/// The profile that an image's profile is intersected with.
#[derive(Debug, Clone)]
pub(crate) struct Baseline {
    /// Its name, for people.
    name: String,
    /// The profile of a file; without one, that of the runtime.
    file: Option<Profile>,
}

impl Baseline {
    fn read(path: Option<&PathBuf>) -> Result<Self, CliError> {
        let Some(path) = path else {
            return Ok(Self {
                name: format!("the default of {}", RuntimeDefault::CONTAINERD.name),
                file: None,
            });
        };
        let origins = Origins::of(std::slice::from_ref(path))?;
        let one = || InspectError::Baseline(path.clone());
        if origins.need_cluster() {
            return Err(one().into());
        }
        let mut profiles = Vec::new();
        for source in origins.read(Others::Refuse) {
            profiles.extend(source?.profiles);
        }
        match (profiles.pop(), profiles.is_empty()) {
            (Some(found), true) => Ok(Self { name: path.display().to_string(), file: Some(found.profile) }),
            _ => Err(one().into()),
        }
    }

    /// The profile on nodes of this architecture; `None` if it is not known.
    fn of(&self, machine: Machine) -> Option<Profile> {
        match &self.file {
            Some(profile) => Some(profile.clone()),
            None => RuntimeDefault::CONTAINERD.profile(machine.native()),
        }
    }
}

/// What an image carries, and remarks about logins.
///
/// # Errors
/// The image or the baseline cannot be read.
pub async fn inspect(args: &InspectArgs) -> Result<(InspectView, Vec<String>), CliError> {
    let image = Reference::parse(&args.image)
        .map_err(|error| InspectError::Reference { image: args.image.clone(), error })?;
    let baseline = Baseline::read(args.baseline.as_ref())?;
    let client = args.registry.client(&image)?;
    let logins = DockerConfig::read()?;
    let architectures: BTreeSet<_> = args.architecture.iter().map(|it| it.name().to_owned()).collect();
    let architectures: Vec<_> = architectures.into_iter().collect();
    let finder = Finder { client: &client, logins: &logins, depth: Depth::All };
    let found = finder.find(&image, &architectures, args.container.as_deref()).await;
    let carried: Carried = found.map_err(|error| InspectError::Image { image: image.to_string(), error })?;
    Ok((InspectView::of(&image, &carried, &baseline), logins.remarks()))
}
