//! `copy`: copies an image to another registry, with the profiles that are attached to it.

#[cfg(test)]
mod tests;
mod view;

use clap::Args;
use registry::Finder;

use crate::error::CliError;
use crate::image::{DockerConfig, RegistryOptions, reference};
use crate::image_error::ImageError;
use crate::output::OutputOption;
use crate::show::bytes;

pub use view::CopyView;

/// The image, and where it goes.
#[derive(Debug, Clone, Args)]
pub struct CopyArgs {
    /// The image, as in a pod
    #[arg(value_name = "FROM")]
    pub from: String,
    /// Its name in the other repository
    #[arg(value_name = "TO")]
    pub to: String,
    /// The output format.
    #[command(flatten)]
    pub output: OutputOption,
    /// The registry.
    #[command(flatten)]
    pub registry: RegistryOptions,
}

/// Copies the image. Returns what was copied, and remarks about logins; tells of each blob meanwhile.
///
/// # Errors
/// The image cannot be read, or the registry does not take it.
pub async fn copy(
    args: &CopyArgs,
    tell: &mut (dyn FnMut(&str) + Send),
) -> Result<(CopyView, Vec<String>), CliError> {
    let (from, to) = (reference(&args.from)?, reference(&args.to)?);
    let client = args.registry.client(&[&from, &to])?;
    let logins = DockerConfig::read()?;
    let finder = Finder::new(&client, &logins);
    let mut told = |number, of, size| tell(&format!("blob {number} of {of}, {}", bytes(size)));
    let copied = finder.copy(&from, &to, &mut told).await;
    let failed =
        |error| logins.explained(ImageError::Copy { image: from.to_string(), error: Box::new(error) });
    let copied = copied.map_err(failed)?;
    Ok((CopyView::of(&from, &to, &copied), logins.remarks()))
}
