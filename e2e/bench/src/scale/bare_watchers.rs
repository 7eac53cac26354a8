//! Minimal clients that replace the agents.
//!
//! Each has three connections, as the agent on its node, and is subject to the same admission policies. It watches the
//! same objects as an agent, the profiles and the node's own status, decodes only names, writes no file, and answers
//! with one report.

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

use super::testbed::Testbed;
use crate::BenchError;

/// Watchers that connect at once.
const CONNECTING: usize = 16;
/// Answers sent at once. By default an API server queues 300 requests of one account and refuses the rest; agents
/// spread theirs.
const ANSWERING: usize = 100;

/// How bare watchers receive profiles and answer. The agents' variant is the default; the others were compared
/// with it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ClientVariant {
    /// They watch metadata, and get each profile once it has a new generation.
    pub(super) metadata: bool,
    /// They answer with a merge patch.
    pub(super) merge: bool,
}

impl ClientVariant {
    /// Every variant, with its name.
    pub(super) const ALL: [(&str, Self); 3] = [
        ("whole objects, server-side apply", Self { metadata: false, merge: false }),
        ("metadata and a GET, server-side apply", Self { metadata: true, merge: false }),
        ("whole objects, merge patch", Self { metadata: false, merge: true }),
    ];
}

/// The part of a profile that it decodes.
#[derive(Debug, Clone, Deserialize)]
struct BareProfile {
    metadata: BareMetadata,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BareMetadata {
    name: String,
    generation: i64,
    resource_version: String,
}

type Events = BoxStream<'static, Result<WatchEvent<BareProfile>, kube::Error>>;

/// A bare watcher.
pub(super) struct Watcher {
    client: Client,
    node: String,
    variant: ClientVariant,
    /// The last version that it received.
    from: String,
    /// `None` while it must connect again.
    events: Option<Events>,
    /// The profiles that it has received, with the generation.
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
        variant: ClientVariant,
        from: String,
        answering: Arc<Semaphore>,
    ) -> Result<Self, BenchError> {
        let events = Some(follow(&client, variant, &from).await?);
        // The connection for the answer, too, is opened before the start, as an agent's is.
        let own = Api::<NodeProfileStatus>::all(client.clone());
        retry_if_throttled(|| own.get_metadata(&node)).await?;
        let own = tokio::spawn(follow_node_status(client.clone(), node.clone())).abort_handle();
        Ok(Self { client, node, variant, from, events, seen: BTreeMap::new(), answering, own })
    }

    /// The node whose agent it replaces.
    pub(super) fn node(&self) -> &str {
        &self.node
    }

    /// How many profiles it has received.
    pub(super) fn seen(&self) -> usize {
        self.seen.len()
    }

    /// Waits for the next event. Nothing is lost where this is dropped, unless it watches metadata.
    ///
    /// # Errors
    /// The watch delivers something that is not a profile, or a deletion.
    pub(super) async fn next(&mut self) -> Result<(), BenchError> {
        loop {
            let events = match &mut self.events {
                Some(events) => events,
                None => self.events.insert(follow(&self.client, self.variant, &self.from).await?),
            };
            match events.try_next().await? {
                Some(WatchEvent::Added(object) | WatchEvent::Modified(object)) => {
                    let BareMetadata { name, generation, resource_version } = object.metadata;
                    self.from = resource_version;
                    if self.variant.metadata && self.seen.get(&name) != Some(&generation) {
                        let request = Request::new(SeccompProfile::url_path(&(), None));
                        let request = request.get(&name, &GetParams::default());
                        self.client
                            .request::<BareProfile>(request.map_err(kube::Error::BuildRequest)?)
                            .await?;
                    }
                    self.seen.insert(name, generation);
                    return Ok(());
                }
                // The API server ends a watch that is too slow, the agents' as well; they continue from their
                // last version, and so does this.
                None => self.events = None,
                Some(other) => {
                    return Err(BenchError::Unexpected(format!(
                        "{}: unexpected {other:?} in a watch",
                        self.node
                    )));
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
        let (client, node, variant) = (self.client.clone(), self.node.clone(), self.variant);
        let answering = self.answering.clone();
        async move {
            // The semaphore is never closed.
            let _permit = answering.acquire().await;
            send(&client, &node, variant, &report).await
        }
    }
}

/// Connects a watcher for each of `nodes`, from the present version on.
///
/// # Errors
/// The API server refuses, or it takes too long.
pub(super) async fn connect_all(
    testbed: &Testbed,
    nodes: &[String],
    variant: ClientVariant,
) -> Result<Vec<Watcher>, BenchError> {
    let listed = testbed.session().profiles.list_metadata(&ListParams::default()).await?;
    let from = listed.metadata.resource_version.unwrap_or_default();
    let answering = Arc::new(Semaphore::new(ANSWERING));
    let connecting = futures::stream::iter(nodes)
        .map(|node| {
            let (client, from, answering) = (testbed.agents().client(node), from.clone(), answering.clone());
            async move { Watcher::connect(client?, node.clone(), variant, from, answering).await }
        })
        .buffer_unordered(CONNECTING)
        .try_collect();
    Testbed::within("the bare watchers' connections", connecting).await?
}

/// Waits until all have ended, or one has failed.
///
/// # Errors
/// What the first failed with.
pub(super) async fn all_ended(watchers: &mut JoinSet<Result<(), BenchError>>) -> Result<(), BenchError> {
    while let Some(ended) = watchers.join_next().await {
        ended.map_err(|error| BenchError::Unexpected(error.to_string()))??;
    }
    Ok(())
}

/// The events after version `from`.
async fn follow(client: &Client, variant: ClientVariant, from: &str) -> Result<Events, BenchError> {
    let params = WatchParams::default().disable_bookmarks().timeout(290);
    let request = Request::new(SeccompProfile::url_path(&(), None));
    let request = match variant.metadata {
        true => request.watch_metadata(&params, from),
        false => request.watch(&params, from),
    }
    .map_err(kube::Error::BuildRequest)?;
    Ok(retry_if_throttled(|| client.request_events::<BareProfile>(request.clone())).await?.boxed())
}

/// Watches the node's own status for as long as the watcher exists, and ignores its contents.
async fn follow_node_status(client: Client, node: String) {
    let own = Config::default().fields(&format!("metadata.name={node}"));
    let mut events = link::watch::WatchStream::<OwnStatus>::new(Api::all(client), own);
    loop {
        // An agent would get the same error, and both connect again.
        let _ = events.next().await;
    }
}

/// The part of the node's own status that it decodes.
#[derive(Debug, Clone, Deserialize)]
struct OwnStatus {
    metadata: ObjectMeta,
}

api::watched_as!(OwnStatus, NodeProfileStatus);

/// Repeats a request that the API server refuses because of its load, after the second that it names, as every client
/// does.
async fn retry_if_throttled<T, A>(ask: impl Fn() -> A) -> Result<T, kube::Error>
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

async fn send(client: &Client, node: &str, variant: ClientVariant, report: &Value) -> Result<(), BenchError> {
    let status = json!({ "report": report });
    let request = match variant.merge {
        true => {
            link::status::patch::<NodeProfileStatus, _>(node, &PatchParams::default(), status, Patch::Merge)
        }
        false => link::status::apply::<NodeProfileStatus, _>(node, AGENT_FIELD_MANAGER, status),
    }?;
    retry_if_throttled(|| client.request::<PartialObjectMeta<NodeProfileStatus>>(request.clone())).await?;
    Ok(())
}
