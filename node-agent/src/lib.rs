//! The agent on one node: it writes the profiles of the API server to files, keeps them there, and reports what
//! is on the disk. It writes nothing to the API server but its own report, and decides nothing about other nodes.
//!
//! Pure or synchronous, tested without a cluster:
//! - [`budget`]: how many profiles there is room for.
//! - [`goal`]: what should be under the name of one profile. [`kept`]: the bytes of its file, compressed.
//! - [`profiles`]: the profiles that exist, and what each asks of the directory.
//! - [`disk`]: the directory: atomic writes, the ledger of the agent's files, what to do about one name.
//! - [`keeper`]: makes the directory match the goals.
//! - [`pacing`]: when a report is sent.
//! - [`report`]: what is on the disk, as the custom resource has it.
//! - [`status_object`]: the node's status object, as far as the reporter needs it.
//! - `times_of_change`: whether the API server takes the times at which files changed.
//!
//! Around them, with a clock, a thread and the API server:
//! - [`worker`]: the thread that owns the keeper. [`journal`]: counts and logs what happens in the directory.
//! - [`notify`]: the watch of the directory. [`watches`]: those of the profiles and of the node's status object.
//! - [`reporter`]: sends the report when it has changed.
//! - [`run()`]: puts the parts together.

pub mod budget;
pub mod disk;
pub mod goal;
mod jitter;
pub mod journal;
pub mod keeper;
pub mod kept;
pub mod metrics;
pub mod notify;
pub mod options;
pub mod pacing;
pub mod profiles;
pub mod report;
pub mod reporter;
mod run;
pub mod status_object;
#[cfg(test)]
mod tests;
mod times_of_change;
pub mod watched_profile;
pub mod watches;
pub mod worker;

pub use run::{Agent, Fatal, run};
