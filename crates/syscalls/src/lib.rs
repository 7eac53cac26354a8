//! Names and numbers of Linux system calls: on which architecture a call exists, since which release of Linux, and which
//! libseccomp knows its name.
//!
//! - [`Syscall`]: a call, by its name; [`Architecture`]: a table of numbers.
//! - [`Libseccomp`]: a library that was asked for the names that it knows. A runtime ignores every rule with a name that
//!   the node's libseccomp does not know.
//! - [`Release`]: a release of Linux. [`ArgumentType`]: what the kernel uses of an argument. [`Register`]: what a
//!   register holds, which differs between architectures. [`Group`]: what calls are about.
//!
//! The tables are generated from the extracts in `data/`, each of which names its packages and their versions; the groups
//! and `arguments-other.tsv` are written by hand.
//! `data/refresh.sh` writes the extracts, `make generate` the tables, and `tests/tables.rs` compares the two. What the
//! sources do not have, has no value here.
//!
//! The crate is data: it depends on nothing, and does no I/O.

#![forbid(unsafe_code)]

mod architecture;
mod argument;
mod group;
mod libseccomp;
mod register;
mod release;
mod syscall;
#[rustfmt::skip]
mod tables;

pub use architecture::Architecture;
pub use argument::ArgumentType;
pub use group::Group;
pub use libseccomp::Libseccomp;
pub use register::Register;
pub use release::Release;
pub use syscall::Syscall;
pub use tables::LINUX;
