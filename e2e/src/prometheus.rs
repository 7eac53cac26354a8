//! Debian's Prometheus with its promtool, and the definitions of Prometheus' operator.

use std::path::{Path, PathBuf};
use std::process::Command;

use xtask::command::{self, CommandError};
use xtask::programs::{Module, ProgramsError};
use xtask::workspace::repository;

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
/// promtool reports an error, with its message.
pub fn promtool<const N: usize>(arguments: [&str; N], input: &str) -> Result<String, CommandError> {
    command::output_with_input(Command::new(program("promtool")?).args(arguments), input)
}

/// The release of Prometheus' operator whose definitions the chart's objects are tried with.
const OPERATOR: (&str, &str) = ("github.com/prometheus-operator/prometheus-operator", "0.85.0");

/// The files that define the kinds with these plurals, such as `podmonitors`: from the operator's Go module, which is
/// downloaded once.
///
/// # Errors
/// It cannot be downloaded.
pub fn operator_definitions<const N: usize>(plurals: [&str; N]) -> Result<[PathBuf; N], ProgramsError> {
    let (module, version) = OPERATOR;
    let module = Module::download(module, version, Path::new("/"), None)?;
    let directory = module.directory.join("example/prometheus-operator-crd");
    Ok(plurals.map(|plural| directory.join(format!("monitoring.coreos.com_{plural}.yaml"))))
}
