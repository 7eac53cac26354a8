//! Progress: every step prints its name when it starts and its duration when it is done.
//!
//! Whole lines on standard error, no cursor movement: it reads the same on a terminal, in a CI log
//! and when nodes start side by side. Standard output stays free for results.

use std::error::Error;
use std::time::Instant;

/// A step that failed: which one, and why.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {source}")]
pub struct StepError<E: Error + 'static> {
    /// The step's own words.
    pub step: String,
    /// Why it failed.
    pub source: E,
}

/// Runs `work` as a step that is called `what`.
///
/// # Errors
/// What `work` returns, with the step's name.
pub fn step<T, E: Error + 'static>(
    what: impl Into<String>,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, StepError<E>> {
    let what = what.into();
    eprintln!("…  {what}");
    let start = Instant::now();
    let result = work();
    let seconds = start.elapsed().as_secs_f64();
    match result {
        Ok(value) => {
            eprintln!("ok {what} ({seconds:.1} s)");
            Ok(value)
        }
        Err(source) => {
            eprintln!("!! {what} (failed after {seconds:.1} s)");
            Err(StepError { step: what, source })
        }
    }
}

/// Prints a line that is neither a step nor a result.
pub fn note(text: impl std::fmt::Display) {
    eprintln!("   {text}");
}
