//! For which containers and nodes a profile is converted.

use crate::{Capabilities, Kernel, Machine};

/// The containers and the nodes for which conditions are decided.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// The capabilities of the containers.
    pub capabilities: Capabilities,
    /// The architectures of the nodes. If there are none, they are 64-bit x86 and 64-bit ARM, as far as the profile
    /// covers them.
    pub machines: Vec<Machine>,
    /// The kernel of the nodes. If it is absent, [`Kernel::OLDEST`] or a later one.
    pub kernel: Option<Kernel>,
}
