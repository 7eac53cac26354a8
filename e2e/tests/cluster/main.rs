//! What the whole system promises, on a real cluster:
//! `cargo run -p e2e -- run -- cargo test -p e2e --features cluster --test cluster`.
//!
//! The tests share the cluster that runs. Each makes objects of names of its own and removes them; those that change
//! the cluster itself, or count what is written to it, run alone ([`support::alone`]).

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy's `allow-unwrap-in-tests` does not cover helper functions of integration tests"
)]

mod added_nodes;
mod audit;
mod bad_input;
mod bypass;
mod consistency_check;
mod deletion;
mod deletion_nodes;
mod disks;
mod displaced;
mod distribution;
mod documented;
mod down;
mod drift;
mod file_watch;
mod gate;
mod image_registry;
mod images;
mod images_of_pods;
mod in_use;
mod installing;
mod learning;
mod listeners;
mod malicious_agent;
mod memory_limit;
mod new_nodes;
mod nodes;
mod observer;
mod orphans;
mod outdated;
#[path = "../pages/mod.rs"]
mod pages;
mod plugin;
mod plugin_files;
mod pod_security;
mod pods;
mod prometheus;
#[path = "../registry_process/mod.rs"]
mod registry_process;
mod removal;
mod restarts;
mod rights;
mod runc;
mod scraper;
mod servers;
mod shipped;
mod skew;
mod some_nodes;
mod starts;
mod stolen_token;
mod stopped;
mod support;
mod transcripts;
mod unconfirmed;
mod upgrade;
mod webhook;
mod webhook_removal;
mod writes;
