//! The two watches: all profiles, and the node's own status. They go on forever; what fails is tried again.

use std::future;
use std::time::{Duration, Instant};

use api::{NodeName, NodeProfileStatus, SeccompProfile, Untrusted};
use futures::{Stream, StreamExt};
use kube::{Api, Client};
use kube_runtime::WatchStreamExt;
use kube_runtime::watcher::{self, Config, Event};
use tokio::sync::{mpsc, watch};

use crate::desired::{Change, Object};
use crate::own_status::{Held, Own};
use crate::worker::Command;

/// Profiles in one page of a list. All of a page is in memory at once, as text and as values.
const PAGE: u32 = 16;

/// How long one watch request lasts, and so how long a connection that died in silence goes unnoticed.
const WATCH: Duration = Duration::from_secs(120);

/// A list that is served to the end is complete (the default semantics are a consistent read: an older answer might
/// lack a profile whose file is in use).
fn config() -> Config {
    Config::default().page_size(PAGE).timeout(u32::try_from(WATCH.as_secs()).unwrap_or(u32::MAX))
}

/// Hands every event of the profiles' watch to the worker, until that ends.
pub async fn profiles(client: Client, node: NodeName, commands: mpsc::Sender<Command>) {
    let api = Api::<Untrusted<SeccompProfile>>::all(client);
    let mut events = std::pin::pin!(events(api, config(), node, "profiles"));
    while let Some(event) = events.next().await {
        let at = Instant::now();
        if commands.send(Command::Change(change(event), at)).await.is_err() {
            return;
        }
    }
}

fn change(event: Event<Untrusted<SeccompProfile>>) -> Change {
    match event {
        Event::Init => Change::Init,
        Event::InitApply(object) => Change::InitApply(Object::from(object)),
        Event::InitDone => Change::InitDone,
        Event::Apply(object) => Change::Apply(Object::from(object)),
        Event::Delete(object) => Change::Delete {
            name: object.metadata.name.unwrap_or_default().into(),
            uid: object.metadata.uid.unwrap_or_default().into(),
        },
    }
}

/// Keeps `own` at what the API server last said of the node's own status.
pub async fn own_status(client: Client, node: NodeName, own: watch::Sender<Own>) {
    let api = Api::<Untrusted<NodeProfileStatus>>::all(client);
    let config = config().fields(&format!("metadata.name={node}"));
    let mut events = std::pin::pin!(events(api, config, node, "node status"));
    let mut listed = None;
    while let Some(event) = events.next().await {
        match event {
            Event::Init => listed = None,
            Event::InitApply(object) => listed = Some(Held::from(object)),
            Event::InitDone => {
                own.send_replace(listed.take().map_or(Own::Absent, Own::Listed));
            }
            Event::Apply(object) => {
                own.send_replace(Own::Watched(Held::from(object)));
            }
            Event::Delete(_) => {
                own.send_replace(Own::Absent);
            }
        }
    }
}

/// The events of one watch. What fails is logged and tried again, with growing pauses.
fn events<K>(api: Api<K>, config: Config, node: NodeName, what: &'static str) -> impl Stream<Item = Event<K>>
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    let mut failed = false;
    watcher::watcher(api, config).default_backoff().filter_map(move |event| {
        future::ready(match event {
            Ok(event) => {
                if matches!(event, Event::InitDone) && std::mem::take(&mut failed) {
                    tracing::info!(%node, watch = what, "watching again");
                }
                Some(event)
            }
            Err(error) => {
                failed = true;
                tracing::warn!(%node, watch = what, %error, "the watch is interrupted; files stay as they are");
                None
            }
        })
    })
}
