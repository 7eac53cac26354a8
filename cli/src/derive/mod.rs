//! `derive`: a profile from the files of a program, with evidence for each call.
//!
//! - `args`: the command's options. Why it fails is in `derive_error`.
//! - `target`: what is derived: a program, a directory, or an image. `root`: the files of a directory, for the crate
//!   `derive`, which reads none itself; `layout`: a directory with an image; `pull`: an image in a registry.
//! - `found`: from the programs to a profile; `overrides`: what a person adds to it and takes from it.
//! - `evidence`: each call with how the program reaches it, as JSON and as text.
//! - `check`: what an existing profile refuses of it, and what it permits beyond.
//!
//! The crate `derive` decides which calls a program can make; here they become a profile.

mod args;
mod check;
mod conditions;
mod evidence;
mod found;
mod layout;
mod overrides;
mod pull;
mod root;
mod target;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use api::ProfileName;
use derive::Program;
use profile::Profile;
use registry::Reference;

pub use args::{DeriveArgs, DeriveOptions, KnownArguments, OpenNumbers};
pub use target::{Here, Place};

use crate::derive_error::DeriveCommandError;
use crate::error::CliError;
use crate::image::RegistryOptions;
use crate::output::ProfileForm;
use crate::profile_text::{oci_json, seccomp_profile};
use check::Check;
use evidence::chains;
use found::Found;
use pull::Pulled;
use target::Opened;

/// What comes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DerivedText {
    /// The profile, the chains, or what a profile refuses and permits beyond.
    pub text: String,
    /// What was not followed.
    pub remarks: Vec<String>,
    /// Whether the profile that was checked is as derived.
    pub success: bool,
    /// The evidence as JSON, if it is asked for.
    pub evidence: Option<String>,
}

/// Derives the calls of programs on this machine. `checked` is the profile of `--check`. `tell` is called for what takes
/// long.
///
/// # Errors
/// A file cannot be read, or a number is not known and that is refused.
pub fn derive(
    args: &DeriveArgs,
    here: Here,
    checked: Option<&Profile>,
    tell: &mut (dyn FnMut(&str) + Send),
) -> Result<DerivedText, DeriveCommandError> {
    let name = args.name(&here);
    let is_image = here.is_image();
    let opened = args.open(here, tell)?;
    derived(args, &opened, name, checked, &mut |line| {
        if is_image {
            tell(line);
        }
    })
}

/// Derives the calls of an image in a registry.
///
/// # Errors
/// The image cannot be read, or a number is not known and that is refused.
pub async fn derive_image(
    args: &DeriveArgs,
    image: &Reference,
    checked: Option<&Profile>,
    tell: &mut (dyn FnMut(&str) + Send),
) -> Result<DerivedText, CliError> {
    let Pulled { opened, remarks, .. } = args.options.pull(&args.registry, image, tell).await?;
    let mut text = derived(args, &opened, args.options.name_of_image(image), checked, tell)?;
    text.remarks.splice(0..0, remarks);
    Ok(text)
}

/// The profile of an image in a registry, and where it comes from.
#[derive(Debug)]
pub struct FromImage {
    /// The name of the profile.
    pub name: ProfileName,
    /// The image with the digest of what was read.
    pub read: Reference,
    /// The profile.
    pub profile: Profile,
    /// The programs that may run.
    pub programs: Vec<Program>,
    /// What was not followed, and what overrides contradict.
    pub remarks: Vec<String>,
    /// Calls that runtimes make before the program begins and that the profile does not permit.
    pub refused_to_runtimes: Vec<&'static str>,
    /// Remarks about logins.
    pub logins: Vec<String>,
    /// The evidence as JSON, if it is asked for.
    pub evidence: Option<String>,
}

/// The same as [`derive_image`] for whoever goes on with the profile.
///
/// # Errors
/// The image cannot be read, or a number is not known and that is refused.
pub async fn from_image(
    options: &DeriveOptions,
    registry: &RegistryOptions,
    image: &Reference,
    tell: &mut (dyn FnMut(&str) + Send),
) -> Result<FromImage, CliError> {
    let name = options.name_of_image(image)?;
    let Pulled { opened, read, remarks: logins } = options.pull(registry, image, tell).await?;
    let mut found = Found::of(options, &opened, tell)?;
    let profile = found.profile(options)?;
    let evidence = options.evidence.as_ref().map(|_| found.evidence());
    let refused_to_runtimes = found.refused_to_runtimes(options, &profile)?;
    let Found { programs, remarks, .. } = found;
    Ok(FromImage { name, read, profile, programs, remarks, refused_to_runtimes, logins, evidence })
}

/// Derives the calls of programs.
fn derived(
    args: &DeriveArgs,
    opened: &Opened,
    name: Result<ProfileName, DeriveCommandError>,
    checked: Option<&Profile>,
    tell: &mut (dyn FnMut(&str) + Send),
) -> Result<DerivedText, DeriveCommandError> {
    // A name that cannot be is said before what takes long.
    let needs_name = checked.is_none() && args.why.is_empty() && args.output == ProfileForm::Yaml;
    let name = if needs_name { Some(name?) } else { None };
    let mut found = Found::of(&args.options, opened, tell)?;
    let evidence = args.options.evidence.as_ref().map(|_| found.evidence());
    let (text, success) = if let Some(profile) = checked {
        let derived = found.profile(&args.options)?;
        let check = Check::of(profile, &derived, &found.reached, &found.by_runtime)?;
        (check.text(), check.is_equal())
    } else if args.why.is_empty() {
        let profile = found.profile(&args.options)?;
        let text = match name {
            None => oci_json(&profile),
            Some(name) => seccomp_profile(name.as_str(), &profile),
        };
        (text, true)
    } else {
        (chains(&found.programs, &args.why)?, true)
    };
    Ok(DerivedText { text, remarks: found.remarks, success, evidence })
}
