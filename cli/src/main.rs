//! `kubectl seccomp`: see the crate's documentation.

use std::io::Write;
use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match cli::complete::answer(std::env::args_os()) {
        // If the shell has closed the pipe, there is nothing to complete.
        Some(answer) => match std::io::stdout().write_all(answer.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        None => cli::run::main(cli::options::of_the_command_line(std::env::args_os())).await,
    }
}
