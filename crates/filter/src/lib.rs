//! What a filter does, as opposed to how its profile is written (the crate `profile`).
//!
//! Terms, from the inside out. A *call* has an architecture, a number and six *arguments* of 64 bits. A *verdict* is what
//! the kernel does with a call; verdicts are ordered by what they permit ([`Permission`]). A *condition* compares one
//! argument with a value. A *rule for one syscall* has a verdict and conditions, which must all be true; libseccomp
//! combines such rules into a *tree* of tests, and the tree is what they mean ([`tree`]). A *diagram* is the verdict for
//! all arguments at once ([`diagram`]). A *filter* is the verdict of every call: what a profile is on a node with a certain
//! runtime, libseccomp and architecture ([`Setting`]). A *witness* is a concrete call that shows a difference.
//!
//! - [`Filter::new`] is the filter of a profile, or the reason why no container starts with it; [`Filter::decide`] is the
//!   verdict of one call.
//! - [`conflicts`] are the rules for which there is none, of all calls.
//! - [`readings`] are what rules with conditions for one call mean together: which of them never decide, and verdicts that
//!   none of them says.
//! - [`Explainer::explain`] says which rule of the profile decides.
//! - [`Runtime`], [`Library`] and [`numbers`] are what is known of runtimes and libraries.
//! - [`Startup`] is what a runtime itself needs of a filter.
//! - [`Filter::unequal`], [`Filter::more_permissive`] and [`Filter::difference`] compare filters for all calls and all
//!   arguments, not for a sample.
//! - [`Filter::exceeds`] is what a filter permits beyond others, and [`RuntimeDefault`] has the profiles that containers get
//!   without one of their own.
//! - [`Operation::combine`] is the intersection or the union of two profiles, as a profile.
//! - [`most_instructions`] is how long the program of a filter can be at most; the kernel has a limit.
//! - [`Filter::changes`] lists what another filter does differently, call by call, with both directions.
//!
//! Exactness ends where the filter does: what a 32-bit program passes in the upper halves of its registers, what a tracer
//! or a seccomp agent decides, and calls that the kernel does not filter ([`is_exempt`], and those of io_uring's rings)
//! are not part of it.
//!
//! The crate is pure: no Kubernetes, no async, no I/O.

mod abi;
mod assemble;
mod basis;
mod change;
mod combine;
mod condition;
mod conflict;
mod contested;
pub mod diagram;
mod excess;
mod exempt;
mod filter;
mod group;
mod hash;
mod length;
mod mention;
mod multiplexer;
mod reading;
mod relation;
mod runtime;
mod runtime_default;
mod setting;
mod startup;
pub mod tree;
mod verdict;

pub use abi::compares_lower_halves;
pub use basis::{Basis, Case, Explainer, Explanation};
pub use change::{CallChange, ChangedCall, ChangedCalls, Direction, Origin, Treatment};
pub use combine::{Combined, Narrower, Operation, Uncombinable};
pub use condition::{Arguments, Condition};
pub use conflict::{Conflict, conflicts};
pub use exempt::is_exempt;
pub use filter::{Call, Filter};
pub use length::{MOST_INSTRUCTIONS, most_instructions};
pub use mention::Mention;
pub use multiplexer::Multiplexed;
pub use multiplexer::multiplexer;
pub use reading::{Reading, Role, Unsaid, readings};
pub use relation::{Dependence, Witness};
pub use runtime::{ENOSYS, Flags, Library, Runtime, Stub, numbers};
pub use runtime_default::RuntimeDefault;
pub use setting::{Consequence, Setting, Unloadable};
pub use startup::Startup;
pub use verdict::{Permission, Verdict};
