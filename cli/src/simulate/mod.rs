//! `simulate`: what a profile does with calls, those of the command line or those of a strace log.
//!
//! - `place`: where in the file it is said what happens to a call.
//! - `calls`: the verdicts of some calls, as a view.

mod calls;
mod place;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::slice;

use clap::{Args, ValueHint};

use crate::error::CliError;
use crate::manifest::FileProfile;
use crate::output::OutputOption;
use crate::setting::SettingOptions;
use crate::sources::{Origins, Source};

pub use calls::CallsView;

/// The options of `simulate`.
#[derive(Debug, Clone, Args)]
pub struct SimulateArgs {
    /// The profile
    #[arg(value_hint = ValueHint::FilePath)]
    profile: PathBuf,
    /// The calls: names or numbers, with or without arguments
    #[arg(last = true, required = true, value_name = "CALL")]
    calls: Vec<String>,
    /// Which SeccompProfile of a file with several
    #[arg(long)]
    name: Option<String>,
    /// Where the profile is loaded.
    #[command(flatten)]
    setting: SettingOptions,
    /// The output format.
    #[command(flatten)]
    pub output: OutputOption,
}

impl SimulateArgs {
    /// Where the profile is.
    ///
    /// # Errors
    /// There is no such file.
    pub fn origins(&self) -> Result<Origins, CliError> {
        Origins::of(slice::from_ref(&self.profile))
    }
}

/// The profile that is simulated.
pub(crate) struct Subject {
    /// The file, for messages.
    file: String,
    profile: FileProfile,
}

/// What the profile does with the calls.
///
/// # Errors
/// There is no such profile, or there are several, no container starts with it, or a call does not exist.
pub fn view(
    args: &SimulateArgs,
    sources: impl Iterator<Item = Result<Source, CliError>>,
) -> Result<CallsView, CliError> {
    CallsView::of(&subject(args, sources)?, &args.calls, args.setting)
}

fn subject(
    args: &SimulateArgs,
    sources: impl Iterator<Item = Result<Source, CliError>>,
) -> Result<Subject, CliError> {
    let mut found = Vec::new();
    let mut wanted = Vec::new();
    for source in sources {
        let source = source?;
        for profile in source.profiles {
            found.push(profile.name.clone().unwrap_or_else(|| source.name.clone()));
            if args.name.is_none() || args.name == profile.name {
                wanted.push(Subject { file: source.name.clone(), profile });
            }
        }
    }
    match (wanted.pop(), wanted.is_empty()) {
        (Some(subject), true) => Ok(subject),
        _ => Err(CliError::OneOfSeveral { path: args.profile.clone(), found }),
    }
}
