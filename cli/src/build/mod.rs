//! `build`: derives the profile of an image, and attaches it to the image.

#[cfg(test)]
mod tests;
mod view;

use std::path::Path;

use clap::Args;
use image::ARCHITECTURE;
use lint::{Nodes, Severity};

use crate::attach::{attach_profile, times_of};
use crate::derive::{DeriveOptions, FromImage, from_image};
use crate::error::CliError;
use crate::image::{RegistryOptions, reference};
use crate::restart::Dialogue;
use crate::show::Paint;
use view::BuildView;

/// The image, and how its profile is derived.
#[derive(Debug, Clone, Args)]
pub struct BuildArgs {
    /// The image, as in a pod
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// What is derived.
    #[command(flatten)]
    pub options: DeriveOptions,
    /// When the artifact was made, in UTC, as 2026-01-31T12:00:00Z [default: as for attach]
    #[arg(long, value_name = "TIME")]
    pub created: Option<String>,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
    /// Show the profile, and attach nothing
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
    /// The registry.
    #[command(flatten)]
    pub registry: RegistryOptions,
}

/// What is left to say, and whether the profile is attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// Remarks about logins.
    pub remarks: Vec<String>,
    /// Whether it is, or could be if this is a dry run.
    pub success: bool,
}

/// Runs the command: what is derived is shown, with what was not followed and what `lint` finds, and attached on yes.
/// `tell` is called for what takes long, `keep` with the evidence before anybody is asked.
///
/// # Errors
/// The image cannot be read, nothing can be derived, nobody said yes, or the registry does not take the profile.
pub async fn build(
    args: &BuildArgs,
    paint: Paint,
    dialogue: &mut dyn Dialogue,
    tell: &mut (dyn FnMut(&str) + Send),
    keep: &mut dyn FnMut(&str) -> Result<(), CliError>,
) -> Result<Built, CliError> {
    let image = reference(&args.image)?;
    let times = times_of(args.created.as_deref())?;
    let found: FromImage = from_image(&args.options, &args.registry, &image, tell).await?;
    let findings = lint::check(&found.profile, &Nodes::default());
    dialogue.say(&BuildView { image: &image, found: &found, findings: &findings }.render(paint))?;
    if let Some(evidence) = &found.evidence {
        keep(evidence)?;
    }
    let why = match () {
        () if !found.refused_to_runtimes.is_empty() => {
            let calls = found.refused_to_runtimes.join(", ");
            Some(format!(
                "no container starts with it: the container runtimes make calls that it refuses: {calls}"
            ))
        }
        () if findings.iter().any(|finding| finding.severity == Severity::Error) => {
            Some("the profile does something else than it says".to_owned())
        }
        () => None,
    };
    if let Some(why) = why {
        dialogue.say(&format!("nothing is attached, because {why}\n"))?;
        return Ok(Built { remarks: found.logins, success: false });
    }
    if args.dry_run {
        return Ok(Built { remarks: found.logins, success: true });
    }
    if !args.yes && !dialogue.ask(&format!("Attach it to {image} for linux/{ARCHITECTURE}?"))? {
        return Err(CliError::NotConfirmed);
    }
    // What was derived and shown, wherever the tag leads by now.
    let architectures = [ARCHITECTURE.to_owned()];
    let place = Path::new("the derived profile");
    let (attached, remarks) =
        attach_profile(&found.read, &found.profile, place, &architectures, &times, &args.registry).await?;
    dialogue.say(&format!("\n{}", attached.render(paint)))?;
    Ok(Built { remarks, success: true })
}
