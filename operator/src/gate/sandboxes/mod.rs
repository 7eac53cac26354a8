//! Tells which pods name a profile that their runtime may not apply on the node's kernel.
//!
//! A pod with a `runtimeClassName` may run in gVisor or Kata Containers. The kubelet gives them the profile's path as it
//! does to runc, and the container starts, mostly without that filter. Nothing in the pod shows it, so the pod gets an
//! Event. [`index`] keeps which pods are new and what the `RuntimeClasses` say, [`notice`] has the Events.

pub mod index;
pub mod notice;

use std::sync::{Arc, Mutex};

use api::WatchedRuntimeClass;
use daemon::lease::Lead;
use kube::Client;
use kube_runtime::watcher::Config;
use link::changes::Change;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use self::index::{Index, RunsElsewhere};
use super::follow::{follow, stream};
use super::metrics::{GateKind, GateMetrics};
use super::pod_events::PodEvents;
use crate::unlisted::lock;

/// How many Events wait to be published; of further pods the index keeps that they are due.
const WAITING: usize = 1024;

/// What is known of pods and `RuntimeClasses`, and where Events that are due go.
#[derive(Debug)]
pub struct SandboxState {
    index: Mutex<Index>,
    lead: Arc<Lead>,
    due: Sender<RunsElsewhere>,
}

impl SandboxState {
    /// Changes what is known, and hands over the Events that are due because of it if this process leads.
    pub fn change<T>(&self, change: impl FnOnce(&mut Index) -> T) -> T {
        let mut index = lock(&self.index);
        let result = change(&mut index);
        if self.lead.may_write() {
            for pod in index.take_due(self.due.capacity()) {
                // There is room, because nobody else sends while the index is locked; and at the end of the process no
                // Event is published.
                let _ = self.due.try_send(pod);
            }
        }
        result
    }

    /// Hands over what is due: this process has become the leader.
    pub fn queue_all(&self) {
        self.change(|_| ());
    }
}

/// The part of the gate that is about runtimes.
#[derive(Debug)]
pub struct SandboxPart {
    state: Arc<SandboxState>,
    due: Receiver<RunsElsewhere>,
    directory: String,
    metrics: GateMetrics,
}

impl SandboxPart {
    /// The part, before its first request. `directory` is the directory of the profiles below the kubelet's `seccomp/`.
    #[must_use]
    pub fn new(directory: String, lead: Arc<Lead>, metrics: GateMetrics) -> Self {
        let (sender, due) = channel(WAITING);
        let state = Arc::new(SandboxState { index: Mutex::default(), lead, due: sender });
        Self { state, due, directory, metrics }
    }

    /// Its state, which the watch of pods and the election change.
    #[must_use]
    pub fn state(&self) -> Arc<SandboxState> {
        self.state.clone()
    }

    /// Runs for ever. It is no part of the readiness: no pod waits for it.
    pub async fn run(self, client: Client) {
        let Self { state, mut due, directory, metrics } = self;
        let kind = GateKind::RuntimeClass;
        let classes =
            stream::<WatchedRuntimeClass>(kind, Config::default(), client.clone(), &metrics.watches);
        let watch = follow(kind, classes, None, |change| on_class(change, &state));
        let publish = async {
            let events = PodEvents::new(client, metrics.writes.clone());
            // The state keeps the other end, so this never ends.
            while let Some(found) = due.recv().await {
                events.publish(&found.pod.id, &notice::of(&found, &directory)).await;
                // There is room for another one.
                state.queue_all();
            }
        };
        futures::future::join(watch, publish).await;
    }
}

fn on_class(change: Option<Change<WatchedRuntimeClass>>, state: &SandboxState) {
    match change {
        Some(Change::Apply(class, _)) => {
            let WatchedRuntimeClass { metadata, handler } = class;
            let [name, uid] = [metadata.name, metadata.uid].map(Option::unwrap_or_default);
            state.change(|index| index.apply_class(name, uid, handler));
        }
        Some(Change::Gone(class)) => {
            state.change(|index| index.forget_class(&class.key.name, &class.uid));
        }
        Some(Change::Complete) | None => {}
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus::Registry;
    use tokio::time::Instant;

    use super::super::pod_id::PodId;
    use super::index::ClassedPod;
    use super::*;

    fn part(lead: &Arc<Lead>) -> SandboxPart {
        let part =
            SandboxPart::new("profiles".into(), lead.clone(), GateMetrics::new(&Registry::new()).unwrap());
        part.state.change(|index| index.apply_class("boxed".into(), "1".into(), "runsc".into()));
        part
    }

    fn apply(state: &SandboxState, number: usize) {
        let pod = ClassedPod {
            id: PodId { namespace: "shop".into(), name: format!("web-{number}"), uid: number.to_string() },
            class: "boxed".into(),
            profiles: ["web".parse().unwrap()].into(),
        };
        state.change(|index| index.apply_pod(pod));
    }

    #[test]
    fn events_are_due_only_in_the_process_that_leads_and_on_leading_those_of_all_pods() {
        let lead = Arc::new(Lead::default());
        lead.until(None);
        let mut part = part(&lead);
        apply(&part.state, 0);
        assert!(part.due.is_empty());
        lead.until(Some(Instant::now() + Duration::from_hours(1)));
        part.state.queue_all();
        assert_eq!(part.due.try_recv().unwrap().pod.id.name, "web-0");
        part.state.queue_all();
        assert!(part.due.is_empty(), "once");
    }

    #[test]
    fn of_more_pods_than_there_is_room_for_the_rest_is_due_when_there_is_room() {
        let mut part = part(&Arc::new(Lead::default()));
        for number in 0..WAITING + 2 {
            apply(&part.state, number);
        }
        assert_eq!(part.due.len(), WAITING);
        for _ in 0..2 {
            part.due.try_recv().unwrap();
            part.state.queue_all();
        }
        assert_eq!(part.due.len(), WAITING);
    }
}
