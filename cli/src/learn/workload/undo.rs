//! Everything is as it was: what the workload had, and what the result has replaced.

use std::time::Duration;

use api::ProfileName;
use kube::Client;
use serde_json::Value;

use super::Console;
use super::error::WorkloadError;
use super::plan::Names;
use super::replaced::{Replaced, Undo};
use super::requests::{FOR, FROM_LEARNED, FROM_LEARNING, Place, is_from};
use super::stop::Stop;
use super::template::{self, Stored};
use super::waits::{patiently, rolled_out};
use crate::error::CliError;
use crate::restart::rollout::Kind;
use crate::show::escaped;

/// What a learning has changed.
#[derive(Clone, Copy)]
pub(super) struct Restored<'r> {
    pub(super) workload: &'r Place,
    pub(super) learning: &'r ProfileName,
    pub(super) result: &'r ProfileName,
}

/// Puts back what the result has replaced and what a workload had, and deletes the profile that logs: the operator keeps its
/// files as long as a pod uses them. `None` if the workload was under none of it; otherwise the places where somebody else has
/// put another profile, which stays.
pub(super) async fn restore(
    client: &Client,
    names: Restored<'_>,
    timeout: Duration,
    stop: &mut Stop<'_>,
) -> Result<Option<Vec<String>>, CliError> {
    let (learning, result) = (Place::profile(names.learning.as_str()), Place::profile(names.result.as_str()));
    // Of the first try that got so far.
    let was = std::cell::RefCell::new(None);
    let restored = async || {
        let found = names.workload.get(client).await?;
        let is_under = found.as_ref().map(Stored::of).transpose()?.flatten().is_some();
        let logging = learning.get(client).await?.filter(|it| is_from(it, FROM_LEARNING));
        if let Some(found) = found.filter(|_| is_under) {
            // Before the workload: what is stored with it says that this is still to be done.
            if let Some(replaced) = logging.as_ref().map(Replaced::of).transpose()?.flatten() {
                undo_result(client, &result, &replaced).await?;
            }
            let taken = template::taken(&found)?;
            names.workload.change(client, template::restored).await?;
            was.borrow_mut().get_or_insert(taken);
        }
        match logging {
            Some(found) => learning.delete(client, &found).await,
            None => Ok(()),
        }
    };
    patiently(timeout, stop, restored).await?;
    Ok(was.into_inner())
}

/// Puts back what was there before the result, if the result is still there.
async fn undo_result(client: &Client, place: &Place, replaced: &Replaced) -> Result<(), CliError> {
    let Some(found) = place.get(client).await?.filter(|it| is_from(it, FROM_LEARNED)) else { return Ok(()) };
    match replaced.undo(&found) {
        Undo::Nothing => Ok(()),
        Undo::Delete => place.delete(client, &found).await,
        Undo::Replace(_) => {
            let edit = |found: &Value| match replaced.undo(found) {
                Undo::Replace(new) => Ok(new),
                Undo::Nothing | Undo::Delete => Ok(found.clone()),
            };
            place.change(client, edit).await.map(drop)
        }
    }
}

/// Says what was not put back.
pub(super) fn left(title: &str, taken: &[String]) -> String {
    if taken.is_empty() {
        return String::new();
    }
    format!("{title}: somebody else has given {} another profile, which stays\n", escaped(taken.join(", ")))
}

/// `--undo`: ends what a killed run has left.
///
/// # Errors
/// There is nothing, or the cluster cannot be read or changed.
pub(super) async fn undo(
    client: &Client,
    names: &Names,
    result: &ProfileName,
    (kind, timeout): (Kind, Duration),
    console: &mut impl Console,
    mut stop: Stop<'_>,
) -> Result<(), CliError> {
    let found = names.read(client).await?;
    let title = escaped(&names.title);
    let stored = Stored::of(&found)?;
    if let Some(stored) = stored.as_ref().filter(|it| it.profile != names.learning.as_str()) {
        return Err(WorkloadError::OtherRun(stored.profile.clone()).into());
    }
    let logging = Place::profile(names.learning.as_str()).get(client).await?;
    let logging = logging.filter(|it| is_from(it, FROM_LEARNING));
    let is_own = logging.is_some_and(|it| it["metadata"]["annotations"][FOR] == names.title);
    if stored.is_none() && !is_own {
        return Err(WorkloadError::NothingToUndo.into());
    }
    let names_of = Restored { workload: &names.place, learning: &names.learning, result };
    match restore(client, names_of, timeout, &mut stop).await? {
        None => console.say(&format!(
            "{title} was not under {}, which is deleted: its profile is as it was\n",
            names.learning
        )),
        Some(taken) => {
            console.say(&left(&title, &taken))?;
            rolled_out(client, &names.place, (&names.title, kind), timeout, &mut stop).await?;
            console.say(&format!("{title} has its former profile again\n"))
        }
    }
}
