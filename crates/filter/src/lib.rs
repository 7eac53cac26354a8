//! What a filter does, as opposed to how its profile is written (the crate `profile`).
//!
//! - [`Changes::between`] lists what another profile would do differently.
//!
//! The crate is pure: no Kubernetes, no async, no I/O.

mod compare;

pub use compare::{Branch, Change, Changes, Direction, SetChange, SyscallChange, Treatment, Uncompared};
