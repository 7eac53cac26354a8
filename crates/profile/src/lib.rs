//! The seccomp profile of the OCI runtime specification, as Kubernetes' container runtimes read it.
//!
//! Terms, from the outside in. A *profile* defines what the kernel does with each system call of a container: it has a
//! *default action* and *rules*. A *rule* names *syscalls* and gives them an *action*; it may have *arguments*,
//! comparisons that must all be true of a call's arguments for the rule to apply. An *architecture* is a system call
//! table that the filter also covers. A *flag* is passed to `seccomp(2)` with the filter. A *listener* is the socket of
//! a program that decides about some calls (*seccomp agent*).
//!
//! - [`Profile::from_value`] and [`Profile::from_slice`] parse strictly: contents that a runtime would ignore, misread
//!   or refuse are an error that names the field and the allowed values. There is no other way to create a [`Profile`].
//! - [`PlainProfile`] decodes usual spellings in a fraction of the time, without a tree of values.
//! - [`json::from_slice`] parses JSON whose keys are unique, for readers of other formats.
//! - [`Profile::canonical`] returns its *canonical bytes*: plain OCI JSON that runc and crun read in the same way.
//! - [`Effect`] and [`Rule::comparisons`] are the effect of a rule in runtimes, independently of its spelling.
//! - [`ContentHash`] is the SHA-256 of those bytes, which identifies a profile's contents everywhere in this system.
//!
//! The crate is pure: no Kubernetes, no async, no I/O.

mod canonical;
mod clash;
pub mod dialect;
mod effect;
mod error;
mod hash;
pub mod json;
pub mod limits;
mod model;
mod parse;
mod path;
mod show;
mod vocabulary;
pub mod wording;

pub use canonical::Canonical;
pub use effect::Effect;
pub use error::{ParseError, ParseProblem};
pub use hash::{ContentHash, InvalidHash, ShortHash};
pub use model::{Argument, Listener, Profile, Rule, SyscallName};
pub use parse::PlainProfile;
pub use path::{FieldPath, Segment};
pub use vocabulary::{Action, Architecture, Comparison, Flag};
