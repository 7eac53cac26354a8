//! A seccomp agent for tests: it prints what it receives, and answers every call with one errno.
//!
//! A program in Go, because to receive a call and to answer it are ioctls, for which Rust's crates need `unsafe` code
//! or link libseccomp into every test; libseccomp's own bindings for Go do both, and what builds runc builds this.
//! runc's own agent for its tests (`tests/cmd/seccompagent`) goes round in a loop once a container has ended.

use std::path::{Path, PathBuf};
use std::process::Command;

use xtask::command::{self, CommandError};
use xtask::files::{self, FileError};

/// As runc 1.5.2 requires them, so that they are there where it was built.
const REQUIRED: [(&str, &str); 2] =
    [("github.com/seccomp/libseccomp-golang", "0.12.0"), ("golang.org/x/sys", "0.46.0")];

/// The agent does not build.
#[derive(Debug, thiserror::Error)]
pub enum SeccompAgentError {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// `go` failed.
    #[error(transparent)]
    Command(#[from] CommandError),
}

/// Builds it in an empty directory, and returns the program's path. It takes a path for its socket, and an errno.
///
/// # Errors
/// It does not build, with what the compiler said.
pub fn build(directory: &Path) -> Result<PathBuf, SeccompAgentError> {
    let required = REQUIRED.map(|(module, version)| format!("require {module} v{version}\n")).concat();
    files::write(&directory.join("go.mod"), format!("module agent\n\ngo 1.26.0\n\n{required}"))?;
    files::write(&directory.join("main.go"), include_str!("main.go"))?;
    let program = directory.join("seccomp-agent");
    let mut go = Command::new("go");
    go.args(["build", "-trimpath", "-o"]).arg(&program).arg(".").current_dir(directory);
    go.env("GOFLAGS", "-mod=mod -buildvcs=false").env("GOWORK", "off").env("CGO_ENABLED", "1");
    command::output(&mut go)?;
    Ok(program)
}
