//! A seccomp agent for tests: it prints what it receives, and answers every call with one errno.
//!
//! A program in Go, because to receive a call and to answer it are ioctls, for which Rust's crates need `unsafe` code
//! or link libseccomp into every test; libseccomp's own bindings for Go do both, and what builds runc builds this.
//! runc's own agent for its tests (`tests/cmd/seccompagent`) goes round in a loop once a container has ended.

use std::path::{Path, PathBuf};

use crate::go_program::{GoProgram, GoProgramError};

/// As runc 1.5.2 requires them, so that they are there where it was built.
const REQUIRED: &[(&str, &str)] =
    &[("github.com/seccomp/libseccomp-golang", "0.12.0"), ("golang.org/x/sys", "0.46.0")];

/// Builds it in an empty directory, and returns the program's path. It takes a path for its socket, and an errno.
///
/// # Errors
/// It does not build, with what the compiler said.
pub fn build(directory: &Path) -> Result<PathBuf, GoProgramError> {
    let source = include_str!("main.go");
    GoProgram { name: "seccomp-agent", source, requires: REQUIRED, has_c: true }.build(directory)
}
