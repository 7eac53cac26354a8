//! The floor of a rollout: the time that the API server and one client per node take for its traffic alone.
//!
//! N [bare watchers](super::bare_watchers) replace the agents. They receive objects of the same size, with as many
//! events per profile as the real rollout caused, and answer with one server-side-apply patch of a report of the same
//! size. No operator reconciles. What it writes in a real rollout comes from the driver: all but each profile's last
//! status at once, and the last one, which is Ready, after every answer. The time ends when every watcher has received
//! every event and every answer has arrived.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use api::{NodeProfileStatus, SeccompProfileStatus, Untrusted};
use futures::{StreamExt, TryStreamExt};
use kube::Api;
use kube::api::{Patch, PatchParams};
use profile::ShortHash;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::bare_watchers::{self, ClientVariant, Watcher};
use super::meter::Meter;
use super::result::Sample;
use super::testbed::Testbed;
use crate::BenchError;
use crate::session::Session;

/// Profiles that are written at once. More of them only makes the API server end watches that cannot keep up, and the
/// floor longer.
const AT_ONCE: usize = 4;

/// The measures of a real rollout.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Events per profile.
    pub(super) events: u64,
    /// An agent's report at its end.
    pub(super) report: Value,
    /// A profile's status at its end.
    pub(super) status: SeccompProfileStatus,
}

impl Plan {
    /// The same with another number of events per profile.
    #[must_use]
    pub fn with_events(&self, events: u64) -> Self {
        Self { events, ..self.clone() }
    }

    /// The measures of the last rollout of `testbed`.
    ///
    /// # Errors
    /// There is no report or no status.
    pub async fn of(testbed: &Testbed, rollout: &Sample) -> Result<Self, BenchError> {
        let missing = || BenchError::TooLate("a report and a status to take as a pattern".to_owned());
        let reports = Api::<Untrusted<NodeProfileStatus>>::all(testbed.session().client.clone());
        let node = testbed.nodes().first().ok_or_else(missing)?;
        let report = reports.get(node).await?.status.get("report").cloned().ok_or_else(missing)?;
        let status = testbed.profiles().now(super::observed::Profiles::example).ok_or_else(missing)?;
        // To the nearest number: the first statuses of a cluster show the agents its size, and are one or two more.
        let profiles = (testbed.profile_count() as u64).max(1);
        Ok(Self { events: ((rollout.events + profiles / 2) / profiles).max(1), report, status })
    }

    /// A report of these profiles, by name and hash.
    pub(super) fn report_of(&self, files: &BTreeMap<String, ShortHash>) -> Value {
        let mut report = self.report.clone();
        report["files"] = files.iter().map(|(name, hash)| (name.clone(), hash.to_string())).collect();
        report
    }

    /// A report of the same size that differs in each round: the API server does not store a write that changes
    /// nothing.
    fn report(&self, round: usize) -> Value {
        let mut report = self.report.clone();
        if let Some(files) = report.get_mut("files").and_then(Value::as_object_mut) {
            files.values_mut().for_each(|hash| *hash = format!("{round:032x}").into());
        }
        report
    }
}

/// Rolls new contents of every profile out to bare watchers; neither agents nor an operator run.
///
/// # Errors
/// The API server refuses, or a watch ends early.
pub(super) async fn measure(
    testbed: &mut Testbed,
    plan: &Plan,
    variant: ClientVariant,
    round: usize,
) -> Result<Sample, BenchError> {
    let profiles = testbed.new_contents();
    let connected = bare_watchers::connect_all(testbed, testbed.nodes(), variant).await?;
    let answered = Arc::new(Semaphore::new(0));
    let task = Arc::new(Task {
        profiles: profiles.len(),
        events: plan.events * profiles.len() as u64,
        report: plan.report(round),
        answered: answered.clone(),
    });

    let meter = Meter::start(testbed)?;
    let start = Instant::now();
    let nodes = u32::try_from(connected.len()).unwrap_or(u32::MAX);
    let mut watchers = JoinSet::new();
    for watcher in connected {
        watchers.spawn(watch(watcher, task.clone()));
    }
    let session = testbed.session();
    let write = async {
        let first =
            futures::stream::iter(&profiles).map(|(name, contents)| write(session, plan, name, contents));
        first.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        // The semaphore is never closed.
        let _all = answered.acquire_many(nodes).await;
        // With one event, no status reaches the watchers.
        let with_status = profiles.iter().filter(|_| plan.events > 1);
        let last = futures::stream::iter(with_status)
            .map(|(name, _)| write_status(session, plan, name, plan.events));
        last.buffer_unordered(AT_ONCE).try_collect::<()>().await
    };
    let read = bare_watchers::all_ended(&mut watchers);
    Testbed::within("the floor", futures::future::try_join(write, read)).await??;
    meter.stop(testbed, start.elapsed()).await
}

/// Applies one profile and changes its status until one event is left.
async fn write(session: &Session, plan: &Plan, name: &str, contents: &Arc<Value>) -> Result<(), BenchError> {
    session.apply(name, contents).await?;
    for event in 2..plan.events {
        write_status(session, plan, name, event).await?;
    }
    Ok(())
}

/// Writes a status that differs for each number.
async fn write_status(session: &Session, plan: &Plan, name: &str, event: u64) -> Result<(), BenchError> {
    let status = SeccompProfileStatus { ready: Some(format!("{event}/{event}")), ..plan.status.clone() };
    let patch = Patch::Merge(json!({ "status": status }));
    session.profiles.patch_status(name, &PatchParams::default(), &patch).await?;
    Ok(())
}

/// The work of a bare watcher.
#[derive(Debug)]
struct Task {
    profiles: usize,
    events: u64,
    report: Value,
    /// Has a permit for each answer that has been acknowledged.
    answered: Arc<Semaphore>,
}

/// Receives every event, and answers once it has received every profile.
async fn watch(mut watcher: Watcher, task: Arc<Task>) -> Result<(), BenchError> {
    let mut events = 0;
    while watcher.seen() < task.profiles {
        watcher.next().await?;
        events += 1;
    }
    let answer = watcher.answer(task.report.clone());
    let answer = async { answer.await.map(|()| task.answered.add_permits(1)) };
    let rest = async {
        for _ in events..task.events {
            watcher.next().await?;
        }
        Ok(())
    };
    futures::future::try_join(answer, rest).await.map(|_| ())
}
