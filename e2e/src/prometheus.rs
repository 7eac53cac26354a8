//! Debian's Prometheus, and its promtool.

use std::path::PathBuf;
use std::process::Command;

use crate::build_images::repository;
use crate::command::{self, CommandError};

/// Where `prometheus` or `promtool` is, unpacked first if it is missing.
///
/// # Errors
/// The package cannot be downloaded or unpacked.
pub fn program(name: &str) -> Result<PathBuf, CommandError> {
    let directory = command::output(&mut Command::new(repository().join("e2e/prometheus.sh")))?;
    Ok(PathBuf::from(directory.trim_end()).join(name))
}

/// Runs promtool with `input` as its standard input and returns what it printed.
///
/// # Errors
/// It finds fault, with what it says.
pub fn promtool<const N: usize>(arguments: [&str; N], input: &str) -> Result<String, CommandError> {
    command::output_with_input(Command::new(program("promtool")?).args(arguments), input)
}
