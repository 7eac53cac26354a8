//! Writes to Nodes. Each applies to one Node only, and not to one that replaces it under its name.
//!
//! They are not bound to the Node's version: it changes with each heartbeat of a kubelet, and the decision rests on the
//! node's report. Instead the patch of the taints tests each entry that it removes, and the conditions of a Node are
//! merged by their type.

use api::names::GATE_FIELD_MANAGER;
use k8s_openapi::api::core::v1::{Node, ObjectReference};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, Resource};
use kube_runtime::events::Recorder;
use link::chain;
use link::client::within;
use serde_json::{Value, json};
use tracing::debug;

use super::super::metrics::GateWrite;
use super::super::pod_events::reporter;
use super::notice::NodeNotice;
use super::startup_node::{ListedTaint, PROFILES_READY};
use crate::facts::WatchedNode;
use crate::status;
use crate::writer::{WriteError, Writes};

/// Writes to Nodes, counted.
#[derive(Clone)]
pub(super) struct NodeWriter {
    nodes: Api<WatchedNode>,
    recorder: Recorder,
    count: Writes<GateWrite>,
}

/// The condition to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WrittenCondition<'a> {
    /// `True`, `False` or `Unknown`.
    pub(super) status: &'a str,
    /// The reason, as one word.
    pub(super) reason: &'a str,
    /// A readable explanation.
    pub(super) message: &'a str,
    /// When the status last changed; `None`: now.
    pub(super) last_transition_time: Option<&'a str>,
}

impl NodeWriter {
    /// A writer that uses `client` and counts its writes in `count`.
    #[must_use]
    pub(super) fn new(client: Client, count: Writes<GateWrite>) -> Self {
        Self { nodes: Api::all(client.clone()), recorder: Recorder::new(client, reporter()), count }
    }

    /// Takes these taints off the Node `name` with this uid, if they are still where they were.
    ///
    /// # Errors
    /// The write did not happen.
    pub(super) async fn remove_taints(
        &self,
        name: &str,
        uid: &str,
        taints: &[ListedTaint],
    ) -> Result<WatchedNode, WriteError> {
        let mut operations = vec![json!({ "op": "test", "path": "/metadata/uid", "value": uid })];
        // From the last to the first, so that the positions stay right.
        for ListedTaint { position, entry } in taints.iter().rev() {
            let path = format!("/spec/taints/{position}");
            operations.push(json!({ "op": "test", "path": path, "value": entry }));
            operations.push(json!({ "op": "remove", "path": path }));
        }
        let patch = serde_json::from_value(Value::from(operations))
            .map_err(kube::Error::SerdeError)
            .map_err(WriteError::Refused)?;
        let answer = within(self.nodes.patch(name, &params(), &Patch::Json::<()>(patch))).await;
        self.counted(GateWrite::StartupTaint, answer)
    }

    /// Sets the condition of the Node `name` with this uid.
    ///
    /// # Errors
    /// The write did not happen.
    pub(super) async fn set_condition(
        &self,
        name: &str,
        uid: &str,
        condition: WrittenCondition<'_>,
        now: Timestamp,
    ) -> Result<WatchedNode, WriteError> {
        let now = status::whole_seconds(now).to_string();
        let patch = json!({
            // The API server refuses the patch if another Node has the name now.
            "metadata": { "uid": uid },
            "status": { "conditions": [{
                "type": PROFILES_READY,
                "status": condition.status,
                "reason": condition.reason,
                "message": condition.message,
                "lastHeartbeatTime": now,
                "lastTransitionTime": condition.last_transition_time.unwrap_or(&now),
            }] },
        });
        let answer = within(self.nodes.patch_status(name, &params(), &Patch::Strategic(patch))).await;
        self.counted(GateWrite::NodeCondition, answer)
    }

    /// Publishes an Event about the Node. A failure is only logged, because the condition has the same information.
    pub(super) async fn publish(&self, name: &str, uid: &str, notice: NodeNotice) {
        let reference = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some(Node::kind(&()).into_owned()),
            name: Some(name.to_owned()),
            uid: Some(uid.to_owned()),
            ..ObjectReference::default()
        };
        let published = within(self.recorder.publish(&notice.event(), &reference)).await;
        if let Err(error) = self.counted(GateWrite::Event, published) {
            debug!(node = name, reason = notice.reason(), error = %chain(&error), "event lost");
        }
    }

    fn counted<T>(&self, write: GateWrite, result: Result<T, kube::Error>) -> Result<T, WriteError> {
        let result = result.map_err(|error| match WriteError::from(error) {
            // A `test` failed, or another Node has the name: it has changed.
            WriteError::Refused(kube::Error::Api(status)) if status.code == 422 => WriteError::Conflict,
            error => error,
        });
        self.count.count(write, result.as_ref().map(drop));
        result
    }
}

fn params() -> PatchParams {
    PatchParams { field_manager: Some(GATE_FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}
