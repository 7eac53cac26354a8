//! Tests that need many nodes, many elections or a failing API server: our programs against a real API server
//! without a cluster around it: `cargo run -p xtask -- programs`, then
//! `cargo test -p e2e --features api-server --test api_server`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy's `allow-unwrap-in-tests` does not cover helper functions of integration tests"
)]

mod admission;
mod churn;
mod deletion;
mod denials;
mod disk_poller;
mod elections;
mod finalizer;
mod gate;
mod gate_nodes;
mod learning;
mod naive;
mod namespace_default;
mod observer;
mod outages;
mod outdated;
#[path = "../pages/mod.rs"]
#[allow(dead_code, reason = "each test is a crate of its own and takes what it needs")]
mod pages;
mod pods;
mod releases;
mod rollout;
mod runbooks;
mod scale;
mod some_nodes;
mod stolen;
mod support;
mod values;
