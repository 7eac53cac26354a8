//! Derives the system calls that a program can make, from its files alone, with evidence for each.
//!
//! Terms. An *object* is a file that is loaded: the program, its loader, a library, a module. Code is *reached* if the
//! program may run it. A *number* is what a register has where the kernel is called; it is *open* if it cannot be bounded.
//! A *chain* is how a call is reached: from the program's entry point, or from what the loader calls, to the instruction.
//! A *finding* is what the analysis could not follow, with its place.
//!
//! - [`follow`] takes what an image starts, derives each program, and goes on with what these start: interpreters of
//!   scripts, programs that scripts name, programs that programs start by constant names.
//! - [`derive`] takes a program and the files of its image ([`Files`]), and returns [`Derived`] or the reason why nothing
//!   is derived ([`DeriveError`]).
//! - [`Derived::calls`] has each call with its shortest chain; [`Derived::findings`] has what was not followed. A number
//!   that is open makes the result incomplete ([`Derived::is_complete`]): whoever uses it refuses it, or widens it.
//!
//! The result is an over-approximation: a function is reached as soon as reached code, or data that reached code can read,
//! has its address. What is assumed beyond that stands in `docs/derive.md`.
//!
//! Only x86_64. The crate is pure: bytes in, calls and reasons out. It trusts no file: [`limits`] has every bound.

#![forbid(unsafe_code)]

mod arguments;
mod asked;
mod bounds;
mod branch;
mod chain;
mod code;
mod data;
mod elf;
mod error;
mod executed;
mod files;
mod follow;
mod functions;
pub mod limits;
mod looked_up;
mod modules;
mod names;
mod note;
mod numbers;
mod program;
mod reach;
mod request;
mod result;
mod script;
mod search;
mod source;
mod space;
mod tables;
#[cfg(feature = "testing")]
pub mod testing;

pub use ::files::{Entry, Files};
pub use bounds::{Argument, OpenArgument, Value};
pub use chain::{Link, Step};
pub use error::DeriveError;
pub use follow::{Followed, Following, Program, follow};
pub use note::{Because, Note};
pub use numbers::Why;
pub use program::derive;
pub use request::Request;
pub use result::{Call, Derived, Finding, FindingKind, Started, Starts};
