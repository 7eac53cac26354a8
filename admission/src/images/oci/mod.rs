//! Profiles that a container's runtime gets from the registry itself: `seccompProfile` of the type `OCI` (KEP-6061, alpha
//! in Kubernetes 1.38, gate `SecurityProfileOCI`).
//!
//! Pure: [`artifact`] says which profiles may be had so, and what stands in a pod; [`landing`] on which nodes the pod can
//! land. [`nodes`] keeps up with what nodes declare, and [`api_server`] with whether the API server takes the type.
//!
//! The runtime intersects the profile with the base by rules of its own. The webhook has read and narrowed the same
//! artifact before it names it, so that what cannot be used stays out of pods in this form, too.

pub mod api_server;
pub mod artifact;
pub mod landing;
pub mod nodes;

use std::sync::Arc;

use clap::ValueEnum;
use serde_json::Value;

use api_server::ApiServer;
use nodes::Nodes;

/// How a container gets the profile that its image carries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// As a file on its node, which the node's agent writes.
    #[default]
    Localhost,
    /// From the registry, by the runtime.
    Oci,
    /// From the registry where every node that the pod can land on declares that it can; otherwise as a file.
    Auto,
}

/// What decides whether a pod's profiles are named as artifacts.
#[derive(Debug)]
pub struct Oci {
    mode: Mode,
    api_server: Arc<ApiServer>,
    nodes: Arc<Nodes>,
}

impl Oci {
    /// Decides by what is known of the API server and of the nodes.
    #[must_use]
    pub const fn new(mode: Mode, api_server: Arc<ApiServer>, nodes: Arc<Nodes>) -> Self {
        Self { mode, api_server, nodes }
    }

    /// Whether the runtime gets the artifacts for a pod with this `spec`.
    #[must_use]
    pub fn is_for(&self, spec: &Value) -> bool {
        is_chosen(self.mode, self.api_server.takes(), || {
            landing::of(spec).is_some_and(|landing| self.nodes.all_declare(&landing))
        })
    }
}

/// Whether a pod names artifacts. An API server that does not take the type would refuse the pod, and a node that does not
/// know it may start the container without any filter.
fn is_chosen(mode: Mode, is_taken: bool, do_all_nodes_declare: impl FnOnce() -> bool) -> bool {
    match mode {
        Mode::Localhost => false,
        Mode::Oci => is_taken,
        Mode::Auto => is_taken && do_all_nodes_declare(),
    }
}

#[cfg(test)]
mod tests;
