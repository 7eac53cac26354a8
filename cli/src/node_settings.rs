//! The nodes for which profiles are compared or combined.

use std::collections::BTreeSet;

use clap::Args;
use filter::{Filter, Library, Runtime, Setting, Unloadable, numbers};
use profile::{Architecture, Profile};
use serde::Serialize;
use syscalls::Libseccomp;

use crate::setting::{ArchitectureOption, LibseccompOption, LibseccompParser, RuntimeOption};

/// The nodes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Nodes")]
pub struct NodeOptions {
    /// A container runtime of the nodes; may be repeated [default: runc and crun]
    #[arg(long, value_name = "RUNTIME", value_enum)]
    pub runtime: Vec<RuntimeOption>,
    /// A libseccomp of the nodes; may be repeated
    #[arg(long, value_name = "VERSION", value_parser = LibseccompParser)]
    pub libseccomp: Vec<LibseccompOption>,
    /// An architecture of the nodes; may be repeated [default: those that can run what the profiles list, or x86_64 and
    /// aarch64 if they list none]
    #[arg(long, value_name = "ARCHITECTURE", value_enum)]
    pub architecture: Vec<ArchitectureOption>,
}

/// The architecture of a node that runs programs of another one; `None` if no numbers are known of it.
fn running(architecture: Architecture) -> Option<Architecture> {
    use Architecture::{Aarch64, Arm, Loongarch64, Ppc64le, Riscv64, S390, S390x, X32, X86, X86_64};
    Some(match architecture {
        X86_64 | X86 | X32 => X86_64,
        Aarch64 | Arm => Aarch64,
        S390x | S390 => S390x,
        Riscv64 | Ppc64le | Loongarch64 => architecture,
        _ => return None,
    })
}

/// One kind of node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeSetting {
    /// The runtime.
    pub runtime: Runtime,
    /// The libseccomp.
    pub libseccomp: Libseccomp,
    /// The architecture.
    pub native: Architecture,
}

impl NodeSetting {
    /// The filter of a profile on such a node.
    ///
    /// # Errors
    /// No container starts with the profile.
    pub fn filter(self, profile: &Profile) -> Result<Filter, Unloadable> {
        let number = numbers(self.libseccomp);
        Filter::new(profile, &self.with(&number))
    }

    /// The setting as the crate `filter` takes it, with the numbers of its libseccomp.
    pub fn with(self, number: &dyn Fn(&str, Architecture) -> Option<u32>) -> Setting<'_> {
        let Self { runtime, libseccomp, native } = self;
        Setting { runtime, library: Library::from(libseccomp), native, number }
    }

    /// The setting for calls of one architecture.
    #[must_use]
    pub fn place(self, architecture: Architecture) -> Place {
        Place { runtime: self.runtime.name, libseccomp: self.libseccomp.name(), architecture }
    }
}

impl NodeOptions {
    /// Every combination of the options. `libseccomps` are those without an option.
    #[must_use]
    pub fn settings(&self, profiles: &[&Profile], libseccomps: &[Libseccomp]) -> Vec<NodeSetting> {
        let runtimes = match &self.runtime[..] {
            [] => vec![Runtime::RUNC_1_2, Runtime::CRUN],
            options => options.iter().copied().map(Runtime::from).collect(),
        };
        let libseccomps = match &self.libseccomp[..] {
            [] => libseccomps.to_vec(),
            options => options.iter().copied().map(Libseccomp::from).collect(),
        };
        let listed: BTreeSet<_> = profiles
            .iter()
            .flat_map(|profile| profile.architectures())
            .filter_map(|architecture| running(*architecture))
            .collect();
        let natives = match (&self.architecture[..], listed.is_empty()) {
            ([], true) => vec![Architecture::X86_64, Architecture::Aarch64],
            ([], false) => listed.into_iter().collect(),
            (options, _) => options.iter().copied().map(Architecture::from).collect(),
        };
        let mut all = Vec::new();
        for native in natives {
            for libseccomp in &libseccomps {
                all.extend(runtimes.iter().map(|runtime| NodeSetting {
                    runtime: *runtime,
                    libseccomp: *libseccomp,
                    native,
                }));
            }
        }
        all.dedup();
        all
    }
}

/// Where something holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// The runtime and its versions.
    pub runtime: &'static str,
    /// The version of libseccomp.
    pub libseccomp: &'static str,
    /// The architecture of the calls, or of the node.
    pub architecture: Architecture,
}

/// A way in which places differ: what they have, and how a text names it.
type Dimension = (fn(&Place) -> &'static str, fn(&str) -> String);

/// The three ways.
const DIMENSIONS: [Dimension; 3] = [
    (|place| place.runtime, |runtimes| format!("under {runtimes}")),
    (|place| place.libseccomp, |libseccomps| format!("with libseccomp {libseccomps}")),
    (|place| short(place.architecture), |architectures| format!("on {architectures}")),
];

/// The places in words.
#[must_use]
pub fn named(places: &[Place]) -> String {
    let all: Vec<_> = DIMENSIONS.iter().map(|(value, text)| text(&listed(&values(places, *value)))).collect();
    all.join(" ")
}

/// In which of several places something holds, in words; empty if it holds in all of them.
#[must_use]
pub fn only(places: &[Place], all: &[Place]) -> String {
    let chosen = DIMENSIONS.map(|(value, _)| values(places, value));
    let is_product = all
        .iter()
        .filter(|place| DIMENSIONS.iter().zip(&chosen).all(|((value, _), of)| of.contains(&value(place))))
        .all(|place| places.contains(place));
    if !is_product {
        let each: Vec<_> = places.iter().map(|place| named(&[*place])).collect();
        return each.join("; ");
    }
    let restricted =
        DIMENSIONS.iter().zip(&chosen).filter(|((value, _), of)| values(all, *value).len() > of.len());
    restricted.map(|((_, text), of)| text(&listed(of))).collect::<Vec<_>>().join(" ")
}

fn values(places: &[Place], value: fn(&Place) -> &'static str) -> Vec<&'static str> {
    let mut found = Vec::new();
    for place in places {
        if !found.contains(&value(place)) {
            found.push(value(place));
        }
    }
    found
}

/// `a`, `a and b`, `a, b and c`.
fn listed(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

/// The kernel's name of an architecture.
#[must_use]
pub fn short(architecture: Architecture) -> &'static str {
    let name = architecture.name();
    syscalls::Architecture::from_oci_name(name).map_or(name, syscalls::Architecture::name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(runtime: &'static str, architecture: Architecture) -> Place {
        Place { runtime, libseccomp: "2.6.1", architecture }
    }

    #[test]
    fn a_text_names_only_what_distinguishes_the_places() {
        let all = [
            place("runc", Architecture::X86_64),
            place("runc", Architecture::Arm),
            place("crun", Architecture::X86_64),
            place("crun", Architecture::Arm),
        ];
        assert_eq!(only(&all, &all), "");
        assert_eq!(only(&all[..2], &all), "under runc");
        assert_eq!(only(&[all[1], all[3]], &all), "on arm");
        assert_eq!(only(&all[..1], &all), "under runc on x86_64");
        assert_eq!(
            only(&[all[0], all[3]], &all),
            "under runc with libseccomp 2.6.1 on x86_64; under crun with libseccomp 2.6.1 on arm"
        );
        assert_eq!(named(&all), "under runc and crun with libseccomp 2.6.1 on x86_64 and arm");
    }

    #[test]
    fn nodes_are_those_that_run_the_listed_architectures() {
        let natives = |architectures: &str| {
            let text = format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW","architectures":[{architectures}]}}"#);
            let profile = Profile::from_slice(text.as_bytes()).unwrap();
            let settings = NodeOptions::default().settings(&[&profile], &[Libseccomp::V2_6_1]);
            settings.iter().map(|it| (short(it.native), it.runtime.name)).collect::<Vec<_>>()
        };
        let [runc, crun] = [Runtime::RUNC_1_2.name, Runtime::CRUN.name];
        assert_eq!(natives(r#""SCMP_ARCH_X32","SCMP_ARCH_X86""#), [("x86_64", runc), ("x86_64", crun)]);
        assert_eq!(natives(r#""SCMP_ARCH_ARM""#), [("aarch64", runc), ("aarch64", crun)]);
        assert_eq!(natives("").len(), 4);
        assert_eq!(natives(r#""SCMP_ARCH_MIPSEL""#).len(), 4);
    }
}
