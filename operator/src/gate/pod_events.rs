//! Events about pods, which all parts publish, and what their notes have in common.

use api::names::GATE_FIELD_MANAGER;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube_runtime::events::{Event, Recorder, Reporter};
use link::chain;
use link::client::within;
use tracing::debug;

use super::metrics::GateWrite;
use super::pod_id::PodId;
use crate::writer::{WriteError, Writes};

/// How many names a note contains.
const MAX_NAMED: usize = 5;

/// The first few of `names`, and how many more there are. A note has 1,024 bytes at most, a name 253.
pub(super) fn named(names: &[String]) -> String {
    let mut text = String::new();
    let mut shown = 0;
    for name in names.iter().take(MAX_NAMED) {
        if shown > 0 && text.len() + name.len() > 600 {
            break;
        }
        text += if shown > 0 { ", " } else { "" };
        text += name;
        shown += 1;
    }
    match names.len() - shown {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

/// Publishes Events about pods, counted.
#[derive(Clone)]
pub(super) struct PodEvents {
    recorder: Recorder,
    count: Writes<GateWrite>,
}

/// Whose Events these are.
pub(super) fn reporter() -> Reporter {
    Reporter { controller: GATE_FIELD_MANAGER.into(), instance: std::env::var("HOSTNAME").ok() }
}

impl PodEvents {
    /// Uses `client`, and counts its writes in `count`.
    pub(super) fn new(client: Client, count: Writes<GateWrite>) -> Self {
        Self { recorder: Recorder::new(client, reporter()), count }
    }

    /// Publishes an Event. A failure is only logged: metrics, or the pod itself, show the same.
    pub(super) async fn publish(&self, pod: &PodId, event: &Event) {
        let PodId { namespace, name, uid } = pod.clone();
        let reference = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: Some(namespace),
            name: Some(name),
            uid: Some(uid),
            ..ObjectReference::default()
        };
        let result = within(self.recorder.publish(event, &reference)).await.map_err(WriteError::from);
        self.count.count(GateWrite::Event, result.as_ref().map(drop));
        if let Err(error) = result {
            debug!(namespace = pod.namespace, pod = pod.name, reason = event.reason, error = %chain(&error), "event lost");
        }
    }
}
