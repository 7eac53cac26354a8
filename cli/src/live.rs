//! A snapshot that is updated by watches.

use std::collections::BTreeMap;

use api::{NodeProfileStatus, SeccompProfile, Untrusted, WatchedPod};
use kube::{Api, Client, Resource};
use kube_runtime::watcher::{self, Config, Event};
use link::watch::Events;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Instant, timeout_at};

use crate::error::{CliError, VIEWER};
use crate::facts::{Agents, NodeFacts, ProfileSummary, Snapshot};
use crate::read::{AGENT_PODS, NODES, PROFILES};

/// The capacity of the channel of events; a watch waits while it is full.
const WAITING: usize = 256;

/// An event of one of the watches.
enum WatchedEvent {
    Profile(Result<Event<Untrusted<SeccompProfile>>, watcher::Error>),
    Node(Result<Event<Untrusted<NodeProfileStatus>>, watcher::Error>),
    Pod(Result<Event<WatchedPod>, watcher::Error>),
}

/// The known state of a cluster, and the watches that update it.
pub struct Live {
    events: Receiver<WatchedEvent>,
    profiles: Known<ProfileSummary>,
    nodes: Known<NodeFacts>,
    pods: Known<WatchedPod>,
    pods_forbidden: bool,
}

impl Live {
    /// Starts the watches.
    #[must_use]
    pub fn new(client: &Client) -> Self {
        let (sender, events) = channel(WAITING);
        // A dead connection is noticed at the end of a watch at the latest.
        let config = Config::default().timeout(60);
        follow(Api::all(client.clone()), config.clone().page_size(20), WatchedEvent::Profile, sender.clone());
        follow(Api::all(client.clone()), config.clone(), WatchedEvent::Node, sender.clone());
        follow(Api::all(client.clone()), config.labels(AGENT_PODS), WatchedEvent::Pod, sender);
        Self {
            events,
            profiles: Known::default(),
            nodes: Known::default(),
            pods: Known::default(),
            pods_forbidden: false,
        }
    }

    /// Waits for an event, and processes all events that have arrived by then. Returns a readable warning if a watch
    /// failed and will be retried.
    ///
    /// # Errors
    /// The first list failed, because the user may not read the kind or the cluster does not answer.
    pub async fn next(&mut self) -> Result<Option<String>, CliError> {
        let mut warning = None;
        let mut event = self.events.recv().await;
        while let Some(it) = event {
            warning = self.take(it)?.or(warning);
            event = self.events.try_recv().ok();
        }
        Ok(warning)
    }

    /// Waits until the first lists are complete.
    ///
    /// # Errors
    /// A list failed, or is not complete in time.
    pub async fn complete(&mut self, by: Instant) -> Result<(), CliError> {
        while !self.is_complete() {
            match timeout_at(by, self.next()).await {
                Ok(event) => drop(event?),
                Err(_) => {
                    let cause = "the API server has not answered in time".to_owned();
                    return Err(CliError::Unreachable { what: PROFILES, cause });
                }
            }
        }
        Ok(())
    }

    fn is_complete(&self) -> bool {
        self.profiles.complete && self.nodes.complete && (self.pods.complete || self.pods_forbidden)
    }

    /// The current state.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let pods: Vec<_> = self.pods.all.values().cloned().collect();
        Snapshot {
            profiles: self.profiles.all.clone(),
            nodes: self.nodes.all.clone(),
            agents: if self.pods_forbidden { Agents::Unknown } else { Agents::of(&pods) },
            existing: None,
        }
    }

    fn take(&mut self, event: WatchedEvent) -> Result<Option<String>, CliError> {
        match event {
            WatchedEvent::Profile(Ok(event)) => self.profiles.take(&event, ProfileSummary::of),
            WatchedEvent::Node(Ok(event)) => self.nodes.take(&event, NodeFacts::of),
            WatchedEvent::Pod(Ok(event)) => self.pods.take(&event, WatchedPod::clone),
            WatchedEvent::Profile(Err(error)) => return failed(&error, PROFILES, self.profiles.complete),
            WatchedEvent::Node(Err(error)) => return failed(&error, NODES, self.nodes.complete),
            WatchedEvent::Pod(Err(error)) => match cause(&error) {
                Some(kube::Error::Api(status)) if status.code == 403 => self.pods_forbidden = true,
                _ => return failed(&error, "pods", self.pods.complete),
            },
        }
        Ok(None)
    }
}

/// Objects of one kind, by namespace and name.
#[derive(Debug)]
struct Known<T> {
    all: BTreeMap<String, T>,
    /// The objects of a list in progress.
    listed: BTreeMap<String, T>,
    complete: bool,
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self { all: BTreeMap::new(), listed: BTreeMap::new(), complete: false }
    }
}

impl<T> Known<T> {
    fn take<K: Resource>(&mut self, event: &Event<K>, facts: impl Fn(&K) -> T) {
        let key = |object: &K| {
            let metadata = object.meta();
            let name = metadata.name.clone().unwrap_or_default();
            metadata
                .namespace
                .as_ref()
                .map_or_else(|| name.clone(), |namespace| format!("{namespace}/{name}"))
        };
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(object) => drop(self.listed.insert(key(object), facts(object))),
            Event::InitDone => {
                self.all = std::mem::take(&mut self.listed);
                self.complete = true;
            }
            Event::Apply(object) => drop(self.all.insert(key(object), facts(object))),
            Event::Delete(object) => drop(self.all.remove(&key(object))),
        }
    }
}

/// A task that forwards every event of one kind, until the receiver is dropped.
fn follow<K>(
    api: Api<K>,
    config: Config,
    event: fn(Result<Event<K>, watcher::Error>) -> WatchedEvent,
    sender: Sender<WatchedEvent>,
) where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + 'static,
{
    tokio::spawn(async move {
        let mut events = Events::new(api, config);
        while sender.send(event(events.next().await)).await.is_ok() {}
    });
}

/// A failure is an error before the first list is complete; afterwards the watch recovers by itself.
fn failed(error: &watcher::Error, what: &'static str, complete: bool) -> Result<Option<String>, CliError> {
    match cause(error) {
        Some(cause) if !complete => Err(CliError::of(cause, what, VIEWER)),
        _ => Ok(Some(format!("the watch of {what} is interrupted, trying again: {}", link::chain(error)))),
    }
}

fn cause(error: &watcher::Error) -> Option<&kube::Error> {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => Some(error),
        watcher::Error::WatchError(_) | watcher::Error::NoResourceVersion => None,
    }
}
