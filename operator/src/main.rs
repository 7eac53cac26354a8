//! The operator: see the crate's documentation.

use std::error::Error;
use std::process::ExitCode;

use operator::options::Task;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let task = Task::of(std::env::args_os()).unwrap_or_else(|error| error.exit());
    if let Err(error) = daemon::logging::init(task.logging()) {
        eprintln!("operator: {error}");
        return ExitCode::from(2);
    }
    match task {
        Task::Operate(options) => exit_code(operator::run::run(options).await),
        Task::LiftFinalizers(options) => exit_code(operator::uninstall::run(options).await),
        Task::Gate(options) => exit_code(operator::gate::run(options).await),
    }
}

fn exit_code<E: Error + 'static>(result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = %link::chain(&error), "operator failed");
            ExitCode::FAILURE
        }
    }
}
