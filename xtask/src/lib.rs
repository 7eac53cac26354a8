//! Generates files and packages, without a cluster: `cargo run -p xtask -- help`. The local cluster, the benchmarks and
//! the end-to-end tests use its results and its modules.
//!
//! [`programs`] builds Kubernetes and what it needs from Go modules, [`build_images`] our programs as container images
//! and [`previous_release`] those of the release before, both with [`image`], which needs no build tool;
//! [`build_program`] builds one for use outside of containers. [`chart`] checks the chart and makes its README,
//! [`runtime_default`] writes the profile of that name as containerd has it.
//!
//! Below them are [`workspace`] (where this repository is, and cargo in it), [`command`] and [`files`] (programs and
//! files, with errors that name the program or file), [`file_lock`] (one process at a time), [`step`] and [`progress`]
//! (what is under way), [`interrupt`] (an orderly end on SIGINT and SIGTERM) and [`elf`] (whether a program is static).

pub mod build_images;
pub mod build_program;
pub mod chart;
pub mod command;
pub mod elf;
pub mod file_lock;
pub mod files;
pub mod image;
pub mod interrupt;
pub mod previous_release;
pub mod programs;
pub mod progress;
pub mod runtime_default;
pub mod step;
pub mod workspace;
