//! The write about pods: a scheduling gate taken off.

use api::WatchedPod;
use api::names::{GATE_FIELD_MANAGER, SCHEDULING_GATE};
use kube::{Api, Client};
use link::client::within;
use serde_json::json;

use super::super::metrics::GateWrite;
use super::narrowing::Narrowing;
use super::pod::GatedPod;
use crate::writer::{WriteError, Writes, bound_to};

/// Writes to the API server, counted.
#[derive(Clone)]
pub(super) struct Writer {
    client: Client,
    count: Writes<GateWrite>,
}

impl Writer {
    /// A writer that uses `client` and counts its writes in `count`.
    pub(super) fn new(client: Client, count: Writes<GateWrite>) -> Self {
        Self { client, count }
    }

    /// Lifts our gate of a pod, and leaves nodes out in the same patch.
    ///
    /// It is a JSON patch, because server-side apply answers 200 and lifts nothing: nobody owns what admission added. The
    /// test keeps another gate from being removed where their order has changed.
    ///
    /// # Errors
    /// The write did not happen.
    pub(super) async fn lift(&self, pod: &GatedPod, narrowing: &Narrowing) -> Result<(), WriteError> {
        let gate = format!("/spec/schedulingGates/{}", pod.gate);
        let mut operations = vec![
            json!({ "op": "test", "path": "/metadata/uid", "value": pod.version.uid }),
            json!({ "op": "test", "path": format!("{gate}/name"), "value": SCHEDULING_GATE }),
            json!({ "op": "remove", "path": gate }),
        ];
        operations.extend(narrowing.operations(&pod.affinity));
        let (params, patch) = bound_to(&pod.version, operations, GATE_FIELD_MANAGER)?;
        let pods: Api<WatchedPod> = Api::namespaced(self.client.clone(), &pod.namespace);
        let lifted = within(pods.patch(&pod.name, &params, &patch)).await.map(drop).map_err(WriteError::from);
        self.count.count(GateWrite::SchedulingGate, lifted.as_ref().copied());
        lifted
    }
}
