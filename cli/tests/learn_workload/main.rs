//! `learn --workload` against an API server that answers as a cluster does: what it changes round by round, and what is as
//! before in the end.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy allows panics in tests, but not in the helpers of an integration test"
)]

mod consent;
mod console;
mod ended;
mod others;
mod result;
mod rounds;
mod server;
