//! From programs to a profile.

use std::collections::BTreeSet;

use derive::{Derived, Followed, Program};
use filter::RuntimeDefault;
use profile::Profile;
use serde_json::{Value, json};
use syscalls::{Architecture, Syscall};

use super::args::{DeriveOptions, KnownArguments, OpenNumbers};
use super::check::refused_of;
use super::conditions::{Conditions, unknown};
use super::evidence::Evidence;
use super::overrides::{Applied, Overrides};
use super::target::Opened;
use crate::derive_error::DeriveCommandError;
use crate::diff::NamedProfile;
use crate::merge::intersection;
use crate::show::count;
use crate::started_by::{StartedBy, started_by};

/// What programs can do.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) programs: Vec<Program>,
    /// What they reach, and what is added because a number is not known.
    pub(super) reached: BTreeSet<Syscall>,
    /// What runtimes make before them.
    pub(super) by_runtime: BTreeSet<Syscall>,
    /// Which arguments calls have.
    conditions: Conditions,
    /// What was not followed.
    pub(super) remarks: Vec<String>,
}

impl Found {
    /// Derives what an image starts, or the programs that are named.
    pub(super) fn of(
        options: &DeriveOptions,
        opened: &Opened,
        tell: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Self, DeriveCommandError> {
        let mut derives = |program: &str| tell(&format!("derives {program}"));
        let followed = derive::follow(&*opened.files, &opened.following, &mut derives)?;
        let mut conditions = Conditions::of(&followed);
        let unknown = match options.arguments {
            KnownArguments::Proven => unknown(&followed),
            KnownArguments::Any | KnownArguments::Followed => Vec::new(),
        };
        let Followed { programs, notes } = followed;
        let all = || programs.iter().map(|it| &it.derived);
        let open = || all().flat_map(|it| &it.findings).filter(|it| it.is_open());
        let is_open = open().next().is_some();
        if is_open && options.open == OpenNumbers::Refuse {
            return Err(DeriveCommandError::Open(open().map(ToString::to_string).collect()));
        }
        let mut reached: BTreeSet<Syscall> = all().flat_map(calls).collect();
        let mut remarks: Vec<_> = notes.iter().map(ToString::to_string).collect();
        remarks.extend(all().flat_map(|it| &it.findings).map(ToString::to_string));
        // Programs of one image share most of their libraries.
        let mut known = BTreeSet::new();
        remarks.retain(|it| known.insert(it.clone()));
        if is_open {
            let default = RuntimeDefault::CONTAINERD;
            reached.extend(default.profile(profile::Architecture::X86_64).iter().flat_map(permitted));
            remarks.push(format!(
                "as the number of a call is not known, the profile also permits every call that the default profile of {} \
                 permits whatever its arguments are",
                default.name
            ));
        }
        if is_open {
            conditions = Conditions::default();
        }
        if let Some(first) = unknown.first() {
            conditions = Conditions::default();
            remarks.push(format!(
                "calls are permitted with all arguments, because something can run that was not followed ({}, the first: \
                 {first}); --arguments followed does not ask for this",
                count(unknown.len(), "place")
            ));
        }
        let by_runtime = started_by(&options.runtimes, options.allow_privilege_escalation);
        // With which arguments they make them is not in the tables.
        conditions.forget(&by_runtime);
        Ok(Self { programs, reached, by_runtime, conditions, remarks })
    }

    /// The profile, with the overrides. What these contradict is added to the remarks.
    pub(super) fn profile(&mut self, options: &DeriveOptions) -> Result<Profile, DeriveCommandError> {
        let Some(path) = &options.overrides else {
            let allowed = &self.reached | &self.by_runtime;
            let rules = self.conditions.rules(&allowed, &BTreeSet::new());
            return profile(&(&allowed - &self.conditions.calls()), rules);
        };
        let conditional = self.conditions.calls();
        let Applied { allowed, whole, partly, rules: given, denied, remarks } =
            Overrides::read(path)?.apply(path, &self.reached, &self.by_runtime, &conditional)?;
        self.remarks.extend(remarks);
        let mut rules = self.conditions.rules(&(&allowed - &whole), &partly);
        rules.extend(given);
        let allowed = &allowed - &(&conditional - &whole);
        let mut all =
            vec![NamedProfile { name: "the derived profile".to_owned(), profile: profile(&allowed, rules)? }];
        let place = path.display().to_string();
        all.extend(denied.into_iter().map(|profile| NamedProfile { name: place.clone(), profile }));
        if let [only] = &all[..] {
            return Ok(only.profile.clone());
        }
        let merged = intersection(&all)?;
        self.remarks.extend(merged.remarks);
        Ok(merged.profile)
    }

    /// Calls that runtimes make before the program begins and that a profile refuses whatever their arguments are. Those of
    /// runc and crun count if no runtime is chosen.
    pub(super) fn refused_to_runtimes(
        &self,
        options: &DeriveOptions,
        profile: &Profile,
    ) -> Result<Vec<&'static str>, DeriveCommandError> {
        match self.by_runtime.is_empty() {
            true => {
                let runtimes = [StartedBy::Runc, StartedBy::Crun];
                refused_of(profile, &started_by(&runtimes, options.allow_privilege_escalation))
            }
            false => refused_of(profile, &self.by_runtime),
        }
    }

    /// How the programs reach each call, as JSON.
    pub(super) fn evidence(&self) -> String {
        Evidence::of(&self.programs, &self.by_runtime).json()
    }
}

/// The calls of a program that have names.
fn calls(derived: &Derived) -> impl Iterator<Item = Syscall> + '_ {
    derived.calls.iter().filter_map(|call| Syscall::by_number(Architecture::X86_64, call.number))
}

/// The calls that rules of a profile permit whatever their arguments are.
fn permitted(profile: &Profile) -> BTreeSet<Syscall> {
    let rules = profile.rules().iter().filter(|rule| rule.arguments().is_empty());
    let rules = rules.filter(|rule| rule.action() == profile::Action::Allow);
    rules.flat_map(profile::Rule::names).filter_map(|name| Syscall::from_name(name.as_str())).collect()
}

/// The profile that permits these calls, what these rules permit, and nothing else.
fn profile(calls: &BTreeSet<Syscall>, mut rules: Vec<Value>) -> Result<Profile, DeriveCommandError> {
    let names: Vec<_> = calls.iter().map(|call| call.name()).collect();
    rules.insert(0, json!({ "names": names, "action": "SCMP_ACT_ALLOW" }));
    let contents = json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": rules,
    });
    Ok(Profile::from_value(&contents)?)
}
