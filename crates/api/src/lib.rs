//! The custom resources, and the names that the agent and the operator share.
//!
//! - [`SeccompProfile`]: a profile that a user applies; the operator writes its `status`.
//! - [`NodeProfileStatus`]: the report of one node's agent, and the operator's conditions for that node.
//! - [`SeccompObservation`]: the calls that filters refused on one node, as its observer counts them.
//! - [`Untrusted`]: any stored object, decoded without relying on the schema.
//! - [`OpenEnum`]: an enum value that keeps values written by another release.
//! - [`Text`]: JSON that is decoded as text and parsed later.
//! - [`WatchedPod`]: the fields of a Pod that matter here: the profiles that it names, whether it is ready, why its
//!   containers do not start.
//! - [`WatchedRuntimeClass`], [`HandlerKind`]: whether a pod's runtime applies its profiles on the node's kernel.
//! - [`NodeLabelSelector`]: which nodes must have a profile.
//! - [`RunningContainer`], [`FileAge`]: whether a running container is older than its profile's file.
//! - [`metadata`]: metadata, decoded so that no object can end a watch.
//! - [`watched_as`]: makes a type with some fields of a kind usable for a watch.
//! - [`names`]: profile and node names, the finalizer, the annotation, field managers.
//! - [`pace`]: how long agents collect changes, on which the operator relies.
//! - [`crds`]: the CustomResourceDefinitions as YAML, for the chart.
//!
//! The crate has no behaviour: the agent and the operator decide what to do with these objects.

pub mod conditions;
mod container_status;
mod contents_schema;
#[cfg(feature = "crds")]
pub mod crds;
mod lenient;
pub mod metadata;
pub mod names;
mod node_profile_status;
mod node_selector;
mod open_enum;
pub mod pace;
mod pod;
mod running;
mod runtime_class;
mod seccomp_field;
mod seccomp_observation;
mod seccomp_profile;
mod selection;
mod stated_hash;
mod text;
mod untrusted;
mod watched;

pub use container_status::NotStarted;
pub use names::{InvalidName, NodeName, ProfileName};
pub use node_profile_status::{
    FileProblem, MAX_EXCLUDED, MAX_EXCLUDED_BYTES, MAX_FILES, MAX_PROBLEMS, MAX_START_FAILURES,
    NodeProfileStatus, NodeProfileStatusSpec, NodeProfileStatusStatus, ProblemKind, Report, StartFailure,
};
pub use node_selector::{LabelOperator, NodeLabelRequirement, NodeLabelSelector};
pub use open_enum::{OpenEnum, Vocabulary};
pub use pod::{ContainerProfile, PodReadiness, PodSpec, RequiredNodeAffinity, WatchedPod};
pub use running::{FileAge, RunningContainer, START_WINDOW};
pub use runtime_class::{HandlerKind, Sandbox, WatchedRuntimeClass};
pub use seccomp_observation::{
    MAX_OBSERVED_CALLS, MAX_OBSERVED_CONTAINERS, ObservationReport, ObservedCall, ObservedContainer,
    ObserverState, SeccompObservation, SeccompObservationSpec, SeccompObservationStatus,
};
pub use seccomp_profile::{
    NodeCounts, NodeFailure, PodCounts, ProfileWarning, Removal, SeccompProfile, SeccompProfileSpec,
    SeccompProfileStatus, State,
};
pub use selection::Selection;
pub use stated_hash::OtherContents;
pub use text::Text;
pub use untrusted::Untrusted;
