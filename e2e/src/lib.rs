//! The demo, and what the end-to-end tests share.
//!
//! [`view`] reads the profiles' objects and files, [`rendered`] is the chart as helm renders it, [`rights`] lists the
//! requests that our accounts may send, [`seccomp_agent`] answers containers' calls, [`referrers_registry`] is a registry
//! with the API for referrers, both of them programs in Go ([`go_program`]), [`kernel_records`] lets one test at a time
//! have the kernel's, [`prometheus`] is Debian's, [`demo`] shows a profile's whole life, and [`cli`] is the command.
//! The cluster itself is in the crate `cluster`, the API server without a cluster in the crate `bench`. The tests'
//! assertions are not here.

pub mod cli;
pub mod demo;
pub mod go_program;
pub mod kernel_records;
pub mod prometheus;
pub mod referrers_registry;
pub mod rendered;
pub mod rights;
pub mod seccomp_agent;
pub mod view;
