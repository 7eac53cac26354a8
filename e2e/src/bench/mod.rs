//! Measurements on the real local cluster, each beside a floor that the same run measures.
//!
//! [`latency`] times a profile from apply to disk and to Ready. [`memory`] reads what the programs take with many
//! profiles. Both print a table, and fail where a bar of the design is not reached: figures on a shared machine are
//! judged here and never in a test.

mod command;
pub mod latency;
pub mod memory;
mod session;
mod statistics;

pub use command::{Bench, BenchCommandError};
pub use session::BenchError;
