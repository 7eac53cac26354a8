//! The demo, and what the end-to-end tests share.
//!
//! [`view`] reads the profiles' objects and files, [`rendered`] is the chart as helm renders it, [`rights`] lists the
//! what our accounts may ask, [`seccomp_agent`] answers for containers' calls, [`prometheus`] is Debian's, [`demo`] tells
//! the profiles' whole life, and [`cli`] is the command. The cluster itself is the crate `cluster`, the API server without
//! one lies in the crate `bench`. What the tests assert is not in here.

pub mod cli;
pub mod demo;
pub mod prometheus;
pub mod rendered;
pub mod rights;
pub mod seccomp_agent;
pub mod view;
