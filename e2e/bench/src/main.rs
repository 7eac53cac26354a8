//! The command: `cargo run -p bench -- help`.

use std::process::ExitCode;

use bench::Bench;
use clap::Parser;
use xtask::interrupt;

/// Measures on the cluster that runs, or on an API server of its own; fails where a bar is not reached.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Cli {
    #[command(subcommand)]
    measurement: Bench,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    interrupt::exit_code_of(|| cli.measurement.perform().map(|()| ExitCode::SUCCESS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
