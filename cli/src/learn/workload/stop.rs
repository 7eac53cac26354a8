//! The user's wish to end the command.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::sleep;

use super::error::WorkloadError;

/// Ends waits when the user wants to stop. Requests are not cut off: one that changes an object must not arrive after the
/// request that undoes it.
pub(super) struct Stop<'s> {
    signal: Pin<Box<dyn Future<Output = ()> + 's>>,
    is_over: bool,
}

impl<'s> Stop<'s> {
    /// Stops when `signal` ends.
    pub(super) fn when(signal: impl Future<Output = ()> + 's) -> Self {
        Self { signal: Box::pin(signal), is_over: false }
    }

    /// Waits for this time.
    ///
    /// # Errors
    /// The user wants to stop.
    pub(super) async fn pause(&mut self, time: Duration) -> Result<(), WorkloadError> {
        self.during(sleep(time)).await
    }

    /// Waits for something else.
    ///
    /// # Errors
    /// The user wants to stop.
    pub(super) async fn during<T>(&mut self, other: impl Future<Output = T>) -> Result<T, WorkloadError> {
        if self.is_over {
            return Err(WorkloadError::Stopped);
        }
        tokio::select! {
            biased;
            () = &mut self.signal => {
                self.is_over = true;
                Err(WorkloadError::Stopped)
            }
            other = other => Ok(other),
        }
    }
}
