//! Completion scripts, and the source of the manual pages in the docs.

use clap::{Command, CommandFactory};
use clap_complete::Shell;

use crate::options::Options;

/// The name of the executable, by which kubectl and the shells' completion find it.
pub const PROGRAM: &str = "kubectl-seccomp";

/// The command line under the name of the executable.
#[must_use]
pub fn command() -> Command {
    Options::command().bin_name(PROGRAM)
}

/// A completion script.
#[must_use]
pub fn completion(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), PROGRAM, &mut script);
    script
}
