//! The admission webhook: see the crate's documentation.

use std::process::ExitCode;

use admission::options::Options;
use clap::Parser;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = Options::parse();
    if let Err(error) = daemon::logging::init(&options.logging) {
        eprintln!("admission: {error}");
        return ExitCode::from(2);
    }
    match admission::run::run(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = %link::chain(&error), "admission failed");
            ExitCode::FAILURE
        }
    }
}
