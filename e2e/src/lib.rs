//! The demo and the benchmarks, and what the end-to-end tests share.
//!
//! [`api_server`] is an API server without nodes for what needs hundreds of them, [`view`] reads what a cluster shows of
//! the profiles, [`rendered`] is the chart as helm renders it, [`rights`] holds what our accounts may ask,
//! [`seccomp_agent`] answers for containers' calls, [`prometheus`] is Debian's, [`demo`] tells the profiles' whole life,
//! and [`cli`] is the command. The cluster itself is the crate `cluster`. What the tests assert is not in here.

pub mod api_server;
pub mod bench;
pub mod cli;
pub mod demo;
pub mod prometheus;
pub mod rendered;
pub mod rights;
pub mod seccomp_agent;
pub mod view;
