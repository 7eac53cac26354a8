//! `learn`: a profile from what programs were seen to do.
//!
//! - `args`: the command's options; `error`: why it fails.
//! - [`Seen`]: the calls that were seen, with where and how often, merged from any number of files.
//! - `trace`: reads the logs of strace and of gVisor's runsc; `observed`: the reports of observers, and profiles that other
//!   tools have recorded.
//! - `rules`: what both ways to learn read of a profile; `result`: the profile that permits what was seen, alone or beyond what a profile permits already.
//! - [`workload`]: the same from a workload of the cluster, rollout by rollout.
//!
//! What a profile has refused stays refused, whoever made the call: only calls that were permitted, logged or traced are
//! learned.

mod args;
mod error;
mod observed;
mod result;
mod rules;
mod seen;
#[cfg(test)]
mod tests;
mod trace;
pub mod workload;

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use profile::Profile;

pub use args::{ContainerPattern, LearnArgs};
pub use error::LearnError;
pub use seen::Seen;

use crate::log_lines::logs;
use crate::output::ProfileForm;
use crate::profile_text::{oci_json, seccomp_profile};
use crate::started_by::started_by;

/// How much of a log is read at once.
const BUFFER: usize = 1 << 16;

/// What comes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Learned {
    /// The profile.
    pub text: String,
    /// What is not in the profile, and why calls may be missing.
    pub remarks: Vec<String>,
    /// Whether the files say that they have all calls.
    pub is_complete: bool,
    /// Where each call was seen, as JSON.
    pub evidence: String,
}

/// Learns a profile from the files. `base` is the profile of `--base`.
///
/// # Errors
/// A file cannot be read or has no call, or the profile would not be valid.
pub fn learn(args: &LearnArgs, base: Option<&Profile>) -> Result<Learned, LearnError> {
    if args.from.iter().filter(|path| path.as_path() == Path::new("-")).count() > 1 {
        return Err(LearnError::StandardInputTwice);
    }
    let mut seen = Seen::default();
    for path in &logs(&args.from) {
        let failed = |error| LearnError::File { path: path.clone(), error };
        if path == Path::new("-") {
            read(&mut seen, args, path, io::stdin().lock())?;
        } else {
            read(&mut seen, args, path, BufReader::with_capacity(BUFFER, File::open(path).map_err(failed)?))?;
        }
    }
    if seen.is_empty() {
        return Err(LearnError::NoCalls(args.from.clone()));
    }
    of(args, &seen, base)
}

/// Reads one file, whose form shows at its first character: reports and profiles are JSON, logs are not.
fn read(seen: &mut Seen, args: &LearnArgs, path: &Path, mut file: impl BufRead) -> Result<(), LearnError> {
    let failed = |error| LearnError::File { path: path.to_owned(), error };
    let name = path.display().to_string();
    let begin = file.fill_buf().map_err(failed)?;
    if begin.trim_ascii_start().first() != Some(&b'{') {
        return trace::read(seen, &name, args.architecture.into(), file).map_err(failed);
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(failed)?;
    observed::read(seen, &name, &text, &args.containers)
        .map_err(|error| LearnError::Json { path: path.to_owned(), error })
}

/// The result of what was seen.
fn of(args: &LearnArgs, seen: &Seen, base: Option<&Profile>) -> Result<Learned, LearnError> {
    let by_runtime = started_by(&args.runtimes, args.allow_privilege_escalation);
    let profile = match base {
        None => result::alone(seen, &by_runtime, args.architecture.into())?,
        Some(base) => result::beyond(base, seen, &by_runtime)?,
    };
    let text = match args.output {
        ProfileForm::Json => oci_json(&profile),
        ProfileForm::Yaml => seccomp_profile(args.name.as_str(), &profile),
    };
    let mut remarks = seen.remarks();
    remarks.extend(base.into_iter().flat_map(|base| result::still_refused(base, seen)));
    Ok(Learned { text, remarks, is_complete: seen.is_complete(), evidence: seen.evidence(&by_runtime) })
}
