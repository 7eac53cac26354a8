//! The two watches: of all profiles, and of the node's status object. They never end; what fails is tried again.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant};

use api::pace::Load;
use api::{NodeName, NodeProfileStatus, NodeProfileStatusSpec, Untrusted};
use daemon::metrics::Watch;
use kube::{Client, Resource};
use kube_runtime::watcher::Config;
use link::backoff::Spread;
use link::chain;
use link::changes::{Change, Changes, Origin};
use link::watch::WatchStream;
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant as Deadline, sleep_until};

use crate::goal::Placement;
use crate::jitter::node_jitter;
use crate::metrics::Kind;
use crate::profiles::{Outcome, Profiles};
use crate::status_object::StatusObjectState;
use crate::watched_profile::WatchedProfile;
use crate::worker::Command;

/// Profiles in one page of a list. All of a page is in memory at once, twice as text and once as [`WatchedProfile`].
const PAGE: u32 = 8;

/// Bytes of a page; where eight profiles are longer, there are fewer in a page. The largest that the schema admits have
/// 450 KB each, and eight of them would take as much as the agent without any profile, and half as much again.
const MAX_PAGE_BYTES: usize = 1024 * 1024;

/// After how many seconds a list is requested, once there is room for a profile that was refused: others may be
/// deleted, too, and not all nodes send a request at once.
const LIST_AGAIN: Range<u32> = 10..70;

/// How long profiles that select nodes wait at most for what the operator says of this one. The node's status object is
/// listed right after the profiles, so that it takes this long only if the API server is in trouble.
const WITHOUT_WORD: Duration = Duration::from_secs(20);

/// The profiles that the operator says a node does not hold, each with its uid.
pub type Excluded = BTreeMap<String, String>;

/// How many seconds one watch request lasts. New requests are what a thousand nodes at rest cost the API server, so
/// that they are rare; but where a kind does not change, only the answer to one shows that the connection still works.
/// The alert `SeccompProfileWatchStale` fires after ten minutes without a sign of that. Each node has its own number:
/// agents that were started together would send their next requests together, every time, and the API server would
/// reject most of a thousand of them.
const WATCH: Range<u32> = 180..240;
/// The longest of any node.
pub const MAX_WATCH: Duration = Duration::from_secs(WATCH.end as u64);

/// A list that is served to the end is complete (the default semantics are a consistent read: an older answer might
/// lack a profile whose file is in use). Pages are for API servers that do not stream lists.
pub(crate) fn config(node: &NodeName) -> Config {
    Config::default().page_size(PAGE).timeout(node_jitter(WATCH, node))
}

/// What the watch of the profiles shows of the cluster's size, and of rollouts in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClusterLoad {
    /// How many nodes there are, by the latest status of any profile; `None` before there was one.
    pub nodes: Option<u64>,
    /// How many profiles there are.
    pub profiles: u64,
    /// Grows while rollouts are under way.
    pub rollout_events: u64,
}

impl ClusterLoad {
    /// The size of the cluster, if it is known.
    #[must_use]
    pub fn size(&self) -> Option<Load> {
        self.nodes.map(|nodes| Load { nodes, profiles: self.profiles })
    }

    /// The time over which agents come back that failed together.
    #[must_use]
    pub fn coming_back(&self) -> Duration {
        self.size().unwrap_or_default().coming_back()
    }
}

/// Sends the goals of the profiles to the worker, until that ends, and puts what else their watch shows into `load`.
pub async fn profiles(
    client: Client,
    node: NodeName,
    mut profiles: Profiles,
    mut word: watch::Receiver<Option<Excluded>>,
    commands: mpsc::Sender<Command>,
    load: watch::Sender<ClusterLoad>,
    measured: Watch,
) {
    let list_again = Duration::from_secs(node_jitter(LIST_AGAIN, &node).into());
    let spread = Spread::default();
    let events = WatchStream::<WatchedProfile>::observed(client, config(&node), measured)
        .with_pages_of(MAX_PAGE_BYTES)
        .streaming_lists()
        .coming_back_within(&spread);
    let mut changes = LoggedChanges::new(events, node, Kind::Profile.as_str());
    let (mut list_at, mut word_until) = (None, None);
    loop {
        if list_at.is_none() && profiles.wants_list() {
            list_at = Some(Deadline::now() + list_again);
        }
        let change = tokio::select! {
            change = changes.next() => change,
            Ok(()) = word.changed() => {
                let excluded = word.borrow_and_update().clone();
                profiles.hear(excluded.unwrap_or_default());
                if !send_placements(&mut profiles, &commands, |_| true).await {
                    return;
                }
                continue;
            }
            () = sleep_until(word_until.unwrap_or_else(Deadline::now)), if word_until.is_some() => {
                word_until = None;
                if profiles.awaits_word() {
                    tracing::warn!(node = %changes.node, "what the operator says of this node is not known; it gets every file");
                    profiles.hear(Excluded::new());
                    if !send_placements(&mut profiles, &commands, |_| true).await {
                        return;
                    }
                }
                continue;
            }
            () = sleep_until(list_at.unwrap_or_else(Deadline::now)), if list_at.is_some() => {
                list_at = None;
                changes.changes.list_again();
                continue;
            }
        };
        let at = Instant::now();
        if let Change::Apply(profile, _) = &change
            && let nodes @ Some(_) = profile.desired_nodes()
        {
            load.send_if_modified(|load| std::mem::replace(&mut load.nodes, nodes) != nodes);
        }
        let outcome = profiles.take(change, at);
        if word_until.is_none() && profiles.awaits_word() {
            word_until = Some(Deadline::now() + WITHOUT_WORD);
        }
        // No file is written in between that must not be there: what forbids it comes first, and what permits it last.
        if !send_placements(&mut profiles, &commands, |placement| placement != Placement::Here).await {
            return;
        }
        let count = profiles.count();
        // It wakes nobody: that there are more profiles makes no report due.
        load.send_if_modified(|load| {
            load.profiles = count;
            spread.set(load.coming_back());
            false
        });
        let command = match outcome {
            Outcome::Goal(name, goal) => Some(Command::Goal { name, goal, at }),
            Outcome::Misnamed { name, message } => Some(Command::Misnamed { name, message }),
            Outcome::ListComplete => Some(Command::ListComplete),
            Outcome::Rollout => {
                load.send_modify(|load| load.rollout_events += 1);
                None
            }
            Outcome::Nothing => None,
        };
        let is_sent = match command {
            Some(command) => commands.send(command).await.is_ok(),
            None => true,
        };
        if !is_sent || !send_placements(&mut profiles, &commands, |_| true).await {
            return;
        }
    }
}

/// Sends the worker the changed placements that are `due`. False if the worker has ended.
async fn send_placements(
    profiles: &mut Profiles,
    commands: &mpsc::Sender<Command>,
    due: impl Fn(Placement) -> bool,
) -> bool {
    for (name, placement) in profiles.take_placements(due) {
        if commands.send(Command::Placement { name, placement, at: Instant::now() }).await.is_err() {
            return false;
        }
    }
    true
}

/// Keeps `view` at what the API server has shown of the node's status object.
pub async fn node_status(
    client: Client,
    node: NodeName,
    view: watch::Sender<StatusObjectState>,
    word: watch::Sender<Option<Excluded>>,
    load: watch::Receiver<ClusterLoad>,
    measured: Watch,
) {
    let spread = Spread::default();
    let config = config(&node).fields(&format!("metadata.name={node}"));
    let events = WatchStream::<Untrusted<NodeProfileStatus>>::observed(client, config, measured)
        .streaming_lists()
        .coming_back_within(&spread);
    let mut changes = LoggedChanges::new(events, node, Kind::NodeStatus.as_str());
    loop {
        spread.set(load.borrow().coming_back());
        match changes.next().await {
            Change::Apply(object, Origin::List) => {
                heard(&word, NodeProfileStatusSpec::excluded_in(&object.spec));
                view.send_replace(StatusObjectState::Listed(object.into()));
            }
            Change::Apply(object, Origin::Watch) => {
                heard(&word, NodeProfileStatusSpec::excluded_in(&object.spec));
                view.send_replace(StatusObjectState::Watched(object.into()));
            }
            Change::Gone(object) => {
                if view.send_if_modified(|view| view.gone(&object.uid)) {
                    heard(&word, Excluded::new());
                }
            }
            Change::Complete => {
                if view.send_if_modified(StatusObjectState::list_complete) {
                    heard(&word, Excluded::new());
                }
            }
        }
    }
}

/// Passes on what the operator says, if that has changed.
fn heard(word: &watch::Sender<Option<Excluded>>, excluded: Excluded) {
    word.send_if_modified(|word| {
        let changes = word.as_ref() != Some(&excluded);
        *word = Some(excluded);
        changes
    });
}

/// The changes of one watch, with its failures in the log.
struct LoggedChanges<K> {
    changes: Changes<K>,
    interrupted: bool,
    node: NodeName,
    kind: &'static str,
}

impl<K> LoggedChanges<K>
where
    K: Resource<DynamicType = ()> + Clone + fmt::Debug + DeserializeOwned + Send + 'static,
{
    fn new(events: WatchStream<K>, node: NodeName, kind: &'static str) -> Self {
        Self { changes: Changes::new(events), interrupted: false, node, kind }
    }

    async fn next(&mut self) -> Change<K> {
        loop {
            let (node, kind) = (&self.node, self.kind);
            match self.changes.next().await {
                Ok(change) => {
                    if std::mem::take(&mut self.interrupted) {
                        tracing::info!(%node, kind, "the watch works again");
                    }
                    return change;
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
