//! `simulate`: what a profile does with calls, those of the command line or those of a strace log.
//!
//! - `place`: where in the file it is said what happens to a call.
//! - `calls`: the verdicts of some calls, as a view.
//! - `trace`: the verdicts of the calls in a log, `trace_view` as a view.

mod calls;
mod place;
#[cfg(test)]
mod tests;
mod trace;
mod trace_view;

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::slice;

use clap::{Args, ValueHint};
use serde::Serialize;

use crate::error::CliError;
use crate::log_lines::logs;
use crate::manifest::FileProfile;
use crate::output::OutputOption;
use crate::setting::SettingOptions;
use crate::show::Paint;
use crate::sources::{Origins, Source};

pub use calls::CallsView;
use trace::Trace;
pub use trace_view::TraceView;

/// The options of `simulate`.
#[derive(Debug, Clone, Args)]
pub struct SimulateArgs {
    /// The profile
    #[arg(value_hint = ValueHint::FilePath)]
    profile: PathBuf,
    /// The calls: names or numbers, with or without arguments
    #[arg(last = true, required_unless_present = "trace", value_name = "CALL")]
    calls: Vec<String>,
    /// A log of strace, instead of calls; also the name that was given to `strace -ff -o`; - for standard input; may be
    /// repeated
    #[arg(long, value_name = "LOG", value_hint = ValueHint::FilePath, conflicts_with = "calls")]
    trace: Vec<PathBuf>,
    /// Which SeccompProfile of a file with several
    #[arg(long, value_name = "NAME")]
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
    /// There is no such file, or two of the profile and the logs are standard input.
    pub fn origins(&self) -> Result<Origins, CliError> {
        let inputs = self.trace.iter().chain([&self.profile]);
        if inputs.filter(|path| path.as_path() == Path::new("-")).count() > 1 {
            return Err(CliError::StandardInputTwice);
        }
        Origins::of(self.files())
    }

    /// The argument that names the profile.
    pub(crate) fn files(&self) -> &[PathBuf] {
        slice::from_ref(&self.profile)
    }
}

/// The profile that is simulated.
pub(crate) struct Subject {
    /// The file, for messages.
    file: String,
    profile: FileProfile,
}

impl Subject {
    /// Why the runtime may not load the profile, although the verdicts are those of the loaded filter.
    fn notes(&self, options: SettingOptions) -> Vec<String> {
        let findings = lint::check_loading(&self.profile.profile, &options.nodes());
        findings.into_iter().map(|finding| finding.message).collect()
    }
}

/// What the profile does.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum SimulateView {
    /// With calls of the command line.
    Calls(CallsView),
    /// With the calls in a log.
    Trace(TraceView),
}

/// How much of a log is read at once.
const BUFFER: usize = 1 << 16;

/// What the profile does with the calls.
///
/// # Errors
/// There is no such profile, or there are several, no container starts with it, or a call does not exist.
pub fn view(
    args: &SimulateArgs,
    sources: impl Iterator<Item = Result<Source, CliError>>,
) -> Result<SimulateView, CliError> {
    let subject = subject(args, sources)?;
    if args.trace.is_empty() {
        return Ok(SimulateView::Calls(CallsView::of(&subject, &args.calls, args.setting)?));
    }
    let mut trace = Trace::new(&subject, args.setting)?;
    for log in logs(&args.trace) {
        let error = |error| CliError::File { path: log.clone(), error };
        if log == Path::new("-") {
            trace.read("-", io::stdin().lock()).map_err(error)?;
        } else {
            let file = BufReader::with_capacity(BUFFER, File::open(&log).map_err(error)?);
            trace.read(&log.display().to_string(), file).map_err(error)?;
        }
    }
    if trace.is_empty() {
        return Err(CliError::NoCalls(args.trace.clone()));
    }
    Ok(SimulateView::Trace(trace.view()))
}

impl SimulateView {
    /// Whether every call is permitted, whatever is not known of its arguments.
    #[must_use]
    pub fn permits_all(&self) -> bool {
        match self {
            Self::Calls(view) => view.permits_all(),
            Self::Trace(view) => view.permits_all(),
        }
    }

    /// The view as text.
    #[must_use]
    pub fn render(&self, paint: Paint) -> String {
        match self {
            Self::Calls(view) => view.render(paint),
            Self::Trace(view) => view.render(paint),
        }
    }
}

fn subject(
    args: &SimulateArgs,
    sources: impl Iterator<Item = Result<Source, CliError>>,
) -> Result<Subject, CliError> {
    let mut wanted = Vec::new();
    let (mut names, mut found) = (Vec::new(), Vec::new());
    for source in sources {
        let source = source?;
        for profile in source.profiles {
            names.extend(profile.name.clone());
            found.push(profile.name.clone().unwrap_or_else(|| source.name.clone()));
            if args.name.is_none() || args.name == profile.name {
                wanted.push(Subject { file: source.name.clone(), profile });
            }
        }
    }
    let path = args.profile.clone();
    match (wanted.pop(), wanted.is_empty()) {
        (Some(subject), true) => Ok(subject),
        (None, _) => match &args.name {
            Some(wanted) => Err(CliError::NoneNamed { path, wanted: wanted.clone(), found: names }),
            None => Err(CliError::NoProfiles(vec![path])),
        },
        (Some(_), false) => Err(CliError::OneOfSeveral { path, found }),
    }
}
