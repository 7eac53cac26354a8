//! A snapshot that follows the cluster.

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

/// Events that wait to be taken in; a watch waits where there are more.
const WAITING: usize = 256;

/// Something that happened.
enum News {
    Profile(Result<Event<Untrusted<SeccompProfile>>, watcher::Error>),
    Node(Result<Event<Untrusted<NodeProfileStatus>>, watcher::Error>),
    Pod(Result<Event<WatchedPod>, watcher::Error>),
}

/// What is known of a cluster, and what comes.
pub struct Live {
    news: Receiver<News>,
    profiles: Known<ProfileSummary>,
    nodes: Known<NodeFacts>,
    pods: Known<WatchedPod>,
    pods_forbidden: bool,
}

impl Live {
    /// Begins to follow a cluster.
    #[must_use]
    pub fn new(client: &Client) -> Self {
        let (sender, news) = channel(WAITING);
        // The end of a watch, at the latest, shows that the connection has died.
        let config = Config::default().timeout(60);
        follow(Api::all(client.clone()), config.clone().page_size(20), News::Profile, sender.clone());
        follow(Api::all(client.clone()), config.clone(), News::Node, sender.clone());
        follow(Api::all(client.clone()), config.labels(AGENT_PODS), News::Pod, sender);
        Self {
            news,
            profiles: Known::default(),
            nodes: Known::default(),
            pods: Known::default(),
            pods_forbidden: false,
        }
    }

    /// Waits until something happens, and takes in all that has happened by then. Gives what failed and will be tried
    /// again, for a person.
    ///
    /// # Errors
    /// Nothing is known yet and cannot be: what may not be read, or a cluster that does not answer.
    pub async fn next(&mut self) -> Result<Option<String>, CliError> {
        let mut warning = None;
        let mut news = self.news.recv().await;
        while let Some(it) = news {
            warning = self.take(it)?.or(warning);
            news = self.news.try_recv().ok();
        }
        Ok(warning)
    }

    /// Waits until everything has been listed.
    ///
    /// # Errors
    /// Something cannot be read, or is not by then.
    pub async fn complete(&mut self, by: Instant) -> Result<(), CliError> {
        while !self.is_complete() {
            match timeout_at(by, self.next()).await {
                Ok(news) => drop(news?),
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

    /// What is known now.
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

    fn take(&mut self, news: News) -> Result<Option<String>, CliError> {
        match news {
            News::Profile(Ok(event)) => self.profiles.take(&event, ProfileSummary::of),
            News::Node(Ok(event)) => self.nodes.take(&event, NodeFacts::of),
            News::Pod(Ok(event)) => self.pods.take(&event, WatchedPod::clone),
            News::Profile(Err(error)) => return failed(&error, PROFILES, self.profiles.complete),
            News::Node(Err(error)) => return failed(&error, NODES, self.nodes.complete),
            News::Pod(Err(error)) => match cause(&error) {
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
    /// What a list that is under way has brought.
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

/// A task that hands on every event of one kind, until nobody listens.
fn follow<K>(
    api: Api<K>,
    config: Config,
    news: fn(Result<Event<K>, watcher::Error>) -> News,
    sender: Sender<News>,
) where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + 'static,
{
    tokio::spawn(async move {
        let mut events = Events::new(api, config);
        while sender.send(news(events.next().await)).await.is_ok() {}
    });
}

/// A failure is an error as long as nothing is known; afterwards the watch comes back by itself.
fn failed(error: &watcher::Error, what: &'static str, complete: bool) -> Result<Option<String>, CliError> {
    match cause(error) {
        Some(cause) if !complete => Err(CliError::of(cause, what, VIEWER)),
        _ => Ok(Some(format!("news of {what} is missing, asking again: {}", link::chain(error)))),
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
