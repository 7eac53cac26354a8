//! A profile beside the default of a runtime.

use filter::diagram::TooComplex;
use filter::{Dependence, Filter, RuntimeDefault, Witness, is_exempt};
use profile::{Architecture, Profile};
use serde::Serialize;
use syscalls::{Group, Syscall};

use super::words;
use crate::setting::SettingOptions;

/// What a profile does not do as the default of a runtime does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// The runtime and its version.
    pub default: &'static str,
    /// Where it is defined, and the licence.
    pub source: String,
    /// Calls that the profile permits less.
    pub refused: Vec<Excess>,
    /// Calls that it permits more.
    pub permitted: Vec<Excess>,
    /// Calls whose conditions are too complex to be compared.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub undecided: Vec<&'static str>,
    /// What it does with calls that have no name yet.
    pub unnamed: Relation,
    /// Architectures whose programs run under the default and not under the profile.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing_architectures: Vec<Architecture>,
    /// The opposite.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub more_architectures: Vec<Architecture>,
}

/// A call that one of two filters permits more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Excess {
    /// The name.
    pub name: &'static str,
    /// Arguments for which this is so; absent if it is so for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub example: Option<String>,
}

/// Whether a filter permits more than the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Relation {
    /// As much.
    Same,
    /// More.
    Permitted,
    /// Less.
    Refused,
}

impl Comparison {
    /// Compares a filter with containerd's default; `None` if that is not known for the architecture, or no container
    /// starts with it there.
    pub(super) fn of(profile: &Profile, filter: &Filter, setting: SettingOptions) -> Option<Self> {
        let runtime = RuntimeDefault::CONTAINERD;
        let contents = runtime.profile(setting.architecture.into())?;
        let default = setting.apply(|setting| Filter::new(&contents, setting)).ok()?;
        let (table, native) = (setting.architecture.into(), setting.architecture.into());
        let (mut refused, mut permitted, mut undecided) = (Vec::new(), Vec::new(), Vec::new());
        for call in Syscall::all().filter(|call| !is_exempt(call.name())) {
            let Some(number) = call.number(table) else { continue };
            let excess = |witness: Witness| Excess::of(call, &witness);
            let beyond = |one: &Filter, other: &Filter| one.exceeds(&[other], native, number);
            match beyond(&default, filter).and_then(|less| Ok((less, beyond(filter, &default)?))) {
                Ok((less, more)) => {
                    refused.extend(less.map(excess));
                    permitted.extend(more.map(excess));
                }
                Err(TooComplex) => undecided.push(call.name()),
            }
        }
        // No rule has conditions on these.
        let unnamed =
            match (filter.exceeds(&[&default], native, UNNAMED), default.exceeds(&[filter], native, UNNAMED))
            {
                (Ok(Some(_)), _) => Relation::Permitted,
                (_, Ok(Some(_))) => Relation::Refused,
                _ => Relation::Same,
            };
        let only = |these: &Profile, those: &Profile| -> Vec<Architecture> {
            let others = these.architectures().iter().copied().filter(|it| *it != native);
            others.filter(|it| !those.architectures().contains(it)).collect()
        };
        Some(Self {
            default: runtime.name,
            source: format!("{}, {}", runtime.source, runtime.licence),
            refused,
            permitted,
            undecided,
            unnamed,
            missing_architectures: only(&contents, profile),
            more_architectures: only(profile, &contents),
        })
    }

    /// Which calls were not compared, in a sentence.
    pub(super) fn gap(&self) -> Option<String> {
        let names = self.undecided.join(", ");
        (!names.is_empty())
            .then(|| format!("Not compared, because their conditions are too complex: {names}."))
    }

    /// Whether nothing differs.
    pub(super) fn is_same(&self) -> bool {
        self.refused.is_empty()
            && self.permitted.is_empty()
            && self.undecided.is_empty()
            && self.unnamed == Relation::Same
            && self.missing_architectures.is_empty()
            && self.more_architectures.is_empty()
    }
}

/// A number that no call has, above all that have one.
const UNNAMED: u32 = 100_000;

impl Excess {
    fn of(call: Syscall, witness: &Witness) -> Self {
        let name = call.name();
        let example = (witness.depends == Dependence::Arguments).then(|| words::arguments(name, witness));
        Self { name, example }
    }

    /// What the call is about.
    pub(super) fn group(&self) -> Group {
        Syscall::from_name(self.name).map_or(Group::Unused, Syscall::group)
    }
}
