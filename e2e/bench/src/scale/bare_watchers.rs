//! Bare watchers, in the agents' place.
//!
//! Each has three connections, as the agent on its node, and is behind the same admission policies. It watches the same
//! as an agent, the profiles and the node's own status, decodes names and nothing else, touches no file, and answers with
//! one report.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::names::AGENT_FIELD_MANAGER;
use api::{NodeProfileStatus, SeccompProfile};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use kube::api::{GetParams, ListParams, ObjectMeta, Patch, PatchParams, WatchEvent, WatchParams};
use kube::core::{PartialObjectMeta, Request};
use kube::{Api, Client, Resource};
use kube_runtime::watcher::Config;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

use super::testbed::World;
use crate::BenchError;

/// Watchers that connect at once.
const CONNECTING: usize = 16;
/// Answers under way at once. By default an API server lets 300 requests of one account wait and refuses the rest; agents
/// spread theirs.
const ANSWERING: usize = 100;

/// The answer to a patch without what was just sent; the agents ask for the same.
const METADATA_ONLY: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

/// How bare watchers learn of profiles and answer. The agents' way is the default; the others are what was tried
/// against it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Way {
    /// They watch metadata, and get each profile once it has a new generation.
    pub(super) metadata: bool,
    /// They answer with a merge patch.
    pub(super) merge: bool,
}

impl Way {
    /// What can be tried, with its name.
    pub(super) const ALL: [(&str, Self); 3] = [
        ("whole objects, server-side apply", Self { metadata: false, merge: false }),
        ("metadata and a GET, server-side apply", Self { metadata: true, merge: false }),
        ("whole objects, merge patch", Self { metadata: false, merge: true }),
    ];
}

/// As much of a profile as it decodes.
#[derive(Debug, Clone, Deserialize)]
struct Bare {
    metadata: Named,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    name: String,
    generation: i64,
    resource_version: String,
}

type Events = BoxStream<'static, Result<WatchEvent<Bare>, kube::Error>>;

/// A bare watcher.
pub(super) struct Watcher {
    client: Client,
    node: String,
    way: Way,
    /// The version that it has seen.
    from: String,
    /// `None` while it has to ask again.
    events: Option<Events>,
    /// The profiles that it has seen, with the generation.
    seen: BTreeMap<String, i64>,
    /// Of all watchers.
    answering: Arc<Semaphore>,
    /// Follows the node's own status.
    own: AbortHandle,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.own.abort();
    }
}

impl Watcher {
    /// Watches from version `from` on.
    ///
    /// # Errors
    /// The API server refuses.
    async fn connect(
        client: Client,
        node: String,
        way: Way,
        from: String,
        answering: Arc<Semaphore>,
    ) -> Result<Self, BenchError> {
        let events = Some(follow(&client, way, &from).await?);
        // The connection for the answer, too, is there before the start, as an agent's is.
        let own = Api::<NodeProfileStatus>::all(client.clone());
        patiently(|| own.get_metadata(&node)).await?;
        let own = tokio::spawn(follow_own(client.clone(), node.clone())).abort_handle();
        Ok(Self { client, node, way, from, events, seen: BTreeMap::new(), answering, own })
    }

    /// The node in whose place it is.
    pub(super) fn node(&self) -> &str {
        &self.node
    }

    /// How many profiles it has seen.
    pub(super) fn seen(&self) -> usize {
        self.seen.len()
    }

    /// Waits for the next event. Nothing is lost where this is dropped, unless it watches metadata.
    ///
    /// # Errors
    /// The watch brings something that is no profile, or a profile that is gone.
    pub(super) async fn next(&mut self) -> Result<(), BenchError> {
        loop {
            let events = match &mut self.events {
                Some(events) => events,
                None => self.events.insert(follow(&self.client, self.way, &self.from).await?),
            };
            match events.try_next().await? {
                Some(WatchEvent::Added(object) | WatchEvent::Modified(object)) => {
                    let Named { name, generation, resource_version } = object.metadata;
                    self.from = resource_version;
                    if self.way.metadata && self.seen.get(&name) != Some(&generation) {
                        let request = Request::new(SeccompProfile::url_path(&(), None));
                        let request = request.get(&name, &GetParams::default());
                        self.client.request::<Bare>(request.map_err(kube::Error::BuildRequest)?).await?;
                    }
                    self.seen.insert(name, generation);
                    return Ok(());
                }
                // The API server ends the watch of whoever is too slow for it, the agents' as well; they go on from where
                // they were, and so does this.
                None => self.events = None,
                Some(other) => {
                    return Err(BenchError::TooLate(format!("an event for {}, after {other:?}", self.node)));
                }
            }
        }
    }

    /// Sends `report`.
    ///
    /// # Errors
    /// The API server refuses.
    pub(super) fn answer(
        &self,
        report: Value,
    ) -> impl Future<Output = Result<(), BenchError>> + Send + use<> {
        let (client, node, way) = (self.client.clone(), self.node.clone(), self.way);
        let answering = self.answering.clone();
        async move {
            // Nobody closes it.
            let _permit = answering.acquire().await;
            send(&client, &node, way, &report).await
        }
    }
}

/// Connects a watcher in the place of each of `nodes`, from what is there now on.
///
/// # Errors
/// The API server refuses, or it takes too long.
pub(super) async fn connect_all(
    world: &World,
    nodes: &[String],
    way: Way,
) -> Result<Vec<Watcher>, BenchError> {
    let listed = world.session().profiles.list_metadata(&ListParams::default()).await?;
    let from = listed.metadata.resource_version.unwrap_or_default();
    let answering = Arc::new(Semaphore::new(ANSWERING));
    let connecting = futures::stream::iter(nodes)
        .map(|node| {
            let (client, from, answering) = (world.agents().client(node), from.clone(), answering.clone());
            async move { Watcher::connect(client?, node.clone(), way, from, answering).await }
        })
        .buffer_unordered(CONNECTING)
        .try_collect();
    World::within("the bare watchers' connections", connecting).await?
}

/// Waits until all have ended, or one has failed.
///
/// # Errors
/// What the first failed with.
pub(super) async fn all_ended(watchers: &mut JoinSet<Result<(), BenchError>>) -> Result<(), BenchError> {
    while let Some(ended) = watchers.join_next().await {
        ended.map_err(|error| BenchError::TooLate(error.to_string()))??;
    }
    Ok(())
}

/// The events after version `from`.
async fn follow(client: &Client, way: Way, from: &str) -> Result<Events, BenchError> {
    let params = WatchParams::default().disable_bookmarks().timeout(290);
    let request = Request::new(SeccompProfile::url_path(&(), None));
    let request = match way.metadata {
        true => request.watch_metadata(&params, from),
        false => request.watch(&params, from),
    }
    .map_err(kube::Error::BuildRequest)?;
    Ok(patiently(|| client.request_events::<Bare>(request.clone())).await?.boxed())
}

/// Follows the node's own status for as long as the watcher is there. What an agent would learn is not needed.
async fn follow_own(client: Client, node: String) {
    let own = Config::default().fields(&format!("metadata.name={node}"));
    let mut events = link::watch::Events::<OwnStatus>::new(Api::all(client), own);
    loop {
        // A failure is an agent's too, and both ask again.
        let _ = events.next().await;
    }
}

/// As much of the node's own status as it decodes.
#[derive(Debug, Clone, Deserialize)]
struct OwnStatus {
    metadata: ObjectMeta,
}

api::watched_as!(OwnStatus, NodeProfileStatus);

/// Asks again where the API server has too much to do: it names a second, and every client waits for so long.
async fn patiently<T, A>(ask: impl Fn() -> A) -> Result<T, kube::Error>
where
    A: Future<Output = Result<T, kube::Error>>,
{
    loop {
        match ask().await {
            Err(kube::Error::Api(status)) if status.code == 429 => sleep(Duration::from_secs(1)).await,
            answer => return answer,
        }
    }
}

async fn send(client: &Client, node: &str, way: Way, report: &Value) -> Result<(), BenchError> {
    let object = json!({
        "apiVersion": NodeProfileStatus::api_version(&()),
        "kind": NodeProfileStatus::kind(&()),
        "metadata": { "name": node },
        "status": { "report": report },
    });
    let (params, patch) = match way.merge {
        true => (PatchParams::default(), Patch::Merge(object)),
        false => (PatchParams::apply(AGENT_FIELD_MANAGER).force(), Patch::Apply(object)),
    };
    let mut request = Request::new(NodeProfileStatus::url_path(&(), None))
        .patch_subresource("status", node, &params, &patch)
        .map_err(kube::Error::BuildRequest)?;
    if let Ok(metadata_only) = METADATA_ONLY.parse() {
        request.headers_mut().insert("accept", metadata_only);
    }
    patiently(|| client.request::<PartialObjectMeta<NodeProfileStatus>>(request.clone())).await?;
    Ok(())
}
