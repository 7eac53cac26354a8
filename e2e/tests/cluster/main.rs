//! What the whole system promises, on a real cluster:
//! `cargo run -p e2e -- run -- cargo test -p e2e --features cluster --test cluster`.
//!
//! The tests share the cluster that runs. Each makes objects of names of its own and removes them; those that change
//! the cluster itself, or count what is written to it, run alone ([`support::alone`]).

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy's leave to panic in tests does not reach the helpers of an integration test"
)]

mod audit;
mod bad_input;
mod bypass;
mod deletion;
mod deletion_nodes;
mod disks;
mod displaced;
mod distribution;
mod documented;
mod drift;
mod guests;
mod images;
mod in_use;
mod installing;
mod liar;
mod listeners;
mod nodes;
mod orphans;
#[path = "../pages/mod.rs"]
mod pages;
mod plugin;
mod plugin_files;
mod pod_security;
mod pods;
mod prometheus;
mod removal;
mod restarts;
mod rights;
mod room;
mod runc;
mod scraper;
mod skew;
mod starts;
mod stopped;
mod support;
mod thief;
mod transcripts;
mod unconfirmed;
mod upgrade;
mod watched;
mod witness;
mod writes;
