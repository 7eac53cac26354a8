//! Lists of all pods, which show users of a profile that the index does not have yet.
//!
//! Before the operator approves the removal of a file, it must be certain that no pod needs it. The watch event of a
//! pod that was created before the deletion may arrive after it, by seconds where the API server is busy: events of two
//! kinds are not ordered, and a watch does not show how late it is. A list without a resource version has the present
//! state, whatever the watches have delivered, so the operator makes one before each approval. One list serves every
//! deletion that was known before it began, and a reconciliation never waits for a list that another one makes: two
//! hundred profiles that are deleted together cost two or three lists, and delay no other profile.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::core::v1::Node;
use kube::api::ListParams;
use kube::{Api, Client};
use link::client::within;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::{Duration, Instant};

use crate::facts::{PodFacts, PodKind, WatchedPod};
use crate::watch::{PodWatch, WatchedKind};
use crate::writer::WriteError;

/// Pods that may use a profile: those that have ended need no file.
const NOT_ENDED: &str = "status.phase!=Succeeded,status.phase!=Failed";

/// How long a finished list serves the profiles that waited for one before it began.
const FRESH: Duration = Duration::from_secs(5);

/// The cooldown after a list that failed: otherwise each waiting profile would try in turn.
const FAILED: Duration = Duration::from_secs(5);

/// How many waiting profiles are remembered, each from its first call until it gets a list.
const MAX_WAITING: usize = 10_000;
/// Nodes in one page of a list, of metadata only.
const NODES_A_PAGE: u32 = 500;

/// The pods that name a profile, as of one list.
#[derive(Debug)]
pub struct PodList {
    began: Instant,
    ended: Instant,
    users: Vec<PodFacts>,
}

impl PodList {
    /// The pods that name some profile.
    #[must_use]
    pub fn users(&self) -> &[PodFacts] {
        &self.users
    }
}

/// The last list, and which profiles wait for the next one.
#[derive(Debug, Default)]
struct State {
    /// Since when each profile waits for a list, by its uid.
    waiting: HashMap<Box<str>, Instant>,
    last: Option<Arc<PodList>>,
    failed: Option<Instant>,
}

/// Lists of all pods, one at a time.
#[derive(Debug)]
pub struct PodLists {
    pods: Api<WatchedPod>,
    nodes: Api<Node>,
    kind: PodWatch,
    state: Mutex<State>,
    lister: AsyncMutex<()>,
}

impl PodLists {
    /// Lists of pods through `client`; `kind` takes the facts from them.
    #[must_use]
    pub fn new(client: Client, kind: PodWatch) -> Self {
        let (state, lister) = (Mutex::default(), AsyncMutex::default());
        Self { pods: Api::all(client.clone()), nodes: Api::all(client), kind, state, lister }
    }

    /// A list that began after this was first called for the profile with this uid; `None` while another caller makes
    /// one, or during the cooldown after a failure: call again.
    ///
    /// # Errors
    /// The API server did not answer the request for some page.
    pub async fn list(&self, uid: &str) -> Result<Option<Arc<PodList>>, WriteError> {
        if let Some(list) = self.last_for(uid, Instant::now()) {
            return Ok(Some(list));
        }
        let Ok(_lister) = self.lister.try_lock() else { return Ok(None) };
        let began = Instant::now();
        if self.has_failed() {
            return Ok(None);
        }
        // The last list serves no profile any more.
        self.state().last = None;
        let users = self.users().await;
        let ended = Instant::now();
        let mut state = self.state();
        state.failed = users.is_err().then_some(ended);
        state.last = Some(Arc::new(PodList { began, ended, users: users? }));
        drop(state);
        Ok(self.last_for(uid, ended))
    }

    /// Whether a list failed so recently that no other is made.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.state().failed.is_some_and(|failed| failed + FAILED > Instant::now())
    }

    /// The last list, if it began after the profile with this uid began to wait for one. Otherwise the profile waits.
    fn last_for(&self, uid: &str, now: Instant) -> Option<Arc<PodList>> {
        let mut state = self.state();
        if state.waiting.len() >= MAX_WAITING {
            state.waiting.clear();
        }
        let since = *state.waiting.entry(uid.into()).or_insert(now);
        let list = state.last.clone().filter(|list| list.began >= since && list.ended + FRESH > now)?;
        state.waiting.remove(uid);
        Some(list)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // Nothing under the lock can panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether any of these nodes exists now. The nodes are listed and not read one by one, because whoever may create
    /// pods may name any number of nodes.
    ///
    /// # Errors
    /// The API server did not answer the request for some page.
    pub async fn any_node_exists(&self, nodes: &BTreeSet<String>) -> Result<bool, WriteError> {
        let mut page = ListParams::default().limit(NODES_A_PAGE);
        loop {
            let listed = within(self.nodes.list_metadata(&page)).await.map_err(WriteError::Unlisted)?;
            let mut names = listed.items.iter().filter_map(|node| node.metadata.name.as_ref());
            if names.any(|name| nodes.contains(name)) {
                return Ok(true);
            }
            match listed.metadata.continue_ {
                Some(next) if !next.is_empty() => page.continue_token = Some(next),
                _ => return Ok(false),
            }
        }
    }

    /// The present users, page by page. Other pods of a page are dropped before the next page is requested.
    async fn users(&self) -> Result<Vec<PodFacts>, WriteError> {
        let mut users = Vec::new();
        let mut page = ListParams::default().limit(PodWatch::PAGE).fields(NOT_ENDED);
        loop {
            let pods = within(self.pods.list(&page)).await.map_err(WriteError::Unlisted)?;
            let facts = pods.items.iter().map(|pod| self.kind.facts(pod));
            users.extend(facts.filter(|pod| matches!(pod.kind, PodKind::User(_))));
            match pods.metadata.continue_ {
                Some(next) if !next.is_empty() => page.continue_token = Some(next),
                _ => return Ok(users),
            }
        }
    }
}
