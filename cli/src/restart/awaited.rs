//! Waits until a workload's new pods are ready.

use tokio::time::Instant;

use super::rollout::Rollout;
use crate::error::CliError;

/// Waits for the end of a rollout, and returns why it is not done, if it is not by then. `look` says how far it is, or nothing
/// if the workload is gone; `pause` waits between two looks.
///
/// # Errors
/// The API server refuses to tell, or the pause ends the wait.
pub(crate) async fn until_done(
    until: Instant,
    mut look: impl AsyncFnMut() -> Result<Option<Rollout>, CliError>,
    mut pause: impl AsyncFnMut() -> Result<(), CliError>,
) -> Result<Option<String>, CliError> {
    loop {
        let why = match look().await {
            Ok(Some(Rollout::Done)) => return Ok(None),
            Ok(Some(Rollout::Waiting(why))) => why,
            Ok(Some(Rollout::Failed(why))) => return Ok(Some(why)),
            Ok(None) => return Ok(Some("it was deleted".to_owned())),
            Err(error) if error.is_no_answer() => format!("no answer: {}", error.first_line()),
            Err(error) => return Err(error),
        };
        if Instant::now() >= until {
            return Ok(Some(why));
        }
        pause().await?;
    }
}
