//! The lease by which several replicas of a program agree on the one that writes: its options, and the election.

use std::time::Duration;

use clap::Args;
use kube::Client;
use tokio::time::Instant;

use super::election::{Timing, UnsafeTiming};
use super::{Candidate, Leadership};

/// Options of the election.
#[derive(Debug, Clone, Args)]
pub struct LeaseOptions {
    /// Name of the lease, in the namespace, by which several replicas agree on the one that writes. Without it this
    /// process always does, and must be the only one.
    #[arg(long)]
    pub lease: Option<String>,
    /// How long another replica waits after the leader's last renewal before it takes over.
    #[arg(long, default_value = "15s", value_parser = duration)]
    pub lease_duration: Duration,
    /// How long after its last renewal the leader stops writing.
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub lease_renew_deadline: Duration,
    /// How often the lease is renewed, or read by a replica that does not lead.
    #[arg(long, default_value = "2s", value_parser = duration)]
    pub lease_retry: Duration,
}

impl LeaseOptions {
    /// The timing of the election.
    ///
    /// # Errors
    /// The durations are not in order.
    pub fn timing(&self) -> Result<Timing, UnsafeTiming> {
        let (duration, renew_deadline) = (self.lease_duration, self.lease_renew_deadline);
        Timing { duration, renew_deadline, retry: self.lease_retry }.checked()
    }

    /// The election by the lease in `namespace`, if there is one. `lead_until` receives every change of the time until
    /// which this process is the leader, and begins with none.
    ///
    /// # Errors
    /// The timing permits two leaders.
    pub fn leadership(
        &self,
        namespace: &str,
        field_manager: &'static str,
        client: &Client,
        lead_until: impl Fn(Option<Instant>) + Send + Sync + 'static,
    ) -> Result<Option<Leadership>, UnsafeTiming> {
        let Some(name) = &self.lease else { return Ok(None) };
        // In a pod, HOSTNAME is the pod's name. A restarted container has the same one, so a random number is appended.
        let host = std::env::var("HOSTNAME").unwrap_or_else(|_| field_manager.to_owned());
        let identity = format!("{host}_{:016x}", fastrand::u64(..));
        let candidate = Candidate {
            namespace: namespace.to_owned(),
            lease: name.clone(),
            identity,
            field_manager,
            timing: self.timing()?,
        };
        // Not a leader yet.
        lead_until(None);
        Ok(Some(Leadership::new(client.clone(), candidate, lead_until)))
    }
}

/// Takes part in the election for ever, if there is one.
pub async fn elect(leadership: Option<&mut Leadership>) {
    match leadership {
        Some(leadership) => leadership.run().await,
        None => std::future::pending().await,
    }
}

/// A duration on the command line, as in `15s`.
///
/// # Errors
/// The text is not a duration.
pub fn duration(text: &str) -> Result<Duration, String> {
    text.parse::<kube::core::Duration>().map(Into::into).map_err(|error| error.to_string())
}
