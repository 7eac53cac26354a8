//! What a learning waits for: an answer of the API server, a rollout.

use std::time::Duration;

use kube::Client;
use tokio::time::Instant;

use super::error::WorkloadError;
use super::requests::{Place, rollout};
use super::stop::Stop;
use crate::error::CliError;
use crate::restart::awaited::until_done;
use crate::restart::rollout::Kind;

/// Between two requests about an object that is to become ready.
pub(super) const POLL: Duration = Duration::from_millis(500);

/// Whether the user has stopped the command.
pub(super) fn is_stopped(error: &CliError) -> bool {
    matches!(error, CliError::LearnWorkload(error) if matches!(**error, WorkloadError::Stopped))
}

/// Tries a request anew as long as the API server gives no answer.
pub(super) async fn patiently<T>(
    timeout: Duration,
    stop: &mut Stop<'_>,
    request: impl AsyncFn() -> Result<T, CliError>,
) -> Result<T, CliError> {
    let until = Instant::now() + timeout;
    loop {
        match request().await {
            Err(error) if error.is_no_answer() && Instant::now() < until => stop.pause(POLL).await?,
            answer => return answer,
        }
    }
}

/// Waits until the pods of the workload's present template are ready, and no others are left.
pub(super) async fn rolled_out(
    client: &Client,
    place: &Place,
    (title, kind): (&str, Kind),
    timeout: Duration,
    stop: &mut Stop<'_>,
) -> Result<(), CliError> {
    let look = async || Ok(place.get(client).await?.map(|found| rollout(kind, &found)));
    match until_done(Instant::now() + timeout, look, async || Ok(stop.pause(POLL).await?)).await? {
        None => Ok(()),
        Some(why) => Err(WorkloadError::NotReady { what: title.to_owned(), why }.into()),
    }
}
