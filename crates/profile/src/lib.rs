//! The seccomp profile of the OCI runtime specification, as Kubernetes' container runtimes read it.
//!
//! Terms, from the outside in. A *profile* says what the kernel does with each system call of a container: it has
//! a *default action* and *rules*. A *rule* names *syscalls* and gives them an *action*; it may hold *arguments*,
//! comparisons that must all be true of a call's arguments for the rule to apply. An *architecture* is a system
//! call table that the filter also covers. A *flag* is handed to `seccomp(2)` with the filter. A *listener* is the
//! socket of a program that is asked about some calls (*seccomp agent*).
//!
//! - [`Profile::from_value`] and [`Profile::from_slice`] parse strictly: what a runtime would ignore, misread or
//!   refuse is an error that names the field and what would be right. There is no other way to make a [`Profile`].
//! - [`Profile::canonical`] gives its *canonical bytes*: plain OCI JSON that runc and crun read alike.
//! - [`Effect`] and [`Rule::comparisons`] say what runtimes make of a rule, whatever it is spelt like.
//! - [`ContentHash`] is the SHA-256 of those bytes: the identity of a profile everywhere in this system.
//!
//! The crate is pure: no Kubernetes, no async, no I/O.

mod canonical;
mod clash;
pub mod dialect;
mod effect;
mod error;
mod hash;
mod json;
pub mod limits;
mod model;
mod parse;
mod show;
mod vocabulary;
mod wording;

pub use canonical::Canonical;
pub use effect::Effect;
pub use error::{ParseError, ParseProblem};
pub use hash::{ContentHash, InvalidHash, ShortHash};
pub use model::{Argument, Listener, Profile, Rule, SyscallName};
pub use vocabulary::{Action, Architecture, Comparison, Flag};
