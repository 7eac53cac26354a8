//! Programs in Go that tests build: a file with the program, and the modules that it requires.

use std::path::{Path, PathBuf};
use std::process::Command;

use xtask::command::{self, CommandError};
use xtask::files::{self, FileError};

/// The program does not build.
#[derive(Debug, thiserror::Error)]
pub enum GoProgramError {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// `go` failed.
    #[error(transparent)]
    Command(#[from] CommandError),
}

/// A program in Go.
#[derive(Debug)]
pub(crate) struct GoProgram<'a> {
    /// Its name, and that of its file.
    pub(crate) name: &'a str,
    /// The whole program.
    pub(crate) source: &'a str,
    /// The modules that it requires, each with its version. `go` chooses the others.
    pub(crate) requires: &'a [(&'a str, &'a str)],
    /// Whether it is linked with C libraries.
    pub(crate) has_c: bool,
}

impl GoProgram<'_> {
    /// Builds it in an empty directory, and returns the program's path.
    ///
    /// # Errors
    /// It does not build, with what the compiler said.
    pub(crate) fn build(&self, directory: &Path) -> Result<PathBuf, GoProgramError> {
        let Self { name, source, requires, has_c } = self;
        let requires = requires.iter().map(|(module, version)| format!("require {module} v{version}\n"));
        let requires: String = requires.collect();
        files::write(&directory.join("go.mod"), format!("module {name}\n\ngo 1.26.0\n\n{requires}"))?;
        files::write(&directory.join("main.go"), source)?;
        let program = directory.join(name);
        let mut go = Command::new("go");
        go.args(["build", "-trimpath", "-o"]).arg(&program).arg(".").current_dir(directory);
        go.env("GOFLAGS", "-mod=mod -buildvcs=false").env("GOWORK", "off");
        go.env("CGO_ENABLED", if *has_c { "1" } else { "0" });
        command::output(&mut go)?;
        Ok(program)
    }
}
