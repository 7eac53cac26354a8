//! `derive`: a profile from the files of a program, with evidence for each call.
//!
//! - `args`: the command's options; `error`: why it fails.
//! - `root`: the files of an image or of this machine, for the crate `derive`, which reads none itself.
//! - `evidence`: each call with how the program reaches it, as JSON and as text.
//! - `check`: what an existing profile refuses of it, and what it permits beyond.
//!
//! The crate `derive` decides which calls a program can make; here they become a profile.

mod args;
mod check;
mod error;
mod evidence;
mod root;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use derive::{Derived, Request};
use filter::{RuntimeDefault, Startup};
use profile::Profile;
use serde_json::json;
use syscalls::{Architecture, Syscall};

pub use args::{DeriveArgs, OpenNumbers, StartedBy};
pub use error::DeriveCommandError;

use crate::output::ProfileForm;
use crate::profile_text::{oci_json, seccomp_profile};
use args::Target;
use check::Check;
use evidence::{Evidence, chains};
use root::Directory;

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

/// Derives the calls of programs. `checked` is the profile of `--check`.
///
/// # Errors
/// A file cannot be read, or a number is not known and that is refused.
pub fn derive(args: &DeriveArgs, checked: Option<&Profile>) -> Result<DerivedText, DeriveCommandError> {
    let Target { root, programs } = args.target()?;
    let directory = Directory::new(root);
    let mut all = Vec::new();
    for program in programs {
        let (directories, modules) = (args.library_paths.clone(), args.modules.clone());
        all.push(derive::derive(&directory, &Request { program, directories, modules })?);
    }
    let open = || all.iter().flat_map(|it| &it.findings).filter(|it| it.is_open());
    let is_open = open().next().is_some();
    let is_widened = is_open && args.open == OpenNumbers::RuntimeDefault;
    if is_open && !is_widened {
        return Err(DeriveCommandError::Open(open().map(ToString::to_string).collect()));
    }
    let by_runtime = started_by(&args.runtimes, args.allow_privilege_escalation);
    let mut allowed: BTreeSet<Syscall> = all.iter().flat_map(calls).collect();
    let mut remarks: Vec<_> = all.iter().flat_map(|it| &it.findings).map(ToString::to_string).collect();
    if is_widened {
        let default = RuntimeDefault::CONTAINERD;
        allowed.extend(permitted(default));
        remarks.push(format!(
            "as the number of a call is not known, the profile also permits every call that the default profile of {} \
             permits whatever its arguments are",
            default.name
        ));
    }
    let (text, success) = if let Some(profile) = checked {
        let check = Check::of(profile, &allowed, &by_runtime)?;
        (check.text(), check.is_equal())
    } else if args.why.is_empty() {
        allowed.extend(&by_runtime);
        let profile = profile(&allowed)?;
        let text = match args.output {
            ProfileForm::Json => oci_json(&profile),
            ProfileForm::Yaml => seccomp_profile(args.name()?.as_str(), &profile),
        };
        (text, true)
    } else {
        (chains(&all, &args.why)?, true)
    };
    let evidence = args.evidence.as_ref().map(|_| Evidence::of(&all, &by_runtime).json());
    Ok(DerivedText { text, remarks, success, evidence })
}

/// The calls of a program that have names.
fn calls(derived: &Derived) -> impl Iterator<Item = Syscall> + '_ {
    derived.calls.iter().filter_map(|call| Syscall::by_number(Architecture::X86_64, call.number))
}

/// The calls of the runtimes between the loading of the filter and the program.
pub(crate) fn started_by(runtimes: &[StartedBy], allow_privilege_escalation: bool) -> BTreeSet<Syscall> {
    let startups = Startup::ALL.iter().filter(|startup| {
        startup.no_new_privileges != allow_privilege_escalation
            && runtimes.iter().any(|runtime| runtime.is(startup))
    });
    startups.flat_map(Startup::calls).filter_map(Syscall::from_name).collect()
}

/// The calls that a default profile permits whatever their arguments are.
fn permitted(default: RuntimeDefault) -> BTreeSet<Syscall> {
    let Some(profile) = default.profile(profile::Architecture::X86_64) else { return BTreeSet::new() };
    let rules = profile.rules().iter().filter(|rule| rule.arguments().is_empty());
    let rules = rules.filter(|rule| rule.action() == profile::Action::Allow);
    rules.flat_map(profile::Rule::names).filter_map(|name| Syscall::from_name(name.as_str())).collect()
}

/// The profile that permits these calls and nothing else.
fn profile(calls: &BTreeSet<Syscall>) -> Result<Profile, DeriveCommandError> {
    let names: Vec<_> = calls.iter().map(|call| call.name()).collect();
    let contents = json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{ "names": names, "action": "SCMP_ACT_ALLOW" }],
    });
    Ok(Profile::from_value(&contents)?)
}
