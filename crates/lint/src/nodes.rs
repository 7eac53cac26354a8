//! What is known of the nodes on which a profile is used.

use filter::Runtime;
use syscalls::{Architecture, Libseccomp};

/// The nodes on which a profile is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nodes {
    /// Their runtimes.
    pub runtimes: Vec<Runtime>,
    /// The versions of libseccomp that their runtimes use.
    pub libseccomps: Vec<Libseccomp>,
    /// Their own architectures, without those of the 32-bit programs that they run; empty if nothing is known of them.
    pub architectures: Vec<Architecture>,
}

impl Default for Nodes {
    /// Nodes of which nothing is known: they may have any known runtime, any measured libseccomp and any architecture.
    fn default() -> Self {
        Self {
            runtimes: Runtime::ALL.to_vec(),
            libseccomps: Libseccomp::ALL.to_vec(),
            architectures: Vec::new(),
        }
    }
}

impl Nodes {
    /// Whether some node may have this architecture itself.
    pub(crate) fn may_be(&self, architecture: Architecture) -> bool {
        self.architectures.is_empty() || self.architectures.contains(&architecture)
    }

    /// Whether some node may run programs of this architecture.
    pub(crate) fn may_run(&self, architecture: Architecture) -> bool {
        let native = match architecture {
            Architecture::I386 | Architecture::X32 => Architecture::X86_64,
            Architecture::Arm => Architecture::Aarch64,
            other => other,
        };
        self.may_be(native) || self.may_be(architecture)
    }
}
