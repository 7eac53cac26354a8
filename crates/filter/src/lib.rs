//! What a filter does, as opposed to how its profile is written (the crate `profile`).
//!
//! Terms. A *call* has a number and six *arguments* of 64 bits. A *verdict* is what the kernel does with a call. A
//! *condition* compares one argument with a value. A *rule for one syscall* has a verdict and conditions, which must all
//! be true; libseccomp combines such rules into a tree of tests ([`tree`]), which is what they mean. A *diagram* is the
//! verdict for all arguments at once ([`diagram`]). A *witness* is a concrete call that shows a difference.
//!
//! - [`Changes::between`] lists what another profile would do differently.
//!
//! The crate is pure: no Kubernetes, no async, no I/O.

mod compare;
mod condition;
pub mod diagram;
pub mod tree;
mod verdict;

pub use compare::{Branch, Change, Changes, Direction, SetChange, SyscallChange, Treatment, Uncompared};
pub use condition::{Arguments, Condition};
pub use verdict::{Permission, Verdict};
