//! `kubectl seccomp`: see the crate's documentation.

use std::process::ExitCode;

use clap::Parser;
use cli::options::Options;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    cli::run::main(Options::parse()).await
}
