//! The custom resources, and the names that the agent and the operator share.
//!
//! - [`SeccompProfile`]: what a person applies; its `status` is the operator's word on it.
//! - [`NodeProfileStatus`]: what one node's agent reports, and the operator's judgement of that node.
//! - [`Untrusted`]: any stored object as a program reads it, whatever the schema was when it was written.
//! - [`OpenEnum`]: a word of a vocabulary that grows: what another release writes is kept as it was written.
//! - [`Text`]: JSON that is decoded without being read.
//! - [`WatchedPod`]: a Pod, of which only what matters here is read: the profiles that it names, whether it is ready,
//!   why its containers do not start.
//! - [`metadata`]: metadata decoded so that no object ends a watch.
//! - [`watched_as`]: makes a type that holds only what is read of a kind fit for a watch.
//! - [`names`]: profile and node names, the finalizer, the annotation, field managers.
//! - [`pace`]: how long agents gather, which the operator counts on.
//! - [`crds`]: the CustomResourceDefinitions as YAML, for the chart.
//!
//! No behaviour lives here: what to do with these objects is the agent's and the operator's business.

pub mod conditions;
mod container_status;
mod contents_schema;
#[cfg(feature = "crds")]
pub mod crds;
mod lenient;
pub mod metadata;
pub mod names;
mod node_profile_status;
mod open_enum;
pub mod pace;
mod pod;
mod seccomp_profile;
mod text;
mod untrusted;
mod watched;

pub use container_status::NotStarted;
pub use names::{InvalidName, NodeName, ProfileName};
pub use node_profile_status::{
    FileProblem, FileState, MOST_FILES, MOST_PROBLEMS, MOST_START_FAILURES, NodeProfileStatus,
    NodeProfileStatusSpec, NodeProfileStatusStatus, Report, StartFailure,
};
pub use open_enum::{OpenEnum, Vocabulary};
pub use pod::{PodReadiness, PodSpec, WatchedPod};
pub use seccomp_profile::{
    NodeCounts, NodeFailure, Removal, SeccompProfile, SeccompProfileSpec, SeccompProfileStatus, State,
};
pub use text::Text;
pub use untrusted::Untrusted;
