//! The changes of the cluster: a round begins, the result is applied, everything is as it was.

use std::collections::BTreeSet;
use std::time::Duration;

use kube::Client;
use serde_json::Value;
use syscalls::Syscall;
use tokio::time::Instant;

use super::Console;
use super::error::WorkloadError;
use super::plan::{Names, Plan};
use super::requests::{FOR, FROM_LEARNING, Place, is_from, rollout};
use super::sightings::Cluster;
use super::stop::Stop;
use super::template::{self, Stored};
use crate::error::CliError;
use crate::facts::ProfileSummary;
use crate::read;
use crate::restart::rollout::{Kind, Rollout};
use crate::show::escaped;
use crate::wait::{Progress, WaitFor};

/// Between two requests about an object that is to become ready.
const POLL: Duration = Duration::from_millis(500);
/// A node's report states times in seconds: a pod that starts so long after it counts as younger than the file.
const SECOND: Duration = Duration::from_secs(1);

/// What a learning changes in the cluster.
pub(super) struct Steps<'s> {
    pub(super) client: &'s Client,
    pub(super) plan: &'s Plan,
    /// How long each may take.
    pub(super) timeout: Duration,
    pub(super) stop: Stop<'s>,
}

impl<'s> Steps<'s> {
    /// Lets the workload run under the profile that logs all but these calls, and waits until its pods do.
    ///
    /// # Errors
    /// It is not ready in time, or the cluster cannot be read or changed.
    pub(super) async fn begin_round(
        &mut self,
        round: u32,
        known: &BTreeSet<Syscall>,
    ) -> Result<(), CliError> {
        let plan = self.plan;
        self.put(&Place::profile(plan.learning.as_str()), &plan.logging(known)?).await?;
        self.ready(plan.learning.as_str()).await?;
        self.stop.pause(SECOND).await?;
        let path = plan.path(&plan.learning);
        let edit = |it: &Value| template::under_learning(it, &plan.target, &plan.learning, &path, round);
        plan.place.change(self.client, edit).await?;
        self.rolled_out().await
    }

    /// What the observers and pods say, while the workload is still in its round.
    ///
    /// # Errors
    /// It is not, or the cluster cannot be read.
    pub(super) async fn look(&self, round: u32) -> Result<Cluster, CliError> {
        let workload = self.plan.place.get(self.client).await?;
        let Plan { target, learning, .. } = self.plan;
        let path = self.plan.path(learning);
        let is_in_round = |it: Value| template::is_in_round(&it, target, learning, &path, round);
        if !workload.is_some_and(is_in_round) {
            return Err(WorkloadError::Changed.into());
        }
        self.plan.cluster(self.client).await
    }

    /// Applies the result, and lets the workload run under it. If its pods do not become ready, the result is as it was
    /// before.
    ///
    /// # Errors
    /// They do not, or the cluster cannot be read or changed.
    pub(super) async fn apply(&mut self, result: &Value) -> Result<(), CliError> {
        let place = Place::profile(self.plan.name.as_str());
        self.put(&place, result).await?;
        let applied = self.point_to_result().await;
        if applied.is_err() {
            match &self.plan.existing {
                Some(before) => replace(self.client, &place, before).await?,
                None => place.delete(self.client).await?,
            }
        }
        applied
    }

    async fn point_to_result(&mut self) -> Result<(), CliError> {
        let plan = self.plan;
        self.ready(plan.name.as_str()).await?;
        self.stop.pause(SECOND).await?;
        let path = plan.path(&plan.name);
        let edit = |it: &Value| template::pointed(it, &plan.target, &plan.learning, &path);
        plan.place.change(self.client, edit).await?;
        self.rolled_out().await
    }

    /// Ends a learning whose result is in force: nothing of it is left but the result.
    ///
    /// # Errors
    /// The cluster cannot be read or changed.
    pub(super) async fn finish(&self, console: &mut impl Console) -> Result<(), CliError> {
        self.plan.place.change(self.client, |it| Ok(template::forgotten(it))).await?;
        Place::profile(self.plan.learning.as_str()).delete(self.client).await?;
        console.say(&format!("{} runs under {}\n", escaped(&self.plan.title), self.plan.name))
    }

    /// Gives the workload its former profile again. `stop` ends the wait for its pods.
    ///
    /// # Errors
    /// The cluster cannot be read or changed; what is left to be done is said.
    pub(super) async fn restore(
        &mut self,
        console: &mut impl Console,
        stop: Stop<'s>,
    ) -> Result<(), CliError> {
        let title = escaped(&self.plan.title);
        self.stop = stop;
        // Also if nobody reads it any more.
        let _ = console.progress(&format!("{title}: its former profile is put back"));
        let learning = Place::profile(self.plan.learning.as_str());
        let restored =
            match restore(self.client, &self.plan.place, &learning, self.timeout, &mut self.stop).await {
                Ok(false) => return Ok(()),
                Ok(true) => self.rolled_out().await,
                Err(error) => {
                    console.say(&format!("{title}: run the command again with --undo\n"))?;
                    return Err(error);
                }
            };
        match restored {
            // The wait for the pods was stopped.
            Err(error) if !is_stopped(&error) => Err(error),
            _ => console.say(&format!("{title} has its former profile again\n")),
        }
    }

    /// Creates the profile, or replaces its spec and labels.
    async fn put(&mut self, place: &Place, object: &Value) -> Result<(), CliError> {
        let until = Instant::now() + self.timeout;
        loop {
            match place.get(self.client).await? {
                None => return place.create(self.client, object).await.map(drop),
                Some(found) if found["metadata"]["deletionTimestamp"].is_null() => {
                    return replace(self.client, place, object).await;
                }
                // An earlier run has deleted it, and a pod of that still ends.
                Some(found) if Instant::now() >= until => {
                    let what = found["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                    let why = "it is being deleted, and a pod still uses it".to_owned();
                    return Err(WorkloadError::NotReady { what, why }.into());
                }
                Some(_) => self.stop.pause(POLL).await?,
            }
        }
    }

    /// Waits until every node has the profile.
    async fn ready(&mut self, name: &str) -> Result<(), CliError> {
        let until = Instant::now() + self.timeout;
        loop {
            match read::profile(self.client, name).await {
                Ok(found) if ProfileSummary::of(&found).is_ready() => return Ok(()),
                Err(error) if !error.is_no_answer() => return Err(error),
                _ if Instant::now() < until => self.stop.pause(POLL).await?,
                Err(error) => return Err(error),
                Ok(_) => {
                    let snapshot = read::snapshot(self.client, Some(name)).await?;
                    return match Progress::of(&snapshot, name, WaitFor::Ready) {
                        Progress::Reached(_) => Ok(()),
                        Progress::NotYet(why) | Progress::Never(why) => {
                            Err(WorkloadError::NotReady { what: name.to_owned(), why }.into())
                        }
                    };
                }
            }
        }
    }

    async fn rolled_out(&mut self) -> Result<(), CliError> {
        let Plan { place, title, workload, .. } = self.plan;
        rolled_out(self.client, place, (title, workload.kind), self.timeout, &mut self.stop).await
    }
}

/// Whether the user has stopped the command.
pub(super) fn is_stopped(error: &CliError) -> bool {
    matches!(error, CliError::LearnWorkload(error) if matches!(**error, WorkloadError::Stopped))
}

/// Replaces the spec of a profile, and the labels and annotations that the object has.
async fn replace(client: &Client, place: &Place, object: &Value) -> Result<(), CliError> {
    let edit = |found: &Value| {
        let mut new = found.clone();
        new["spec"] = object["spec"].clone();
        for field in ["labels", "annotations"] {
            for (key, value) in object["metadata"][field].as_object().into_iter().flatten() {
                new["metadata"][field][key] = value.clone();
            }
        }
        Ok(new)
    };
    place.change(client, edit).await.map(drop)
}

/// Waits until the pods of the workload's present template are ready, and no others are left.
async fn rolled_out(
    client: &Client,
    place: &Place,
    (title, kind): (&str, Kind),
    timeout: Duration,
    stop: &mut Stop<'_>,
) -> Result<(), CliError> {
    let until = Instant::now() + timeout;
    let why = loop {
        let why = match place.get(client).await {
            Ok(Some(found)) => match rollout(kind, &found) {
                Rollout::Done => return Ok(()),
                Rollout::Waiting(why) => why,
                Rollout::Failed(why) => break why,
            },
            Ok(None) => break "it was deleted".to_owned(),
            Err(error) if error.is_no_answer() => format!("no answer: {}", error.first_line()),
            Err(error) => return Err(error),
        };
        if Instant::now() >= until {
            break why;
        }
        stop.pause(POLL).await?;
    };
    Err(WorkloadError::NotReady { what: title.to_owned(), why }.into())
}

/// Puts back what a workload had, and deletes the profile that logs: the operator keeps its files as long as a pod uses
/// them. Returns whether there was anything to put back.
async fn restore(
    client: &Client,
    workload: &Place,
    learning: &Place,
    timeout: Duration,
    stop: &mut Stop<'_>,
) -> Result<bool, CliError> {
    let until = Instant::now() + timeout;
    loop {
        let restored = async {
            let was = match workload.get(client).await? {
                Some(found) => Stored::of(&found)?.is_some(),
                None => false,
            };
            if was {
                workload.change(client, template::restored).await?;
            }
            if learning.get(client).await?.is_some_and(|found| is_from(&found, FROM_LEARNING)) {
                learning.delete(client).await?;
            }
            Ok::<_, CliError>(was)
        };
        match restored.await {
            Err(error) if error.is_no_answer() && Instant::now() < until => stop.pause(POLL).await?,
            restored => return restored,
        }
    }
}

/// `--undo`: ends what a killed run has left.
///
/// # Errors
/// There is nothing, or the cluster cannot be read or changed.
pub(super) async fn undo(
    client: &Client,
    names: &Names,
    (kind, timeout): (Kind, Duration),
    console: &mut impl Console,
    mut stop: Stop<'_>,
) -> Result<(), CliError> {
    let found = names.read(client).await?;
    let place = Place::profile(names.learning.as_str());
    let stored = Stored::of(&found)?;
    if let Some(stored) = stored.as_ref().filter(|it| it.profile != names.learning.as_str()) {
        return Err(WorkloadError::OtherRun(stored.profile.clone()).into());
    }
    let learning = place.get(client).await?.filter(|it| is_from(it, FROM_LEARNING));
    let is_own = learning.is_some_and(|it| it["metadata"]["annotations"][FOR] == names.title);
    if stored.is_none() && !is_own {
        return Err(WorkloadError::NothingToUndo.into());
    }
    if restore(client, &names.place, &place, timeout, &mut stop).await? {
        rolled_out(client, &names.place, (&names.title, kind), timeout, &mut stop).await?;
    }
    console.say(&format!("{} has its former profile again\n", escaped(&names.title)))
}
