//! The two watches: all profiles, and the node's own status. They go on forever; what fails is tried again.

use std::borrow::Cow;
use std::future;
use std::time::{Duration, Instant};

use api::{NodeName, NodeProfileStatus, SeccompProfile, Untrusted};
use futures::{Stream, StreamExt};
use kube::api::ObjectMeta;
use kube::{Api, Client, Resource};
use kube_runtime::WatchStreamExt;
use kube_runtime::watcher::{self, Config, Event};
use serde::Deserialize;
use tokio::sync::{mpsc, watch};

use crate::desired::{Change, Object, Want};
use crate::own_status::{Held, Own};
use crate::worker::Command;

/// Profiles in one page of a list. All of a page is in memory at once, twice as text and once as [`Watched`]: 1.3 MB
/// for each of the largest that the schema admits.
const PAGE: u32 = 8;

/// How long one watch request lasts, and so how long a connection that died in silence goes unnoticed.
const WATCH: Duration = Duration::from_secs(120);

/// A list that is served to the end is complete (the default semantics are a consistent read: an older answer might
/// lack a profile whose file is in use).
fn config() -> Config {
    Config::default().page_size(PAGE).timeout(u32::try_from(WATCH.as_secs()).unwrap_or(u32::MAX))
}

/// Hands every event of the profiles' watch to the worker, until that ends.
pub async fn profiles(client: Client, node: NodeName, commands: mpsc::Sender<Command>) {
    let api = Api::<Watched>::all(client);
    let mut events = std::pin::pin!(events(api, config(), node, "profiles"));
    while let Some(event) = events.next().await {
        let at = Instant::now();
        if commands.send(Command::Change(change(event), at)).await.is_err() {
            return;
        }
    }
}

/// A profile as the watch decodes it: no more than is needed, and judged at once, so that of a page of large profiles
/// only one at a time is in memory as a tree of values.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "Untrusted<SeccompProfile>")]
struct Watched {
    metadata: ObjectMeta,
    want: Want,
}

impl From<Untrusted<SeccompProfile>> for Watched {
    fn from(object: Untrusted<SeccompProfile>) -> Self {
        let want = Want::from(&object);
        let ObjectMeta { name, uid, resource_version, .. } = object.metadata;
        Self { metadata: ObjectMeta { name, uid, resource_version, ..ObjectMeta::default() }, want }
    }
}

impl From<Watched> for Object {
    fn from(Watched { metadata, want }: Watched) -> Self {
        let text = |text: Option<String>| text.unwrap_or_default().into_boxed_str();
        Self { name: text(metadata.name), uid: text(metadata.uid), want }
    }
}

impl Resource for Watched {
    type DynamicType = ();
    type Scope = <SeccompProfile as Resource>::Scope;

    fn kind(_: &()) -> Cow<'_, str> {
        SeccompProfile::kind(&())
    }

    fn group(_: &()) -> Cow<'_, str> {
        SeccompProfile::group(&())
    }

    fn version(_: &()) -> Cow<'_, str> {
        SeccompProfile::version(&())
    }

    fn plural(_: &()) -> Cow<'_, str> {
        SeccompProfile::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

fn change(event: Event<Watched>) -> Change {
    match event {
        Event::Init => Change::Init,
        Event::InitApply(object) => Change::InitApply(object.into()),
        Event::InitDone => Change::InitDone,
        Event::Apply(object) => Change::Apply(object.into()),
        Event::Delete(object) => {
            let Object { name, uid, .. } = object.into();
            Change::Delete { name, uid }
        }
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
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
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
