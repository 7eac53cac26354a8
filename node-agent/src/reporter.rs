//! Sends the report: once after each change, and again when the node's status object does not have it.
//!
//! Nothing is sent at rest, and no report that the object already has. If the API server does not know the times of change,
//! they are left out ([`times_of_change`](crate::times_of_change)). The reporter does not create the object: where
//! there is none, it waits until the watch delivers one.

use std::future;
use std::time::Duration;

use api::names::AGENT_FIELD_MANAGER;
use api::{NodeName, NodeProfileStatus, Report};
use kube::Client;
use kube::core::PartialObjectMeta;
use link::backoff::{Backoff, Failure, Spread};
use link::chain;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::metrics::{Metrics, ReportOutcome};
use crate::pacing::ReportPacing;
use crate::status_object::{ReportHash, StatusObject, StatusObjectState};
use crate::times_of_change::{self, TimesOfChange};
use crate::watches::ClusterLoad;
use crate::worker::{ReportRequests, Revision};

/// What one report needs and where it goes. When it is sent is decided in [`pacing`](crate::pacing).
pub struct Reporter {
    client: Client,
    node: NodeName,
    view: watch::Receiver<StatusObjectState>,
    load: watch::Receiver<ClusterLoad>,
    revision: watch::Receiver<Revision>,
    worker: ReportRequests,
    metrics: Metrics,
    /// The object after the latest write of this agent.
    applied: Option<StatusObject>,
    /// The latest report, so that an event of the object alone does not build another one.
    built: Option<Built>,
    times: TimesOfChange,
    pacing: ReportPacing,
}

/// Identifies what a report was built of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Built {
    revision: Revision,
    without_times: bool,
    hash: ReportHash,
}

/// Why a report did not arrive.
#[derive(Debug, thiserror::Error)]
enum SendError {
    /// The object does not exist.
    #[error("the node has no status object")]
    NotFound,
    /// The API server does not know the field with the times of change.
    #[error("{0}")]
    TimesRefused(#[source] kube::Error),
    /// The API server refused it, or did not answer.
    #[error("{0}")]
    Request(#[source] kube::Error),
}

impl SendError {
    fn failure(&self) -> Failure {
        match self {
            Self::NotFound => Failure::Other,
            Self::TimesRefused(error) | Self::Request(error) => error.into(),
        }
    }
}

impl Reporter {
    /// A reporter for this node: `revision` and `worker` show the disk, `view` the object, and `load` the cluster.
    #[must_use]
    pub fn new(
        client: Client,
        node: NodeName,
        view: watch::Receiver<StatusObjectState>,
        load: watch::Receiver<ClusterLoad>,
        revision: watch::Receiver<Revision>,
        worker: ReportRequests,
        metrics: Metrics,
    ) -> Self {
        Self {
            client,
            pacing: ReportPacing::new(node.clone()),
            node,
            view,
            load,
            revision,
            worker,
            metrics,
            applied: None,
            built: None,
            times: TimesOfChange::default(),
        }
    }

    /// Reports for as long as it is polled.
    pub async fn run(&mut self) {
        let spread = Spread::default();
        let mut backoff = Backoff::over(spread.clone());
        loop {
            self.changed().await;
            self.gather().await;
            while let Err(error) = self.report().await {
                spread.set(self.load.borrow().coming_back());
                let pause = backoff.failed(error.failure());
                self.pause(error, pause).await;
            }
            self.pacing.reported(Instant::now().into_std());
            backoff.succeeded();
        }
    }

    /// Reports what has not been reported yet, with one attempt.
    pub async fn report_last(&mut self) {
        if let Err(error) = self.report().await {
            tracing::warn!(node = %self.node, error = %chain(&error), "the last report did not arrive");
        }
    }

    /// Reports that the directory is lost, with one attempt.
    pub async fn report_loss(&mut self, report: &Report) {
        // Of files that are not there any more nothing else is stated, so that no API server refuses it.
        let Ok(mut report) = serde_json::to_value(report) else { return };
        times_of_change::leave_out(&mut report);
        // Before the watch has shown the object, it may have the report of an earlier agent.
        let is_known = *self.view.borrow() != StatusObjectState::Unknown;
        if is_known && self.object().is_none_or(|object| object.report.is_none()) {
            return;
        }
        let sent = self.send(report).await;
        self.metrics.reported(outcome(&sent));
        if let Err(error) = sent {
            tracing::warn!(node = %self.node, error = %chain(&error), "the last report did not arrive");
        }
    }

    /// Waits until the disk or the object has changed, or the times of change are tried again.
    async fn changed(&mut self) {
        let due = self.times.due();
        let retry = async move {
            match due {
                Some(time) => sleep_until(time).await,
                None => future::pending().await,
            }
        };
        let changed = tokio::select! {
            changed = self.view.changed() => changed,
            changed = self.revision.changed() => changed,
            () = retry => {
                self.times.begun();
                Ok(())
            }
        };
        if changed.is_err() {
            // The worker or the watch has ended, and with it the program.
            future::pending::<()>().await;
        }
    }

    /// Waits until the report is due, while further changes arrive.
    async fn gather(&mut self) {
        self.pacing.changed(Instant::now().into_std());
        // Anew with each change, which may show for the first time how many nodes there are.
        while let Some(due) = self.due() {
            let changed = async {
                tokio::select! {
                    changed = self.revision.changed() => changed,
                    changed = self.load.changed() => changed,
                }
            };
            if !matches!(timeout_at(due, changed).await, Ok(Ok(()))) {
                return;
            }
            self.pacing.changed(Instant::now().into_std());
        }
    }

    fn due(&self) -> Option<Instant> {
        let load = self.load.borrow().size();
        self.pacing.send_at(load, self.is_first()).map(Instant::from_std)
    }

    /// Whether the node has no report yet, as far as is known.
    fn is_first(&self) -> bool {
        match &*self.view.borrow() {
            StatusObjectState::Listed(object) | StatusObjectState::Watched(object) => object.report.is_none(),
            StatusObjectState::Unknown | StatusObjectState::Absent => true,
        }
    }

    async fn pause(&mut self, error: SendError, pause: Duration) {
        match error {
            SendError::NotFound => {
                tracing::info!(node = %self.node, "the node has no status object yet; nothing is reported");
                // The watch delivers the object once it exists. But an API server may answer 404 while it starts, after
                // the watch has delivered the object, and then no event follows: hence the pause.
                tokio::select! {
                    _ = self.view.changed() => {}
                    () = sleep(pause) => {}
                }
            }
            SendError::TimesRefused(error) | SendError::Request(error) => {
                let error = chain(&error);
                tracing::warn!(node = %self.node, %error, "the report did not arrive; it is sent again");
                sleep(pause).await;
            }
        }
    }

    /// Sends the report if there is one, the object exists, and the object does not have it.
    async fn report(&mut self) -> Result<(), SendError> {
        let revision = *self.revision.borrow_and_update();
        let Some(object) = self.object().filter(|_| revision > 0) else { return Ok(()) };
        loop {
            let without_times = self.times.are_left_out(&object.uid, Instant::now());
            if let (Some(hash), Some(built)) = (object.report, self.built)
                && built == (Built { revision, without_times, hash })
            {
                return Ok(());
            }
            let Some(mut report) = self.build().await else { return Ok(()) };
            if without_times {
                times_of_change::leave_out(&mut report);
            }
            let hash = ReportHash::of(&report);
            self.built = Some(Built { revision, without_times, hash });
            if object.report == Some(hash) {
                return Ok(());
            }
            let files = report["fileCount"].as_i64();
            let start = Instant::now();
            let sent = self.send(report).await;
            self.pacing.answered(start.elapsed(), Instant::now().into_std());
            self.metrics.reported(outcome(&sent));
            let answer = match sent {
                Err(SendError::TimesRefused(_)) if !without_times => {
                    self.times_refused(&object.uid);
                    continue;
                }
                sent => sent?,
            };
            tracing::debug!(node = %self.node, files, "reported");
            if !without_times {
                self.times.accepted();
            }
            self.applied = Some(StatusObject {
                uid: answer.metadata.uid.unwrap_or_default().into(),
                version: answer.metadata.resource_version.and_then(|version| version.parse().ok()),
                report: Some(hash),
            });
            return Ok(());
        }
    }

    fn times_refused(&mut self, object: &str) {
        if self.times.refused(object, Instant::now()) {
            tracing::warn!(
                node = %self.node,
                "the definition of NodeProfileStatus is of an earlier release: reports do not state since when files have had their contents"
            );
        }
    }

    /// The object, as far as is known: an event that is older than the latest write of this agent does not count.
    fn object(&mut self) -> Option<StatusObject> {
        match (&*self.view.borrow_and_update(), &self.applied) {
            (StatusObjectState::Watched(object), Some(applied))
                if object.uid == applied.uid
                    && object.version.zip(applied.version).is_some_and(|(event, write)| event < write) =>
            {
                Some(applied.clone())
            }
            (StatusObjectState::Watched(object) | StatusObjectState::Listed(object), _) => {
                Some(object.clone())
            }
            (StatusObjectState::Unknown | StatusObjectState::Absent, _) => None,
        }
    }

    /// `None` if the worker has ended.
    async fn build(&self) -> Option<Value> {
        serde_json::to_value(self.worker.report().await?).ok()
    }

    async fn send(&self, report: Value) -> Result<PartialObjectMeta<NodeProfileStatus>, SendError> {
        let status = json!({ "report": report });
        let request =
            link::status::apply::<NodeProfileStatus, _>(self.node.as_str(), AGENT_FIELD_MANAGER, status)
                .map_err(SendError::Request)?;
        link::client::within(self.client.request(request)).await.map_err(|error| match error {
            kube::Error::Api(status) if status.code == 404 => SendError::NotFound,
            kube::Error::Api(status) if times_of_change::is_refusal(&status.message) => {
                SendError::TimesRefused(kube::Error::Api(status))
            }
            error => SendError::Request(error),
        })
    }
}

fn outcome<T>(sent: &Result<T, SendError>) -> ReportOutcome {
    match sent {
        Ok(_) => ReportOutcome::Applied,
        Err(SendError::NotFound) => ReportOutcome::NotFound,
        Err(SendError::TimesRefused(_)) => ReportOutcome::Refused,
        Err(SendError::Request(kube::Error::Api(status))) if status.code < 500 => ReportOutcome::Refused,
        Err(SendError::Request(_)) => ReportOutcome::Failed,
    }
}
