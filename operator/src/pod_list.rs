//! Whether a list of all pods names a user of a profile that the index does not know.
//!
//! Before a file goes from the nodes it must be certain that no pod needs it. News of a pod that was created before the
//! deletion may come after it, by seconds where the API server is busy: the watches of two kinds are not in order, and
//! nothing in a watch says how far it is behind. A list that is asked for without a version is as of now, whatever the
//! watches have brought, so one is made before each leave to remove a file. One list serves every deletion that was
//! seen before it began: twenty profiles that are deleted together cost two or three.

use std::sync::Arc;

use daemon::client::within;
use kube::api::ListParams;
use kube::{Api, Client};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::facts::{PodFacts, PodKind, WatchedPod};
use crate::watch::{Pods, Watched};
use crate::writer::WriteError;

/// Pods that may use a profile: those that have ended need no file.
const NOT_ENDED: &str = "status.phase!=Succeeded,status.phase!=Failed";

/// The pods that name a profile, as of one list.
#[derive(Debug)]
pub struct PodList {
    began: Instant,
    users: Vec<PodFacts>,
}

impl PodList {
    /// The pods that name some profile.
    #[must_use]
    pub fn users(&self) -> &[PodFacts] {
        &self.users
    }
}

/// Lists of all pods, one at a time.
#[derive(Debug)]
pub struct PodLists {
    pods: Api<WatchedPod>,
    kind: Pods,
    last: Mutex<Option<Arc<PodList>>>,
}

impl PodLists {
    /// Lists through `client`; `kind` says what a pod is to us.
    #[must_use]
    pub fn new(client: Client, kind: Pods) -> Self {
        Self { pods: Api::all(client), kind, last: Mutex::default() }
    }

    /// A list that began after this was called. Whoever calls while one is under way waits for it and shares the next.
    ///
    /// # Errors
    /// The API server did not answer, or not to every page.
    pub async fn list(&self) -> Result<Arc<PodList>, WriteError> {
        let asked = Instant::now();
        let mut last = self.last.lock().await;
        if let Some(list) = last.as_ref().filter(|list| list.began >= asked) {
            return Ok(list.clone());
        }
        // What an earlier one has found is of no use to anybody any more.
        *last = None;
        let list = Arc::new(PodList { began: Instant::now(), users: self.users().await? });
        *last = Some(list.clone());
        Ok(list)
    }

    /// The users as of now, page by page: what a page holds beside is let go before the next is asked for.
    async fn users(&self) -> Result<Vec<PodFacts>, WriteError> {
        let mut users = Vec::new();
        let mut page = ListParams::default().limit(Pods::PAGE).fields(NOT_ENDED);
        loop {
            let pods = within(self.pods.list(&page)).await?;
            let facts = pods.items.iter().map(|pod| self.kind.facts(pod));
            users.extend(facts.filter(|pod| matches!(pod.kind, PodKind::User(_))));
            match pods.metadata.continue_ {
                Some(next) if !next.is_empty() => page.continue_token = Some(next),
                _ => return Ok(users),
            }
        }
    }
}
