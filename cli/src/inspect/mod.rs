//! `inspect`: where an image in a registry carries a profile, and what remains of it.
//!
//! `view.rs` has the output.

#[cfg(test)]
mod tests;
mod view;

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::{Args, ValueHint};
use convert::Machine;
use registry::{Carried, Depth, Finder, Keys};

use crate::error::CliError;
use crate::image::{Baseline, DockerConfig, RegistryOptions, reference};
use crate::image_error::ImageError;
use crate::output::OutputOption;

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
    /// A file with public keys as PEM, of which one must have signed the profile by cosign, as the webhook requires it where it
    /// has keys
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub key: Option<PathBuf>,
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

/// What an image carries, and remarks about logins.
///
/// # Errors
/// The image or the baseline cannot be read.
pub async fn inspect(args: &InspectArgs) -> Result<(InspectView, Vec<String>), CliError> {
    let image = reference(&args.image)?;
    let baseline = Baseline::read(args.baseline.as_ref())?;
    let client = args.registry.client(&[&image])?;
    let logins = DockerConfig::read()?;
    let architectures: BTreeSet<_> = args.architecture.iter().map(|it| it.name().to_owned()).collect();
    let architectures: Vec<_> = architectures.into_iter().collect();
    let keys = args.key.as_ref().map(read_keys).transpose()?;
    let finder = Finder { depth: Depth::All, keys: keys.as_ref(), ..Finder::new(&client, &logins) };
    let found = finder.find(&image, &architectures, args.container.as_deref()).await;
    let failed = |error| logins.explained(ImageError::Image { image: image.to_string(), error });
    let carried: Carried = found.map_err(failed)?;
    Ok((InspectView::of(&image, &carried, &baseline, keys.is_some()), logins.remarks()))
}

fn read_keys(path: &PathBuf) -> Result<Keys, ImageError> {
    let failed = |why: String| ImageError::Keys { path: path.clone(), why };
    let pem = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    Keys::read(&pem).map_err(|error| failed(error.to_string()))
}
