//! Why profiles cannot be combined.

use std::fmt::Write;

use filter::{Uncombinable, Unloadable};
use profile::Architecture;
use syscalls::Syscall;

use crate::node_settings::{NodeSetting, named, short};

/// Why profiles cannot be combined.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// There is nothing to combine.
    #[error("there is only one profile, and nothing to combine it with")]
    Alone,
    /// On no kind of node do all of them have a filter.
    #[error("{}: {fault}", .fault.consequence().of(&format!("{name} {}", named(&[.setting.place(.setting.native)]))))]
    Unloadable {
        /// The profile.
        name: String,
        /// A kind of node.
        setting: Box<NodeSetting>,
        /// Why not there.
        fault: Box<Unloadable>,
    },
    /// A profile cannot be combined with those before it.
    #[error("{name} cannot be combined with what comes before it: {}", cause(.fault))]
    Uncombinable {
        /// The profile.
        name: String,
        /// Why not.
        fault: Box<Uncombinable>,
    },
}

impl MergeError {
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
fn cause(fault: &Uncombinable) -> String {
    match fault {
        Uncombinable::Looser { call } => {
            format!(
                "every profile would permit more for {} than it should",
                called(call.architecture, call.number)
            )
        }
        other => other.to_string(),
    }
}

/// A call by its name.
pub(crate) fn called(architecture: Architecture, number: u32) -> String {
    let table = syscalls::Architecture::from_oci_name(architecture.name());
    let name = table.and_then(|table| Syscall::by_number(table, number)).map(Syscall::name);
    let mut text = name.map_or_else(|| format!("the call {number}"), str::to_owned);
    // Writing to memory does not fail.
    let _ = write!(text, " on {}", short(architecture));
    text
}
