//! A snapshot that is updated by watches.

use std::collections::BTreeMap;

use api::{NodeProfileStatus, SeccompProfile, Untrusted, WatchedPod};
use kube::{Api, Client, Resource};
use kube_runtime::watcher::{self, Config};
use link::changes::{Change, Changes, ObjectId, ObjectKey};
use link::watch::WatchStream;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Instant, timeout_at};

use crate::error::{CliError, VIEWER};
use crate::facts::{Agents, NodeFacts, ProfileSummary, Snapshot};
use crate::read::{AGENT_PODS, NODES, PROFILES};

/// The capacity of the channel of changes; a watch waits while it is full.
const WAITING: usize = 256;

/// A change that one of the watches has delivered, or its failure.
#[expect(
    clippy::large_enum_variant,
    reason = "most changes are of pods, so that a box would be made for most"
)]
enum WatchedChange {
    Profile(Result<Change<Untrusted<SeccompProfile>>, watcher::Error>),
    Node(Result<Change<Untrusted<NodeProfileStatus>>, watcher::Error>),
    Pod(Result<Change<WatchedPod>, watcher::Error>),
}

/// The known state of a cluster, and the watches that update it.
pub struct Live {
    changes: Receiver<WatchedChange>,
    profiles: Known<ProfileSummary>,
    nodes: Known<NodeFacts>,
    pods: Known<WatchedPod>,
    pods_forbidden: bool,
}

impl Live {
    /// Starts the watches.
    #[must_use]
    pub fn new(client: &Client) -> Self {
        let (sender, changes) = channel(WAITING);
        // A dead connection is noticed at the end of a watch at the latest.
        let config = Config::default().timeout(60);
        follow(
            Api::all(client.clone()),
            config.clone().page_size(20),
            WatchedChange::Profile,
            sender.clone(),
        );
        follow(Api::all(client.clone()), config.clone(), WatchedChange::Node, sender.clone());
        follow(Api::all(client.clone()), config.labels(AGENT_PODS), WatchedChange::Pod, sender);
        Self {
            changes,
            profiles: Known::default(),
            nodes: Known::default(),
            pods: Known::default(),
            pods_forbidden: false,
        }
    }

    /// Waits for a change, and processes all changes that have arrived by then. Returns a readable warning if a watch
    /// failed and will be retried.
    ///
    /// # Errors
    /// The first list failed, because the user may not read the kind or the cluster does not answer.
    pub async fn next(&mut self) -> Result<Option<String>, CliError> {
        let mut warning = None;
        let mut next = self.changes.recv().await;
        while let Some(change) = next {
            warning = self.take(change)?.or(warning);
            next = self.changes.try_recv().ok();
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
                Ok(warning) => drop(warning?),
                Err(_) => {
                    let cause = "the API server has not answered in time".to_owned();
                    return Err(CliError::Unreachable { verb: "list", what: PROFILES, cause });
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
        let pods = self.pods.all();
        Snapshot {
            profiles: self.profiles.by_name(),
            nodes: self.nodes.by_name(),
            agents: if self.pods_forbidden { Agents::Unknown } else { Agents::of(&pods) },
            existing: None,
        }
    }

    fn take(&mut self, change: WatchedChange) -> Result<Option<String>, CliError> {
        match change {
            WatchedChange::Profile(Ok(change)) => self.profiles.take(change, |it| ProfileSummary::of(&it)),
            WatchedChange::Node(Ok(change)) => self.nodes.take(change, |it| NodeFacts::of(&it)),
            WatchedChange::Pod(Ok(change)) => self.pods.take(change, |it| it),
            WatchedChange::Profile(Err(error)) => return failed(&error, PROFILES, self.profiles.complete),
            WatchedChange::Node(Err(error)) => return failed(&error, NODES, self.nodes.complete),
            WatchedChange::Pod(Err(error)) => match cause(&error) {
                Some(kube::Error::Api(status)) if status.code == 403 => self.pods_forbidden = true,
                _ => return failed(&error, "pods", self.pods.complete),
            },
        }
        Ok(None)
    }
}

/// The objects of one kind that exist, as far as the watch has delivered them.
#[derive(Debug)]
struct Known<T> {
    objects: BTreeMap<ObjectKey, Object<T>>,
    complete: bool,
}

#[derive(Debug)]
struct Object<T> {
    uid: Box<str>,
    facts: T,
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self { objects: BTreeMap::new(), complete: false }
    }
}

impl<T: Clone> Known<T> {
    fn take<K: Resource>(&mut self, change: Change<K>, facts: impl Fn(K) -> T) {
        match change {
            Change::Apply(object, _) => {
                let ObjectId { key, uid } = ObjectId::of(object.meta());
                self.objects.insert(key, Object { uid, facts: facts(object) });
            }
            // A recreated object has the key of its predecessor.
            Change::Gone(ObjectId { key, uid }) => {
                if self.objects.get(&key).is_some_and(|object| object.uid == uid) {
                    self.objects.remove(&key);
                }
            }
            Change::Complete => self.complete = true,
        }
    }

    /// The objects of a cluster-scoped kind by name.
    fn by_name(&self) -> BTreeMap<String, T> {
        let named = |(key, object): (&ObjectKey, &Object<T>)| (key.name.to_string(), object.facts.clone());
        self.objects.iter().map(named).collect()
    }

    fn all(&self) -> Vec<T> {
        self.objects.values().map(|object| object.facts.clone()).collect()
    }
}

/// A task that forwards every change of one kind, until the receiver is dropped.
fn follow<K>(
    api: Api<K>,
    config: Config,
    change: fn(Result<Change<K>, watcher::Error>) -> WatchedChange,
    sender: Sender<WatchedChange>,
) where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + 'static,
{
    tokio::spawn(async move {
        let mut changes = Changes::new(WatchStream::new(api, config));
        while sender.send(change(changes.next().await)).await.is_ok() {}
    });
}

/// A failure is an error before the first list is complete; afterwards the watch recovers by itself.
pub(crate) fn failed(
    error: &watcher::Error,
    what: &'static str,
    complete: bool,
) -> Result<Option<String>, CliError> {
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
