//! `attach`: gives an image in a registry a profile.

#[cfg(test)]
mod tests;
mod view;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use convert::Machine;
use k8s_openapi::jiff::Timestamp;
use narrow::Refused;
use profile::Profile;
use registry::{Attached, Created, Finder, Reference, Times};

use crate::error::CliError;
use crate::image::{Baseline, DockerConfig, RegistryOptions, one_profile, reference};
use crate::image_error::ImageError;
use crate::output::OutputOption;

pub use view::AttachView;

/// The variable with the time of a reproducible build (<https://reproducible-builds.org/docs/source-date-epoch>).
const EPOCH: &str = "SOURCE_DATE_EPOCH";

/// The image, and its profile.
#[derive(Debug, Clone, Args)]
pub struct AttachArgs {
    /// The image, as in a pod
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// A file with one profile; - is standard input
    #[arg(value_name = "PROFILE", value_hint = ValueHint::FilePath)]
    pub profile: PathBuf,
    /// The architecture that the profile is for, as in the nodes' label kubernetes.io/arch; may be repeated [default: all
    /// that the image is for]
    #[arg(long, value_name = "NAME")]
    pub architecture: Vec<Machine>,
    /// When the artifact was made, in UTC, as 2026-01-31T12:00:00Z [default: SOURCE_DATE_EPOCH if that is set; otherwise
    /// the time of the image for its first profile, and the present time for a later one]
    #[arg(long, value_name = "TIME")]
    pub created: Option<String>,
    /// The output format.
    #[command(flatten)]
    pub output: OutputOption,
    /// The registry.
    #[command(flatten)]
    pub registry: RegistryOptions,
}

/// Attaches the profile. Returns what was done, and remarks about logins.
///
/// # Errors
/// The profile cannot be read or would never be used, the image cannot be read, or the registry does not take the profile.
pub async fn attach(args: &AttachArgs) -> Result<(AttachView, Vec<String>), CliError> {
    let image = reference(&args.image)?;
    let times = times_of(args.created.as_deref())?;
    let profile = one_profile(&args.profile)?;
    let architectures: BTreeSet<_> = args.architecture.iter().map(|it| it.name().to_owned()).collect();
    let architectures: Vec<_> = architectures.into_iter().collect();
    attach_profile(&image, &profile, &args.profile, &architectures, &times, &args.registry).await
}

/// Attaches a profile, whose place is named in errors.
///
/// # Errors
/// The profile would never be used, the image cannot be read, or the registry does not take the profile.
pub(crate) async fn attach_profile(
    image: &Reference,
    profile: &Profile,
    place: &Path,
    architectures: &[String],
    times: &Times,
    registry: &RegistryOptions,
) -> Result<(AttachView, Vec<String>), CliError> {
    let bytes = profile.canonical().into_bytes();
    let client = registry.client(&[image])?;
    let logins = DockerConfig::read()?;
    let finder = Finder::new(&client, &logins);
    let planned = finder.plan_attachment(image, architectures, &bytes.into(), times).await;
    let failed =
        |error| logins.explained(ImageError::Attach { image: image.to_string(), error: Box::new(error) });
    let planned = planned.map_err(failed)?;
    planned.architectures().try_for_each(|architecture| {
        usable(profile, architecture).map_err(|error| ImageError::Useless {
            path: place.to_owned(),
            architecture: architecture.to_owned(),
            error: Box::new(error),
        })
    })?;
    let attached: Attached = finder.attach(planned).await.map_err(failed)?;
    Ok((AttachView::of(image, &attached), logins.remarks()))
}

/// The times that an artifact may have, by an option and by the environment.
pub(crate) fn times_of(created: Option<&str>) -> Result<Times, ImageError> {
    times(created, std::env::var(EPOCH).ok().as_deref(), Timestamp::now())
}

/// Whether a node of this architecture would use the profile within the runtime's default. Nothing is said of an
/// architecture whose default is not known.
fn usable(profile: &Profile, architecture: &str) -> Result<(), Refused> {
    let Ok(machine) = architecture.parse::<Machine>() else { return Ok(()) };
    let Some(baseline) = Baseline::runtime_default().of(machine) else { return Ok(()) };
    let text = String::from_utf8_lossy(profile.canonical().bytes()).into_owned();
    narrow::narrow(&text, &baseline, &BTreeSet::from([machine])).map(drop)
}

/// From what the time of an artifact is taken: what the command line says, or the environment.
fn times(given: Option<&str>, epoch: Option<&str>, now: Timestamp) -> Result<Times, ImageError> {
    // With the fraction of the second: others may have attached a profile in the same one.
    let created = |time: Timestamp| Created::parse(&time.to_string());
    let given = match (given, epoch.filter(|it| !it.is_empty())) {
        (Some(text), _) => Some(Created::parse(text).ok_or_else(|| ImageError::Time(text.to_owned()))?),
        (None, Some(text)) => {
            let second = text.parse().ok().and_then(|second| Timestamp::from_second(second).ok());
            let time = second.and_then(created).ok_or_else(|| ImageError::Epoch(text.to_owned()))?;
            Some(time)
        }
        (None, None) => None,
    };
    Ok(Times { given, now: created(now).unwrap_or_else(Created::epoch) })
}
