//! Builds one program of the workspace, for tests and measurements that run it outside of a container.

use std::path::{Path, PathBuf};

use crate::command::{self, CommandError};
use crate::progress::Compiler;
use crate::workspace::{cargo, target_directory};

/// Builds a program of the workspace in `repository` and returns its path. With `release` it is built as for the images,
/// but for this machine, and its package must have its name; without it, quickly.
///
/// # Errors
/// When the build fails.
pub fn build_program(repository: &Path, program: &str, release: bool) -> Result<PathBuf, CommandError> {
    let mut build = cargo(repository);
    build.args(["build", "--locked", "--bin", program]);
    if release {
        build.args(["--package", program, "--release"]);
    } else {
        // Cargo chooses the features of dependencies for all that it is asked to build together. `make test` has built the
        // whole workspace with its tests. With these two options the choice is the same, so that nothing is compiled
        // again; for one package most dependencies would be.
        build.args(["--workspace", "--test", "cycles"]);
    }
    command::run_compiler(&mut build, Compiler::Cargo)?;
    Ok(target_directory(repository).join(if release { "release" } else { "debug" }).join(program))
}

/// Builds `kubectl-seccomp` quickly, and returns the directory in which kubectl finds it.
///
/// # Errors
/// When the build fails.
pub fn build_plugin(repository: &Path) -> Result<PathBuf, CommandError> {
    let mut plugin = build_program(repository, "kubectl-seccomp", false)?;
    plugin.pop();
    Ok(plugin)
}
