//! The two watches: all profiles, and the node's own status. They go on forever; what fails is tried again.

use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant};

use api::{NodeName, NodeProfileStatus, Untrusted};
use daemon::metrics::Watch;
use kube::{Client, Resource};
use kube_runtime::watcher::{Config, Event};
use link::chain;
use link::watch::Events;
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant as Deadline, sleep_until};

use crate::budget::Budget;
use crate::desired::Listeners;
use crate::jitter::node_jitter;
use crate::metrics::Kind;
use crate::own_status::{OwnState, OwnStatus};
use crate::reading::{Outcome, Reading, Watched};
use crate::worker::Command;

/// Profiles in one page of a list. All of a page is in memory at once, twice as text and once as [`Watched`].
const PAGE: u32 = 8;

/// Bytes of a page; where eight profiles are longer, there are fewer in a page. The largest that the schema admits have
/// 450 KB each, and eight of them would take as much as the agent without any profile, and half as much again.
const LONGEST_PAGE: usize = 1024 * 1024;

/// In how many seconds a list is asked for, once there is room for a profile that was refused: others may be deleted, too,
/// and not all nodes ask at once.
const LIST_AGAIN: Range<u32> = 10..70;

/// How many seconds one watch request lasts. Asking again is what a thousand nodes at rest cost the API server, so that it
/// is rare; but it is all that is heard of a quiet kind, and of a connection that died. `SeccompProfileWatchStale` calls ten
/// minutes without a word too long. Each node has its own number: agents that were started together would ask again together, every time, and the API
/// server would turn most of a thousand of them away.
const WATCH: Range<u32> = 180..240;
/// The longest of any node.
pub const LONGEST_WATCH: Duration = Duration::from_secs(WATCH.end as u64);

/// A list that is served to the end is complete (the default semantics are a consistent read: an older answer might
/// lack a profile whose file is in use).
pub(crate) fn config(node: &NodeName) -> Config {
    Config::default().page_size(PAGE).timeout(node_jitter(WATCH, node))
}

/// What the profiles' watch shows of the cluster's size, and of what goes on in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClusterLoad {
    /// How many nodes there are, as the latest status of any profile has it; `None` before there was any.
    pub nodes: Option<u64>,
    /// Grows while rollouts are under way.
    pub rollout_events: u64,
}

/// Hands the events of the profiles' watch to the worker, until that ends, and puts what else it shows into `load`.
pub async fn profiles(
    client: Client,
    node: NodeName,
    listeners: Listeners,
    commands: mpsc::Sender<Command>,
    load: watch::Sender<ClusterLoad>,
    measured: Watch,
    budget: Budget,
) {
    let list_again = Duration::from_secs(node_jitter(LIST_AGAIN, &node).into());
    let events = Events::<Watched>::observed(client, config(&node), measured).with_pages_of(LONGEST_PAGE);
    let mut events = LoggedEvents::new(events, node, Kind::Profile.as_str());
    let mut reading = Reading::new(listeners, budget);
    let mut list_at = None;
    loop {
        if list_at.is_none() && reading.wants_list() {
            list_at = Some(Deadline::now() + list_again);
        }
        let event = tokio::select! {
            event = events.next() => event,
            () = sleep_until(list_at.unwrap_or_else(Deadline::now)), if list_at.is_some() => {
                list_at = None;
                events.events.list_again();
                continue;
            }
        };
        let at = Instant::now();
        if let Event::InitApply(profile) | Event::Apply(profile) = &event
            && let nodes @ Some(_) = profile.desired_nodes()
        {
            load.send_if_modified(|load| std::mem::replace(&mut load.nodes, nodes) != nodes);
        }
        let change = match reading.event(event, at) {
            Outcome::News(change) => change,
            Outcome::Echo => {
                load.send_modify(|load| load.rollout_events += 1);
                continue;
            }
            Outcome::Known => continue,
        };
        if commands.send(Command::ProfileEvent(change, at)).await.is_err() {
            return;
        }
    }
}

/// Keeps `own` at what the API server last said of the node's own status.
pub async fn own_status(client: Client, node: NodeName, own: watch::Sender<OwnState>, measured: Watch) {
    let config = config(&node).fields(&format!("metadata.name={node}"));
    let events = Events::<Untrusted<NodeProfileStatus>>::observed(client, config, measured);
    let mut events = LoggedEvents::new(events, node, Kind::OwnStatus.as_str());
    let mut listed = None;
    loop {
        match events.next().await {
            Event::Init => listed = None,
            Event::InitApply(object) => listed = Some(OwnStatus::from(object)),
            Event::InitDone => {
                own.send_replace(listed.take().map_or(OwnState::Absent, OwnState::Listed));
            }
            Event::Apply(object) => {
                own.send_replace(OwnState::Watched(OwnStatus::from(object)));
            }
            Event::Delete(_) => {
                own.send_replace(OwnState::Absent);
            }
        }
    }
}

/// The events of one watch, with its failures in the log.
struct LoggedEvents<K> {
    events: Events<K>,
    interrupted: bool,
    node: NodeName,
    kind: &'static str,
}

impl<K> LoggedEvents<K>
where
    K: Resource<DynamicType = ()> + Clone + fmt::Debug + DeserializeOwned + Send + 'static,
{
    fn new(events: Events<K>, node: NodeName, kind: &'static str) -> Self {
        Self { events, interrupted: false, node, kind }
    }

    async fn next(&mut self) -> Event<K> {
        loop {
            let (node, kind) = (&self.node, self.kind);
            match self.events.next().await {
                Ok(event) => {
                    if !matches!(event, Event::Init) && std::mem::take(&mut self.interrupted) {
                        tracing::info!(%node, kind, "the watch goes on");
                    }
                    return event;
                }
                Err(error) => {
                    self.interrupted = true;
                    let error = chain(&error);
                    tracing::warn!(%node, kind, %error, "the watch is interrupted; files stay as they are");
                }
            }
        }
    }
}
