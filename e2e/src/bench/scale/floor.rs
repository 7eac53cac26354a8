//! The floor of a rollout: what the API server and one client a node take for its traffic alone.
//!
//! N bare watchers take the places of the agents: each with two connections, as the agent on that node, behind the
//! same admission policies. They watch the same kind of object, of the same size, with as many events a profile as the
//! real rollout caused, and answer with one server-side-apply patch of a report of the same size. They decode a name
//! and nothing else, touch no file, and nobody judges. What the operator writes in a real rollout comes from the
//! driver. Time ends when every watcher has had every event and its answer is acknowledged.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::names::AGENT_FIELD_MANAGER;
use api::{NodeProfileStatus, SeccompProfile, SeccompProfileStatus, Untrusted};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use kube::api::{GetParams, ListParams, Patch, PatchParams, WatchEvent, WatchParams};
use kube::core::{PartialObjectMeta, Request};
use kube::{Api, Client, Resource};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::meter::Meter;
use super::result::Sample;
use super::world::World;
use crate::bench::BenchError;
use crate::bench::session::Session;

/// Profiles that are written at once, as the operator does.
const AT_ONCE: usize = 16;

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

/// What a real rollout was like.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// Events a profile.
    pub(super) events: u64,
    /// An agent's report at its end.
    pub(super) report: Value,
    /// A profile's status at its end.
    pub(super) status: SeccompProfileStatus,
}

impl Plan {
    /// What the last rollout of `world` was like.
    ///
    /// # Errors
    /// There is no report or no status.
    pub(super) async fn of(world: &World, rollout: &Sample) -> Result<Self, BenchError> {
        let missing = || BenchError::TooLate("a report and a status to take as a pattern".to_owned());
        let reports = Api::<Untrusted<NodeProfileStatus>>::all(world.session().client.clone());
        let node = world.nodes().first().ok_or_else(missing)?;
        let report = reports.get(node).await?.status.get("report").cloned().ok_or_else(missing)?;
        let status = world.profiles().now(super::seen::Profiles::example).ok_or_else(missing)?;
        Ok(Self { events: rollout.events.div_ceil(world.profile_count() as u64), report, status })
    }

    /// A report of the same size that is another one each round: what changes nothing is not stored.
    fn report(&self, round: usize) -> Value {
        let mut report = self.report.clone();
        if let Some(files) = report.get_mut("files").and_then(Value::as_object_mut) {
            files.values_mut().for_each(|hash| *hash = format!("{round:032x}").into());
        }
        report
    }
}

/// Rolls new contents of every profile out to bare watchers; neither agents nor an operator run.
///
/// # Errors
/// The API server refuses, or a watch ends early.
pub(super) async fn measure(
    world: &mut World,
    plan: &Plan,
    way: Way,
    round: usize,
) -> Result<Sample, BenchError> {
    let profiles = world.new_contents();
    let listed = world.session().profiles.list_metadata(&ListParams::default()).await?;
    let task = Arc::new(Task {
        from: listed.metadata.resource_version.unwrap_or_default(),
        profiles: profiles.len(),
        events: plan.events * profiles.len() as u64,
        report: plan.report(round),
        way,
    });
    let (connected, mut connecting) = mpsc::channel(1);
    let mut watchers = JoinSet::new();
    for node in world.nodes() {
        let client = world.agents().client(node)?;
        watchers.spawn(watch(client, node.clone(), task.clone(), connected.clone()));
    }
    drop(connected);
    let mut count = 0;
    while World::within("the bare watchers' connections", connecting.recv()).await?.is_some() {
        count += 1;
    }
    if count < world.nodes().len() {
        // Who did not connect has ended, with the reason.
        all_ended(&mut watchers).await?;
    }

    let meter = Meter::start(world)?;
    let start = Instant::now();
    let (session, plan) = (world.session(), plan.clone());
    let write = futures::stream::iter(profiles)
        .map(|(name, contents)| write(session, &plan, name, contents))
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>();
    let read = all_ended(&mut watchers);
    World::within("the floor", futures::future::try_join(write, read)).await??;
    meter.stop_now(world, start.elapsed()).await
}

async fn all_ended(watchers: &mut JoinSet<Result<(), BenchError>>) -> Result<(), BenchError> {
    while let Some(ended) = watchers.join_next().await {
        ended.map_err(|error| BenchError::TooLate(error.to_string()))??;
    }
    Ok(())
}

/// What happens to one profile: it is applied, and its status changes until there were enough events.
async fn write(session: &Session, plan: &Plan, name: String, contents: Arc<Value>) -> Result<(), BenchError> {
    session.apply(&name, &contents).await?;
    for event in 1..plan.events {
        let status = SeccompProfileStatus { ready: Some(format!("{event}/{event}")), ..plan.status.clone() };
        let patch = Patch::Merge(json!({ "status": status }));
        session.profiles.patch_status(&name, &PatchParams::default(), &patch).await?;
    }
    Ok(())
}

/// What a bare watcher is to do.
#[derive(Debug)]
struct Task {
    /// The version to watch from.
    from: String,
    profiles: usize,
    events: u64,
    report: Value,
    way: Way,
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

/// Sees every event, and answers once it has seen every profile.
async fn watch(
    client: Client,
    node: String,
    task: Arc<Task>,
    connected: mpsc::Sender<()>,
) -> Result<(), BenchError> {
    let mut from = task.from.clone();
    let mut events = follow(&client, task.way, &from).await?;
    // The connection for the answer, too, is there before the start, as an agent's is.
    let own = Api::<NodeProfileStatus>::all(client.clone());
    patiently(|| own.get_metadata(&node)).await?;
    let _ = connected.send(()).await;
    drop(connected);

    let (mut seen, mut left) = (BTreeMap::new(), task.events);
    let mut answer = None;
    while left > 0 {
        match events.try_next().await? {
            Some(WatchEvent::Added(object) | WatchEvent::Modified(object)) => {
                left -= 1;
                let Named { name, generation, resource_version } = object.metadata;
                from = resource_version;
                if seen.insert(name.clone(), generation) != Some(generation) && task.way.metadata {
                    let request = Request::new(SeccompProfile::url_path(&(), None));
                    let request = request.get(&name, &GetParams::default());
                    client.request::<Bare>(request.map_err(kube::Error::BuildRequest)?).await?;
                }
            }
            // The API server ends the watch of whoever is too slow for it, the agents' as well; they go on from where they
            // were, and so does this.
            None => events = follow(&client, task.way, &from).await?,
            Some(other) => {
                return Err(BenchError::TooLate(format!("{left} events for {node}, after {other:?}")));
            }
        }
        if seen.len() == task.profiles && answer.is_none() {
            answer = Some(tokio::spawn(report(client.clone(), node.clone(), task.clone())));
        }
    }
    match answer {
        Some(answer) => answer.await.map_err(|error| BenchError::TooLate(error.to_string()))?,
        None => Err(BenchError::TooLate(format!("every profile at the bare watcher of {node}"))),
    }
}

/// The events after version `from`.
async fn follow(
    client: &Client,
    way: Way,
    from: &str,
) -> Result<BoxStream<'static, Result<WatchEvent<Bare>, kube::Error>>, BenchError> {
    let params = WatchParams::default().disable_bookmarks().timeout(290);
    let request = Request::new(SeccompProfile::url_path(&(), None));
    let request = match way.metadata {
        true => request.watch_metadata(&params, from),
        false => request.watch(&params, from),
    }
    .map_err(kube::Error::BuildRequest)?;
    Ok(patiently(|| client.request_events::<Bare>(request.clone())).await?.boxed())
}

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

async fn report(client: Client, node: String, task: Arc<Task>) -> Result<(), BenchError> {
    let object = json!({
        "apiVersion": NodeProfileStatus::api_version(&()),
        "kind": NodeProfileStatus::kind(&()),
        "metadata": { "name": node },
        "status": { "report": task.report },
    });
    let (params, patch) = match task.way.merge {
        true => (PatchParams::default(), Patch::Merge(object)),
        false => (PatchParams::apply(AGENT_FIELD_MANAGER).force(), Patch::Apply(object)),
    };
    let mut request = Request::new(NodeProfileStatus::url_path(&(), None))
        .patch_subresource("status", &node, &params, &patch)
        .map_err(kube::Error::BuildRequest)?;
    if let Ok(metadata_only) = METADATA_ONLY.parse() {
        request.headers_mut().insert("accept", metadata_only);
    }
    patiently(|| client.request::<PartialObjectMeta<NodeProfileStatus>>(request.clone())).await?;
    Ok(())
}
