//! What a filter does, in distinction from how its profile is spelt (the crate `profile`).
//!
//! - [`Changes::between`] says what another profile would do differently.
//!
//! The crate is pure: no Kubernetes, no async, no I/O.

mod compare;

pub use compare::{Branch, Change, Changes, Direction, SetChange, SyscallChange, Treatment, Uncompared};
