//! The gate's two writes: a scheduling gate taken off a pod, and an Event about a pod.

use api::WatchedPod;
use api::names::{GATE_FIELD_MANAGER, SCHEDULING_GATE};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{Api, Client};
use kube_runtime::events::{Event, Recorder, Reporter};
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
    recorder: Recorder,
    count: Writes<GateWrite>,
}

impl Writer {
    /// A writer that uses `client` and counts its writes in `count`.
    pub(super) fn new(client: Client, count: Writes<GateWrite>) -> Self {
        let reporter =
            Reporter { controller: GATE_FIELD_MANAGER.into(), instance: std::env::var("HOSTNAME").ok() };
        Self { recorder: Recorder::new(client.clone(), reporter), client, count }
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
        self.counted(
            GateWrite::SchedulingGate,
            within(pods.patch(&pod.name, &params, &patch)).await.map(drop),
        )
    }

    /// Publishes an Event about a pod.
    ///
    /// # Errors
    /// The write did not happen.
    pub(super) async fn publish(&self, pod: &GatedPod, event: &Event) -> Result<(), WriteError> {
        let reference = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: Some(pod.namespace.clone()),
            name: Some(pod.name.clone()),
            uid: Some(pod.version.uid.clone()),
            ..ObjectReference::default()
        };
        self.counted(GateWrite::Event, within(self.recorder.publish(event, &reference)).await)
    }

    fn counted(&self, write: GateWrite, result: Result<(), kube::Error>) -> Result<(), WriteError> {
        let result = result.map_err(WriteError::from);
        self.count.count(write, result.as_ref().copied());
        result
    }
}
