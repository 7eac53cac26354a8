//! The bench's own caches of the objects: one watch of each kind.

use std::collections::BTreeMap;

use api::{NodeProfileStatus, SeccompProfile, SeccompProfileStatus, State, Untrusted, conditions};
use kube::api::ObjectMeta;
use kube::{Api, Client};
use kube_runtime::watcher::{Config, Event};
use link::watch::WatchStream;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// The objects that a watch has delivered; the watch ends when this is dropped.
#[derive(Debug)]
pub(super) struct Observed<T> {
    state: watch::Receiver<T>,
    following: AbortHandle,
}

impl<T> Drop for Observed<T> {
    fn drop(&mut self) {
        self.following.abort();
    }
}

impl<T> Observed<T> {
    /// Waits until `holds` is true of the observed objects.
    pub(super) async fn until(&self, mut holds: impl FnMut(&T) -> bool) {
        // The sender exists as long as this.
        let _ = self.state.clone().wait_for(|state| holds(state)).await;
    }

    pub(super) fn now<A>(&self, ask: impl FnOnce(&T) -> A) -> A {
        ask(&self.state.borrow())
    }
}

/// The profiles.
#[derive(Debug, Default)]
pub(super) struct Profiles {
    statuses: BTreeMap<String, (Option<i64>, SeccompProfileStatus)>,
    /// Events so far, without those of lists.
    pub(super) events: u64,
}

impl Profiles {
    pub(super) fn follow(client: Client) -> Observed<Self> {
        follow(client, |seen: &mut Self, event: Event<Untrusted<SeccompProfile>>| match event {
            Event::Init => seen.statuses.clear(),
            Event::InitDone => {}
            Event::InitApply(object) => seen.put(&object),
            Event::Apply(object) => {
                seen.events += 1;
                seen.put(&object);
            }
            Event::Delete(object) => {
                seen.events += 1;
                seen.statuses.remove(&object.metadata.name.unwrap_or_default());
            }
        })
    }

    fn put(&mut self, object: &Untrusted<SeccompProfile>) {
        let status = object.status().unwrap_or_default();
        let name = object.metadata.name.clone().unwrap_or_default();
        self.statuses.insert(name, (object.metadata.generation, status));
    }

    /// Whether there are none.
    pub(super) fn none(&self) -> bool {
        self.statuses.is_empty()
    }

    /// Whether each of these has this hash and is Ready.
    pub(super) fn all_ready(&self, hashes: &BTreeMap<String, String>) -> bool {
        hashes.iter().all(|(name, hash)| {
            self.statuses.get(name).is_some_and(|(generation, status)| {
                let ready = |condition: &_| is_ready(condition) && status.observed_generation == *generation;
                status.content_hash.as_ref() == Some(hash)
                    && status.state == Some(State::Ready.into())
                    && status.conditions.iter().any(ready)
            })
        })
    }

    /// Whether each counts so many nodes as desired and as unreachable.
    pub(super) fn all_count(&self, desired: usize, unreachable: usize) -> bool {
        self.statuses.values().all(|(_, status)| {
            status.nodes.as_ref().is_some_and(|nodes| {
                [nodes.desired, nodes.unreachable].map(usize::try_from) == [Ok(desired), Ok(unreachable)]
            })
        })
    }

    /// The status of the first, as an example.
    pub(super) fn example(&self) -> Option<SeccompProfileStatus> {
        self.statuses.values().next().map(|(_, status)| status.clone())
    }
}

fn is_ready(condition: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition) -> bool {
    condition.type_ == conditions::READY && condition.status == "True"
}

/// The nodes' reports: only the fields that the bench needs.
#[derive(Debug, Default)]
pub(super) struct Reports(BTreeMap<String, (Option<usize>, Option<String>)>);

impl Reports {
    pub(super) fn follow(client: Client) -> Observed<Self> {
        follow(client, |seen: &mut Self, event: Event<Report>| match event {
            Event::Init => seen.0.clear(),
            Event::InitDone => {}
            Event::InitApply(object) | Event::Apply(object) => {
                let files = object.status.report.map(|report| report.file_count);
                let ready = object.status.conditions.into_iter().find(|it| it.kind == conditions::READY);
                let name = object.metadata.name.unwrap_or_default();
                seen.0.insert(name, (files, ready.map(|ready| ready.status)));
            }
            Event::Delete(object) => {
                seen.0.remove(&object.metadata.name.unwrap_or_default());
            }
        })
    }

    /// Whether each of these nodes has an object.
    pub(super) fn exist<'a>(&self, mut nodes: impl Iterator<Item = &'a String>) -> bool {
        nodes.all(|node| self.0.contains_key(node))
    }

    /// Whether each of these nodes reports so many files.
    pub(super) fn all_hold<'a>(&self, mut nodes: impl Iterator<Item = &'a String>, files: usize) -> bool {
        nodes.all(|node| self.0.get(node).is_some_and(|(held, _)| *held == Some(files)))
    }

    /// Whether the condition of each of these nodes is this.
    pub(super) fn all_have_condition<'a>(
        &self,
        mut nodes: impl Iterator<Item = &'a String>,
        ready: &str,
    ) -> bool {
        nodes.all(|node| self.0.get(node).is_some_and(|(_, said)| said.as_deref() == Some(ready)))
    }
}

#[derive(Debug, Clone, Deserialize)]
struct Report {
    metadata: ObjectMeta,
    #[serde(default)]
    status: ReportStatus,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct ReportStatus {
    report: Option<FileCount>,
    #[serde(default)]
    conditions: Vec<ReportCondition>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileCount {
    file_count: usize,
}

#[derive(Debug, Clone, Deserialize)]
struct ReportCondition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

api::watched_as!(Report, NodeProfileStatus);

fn follow<T, K>(client: Client, take: impl Fn(&mut T, Event<K>) + Send + 'static) -> Observed<T>
where
    T: Default + Send + Sync + 'static,
    K: kube::Resource<DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned
        + Send
        + 'static,
{
    let (sender, state) = watch::channel(T::default());
    let mut events = WatchStream::new(Api::<K>::all(client), Config::default());
    let following = tokio::spawn(async move {
        loop {
            match events.next().await {
                Ok(event) => sender.send_modify(|state| take(state, event)),
                Err(error) => eprintln!("the bench's own watch: {error}"),
            }
        }
    })
    .abort_handle();
    Observed { state, following }
}
