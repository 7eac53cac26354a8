//! What can go wrong with an API server of ours.

use std::io;

use cluster::wait::WaitError;
use xtask::command::CommandError;
use xtask::files::FileError;
use xtask::programs::ProgramsError;

/// An API server that does not start, stop or answer.
#[derive(Debug, thiserror::Error)]
pub enum ApiServerError {
    /// Its programs do not build.
    #[error(transparent)]
    Programs(#[from] ProgramsError),
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// A program that should do one thing and end failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// Something did not come true in time, or a signal arrived.
    #[error(transparent)]
    Wait(#[from] WaitError),
    /// A program could not be started, signalled or waited for.
    #[error("cannot {action} {program}: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// The program's name.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// A program should run and has ended.
    #[error("{program} has ended; the end of its log:\n{log}")]
    Ended {
        /// Its name.
        program: String,
        /// Its last lines.
        log: String,
    },
    /// No client can be made.
    #[error("client: {0}")]
    Client(#[from] kube::Error),
    /// The configuration of a client is wrong.
    #[error("client: {0}")]
    Config(String),
}
