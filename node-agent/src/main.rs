//! The agent's program; what it does is in the library.

use std::process::ExitCode;

use clap::Parser;
use node_agent::options::Options;

fn main() -> ExitCode {
    let options = Options::parse();
    if let Err(error) = daemon::logging::init(&options.logging) {
        eprintln!("node-agent: {error}");
        return ExitCode::FAILURE;
    }
    let node = options.node_name.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(node_agent::run(options)),
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%node, error = %link::chain(&error), "agent failed");
            ExitCode::FAILURE
        }
    }
}
