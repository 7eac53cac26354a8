//! `diff`: what another profile would do differently, for every call and all values of its arguments.
//!
//! - [`DiffArgs`]: the command line; [`DiffView`]: the result.
//! - `collect.rs` compares the filters on each kind of node, and puts together what changed alike.
//! - `input.rs` reads the two profiles; `render.rs` is the text.

mod collect;
mod input;
mod render;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use filter::{Direction, Origin, Verdict};
use profile::{Architecture, Argument, Effect, Flag, Listener, SyscallName};
use serde::{Serialize, Serializer};

pub(crate) use self::input::read_file;
pub use self::input::{Input, NamedProfile, load_all, load_files};
use crate::error::CliError;
use crate::node_settings::{NodeOptions, Place};
use crate::output::OutputOption;
use crate::sources::meant_for_cluster;

/// What to compare.
#[derive(Debug, Clone, Args)]
pub struct DiffArgs {
    /// The profile before the change: a file (- for standard input), or the name of a profile on the cluster
    #[arg(value_hint = ValueHint::AnyPath)]
    pub before: PathBuf,
    /// The profile after the change: a file, or the name of a profile on the cluster
    #[arg(value_hint = ValueHint::AnyPath, required_unless_present = "filename", conflicts_with = "filename")]
    pub after: Option<PathBuf>,
    /// The file with the profile after the change; BEFORE is then a profile on the cluster, unless it ends in
    /// .yaml, .yml or .json
    #[arg(long, short = 'f', value_name = "FILE")]
    pub filename: Option<PathBuf>,
    /// The nodes.
    #[command(flatten)]
    pub nodes: NodeOptions,
    /// The output format.
    #[command(flatten)]
    pub output: OutputOption,
}

impl DiffArgs {
    /// Where the two profiles are.
    ///
    /// # Errors
    /// There is no such file, or both are standard input.
    pub fn inputs(&self) -> Result<[Input; 2], CliError> {
        let after = self.after.as_deref().or(self.filename.as_deref());
        if after.is_some_and(|after| after == Path::new("-") && self.before == after) {
            return Err(CliError::StandardInputTwice);
        }
        Ok(match (&self.after, &self.filename) {
            (Some(after), _) => [Input::of(&self.before)?, Input::of(after)?],
            (None, file) => {
                let before = meant_for_cluster(&self.before)
                    .map_or_else(|| Input::File(self.before.clone()), Input::Cluster);
                [before, Input::File(file.clone().unwrap_or_default())]
            }
        })
    }
}

/// What the second profile does differently.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DiffView {
    /// The first profile.
    pub before: Side,
    /// The second one.
    pub after: Side,
    /// Whether both are the same filter on all these nodes; false also if something could not be compared, or nothing
    /// because neither has a filter on any of them.
    pub same: bool,
    /// The nodes for which they were compared.
    pub nodes: Vec<Place>,
    /// Nodes on which no container starts with one of them, or with both.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub starts: Vec<StartFailure>,
    /// The calls with another verdict, for some arguments at least.
    pub calls: Vec<CallDifference>,
    /// The flags for `seccomp(2)`, including the one that runtimes set if a profile names none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<FlagDifference>,
    /// The listener, because another seccomp agent may decide differently.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener: Option<ListenerDifference>,
    /// Possible differences on other nodes than those.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub uncompared: Vec<Uncompared>,
    /// Why some runtimes of these nodes may not load one of the profiles.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// One side of the comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Side {
    /// The profile's name, or the file's.
    pub name: String,
    /// `sha256:…` of the canonical bytes.
    pub hash: String,
}

/// Why a profile has no filter on some nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StartFailure {
    /// Why the first profile has none; `None` if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Why the second one has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The nodes.
    #[serde(rename = "where")]
    pub places: Vec<Place>,
    /// Whether this is certain: libseccomp may also hang.
    #[serde(skip)]
    pub is_certain: bool,
}

/// Calls that changed alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CallDifference {
    /// The calls.
    pub calls: Calls,
    /// What changed.
    #[serde(flatten)]
    pub change: Change,
    /// Where this holds. It holds everywhere if `only` is empty.
    #[serde(rename = "where")]
    pub places: Vec<Place>,
    /// What distinguishes these places from the others, in words.
    #[serde(skip)]
    pub only: String,
}

/// Some calls.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Calls {
    /// Every call that no rule names.
    Unnamed,
    /// Those with these names.
    Names(Vec<String>),
    /// Those with numbers in a range in which Linux has no call so far.
    Numbers {
        /// The lowest.
        from: u32,
        /// The highest.
        to: u32,
    },
    /// All calls of an architecture that only one of the profiles covers.
    Architecture(Architecture),
}

/// What happened to calls before, and what happens after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Whether more is permitted.
    pub direction: Direction,
    /// Before.
    pub before: Treatment,
    /// After.
    pub after: Treatment,
    /// Concrete calls with both verdicts, if the arguments or the number matter.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<Example>,
}

/// What happens to calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Treatment {
    /// The verdicts; several if it depends on the arguments or the number.
    pub verdicts: Vec<Verdict>,
    /// What decides.
    pub by: Origin,
    /// The rules of the profile if there are several verdicts, as they are written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<WrittenRule>,
    /// What applies if no rule does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<Effect>,
}

/// A rule for one call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WrittenRule {
    /// What happens.
    pub effect: Effect,
    /// Comparisons that must all be true.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<Argument>,
}

/// A concrete call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Example {
    /// The call, by name or number, unless it is one of several that changed alike.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
    /// The arguments.
    #[serde(serialize_with = "hexadecimal")]
    pub arguments: [u64; 6],
    /// The verdict before.
    pub before: Verdict,
    /// The verdict after.
    pub after: Verdict,
}

/// JSON readers lose the lower bits of large numbers.
fn hexadecimal<S: Serializer>(arguments: &[u64; 6], serializer: S) -> Result<S::Ok, S::Error> {
    arguments.map(|argument| format!("{argument:#x}")).serialize(serializer)
}

/// Other flags.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FlagDifference {
    /// Those that only the second filter is loaded with.
    pub added: Vec<Flag>,
    /// Those that only the first one is loaded with.
    pub removed: Vec<Flag>,
    /// The nodes.
    #[serde(rename = "where")]
    pub places: Vec<Place>,
    /// What distinguishes them from the others, in words.
    #[serde(skip)]
    pub only: String,
}

/// Another listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListenerDifference {
    /// Before.
    pub before: Option<Listener>,
    /// After.
    pub after: Option<Listener>,
}

/// A possible difference on other nodes than those for which the profiles were compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "what")]
pub enum Uncompared {
    /// The profiles have different rules for names that none of the libraries knows.
    UnknownNames {
        /// The names.
        names: Vec<SyscallName>,
    },
    /// Whether containers start at all: only one of the profiles names flags, and runc before 1.2 refuses every flag.
    FlagSupport,
}

impl DiffView {
    /// Compares two profiles.
    ///
    /// # Errors
    /// The conditions of a call are too complex, or too many.
    pub fn of(before: &NamedProfile, after: &NamedProfile, nodes: &NodeOptions) -> Result<Self, CliError> {
        collect::compare(before, after, nodes)
    }
}
