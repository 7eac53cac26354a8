//! A real Kubernetes cluster on one Linux machine, for end-to-end tests, the demo and benchmarks.
//!
//! [`doctor`] says what the machine lacks, [`programs`] builds Kubernetes and what it needs from Go
//! modules, [`cluster`] starts and ends it, [`image`] and [`build_images`] make container images without
//! a build tool, [`earlier`] those of the release before, [`api_server`] is an API server without nodes for what needs hundreds of them, [`view`] reads what a
//! cluster shows of the profiles, [`chart`] checks the chart without a cluster, [`rights`] holds what our accounts may
//! ask, [`runtime_default`] asks containerd what it allows, [`seccomp_agent`] answers for containers' calls, [`prometheus`] is
//! Debian's, [`demo`] tells their whole life, and [`cli`] is the command. Below them lie [`command`] and [`files`] (programs and files
//! with errors that say which), [`wait`] (conditions with a deadline), [`step`] and [`progress`] (what is
//! under way) and [`interrupt`] (an orderly end on SIGINT and SIGTERM). What the tests assert is not in here.

pub mod api_server;
pub mod bench;
pub mod build_images;
pub mod chart;
pub mod cli;
pub mod cluster;
pub mod command;
pub mod demo;
pub mod doctor;
pub mod earlier;
mod elf;
pub mod files;
pub mod image;
pub mod interrupt;
mod kind;
pub mod programs;
pub mod progress;
pub mod prometheus;
pub mod rights;
mod running;
pub mod runtime_default;
pub mod seccomp_agent;
pub mod step;
pub mod view;
pub mod wait;
