//! Measures a phase: requests from the audit log, bytes from the agents' connections, CPU time and memory
//! from `/proc`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use xtask::files;

use super::proc::{cpu_seconds, machine, peak};
use super::testbed::Testbed;
use crate::BenchError;
use crate::api_server::audit;

/// A phase counts as over after this time without a write: longer than the five seconds for which the operator holds
/// back the counts of a rollout in a small cluster. In a large one it does for longer, and what is measured waits for
/// the counts itself where nothing else changes.
const QUIET: Duration = Duration::from_secs(6);

/// CPU seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Seconds {
    /// Of the operator.
    pub operator: f64,
    /// Of all agents, and of the bench, which runs in their process and does little.
    pub agents: f64,
    /// Of the API server.
    pub api_server: f64,
    /// Of etcd.
    pub etcd: f64,
    /// Of everything else on the machine: if this is large, times mean little.
    pub others: f64,
}

/// What one round of a phase or its floor took, until nobody had written for six seconds; of rest and of a first
/// report, until it was done.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Sample {
    /// Until it was done, in seconds.
    pub wall: f64,
    /// Requests of our accounts, by account, verb and resource.
    pub requests: BTreeMap<String, u64>,
    /// Those that would change something; leases aside, Events included.
    pub writes: u64,
    /// Reports that arrived.
    pub reports: u64,
    /// Requests that the API server was too busy for (429).
    pub too_many: u64,
    /// What all agents received, in bytes.
    pub received: u64,
    /// Events of profiles that each watcher saw.
    pub events: u64,
    /// CPU time.
    pub cpu: Seconds,
    /// The operator's largest resident size in it, in KiB.
    pub operator_peak: u64,
    /// What etcd's file holds, in bytes.
    pub etcd: u64,
}

/// A measurement that runs.
#[derive(Debug)]
pub(super) struct Meter {
    log: audit::Log,
    before: Counters,
}

#[derive(Debug, Clone, Copy)]
struct Counters {
    received: u64,
    events: u64,
    cpu: Seconds,
}

impl Meter {
    pub(super) fn start(testbed: &Testbed) -> Result<Self, BenchError> {
        if let Some(id) = testbed.operator_id() {
            // Forgets the largest size until now: proc(5).
            files::write_in_place(Path::new(&format!("/proc/{id}/clear_refs")), "5")
                .map_err(|error| BenchError::io("the operator's memory")(error.source))?;
        }
        Ok(Self { log: testbed.server().audit(), before: Counters::read(testbed)? })
    }

    /// Waits until nothing has been written for a while, and returns the measures since the start.
    pub(super) async fn stop(mut self, testbed: &Testbed, wall: Duration) -> Result<Sample, BenchError> {
        let mut sample = Sample { wall: wall.as_secs_f64(), ..Sample::default() };
        let mut last = Instant::now();
        while last.elapsed() < QUIET {
            if self.count(&mut sample)? {
                last = Instant::now();
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        self.finish(sample, testbed).await
    }

    /// Returns the measures since the start, without waiting.
    pub(super) async fn stop_now(mut self, testbed: &Testbed, wall: Duration) -> Result<Sample, BenchError> {
        let mut sample = Sample { wall: wall.as_secs_f64(), ..Sample::default() };
        self.count(&mut sample)?;
        self.finish(sample, testbed).await
    }

    async fn finish(self, mut sample: Sample, testbed: &Testbed) -> Result<Sample, BenchError> {
        let (before, now) = (self.before, Counters::read(testbed)?);
        sample.received = now.received - before.received;
        sample.events = now.events - before.events;
        sample.cpu = now.cpu.since(&before.cpu);
        sample.etcd = testbed.server().etcd_bytes().await?;
        if let Some(id) = testbed.operator_id() {
            sample.operator_peak = peak(id)?;
        }
        Ok(sample)
    }

    /// Adds the requests since the last call; returns whether there was a write.
    fn count(&mut self, sample: &mut Sample) -> Result<bool, BenchError> {
        let before = sample.writes;
        for request in self.log.take().map_err(BenchError::io("the audit log"))? {
            // The second line of a watch, at its end, is not a second request.
            if request.verb == "watch" && request.stage != "ResponseStarted" {
                continue;
            }
            let (account, resource) = (request.account(), request.resource());
            let account = account.strip_prefix("seccomp-profile-").unwrap_or(account);
            *sample.requests.entry(format!("{account} {} {resource}", request.verb)).or_default() += 1;
            sample.writes += u64::from(request.is_write());
            sample.too_many += u64::from(request.response_status.code == 429);
            let report = account == "node-agent" && request.verb == "patch" && request.was_accepted();
            sample.reports += u64::from(report);
        }
        Ok(sample.writes > before)
    }
}

impl Counters {
    fn read(testbed: &Testbed) -> Result<Self, BenchError> {
        Ok(Self {
            received: testbed.agents().traffic().bytes(),
            events: testbed.profiles().now(|profiles| profiles.events),
            cpu: Seconds::read(testbed)?,
        })
    }
}

impl Seconds {
    fn read(testbed: &Testbed) -> Result<Self, BenchError> {
        let of = |id: Option<u32>| id.map_or(Ok(0.0), cpu_seconds);
        let [api_server, etcd] = testbed.server().ids();
        let mut seconds = Self {
            // `stop_operator` adds the time of an operator that has ended.
            operator: testbed.operator_before + of(testbed.operator_id())?,
            agents: of(Some(std::process::id()))?,
            api_server: of(api_server)?,
            etcd: of(etcd)?,
            others: 0.0,
        };
        seconds.others = machine()? - seconds.ours();
        Ok(seconds)
    }

    fn ours(&self) -> f64 {
        self.operator + self.agents + self.api_server + self.etcd
    }

    fn since(&self, before: &Self) -> Self {
        Self {
            operator: self.operator - before.operator,
            agents: self.agents - before.agents,
            api_server: self.api_server - before.api_server,
            etcd: self.etcd - before.etcd,
            others: self.others - before.others,
        }
    }
}
