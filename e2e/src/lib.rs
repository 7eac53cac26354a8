//! A real Kubernetes cluster on one Linux machine, for end-to-end tests, the demo and benchmarks.
//!
//! [`doctor`] says what the machine lacks, [`cluster`] starts and ends it, [`api_server`] is an API server without nodes
//! for what needs hundreds of them, [`view`] reads what a cluster shows of the profiles, [`rendered`] is the chart as helm
//! renders it, [`rights`] holds what our accounts may ask, [`seccomp_agent`] answers for containers' calls,
//! [`prometheus`] is Debian's, [`demo`] tells the profiles' whole life, and [`cli`] is the command. Below them lies
//! [`wait`] (conditions with a deadline). The crate `xtask` makes the programs and the images. What the tests assert is
//! not in here.

pub mod api_server;
pub mod bench;
pub mod cli;
pub mod cluster;
pub mod demo;
pub mod doctor;
mod kind;
pub mod prometheus;
pub mod rendered;
pub mod rights;
mod running;
pub mod seccomp_agent;
pub mod view;
pub mod wait;
