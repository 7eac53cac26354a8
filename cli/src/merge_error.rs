//! Why profiles cannot be combined.

use std::fmt::Write;

use filter::{Uncombinable, Unloadable};
use profile::{Architecture, Profile};

use crate::call::name_of;
use crate::node_settings::{NodeSetting, named, short};
use crate::show::escaped;

/// Why profiles cannot be combined.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// There is nothing to combine.
    #[error(
        "only one profile is named, and nothing to combine it with; a file counts once, however often it is named, and a \
         profile combined with itself stays as it is"
    )]
    Alone,
    /// On no kind of node do all of them have a filter.
    #[error("{}: {fault}", .fault.consequence().of(&format!("{} {}", escaped(name), named(&[.setting.place(.setting.native)]))))]
    Unloadable {
        /// The profile.
        name: String,
        /// A kind of node.
        setting: Box<NodeSetting>,
        /// Why not there.
        fault: Box<Unloadable>,
    },
    /// A profile cannot be combined with those before it.
    #[error("{} cannot be combined with what comes before it: {}", escaped(name), cause(.fault, *.is_listed_by_one))]
    Uncombinable {
        /// The profile.
        name: String,
        /// Why not.
        fault: Box<Uncombinable>,
        /// Whether a call prevents it, and only one of both lists the architecture of it.
        is_listed_by_one: bool,
    },
}

impl MergeError {
    /// The error of a profile that cannot be combined with those before it, which are one by now.
    pub(crate) fn of(name: &str, fault: Uncombinable, profiles: [&Profile; 2]) -> Self {
        let is_listed_by_one = match &fault {
            Uncombinable::Looser { call, .. } => {
                let [one, two] = profiles.map(|profile| profile.architectures().contains(&call.architecture));
                one != two
            }
            _ => false,
        };
        Self::Uncombinable { name: name.to_owned(), fault: Box::new(fault), is_listed_by_one }
    }

    /// The reason, as one word of a bounded set.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Alone => "OneProfile",
            Self::Unloadable { .. } => "Unloadable",
            Self::Uncombinable { .. } => "Uncombinable",
        }
    }
}

/// An error of the crate `filter`, with the name of a call instead of its number.
fn cause(fault: &Uncombinable, is_listed_by_one: bool) -> String {
    match fault {
        Uncombinable::Looser { call, verdicts } => {
            let name = called(call.architecture, call.number);
            let difference = match verdicts {
                Some([exact, found]) => format!(
                    "no profile is as strict as it should be for {name}: it would get {found}, and together they give it {exact}"
                ),
                None => format!("libseccomp refuses the rules for {name}"),
            };
            let architecture = short(call.architecture);
            let way_out = format!(
                "; only one of them lists {architecture}, whose programs end otherwise without it: list the same \
                 architectures in all"
            );
            difference + if is_listed_by_one { way_out.as_str() } else { "" }
        }
        other => other.to_string(),
    }
}

/// A call by its name.
pub(crate) fn called(architecture: Architecture, number: u32) -> String {
    let mut text = name_of(architecture, number).map_or_else(|| format!("the call {number}"), str::to_owned);
    // Writing to memory does not fail.
    let _ = write!(text, " on {}", short(architecture));
    text
}
