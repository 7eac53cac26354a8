//! go-containerregistry's registry with the API for referrers, as a program of its own.
//!
//! crane runs the same registry (`crane registry serve`), but has no option for that API, nor for TLS or a login (0.22.1,
//! `cmd/crane/cmd/serve.go`). So a program in Go turns them on, around the code of the same module.

use std::path::{Path, PathBuf};

use xtask::programs::CRANE;

use crate::go_program::{GoProgram, GoProgramError};

/// The module of crane.
const MODULE: &str = "github.com/google/go-containerregistry";

/// Builds it in an empty directory, and returns the program's path. It takes the paths of a certificate and its key, a user
/// and a password, and says on which port of loopback it serves.
///
/// # Errors
/// It does not build, with what the compiler said.
pub fn build(directory: &Path) -> Result<PathBuf, GoProgramError> {
    let source = include_str!("main.go");
    GoProgram { name: "registry", source, requires: &[(MODULE, CRANE)], has_c: false }.build(directory)
}
