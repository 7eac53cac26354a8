//! Measurements, each beside a floor that the same run measures: `cargo run -p bench -- help`.
//!
//! On the real local cluster [`latency`] times a profile from apply to disk and to Ready, and [`memory`] reads what the
//! programs take with many profiles. [`hostile_connections`] opens hundreds of connections to the programs' port.
//! [`scale`] has many nodes on an API server without a cluster. All print a table, and fail where a bar of the design
//! is not reached: figures on a shared machine are compared with their bars here and never in a test.
//!
//! [`api_server`] is that API server, with our programs around it. The tests in `e2e/tests/api_server/` use it, too. It
//! is in this crate because it needs the programs as libraries, which the cluster and its tests do not.

pub mod api_server;
mod command;
pub mod hostile_connections;
pub mod latency;
pub mod memory;
pub mod scale;
mod session;
mod statistics;

pub use command::{Bench, BenchCommandError};
pub use session::BenchError;
