//! Measurements, each beside a floor that the same run measures.
//!
//! On the real local cluster [`latency`] times a profile from apply to disk and to Ready, and [`memory`] reads what the
//! programs take with many profiles. [`strangers`] opens hundreds of connections to the programs' port. [`scale`] has many nodes on an API server without a cluster. All print a table, and fail where a bar of the design is not reached: figures on a shared machine are
//! judged here and never in a test.

mod command;
pub mod latency;
pub mod memory;
pub mod scale;
mod session;
mod statistics;
pub mod strangers;

pub use command::{Bench, BenchCommandError};
pub use session::BenchError;
