//! Whether a list of all pods names a user of a profile that the index does not know.
//!
//! Before a file goes from the nodes it must be certain that no pod needs it. News of a pod that was created before the
//! deletion may come after it, by seconds where the API server is busy: the watches of two kinds are not in order, and
//! nothing in a watch says how far it is behind. A list that is asked for without a version is as of now, whatever the
//! watches have brought, so one is made before each leave to remove a file. One list serves every deletion that was
//! known before it began, and nobody waits for one that somebody else makes: two hundred profiles that are deleted
//! together cost two or three lists, and hold up no other profile meanwhile.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::core::v1::Node;
use kube::api::ListParams;
use kube::{Api, Client};
use link::client::within;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::{Duration, Instant};

use crate::facts::{PodFacts, PodKind, WatchedPod};
use crate::watch::{Pods, WatchedKind};
use crate::writer::WriteError;

/// Pods that may use a profile: those that have ended need no file.
const NOT_ENDED: &str = "status.phase!=Succeeded,status.phase!=Failed";

/// How long a list that has ended serves those who asked before it began.
const FRESH: Duration = Duration::from_secs(5);

/// How long nobody lists after a list that failed: those who wait would otherwise each try in turn.
const FAILED: Duration = Duration::from_secs(5);

/// How many who asked may be remembered. Each is there from its first question to its answer, or to the next one of an
/// object of that name.
const MOST_ASKED: usize = 10_000;
/// Nodes a page, of which the names alone are wanted.
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

/// What is known of lists.
#[derive(Debug, Default)]
struct Known {
    /// Since when each profile waits for a list, by its uid.
    asked: HashMap<Box<str>, Instant>,
    last: Option<Arc<PodList>>,
    failed: Option<Instant>,
}

/// Lists of all pods, one at a time.
#[derive(Debug)]
pub struct PodLists {
    pods: Api<WatchedPod>,
    nodes: Api<Node>,
    kind: Pods,
    known: Mutex<Known>,
    lister: AsyncMutex<()>,
}

impl PodLists {
    /// Lists through `client`; `kind` says what a pod is to us.
    #[must_use]
    pub fn new(client: Client, kind: Pods) -> Self {
        let (known, lister) = (Mutex::default(), AsyncMutex::default());
        Self { pods: Api::all(client.clone()), nodes: Api::all(client), kind, known, lister }
    }

    /// A list that began after this was first called for the profile with this uid; `None` while somebody else makes
    /// one, or none could be had a moment ago: ask again.
    ///
    /// # Errors
    /// The API server did not answer, or not to every page.
    pub async fn list(&self, uid: &str) -> Result<Option<Arc<PodList>>, WriteError> {
        if let Some(list) = self.answer(uid, Instant::now()) {
            return Ok(Some(list));
        }
        let Ok(_lister) = self.lister.try_lock() else { return Ok(None) };
        let began = Instant::now();
        if self.has_failed() {
            return Ok(None);
        }
        // What an earlier one has found is of no use to anybody any more.
        self.known().last = None;
        let users = self.users().await;
        let ended = Instant::now();
        let mut known = self.known();
        known.failed = users.is_err().then_some(ended);
        known.last = Some(Arc::new(PodList { began, ended, users: users? }));
        drop(known);
        Ok(self.answer(uid, ended))
    }

    /// Whether a list could not be had a moment ago.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.known().failed.is_some_and(|failed| failed + FAILED > Instant::now())
    }

    /// The last list, if it began after the profile with this uid asked for one. Remembers that it asks.
    fn answer(&self, uid: &str, now: Instant) -> Option<Arc<PodList>> {
        let mut known = self.known();
        if known.asked.len() >= MOST_ASKED {
            known.asked.clear();
        }
        let asked = *known.asked.entry(uid.into()).or_insert(now);
        let list = known.last.clone().filter(|list| list.began >= asked && list.ended + FRESH > now)?;
        known.asked.remove(uid);
        Some(list)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        // No step of it can panic half way.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether any of these nodes is there as of now. They are listed and not asked for one by one: whoever may create pods
    /// may name any number of nodes.
    ///
    /// # Errors
    /// The API server did not answer, or not to every page.
    pub async fn any_is_there(&self, nodes: &BTreeSet<String>) -> Result<bool, WriteError> {
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

    /// The users as of now, page by page: what a page holds beside is let go before the next is asked for.
    async fn users(&self) -> Result<Vec<PodFacts>, WriteError> {
        let mut users = Vec::new();
        let mut page = ListParams::default().limit(Pods::PAGE).fields(NOT_ENDED);
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
