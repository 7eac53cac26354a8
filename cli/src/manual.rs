//! Completion scripts, and what the manual pages in the docs are made from.

use clap::{Command, CommandFactory};
use clap_complete::Shell;

use crate::options::Options;

/// The file's name, by which kubectl finds it and under which shells complete it.
pub const PROGRAM: &str = "kubectl-seccomp";

/// The command line under the name of the file.
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
