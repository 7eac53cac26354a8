//! Waiting for a condition: it is polled until it holds or the limit is over.

use std::thread;
use std::time::{Duration, Instant};

use xtask::interrupt;

/// The pause between two polls.
const PAUSE: Duration = Duration::from_millis(50);

/// A condition that did not become true.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// It did not hold within the time given.
    #[error("{what}: timed out after {} s", limit.as_secs())]
    TooLate {
        /// What was waited for.
        what: String,
        /// For how long.
        limit: Duration,
    },
    /// The process was asked to end.
    #[error(transparent)]
    Interrupted(#[from] interrupt::Interrupted),
}

/// Polls `condition` until it returns `Some`, for at most `limit`. An error from it ends the wait.
///
/// # Errors
/// What `condition` returns, or a [`WaitError`].
pub fn until<T, E: From<WaitError>>(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> Result<Option<T>, E>,
) -> Result<T, E> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = condition()? {
            return Ok(value);
        }
        interrupt::check().map_err(WaitError::from)?;
        if Instant::now() >= deadline {
            return Err(WaitError::TooLate { what: what.to_owned(), limit }.into());
        }
        thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_that_comes_true_ends_the_wait() {
        let mut asked = 0;
        let answer: Result<u32, WaitError> = until("three", Duration::from_secs(5), || {
            asked += 1;
            Ok((asked == 3).then_some(asked))
        });
        assert_eq!(answer.unwrap(), 3);
    }

    #[test]
    fn a_condition_that_stays_false_is_named_in_the_error() {
        let answer: Result<(), WaitError> = until("a condition", Duration::ZERO, || Ok(None));
        assert_eq!(answer.unwrap_err().to_string(), "a condition: timed out after 0 s");
    }
}
