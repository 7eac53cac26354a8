//! Tests that need many nodes, many elections or a failing API server: our programs against a real API server
//! without a cluster around it: `cargo run -p xtask -- programs`, then
//! `cargo test -p e2e --features api-server --test api_server`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy's leave to panic in tests does not reach the helpers of an integration test"
)]

mod churn;
mod deletion;
mod disk_poller;
mod elections;
mod naive;
mod outages;
mod rollout;
mod scale;
mod support;
