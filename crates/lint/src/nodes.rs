//! What is known of the nodes on which a profile is used.

use syscalls::Libseccomp;

/// The nodes on which a profile is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nodes {
    /// The versions of libseccomp that their runtimes use.
    pub libseccomps: Vec<Libseccomp>,
}

impl Default for Nodes {
    /// Nodes of which nothing is known: they may have any measured version.
    fn default() -> Self {
        Self { libseccomps: Libseccomp::ALL.to_vec() }
    }
}
