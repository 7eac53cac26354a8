//! The operator: see the crate's documentation.

use std::process::ExitCode;

use clap::Parser;
use operator::options::Options;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = Options::parse();
    if let Err(error) = daemon::logging::init(&options.logging) {
        eprintln!("operator: {error}");
        return ExitCode::from(2);
    }
    match operator::run::run(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "operator failed");
            ExitCode::FAILURE
        }
    }
}
