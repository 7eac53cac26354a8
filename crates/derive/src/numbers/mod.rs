//! Which numbers a register can have where the kernel is called, and which values its arguments.
//!
//! From the instruction back: over moves, joins, spills to the stack, and from the start of a function to everything that
//! calls it. What cannot be followed is [`Open`], with its place; nothing is left out because it is unknown.
//!
//! Assumptions, which hold for what compilers write: a function restores the registers that the calling convention says it
//! restores; a variable on the stack whose address is not taken is written only by its own function; a structure with a
//! number is not written between the caller that fills it and the call that reads it.

mod branches;
mod callers;
mod escape;
mod flow;
mod memory;
mod place;
mod pointers;
mod returning;
mod solver;
mod step;
mod strict;
mod tables;
mod why;

pub(crate) use solver::{Open, Origin, Solver, Values};
pub use why::Why;
