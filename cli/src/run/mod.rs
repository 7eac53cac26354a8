//! Runs a command: from the options to an answer, and from that to standard output and the exit code.

mod cluster;
mod console;
mod files;
mod follow;
mod follow_denials;
mod signals;

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use tokio::time::Instant;

use crate::connect::connect;
use crate::error::CliError;
use crate::learn::workload::learn_from_workload;
use crate::options::{Options, Task};
use crate::restart::restart;
use crate::sources;

pub use cluster::answer;
use console::{Terminal, paint, paint_of_errors, print, remark, report};
pub use files::{attached, built, copied, derived_from_image, inspected, without_cluster};
pub use follow::wait;
use follow::watch;
use follow_denials::Output;
pub use follow_denials::{Screen, watch_denials};
use signals::Signals;

/// A practically infinite time.
const FOR_EVER: Duration = Duration::from_secs(1_000_000_000);
/// The exit code of an error.
const EXIT_ERROR: u8 = 2;

/// The result of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// For standard output.
    pub text: String,
    /// For standard error: what the result does not cover.
    pub remarks: Vec<String>,
    /// For standard error: why a part of the result is missing. If there are any, the exit code is that of an error.
    pub errors: Vec<String>,
    /// Whether the exit code is 0 without errors.
    pub success: bool,
}

impl Answer {
    fn success(text: String) -> Self {
        Self { text, remarks: Vec::new(), errors: Vec::new(), success: true }
    }
}

/// Runs the command of the options.
pub async fn main(options: Options) -> ExitCode {
    match perform(&options).await {
        Ok(code) => code,
        Err(error) => {
            // A closed pipe is not an error: the reader has seen enough.
            if !matches!(&error, CliError::Output(error) if error.kind() == io::ErrorKind::BrokenPipe) {
                report(error);
            }
            ExitCode::from(EXIT_ERROR)
        }
    }
}

async fn perform(options: &Options) -> Result<ExitCode, CliError> {
    if let Some(answer) = without_cluster(&options.task, paint())? {
        return give(&answer);
    }
    match &options.task {
        Task::Inspect(args) => return give(&inspected(args, paint()).await?),
        Task::Attach(args) => return give(&attached(args, paint()).await?),
        Task::Copy(args) => return give(&copied(args, paint()).await?),
        Task::Build(args) => return give(&built(args, paint(), &mut Terminal).await?),
        Task::Derive(args) => {
            if let Some(answer) = derived_from_image(args).await? {
                return give(&answer);
            }
        }
        _ => {}
    }
    with_cluster(options).await.map_err(|error| match assumed_names(&options.task) {
        names if names.is_empty() => error,
        names => CliError::AssumedName { names, error: Box::new(error) },
    })
}

async fn with_cluster(options: &Options) -> Result<ExitCode, CliError> {
    let client = connect(&options.cluster).await?;
    match &options.task {
        Task::Status { profile, watch: true, .. } => watch(&client, profile.as_deref()).await.map(exit_code),
        Task::Denials { what, namespace, watch: true, .. } => {
            let mut output = Output::default();
            watch_denials(&client, namespace.as_deref(), what.as_deref(), &mut output).await?;
            Ok(ExitCode::SUCCESS)
        }
        Task::Wait { profiles, goal, timeout } => {
            // A time that overflows counts as infinite.
            let now = Instant::now();
            let until = now.checked_add(*timeout).unwrap_or(now + FOR_EVER);
            wait(&client, profiles, *goal, until, &mut |line| print(line)).await.map(exit_code)
        }
        Task::Learn(args) => {
            let signals = Signals::new()?;
            let stopped = async || signals.next().await;
            learn_from_workload(&client, args, paint_of_errors(), &mut Terminal, stopped).await.map(exit_code)
        }
        Task::Restart(args) => restart(&client, args, paint(), &mut Terminal).await.map(exit_code),
        task => {
            let answer = answer(task, &client, paint()).await?;
            give(&answer)
        }
    }
}

/// The arguments that a command looks up in the cluster only because there is no such file.
fn assumed_names(task: &Task) -> Vec<String> {
    match task {
        Task::Lint(args) => sources::assumed_names(&args.files),
        Task::Explain(args) => sources::assumed_names(&args.files),
        Task::Merge(args) => sources::assumed_names(&args.profiles),
        Task::Convert(args) => sources::assumed_names(&args.files),
        Task::Simulate(args) => sources::assumed_names(args.files()),
        Task::Diff(args) => {
            let arguments: Vec<_> = args.after.iter().chain([&args.before]).cloned().collect();
            sources::assumed_names(&arguments)
        }
        _ => Vec::new(),
    }
}

/// Prints an answer.
fn give(answer: &Answer) -> Result<ExitCode, CliError> {
    print(&answer.text)?;
    answer.remarks.iter().for_each(|it| remark(it));
    answer.errors.iter().for_each(report);
    Ok(if answer.errors.is_empty() { exit_code(answer.success) } else { ExitCode::from(EXIT_ERROR) })
}

fn exit_code(success: bool) -> ExitCode {
    if success { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
