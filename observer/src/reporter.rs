//! Reads the earlier report of the node, and writes the next one.
//!
//! The object belongs to the Node, so that it goes with it: the owner is that of the node's `NodeProfileStatus`, which the
//! operator creates. A right to read Nodes is not needed for it.

use api::names::OBSERVER_FIELD_MANAGER;
use api::{
    NodeName, NodeProfileStatus, ObservationReport, SeccompObservation, SeccompObservationSpec,
    SeccompObservationStatus, Untrusted,
};
use kube::Client;
use kube::api::{Api, PostParams};
use kube::core::PartialObjectMeta;
use link::backoff::{Backoff, Failure};
use link::chain;
use link::client::within;
use serde_json::json;
use tokio::time::sleep;

use crate::metrics::{Metrics, ReportOutcome};

/// Why a report did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The operator has not created the node's status object, whose owner is the Node.
    #[error("the node has no NodeProfileStatus yet, which says who owns the report")]
    NoOwner,
    /// The API server refused a request, or did not answer.
    #[error("{0}")]
    Request(#[from] kube::Error),
}

impl SendError {
    /// How long to wait before the next attempt depends on it.
    #[must_use]
    pub fn failure(&self) -> Failure {
        match self {
            Self::NoOwner => Failure::Other,
            Self::Request(error) => error.into(),
        }
    }
}

/// Writes the SeccompObservation of one node.
pub struct Reporter {
    client: Client,
    node: NodeName,
    metrics: Metrics,
}

impl Reporter {
    /// A reporter for `node`.
    #[must_use]
    pub fn new(client: Client, node: NodeName, metrics: Metrics) -> Self {
        Self { client, node, metrics }
    }

    /// The report that the API server has; `None` if there is none. Tries until it knows.
    pub async fn load(&self) -> Option<ObservationReport> {
        // Whatever is stored there, the observer goes on: what it cannot read is not counted on from.
        let observations = Api::<Untrusted<SeccompObservation>>::all(self.client.clone());
        let mut backoff = Backoff::default();
        loop {
            let error = match within(observations.get_opt(self.node.as_str())).await {
                Ok(object) => {
                    let status = serde_json::from_value::<SeccompObservationStatus>(object?.status);
                    return status.ok()?.report;
                }
                Err(error) => error,
            };
            tracing::warn!(node = %self.node, error = %chain(&error), "the earlier report cannot be read; it is tried again");
            sleep(backoff.failed((&error).into())).await;
        }
    }

    /// Writes the report. Where there is no object, it creates it first.
    ///
    /// # Errors
    /// The report did not arrive.
    pub async fn send(&self, report: &ObservationReport) -> Result<(), SendError> {
        let mut sent = self.patch(report).await;
        if matches!(&sent, Err(kube::Error::Api(status)) if status.code == 404) {
            sent = match self.create().await {
                Ok(()) => self.patch(report).await,
                Err(error) => {
                    self.metrics.reports.of(ReportOutcome::Failed).inc();
                    return Err(error);
                }
            };
        }
        let outcome = if sent.is_ok() { ReportOutcome::Written } else { ReportOutcome::Failed };
        self.metrics.reports.of(outcome).inc();
        Ok(sent?)
    }

    async fn patch(&self, report: &ObservationReport) -> Result<(), kube::Error> {
        let status = json!({ "report": report });
        let request =
            link::status::apply::<SeccompObservation, _>(self.node.as_str(), OBSERVER_FIELD_MANAGER, status)?;
        within(self.client.request::<PartialObjectMeta<SeccompObservation>>(request)).await.map(drop)
    }

    async fn create(&self) -> Result<(), SendError> {
        let node = self.node.as_str();
        let statuses = Api::<Untrusted<NodeProfileStatus>>::all(self.client.clone());
        let status = within(statuses.get_metadata_opt(node)).await?.ok_or(SendError::NoOwner)?;
        let mut owners = status.metadata.owner_references.into_iter().flatten();
        let owner = owners.find(|owner| owner.kind == "Node").ok_or(SendError::NoOwner)?;
        let mut object = SeccompObservation::new(node, SeccompObservationSpec {});
        object.metadata.owner_references = Some(vec![owner]);
        let observations = Api::<SeccompObservation>::all(self.client.clone());
        let params =
            PostParams { field_manager: Some(OBSERVER_FIELD_MANAGER.to_owned()), ..PostParams::default() };
        match within(observations.create(&params, &object)).await {
            // Created meanwhile, or by an earlier attempt whose answer did not arrive.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
            created => Ok(created.map(drop)?),
        }
    }
}
