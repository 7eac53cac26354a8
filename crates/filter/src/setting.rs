//! Where a profile is loaded, and why it may not be.

use profile::{Architecture, SyscallName};

use crate::runtime::{Library, Runtime};
use crate::tree::Refusal;

/// Where a profile is loaded.
#[derive(Clone, Copy)]
pub struct Setting<'a> {
    /// The runtime.
    pub runtime: Runtime,
    /// The libseccomp that the runtime uses.
    pub library: Library,
    /// The architecture of the node.
    pub native: Architecture,
    /// The number that the library knows for a name on an architecture; for x32, with the bit that marks its calls.
    pub number: &'a dyn Fn(&str, Architecture) -> Option<u32>,
}

/// Why no container starts with the profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unloadable {
    /// libseccomp refuses or cannot compile the rules for a call.
    #[error("{}: {refusal}", name.as_ref().map_or("?", SyscallName::as_str))]
    Rules {
        /// The architecture on whose calls the rules clash.
        architecture: Architecture,
        /// The call.
        name: Option<SyscallName>,
        /// What libseccomp does.
        refusal: Refusal,
    },
    /// The profile lists an architecture of the other byte order.
    #[error("libseccomp refuses {} on this node, whose byte order is another one", architecture.name())]
    ByteOrder {
        /// The architecture.
        architecture: Architecture,
    },
    /// The library does not know an architecture that the profile lists.
    #[error("{library} does not know {}", architecture.name())]
    Architecture {
        /// The architecture.
        architecture: Architecture,
        /// The library.
        library: &'static str,
    },
    /// The runtime refuses every flag.
    #[error("{runtime} refuses every seccomp flag")]
    Flags {
        /// The runtime.
        runtime: &'static str,
    },
}
