//! What remains of a profile that an image carries.
//!
//! Whoever may push an image writes its profile, so it may only ever take away. A *baseline* is what a container may do
//! without a profile of its own, by the cluster's rules; the *narrowed* profile is the intersection of both, and
//! [`narrow`] checks that it is nowhere looser than the baseline before it returns it.
//!
//! - The text is JSON of the OCI runtime specification, strictly parsed, or Docker's dialect, which is converted.
//! - A seccomp agent or a tracer would have to be trusted, so that a profile that asks one is refused.
//! - `flags` change how a filter is loaded, for example whether it is logged: the image's do not count, the baseline's do.
//!
//! The crate is pure: no Kubernetes, no async, no I/O.

#![forbid(unsafe_code)]

use std::collections::BTreeSet;

use convert::{Capabilities, ConvertError, Machine, Target, dialect};
use filter::{Filter, Library, Narrower, Operation, Runtime, Setting, Uncombinable, Unloadable, numbers};
use profile::{Action, Profile};
use serde_json::Value;
use syscalls::Libseccomp;

/// The largest text, in bytes.
pub const LARGEST: usize = 1024 * 1024;

/// The runtimes under which the result is compared with the baseline.
const RUNTIMES: [Runtime; 2] = [Runtime::RUNC_1_2, Runtime::CRUN];

/// A profile that is at most as permissive as the baseline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Narrowed {
    /// The image's own profile: without its flags, and converted if it was Docker's.
    pub image: Profile,
    /// What a node would run.
    pub profile: Profile,
    /// What was left out or assumed in a conversion, in words.
    pub remarks: Vec<String>,
    /// Where the profile permits less than both.
    pub narrower: Vec<Narrower>,
}

/// Why an image's profile cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is too large.
    #[error("the profile is larger than {LARGEST} bytes")]
    TooLarge,
    /// It is not JSON, or a key appears twice.
    #[error("the profile is not valid JSON: {0}")]
    Json(String),
    /// It is not a profile, or not one that means the same on all nodes.
    #[error("{0}")]
    Invalid(Box<ConvertError>),
    /// It names a seccomp agent.
    #[error("the profile has a listenerPath; an image's profile may not ask a seccomp agent")]
    Listener,
    /// It asks a seccomp agent or a tracer.
    #[error("the profile has the action {}, which asks another program; an image's profile may not", .0.name())]
    Asks(Action),
    /// No container starts with it, or with the baseline.
    #[error("no container starts with the {}: {fault}", if *baseline { "baseline" } else { "profile" })]
    Unloadable {
        /// Whether it is the baseline.
        baseline: bool,
        /// Why.
        fault: Box<Unloadable>,
    },
    /// There is no profile that permits at most what both permit.
    #[error("the profile and the baseline cannot be combined: {0}")]
    Uncombinable(Box<Uncombinable>),
    /// The result would be looser than the baseline.
    #[error("the intersection with the baseline would be looser than the baseline")]
    Looser,
}

impl Refused {
    /// The reason, as one word of a bounded set.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooLarge => "ProfileTooLarge",
            Self::Json(_) => "ProfileNotJson",
            Self::Invalid(error) => error.reason(),
            Self::Listener => "ProfileListener",
            Self::Asks(_) => "ProfileAsks",
            Self::Unloadable { .. } => "ProfileUnloadable",
            Self::Uncombinable(_) => "ProfileUncombinable",
            Self::Looser => "ProfileLooser",
        }
    }
}

/// The intersection of an image's profile with a baseline, for nodes of these architectures.
///
/// # Errors
/// The profile cannot be used.
pub fn narrow(text: &str, baseline: &Profile, machines: &BTreeSet<Machine>) -> Result<Narrowed, Refused> {
    let (image, remarks) = read(text, machines)?;
    if image.listener().is_some() {
        return Err(Refused::Listener);
    }
    let actions = image.rules().iter().map(profile::Rule::action).chain([image.default_action()]);
    if let Some(asks) = actions.into_iter().find(|action| matches!(action, Action::Notify | Action::Trace)) {
        return Err(Refused::Asks(asks));
    }
    let image = with_flags_of(&image, baseline)?;
    let settings = settings([&image, baseline], machines)?;
    let numbers: Vec<_> = settings.iter().map(|(_, libseccomp, _)| numbers(*libseccomp)).collect();
    let settings: Vec<_> = settings
        .iter()
        .zip(&numbers)
        .map(|((runtime, libseccomp, machine), number)| setting(*runtime, *libseccomp, *machine, number))
        .collect();
    let combined = Operation::Intersection
        .combine(&image, baseline, &settings)
        .map_err(|error| Refused::Uncombinable(Box::new(error)))?;
    for setting in &settings {
        let fault = |baseline| move |fault| Refused::Unloadable { baseline, fault: Box::new(fault) };
        let narrowed = Filter::new(&combined.profile, setting).map_err(fault(false))?;
        let of_baseline = Filter::new(baseline, setting).map_err(fault(true))?;
        // Too complex to be decided counts as looser.
        if !matches!(narrowed.more_permissive(&of_baseline), Ok(None)) {
            return Err(Refused::Looser);
        }
    }
    Ok(Narrowed { image, profile: combined.profile, remarks, narrower: combined.narrower })
}

/// Reads the profile, and what was left out or assumed.
fn read(text: &str, machines: &BTreeSet<Machine>) -> Result<(Profile, Vec<String>), Refused> {
    if text.len() > LARGEST {
        return Err(Refused::TooLarge);
    }
    let value =
        profile::json::from_slice(text.as_bytes()).map_err(|error| Refused::Json(error.to_string()))?;
    if let Ok(profile) = Profile::from_value(&value) {
        return Ok((profile, Vec::new()));
    }
    let target = Target {
        capabilities: Capabilities::default(),
        machines: machines.iter().copied().collect(),
        kernel: None,
    };
    let converted = dialect::convert(&value, &target).map_err(|error| Refused::Invalid(Box::new(error)))?;
    Ok((converted.profile, converted.remarks.iter().map(ToString::to_string).collect()))
}

/// The profile with the flags of the baseline.
fn with_flags_of(profile: &Profile, baseline: &Profile) -> Result<Profile, Refused> {
    let invalid = |error: profile::ParseError| Refused::Invalid(Box::new(error.into()));
    let mut value: Value = serde_json::from_slice(profile.canonical().bytes())
        .map_err(|error| Refused::Json(error.to_string()))?;
    let flags: Vec<_> = baseline.flags().iter().map(|flag| flag.name()).collect();
    value["flags"] = flags.into();
    Profile::from_value(&value).map_err(invalid)
}

type Place = (Runtime, Libseccomp, Machine);

/// Where both profiles can be loaded. Where one cannot, no container starts, so that nothing is looser there.
fn settings(profiles: [&Profile; 2], machines: &BTreeSet<Machine>) -> Result<Vec<Place>, Refused> {
    let (mut found, mut refused) = (Vec::new(), None);
    for machine in machines {
        for libseccomp in Libseccomp::ALL {
            let number = numbers(libseccomp);
            for runtime in RUNTIMES {
                let setting = setting(runtime, libseccomp, *machine, &number);
                let faults = profiles.iter().map(|profile| Filter::new(profile, &setting).err());
                match faults.enumerate().find_map(|(i, fault)| Some((i == 1, fault?))) {
                    None => found.push((runtime, libseccomp, *machine)),
                    Some((baseline, fault)) => {
                        refused.get_or_insert(Refused::Unloadable { baseline, fault: Box::new(fault) });
                    }
                }
            }
        }
    }
    match refused {
        Some(refused) if found.is_empty() => Err(refused),
        _ => Ok(found),
    }
}

fn setting(
    runtime: Runtime,
    libseccomp: Libseccomp,
    machine: Machine,
    number: &dyn Fn(&str, profile::Architecture) -> Option<u32>,
) -> Setting<'_> {
    Setting { runtime, library: Library::from(libseccomp), native: machine.native(), number }
}

#[cfg(test)]
mod tests;
