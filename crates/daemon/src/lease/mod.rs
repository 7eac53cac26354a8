//! Leader election: of several processes, only the holder of the lease writes.
//!
//! [`election`] is the pure part: it decides what to do after the lease was read, and until when this process is the
//! leader. This module reads and writes the lease; [`LeaseOptions`] are its command line, and [`Lead`] is what the rest of a
//! program asks before it writes.
//!
//! Two processes are never leaders at the same time, as long as their clocks run at the same rate: a leader stops one
//! `renew deadline` after it *began* its last successful renewal, and another process takes over no earlier than one
//! `duration`, which is longer, after it *saw* that renewal. Both measure with their own monotonic clocks; the times in
//! the lease are only informative. If a process is paused in the middle of a write, the API server refuses the late
//! write by its `resourceVersion`.

pub mod election;
mod lead;
mod options;

use std::fmt;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use link::chain;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{info, warn};

use election::{Decision, Election, LeaseState, Timing};

pub use lead::Lead;
pub use options::{LeaseOptions, duration, elect};

/// The maximum number of conflicts in one round: with this process's own late renewal, or with faster candidates.
const CONFLICTS: usize = 3;

/// How long the release of the lease may take, because the pod is about to be killed.
const RELEASE: Duration = Duration::from_secs(3);

/// A candidate for a lease.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The namespace of the lease.
    pub namespace: String,
    /// The name of the lease.
    pub lease: String,
    /// The identity of this process, which no other process has.
    pub identity: String,
    /// The field manager of its writes.
    pub field_manager: &'static str,
    /// The durations of the election.
    pub timing: Timing,
}

/// The lease, and this process's part in the election.
pub struct Leadership {
    api: Api<Lease>,
    name: String,
    field_manager: &'static str,
    election: Election,
    /// The lease as it was last read, to be written with changes.
    lease: Option<Lease>,
    /// Receives the time until which this process is the leader; `None` if it is not.
    lead_until: Box<dyn Fn(Option<Instant>) + Send + Sync>,
}

impl fmt::Debug for Leadership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leadership")
            .field("name", &self.name)
            .field("election", &self.election)
            .finish_non_exhaustive()
    }
}

impl Leadership {
    /// Creates a candidate. `lead_until` receives every change of the time until which this process is the leader;
    /// `None` if it is not.
    #[must_use]
    pub fn new(
        client: Client,
        candidate: Candidate,
        lead_until: impl Fn(Option<Instant>) + Send + Sync + 'static,
    ) -> Self {
        let Candidate { namespace, lease, identity, field_manager, timing } = candidate;
        Self {
            api: Api::namespaced(client, &namespace),
            name: lease,
            field_manager,
            election: Election::new(identity, timing),
            lease: None,
            lead_until: Box::new(lead_until),
        }
    }

    /// Acquires and renews the lease for ever.
    pub async fn run(&mut self) {
        let mut led = false;
        loop {
            let failure = self.round().await.err();
            let until = self.election.leads_until();
            let leads = until.is_some_and(|until| Instant::now() < until);
            (self.lead_until)(until);
            match (led, leads) {
                (false, true) => info!(identity = self.election.identity(), "became the leader"),
                (true, false) => warn!(identity = self.election.identity(), "no longer the leader"),
                _ => {}
            }
            led = leads;
            if let Some(error) = failure {
                warn!(lease = self.name, error = %chain(&error), "the lease cannot be read or written");
            }
            sleep(self.election.pause(Instant::now())).await;
        }
    }

    /// Releases the lease if this process holds it, so that the next one need not wait for its expiry. The caller must
    /// not write any more.
    pub async fn release(&mut self) {
        (self.lead_until)(None);
        match timeout(RELEASE, self.give_back()).await {
            Ok(Ok(true)) => info!(lease = self.name, "lease released"),
            Ok(Ok(false)) => {}
            Ok(Err(error)) => {
                warn!(lease = self.name, error = %chain(&error), "lease not released; it expires by itself");
            }
            Err(_) => warn!(lease = self.name, "no answer to the release of the lease; it expires by itself"),
        }
    }

    /// Whether this process held the lease.
    async fn give_back(&mut self) -> Result<bool, kube::Error> {
        let free = |spec: &mut LeaseSpec| {
            spec.holder_identity = None;
            // For implementations that do not support an absent holder.
            spec.lease_duration_seconds = Some(1);
        };
        loop {
            // A renewal may have been in flight when the election ended. The known version may therefore be outdated,
            // and that write may even arrive between the two requests here.
            self.lease = self.api.get_opt(&self.name).await?;
            let holder = self.lease.as_ref().and_then(|lease| state_of(lease).holder);
            if holder.as_deref() != Some(self.election.identity()) {
                return Ok(false);
            }
            match self.write(free).await {
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                answer => return answer.map(|_| true),
            }
        }
    }

    /// Reads the lease, decides and acts.
    async fn round(&mut self) -> Result<(), kube::Error> {
        let ends = self.election.round_ends(Instant::now());
        for _ in 0..CONFLICTS {
            if ends <= Instant::now() {
                break;
            }
            // A leader knows the lease from its own write: another process's write causes a conflict.
            if self.election.must_read() {
                let lease = self.limited(ends, self.api.get_opt(&self.name)).await?;
                self.election.read(lease.as_ref().map(state_of), Instant::now());
                self.lease = lease;
            }
            if self.election.decide(Instant::now()) == Decision::Wait {
                return Ok(());
            }
            match self.take(ends).await {
                // Another process was faster, or this process's own renewal arrived late. The lease shows which.
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                answer => return answer,
            }
        }
        Ok(())
    }

    /// The answer to a request, or an error at the end of the round, early enough for another round before the lease
    /// expires.
    async fn limited<T>(
        &self,
        ends: Instant,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, kube::Error> {
        let answer = timeout_at(ends.min(Instant::now() + self.election.timing().retry), request).await;
        answer.unwrap_or_else(|elapsed| Err(kube::Error::Service(Box::new(elapsed))))
    }

    /// Writes this process's identity and the time into the lease.
    async fn take(&mut self, ends: Instant) -> Result<(), kube::Error> {
        let started = Instant::now();
        let identity = self.election.identity().to_owned();
        let duration = lease_seconds(self.election.timing().duration);
        let now = MicroTime(Timestamp::now());
        let take = |spec: &mut LeaseSpec| {
            if spec.holder_identity.as_ref() != Some(&identity) {
                spec.acquire_time = Some(now.clone());
                spec.lease_transitions =
                    Some(spec.lease_transitions.map_or(0, |count| count.saturating_add(1)));
            }
            spec.holder_identity = Some(identity);
            spec.lease_duration_seconds = Some(duration);
            spec.renew_time = Some(now);
        };
        let written = self.limited(ends, self.write(take)).await;
        match &written {
            Ok(lease) => {
                self.election.written(state_of(lease), started);
                self.lease = Some(lease.clone());
            }
            Err(_) => self.election.write_failed(),
        }
        written.map(drop)
    }

    /// Writes the changed lease; the API server refuses it if the lease has changed since it was read.
    async fn write(&self, change: impl FnOnce(&mut LeaseSpec)) -> Result<Lease, kube::Error> {
        let params = PostParams { field_manager: Some(self.field_manager.into()), ..PostParams::default() };
        match self.lease.clone() {
            Some(mut lease) => {
                change(lease.spec.get_or_insert_default());
                self.api.replace(&self.name, &params, &lease).await
            }
            None => {
                let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
                let mut spec = LeaseSpec::default();
                change(&mut spec);
                self.api.create(&params, &Lease { metadata, spec: Some(spec) }).await
            }
        }
    }
}

/// A duration in the lease's unit, rounded up, because others take over after the duration in the lease.
fn lease_seconds(duration: Duration) -> i32 {
    let whole = duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0));
    i32::try_from(whole).unwrap_or(i32::MAX)
}

fn state_of(lease: &Lease) -> LeaseState {
    let spec = lease.spec.clone().unwrap_or_default();
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(0);
    LeaseState {
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
        holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
        transitions: spec.lease_transitions.unwrap_or(0),
        duration: Duration::from_secs(seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_duration_in_a_lease_is_never_shorter_than_its_holder_assumes() {
        for (milliseconds, seconds) in [(1, 1), (999, 1), (1000, 1), (1001, 2), (1500, 2), (15_000, 15)] {
            assert_eq!(lease_seconds(Duration::from_millis(milliseconds)), seconds, "{milliseconds} ms");
        }
        assert_eq!(lease_seconds(Duration::MAX), i32::MAX);
    }
}
