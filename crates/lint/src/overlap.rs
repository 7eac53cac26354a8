//! What the nodes' versions of libseccomp make of several rules for one call.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use filter::{Library, Mention, Reading, Role, Runtime, Setting, Verdict, numbers, readings};
use profile::{Architecture, Profile};
use syscalls::Libseccomp;

/// Calls `visit` for each architecture of the nodes and each way in which their versions of libseccomp merge rules: with the
/// newest library of each, which knows most names.
pub(crate) fn settings(
    libseccomps: &[Libseccomp],
    natives: &[Architecture],
    mut visit: impl FnMut(&Setting<'_>),
) {
    let mut libraries: Vec<(Libseccomp, Library)> = Vec::new();
    let mut known = libseccomps.to_vec();
    known.sort_unstable();
    for libseccomp in known.into_iter().rev() {
        let library = Library::from(libseccomp);
        if libraries.iter().all(|(_, known)| known.merging != library.merging) {
            libraries.push((libseccomp, library));
        }
    }
    for native in natives {
        for (libseccomp, library) in &libraries {
            let number = numbers(*libseccomp);
            // Which runtime it is makes no difference to the rules.
            visit(&Setting {
                runtime: Runtime::RUNC_1_2,
                library: *library,
                native: *native,
                number: &number,
            });
        }
    }
}

/// The calls for which several rules have conditions, as libseccomp understands them.
#[derive(Default)]
pub(crate) struct Overlaps {
    /// With the name of the library.
    pub(crate) readings: Vec<(&'static str, Reading)>,
}

/// A rule with conditions that never decides about a call, with any of the libraries on any architecture.
#[derive(Debug, Clone)]
pub(crate) enum Idle {
    /// The call has another verdict wherever the conditions are true.
    Shadowed {
        /// Such arguments.
        arguments: filter::Arguments,
        /// Their verdict.
        verdict: Verdict,
        /// The index of a rule that gives it to them.
        by: Option<usize>,
    },
    /// Other rules have the same effect there.
    Redundant {
        /// The index of the one, if it is one.
        by: Option<usize>,
    },
}

impl Overlaps {
    pub(crate) fn of(profile: &Profile, libseccomps: &[Libseccomp], natives: &[Architecture]) -> Self {
        let mut found = Self::default();
        settings(libseccomps, natives, |setting| {
            let new = readings(profile, setting).into_iter();
            found.readings.extend(new.map(|reading| (setting.library.name, reading)));
        });
        found
    }

    /// The rules that never decide.
    pub(crate) fn idle(&self) -> BTreeMap<Mention, Idle> {
        let mut found: BTreeMap<Mention, Option<Idle>> = BTreeMap::new();
        for (_, reading) in &self.readings {
            let rule = |by: Option<usize>| Some(reading.rules.get(by?)?.rule);
            for (mention, role) in reading.roles() {
                let new = match role {
                    Role::Decides | Role::Never => None,
                    Role::Shadowed { arguments, verdict, by } => {
                        Some(Idle::Shadowed { arguments, verdict, by: rule(by) })
                    }
                    Role::Redundant { by } => Some(Idle::Redundant { by: rule(by) }),
                };
                match found.entry(mention) {
                    Entry::Vacant(place) => drop(place.insert(new)),
                    Entry::Occupied(mut known) => {
                        let both = match (known.get_mut().take(), new) {
                            (Some(Idle::Shadowed { .. }), Some(new)) => Some(new),
                            (Some(known), Some(_)) => Some(known),
                            _ => None,
                        };
                        known.insert(both);
                    }
                }
            }
        }
        found.into_iter().filter_map(|(mention, idle)| Some((mention, idle?))).collect()
    }
}
