//! Reads the logs of strace: which system calls a program made, and what is known of their arguments.
//!
//! A *line* of a log begins with what options add (the process, times, the number of the call, the instruction pointer) and
//! goes on with a call or something else: a signal, an exit, a message. A call may be *unfinished*, and *resumed* on a
//! later line. An *argument* is printed as a number, as names of the kernel's headers, or as what it points at; only of
//! the former two something is known of the register that a filter sees.
//!
//! - [`Reader::line`] reads one line after the other and keeps what a later one needs, within a fixed size: [`Event`].
//! - [`Call::arguments`] is what is known of the registers, as [`Bits`].
//! - [`value`] reads one argument, [`split`] separates several.
//!
//! The formats are those of strace 6.1, 6.13 and 7.2 (measured, `tests/logs/`). No line makes the reader fail: a line that
//! it does not understand is [`Event::Unread`].
//!
//! The crate is pure: no Kubernetes, no async, no I/O.

#![forbid(unsafe_code)]

mod call;
mod leader;
mod printed;
mod reader;
mod split;
mod value;

pub use call::Call;
pub use reader::{Event, Reader};
pub use split::split;
pub use value::{Bits, value};
