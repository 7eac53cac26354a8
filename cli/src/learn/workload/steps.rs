//! The changes of the cluster: a round begins, the result is applied, everything is as it was.

use std::collections::BTreeSet;
use std::time::Duration;

use kube::Client;
use profile::Profile;
use serde_json::Value;
use syscalls::Syscall;
use tokio::time::Instant;

use super::Console;
use super::cluster::Cluster;
use super::error::WorkloadError;
use super::plan::{Plan, is_same};
use super::replaced::Replaced;
use super::requests::{FROM_LEARNING, Place, is_from, rollout};
use super::stop::Stop;
use super::template;
use super::undo::{Restored, left, restore};
use super::waits::{POLL, is_stopped, patiently, rolled_out};
use crate::error::CliError;
use crate::facts::ProfileSummary;
use crate::read;
use crate::restart::rollout::Rollout;
use crate::show::escaped;
use crate::wait::{Progress, WaitFor};

/// For how long a workload under its result may be not ready at a time.
const NOT_READY: Duration = Duration::from_secs(15);
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
    /// Lets the workload run under the profile that logs all but these calls, and waits until its pods do. `after` is the
    /// round of this run before, if there was one.
    ///
    /// # Errors
    /// It is not ready in time, somebody else has changed it since, or the cluster cannot be read or changed.
    pub(super) async fn begin_round(
        &mut self,
        round: u32,
        after: Option<u32>,
        known: &BTreeSet<Syscall>,
    ) -> Result<(), CliError> {
        let (plan, client) = (self.plan, self.client);
        let is_expected = |it: &Value| match after {
            Some(after) => self::is_in_round(plan, it, after),
            None => is_as_read(plan, it),
        };
        // Before anything is changed; what happens until the change of the workload shows there.
        let found = self.patiently(async || plan.place.get(client).await).await?;
        if !found.is_some_and(|it| is_expected(&it)) {
            return Err(WorkloadError::Changed.into());
        }
        let logging = plan.logging(known)?;
        let is_own = |it: &Value| is_from(it, FROM_LEARNING);
        self.put(&Place::profile(plan.learning.as_str()), &logging, &is_own).await?;
        self.ready(plan.learning.as_str()).await?;
        self.stop.pause(SECOND).await?;
        let path = plan.path(&plan.learning);
        let edit = |it: &Value| {
            if self::is_in_round(plan, it, round) {
                // An earlier try has arrived.
                Ok(it.clone())
            } else if is_expected(it) {
                template::under_learning(it, &plan.target, &plan.learning, &path, round)
            } else {
                Err(WorkloadError::Changed)
            }
        };
        self.patiently(async || plan.place.change(client, edit).await).await?;
        self.rolled_out().await
    }

    /// What the observers and pods say, while the workload is still in its round.
    ///
    /// # Errors
    /// It is not, or the cluster cannot be read.
    pub(super) async fn look(&self, round: u32) -> Result<Cluster, CliError> {
        self.check_round(round).await?;
        self.plan.cluster(self.client).await
    }

    async fn check_round(&self, round: u32) -> Result<(), CliError> {
        let workload = self.plan.place.get(self.client).await?;
        match workload.is_some_and(|it| is_in_round(self.plan, &it, round)) {
            true => Ok(()),
            false => Err(WorkloadError::Changed.into()),
        }
    }

    /// Applies the result, and lets the workload run under it, if everything is still as in this round. What it replaces is
    /// kept with the profile that logs: [`Self::restore`] and `--undo` put it back.
    ///
    /// # Errors
    /// Somebody else has changed what the result depends on, its pods do not become ready, or the cluster cannot be read or
    /// changed.
    pub(super) async fn apply(&mut self, profile: &Profile, round: u32) -> Result<(), CliError> {
        let (plan, client) = (self.plan, self.client);
        self.patiently(async || self::check(plan, client, round).await).await?;
        let replaced = Replaced::by(profile, plan.existing.as_ref());
        let learning = Place::profile(plan.learning.as_str());
        let stored = |it: &Value| {
            let earlier = Replaced::of(it)?;
            Ok(replaced.clone().after(earlier, plan.existing.as_ref()).stored(it))
        };
        self.patiently(async || learning.change(client, stored).await).await?;
        let result = plan.result(profile);
        let is_as_read =
            |it: &Value| is_same(Some(it), plan.existing.as_ref()) || it["spec"] == result["spec"];
        self.put(&Place::profile(plan.name.as_str()), &result, &is_as_read).await?;
        self.ready(plan.name.as_str()).await?;
        self.stop.pause(SECOND).await?;
        let path = plan.path(&plan.name);
        let edit = |it: &Value| {
            let new = template::pointed(it, &plan.target, &plan.learning, &path)?;
            // An earlier try may have arrived.
            if new == *it || self::is_in_round(plan, it, round) {
                Ok(new)
            } else {
                Err(WorkloadError::Changed)
            }
        };
        self.patiently(async || plan.place.change(client, edit).await).await?;
        self.rolled_out().await
    }

    /// Waits for so long, in which the workload must stay ready: a program may fail at a call that it makes only after its
    /// start. One that is scaled, or whose pods move from a node, is not ready for a moment, which is waited for.
    ///
    /// # Errors
    /// It did not stay ready, a container was started anew, somebody else has changed it, or the cluster cannot be read.
    pub(super) async fn stays_ready(&mut self, settle: Duration) -> Result<(), CliError> {
        let (plan, client) = (self.plan, self.client);
        let not_ready = |why: String| {
            let why = format!("it was ready, and no longer is: {why}");
            CliError::from(WorkloadError::NotReady { what: plan.title.clone(), why })
        };
        let path = plan.path(&plan.name);
        let until = Instant::now() + settle;
        let began = self.patiently(async || plan.cluster(client).await).await?.started(&plan.learners);
        let mut waits_since = None;
        loop {
            self.stop.pause(POLL).await?;
            let found = self.patiently(async || plan.place.get(client).await).await?;
            let Some(found) = found else { return Err(not_ready("it was deleted".to_owned())) };
            if !template::is_under(&found, &plan.target, &plan.learning, &path) {
                return Err(WorkloadError::Changed.into());
            }
            let why = match rollout(plan.workload.kind, &found) {
                Rollout::Failed(why) => return Err(not_ready(why)),
                Rollout::Waiting(why) => Some(why),
                Rollout::Done => None,
            };
            if why.is_none() {
                waits_since = None;
                if Instant::now() < until {
                    continue;
                }
            }
            let now = self.patiently(async || plan.cluster(client).await).await?.started(&plan.learners);
            let restarted = began.iter().find(|(key, started)| now.get(key).is_some_and(|it| it != *started));
            if let Some(((_, container), _)) = restarted {
                return Err(not_ready(format!("its container {container} was started anew")));
            }
            let Some(why) = why else { return Ok(()) };
            let since = *waits_since.get_or_insert_with(Instant::now);
            if since.elapsed() >= NOT_READY {
                return Err(not_ready(why));
            }
        }
    }

    /// Ends a learning whose result is in force: nothing of it is left but the result.
    ///
    /// # Errors
    /// The cluster cannot be read or changed; what is left to be done is said.
    pub(super) async fn finish(
        &mut self,
        console: &mut impl Console,
        stop: Stop<'s>,
    ) -> Result<(), CliError> {
        let (plan, client) = (self.plan, self.client);
        let title = escaped(&plan.title);
        self.stop = stop;
        let finished = async || {
            plan.place.change(client, |it| Ok(template::forgotten(it))).await?;
            let learning = Place::profile(plan.learning.as_str());
            match learning.get(client).await?.filter(|it| is_from(it, FROM_LEARNING)) {
                Some(found) => learning.delete(client, &found).await,
                None => Ok(()),
            }
        };
        if let Err(error) = self.patiently(finished).await {
            let _ = console.say(&format!(
                "{title} runs under {}, but what was stored for an --undo is left: the annotation {} and the SeccompProfile \
                 {}\n",
                plan.name,
                template::LEARNING,
                plan.learning
            ));
            return Err(error);
        }
        console.say(&format!("{title} runs under {}\n", plan.name))
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
        let names =
            Restored { workload: &self.plan.place, learning: &self.plan.learning, result: &self.plan.name };
        let restored = match restore(self.client, names, self.timeout, &mut self.stop).await {
            Ok(None) => return Ok(()),
            Ok(Some(taken)) => {
                let _ = console.say(&left(&title, &taken));
                self.rolled_out().await
            }
            Err(error) => {
                let _ = console.say(&format!("{title}: run the command again with --undo\n"));
                return Err(error);
            }
        };
        match restored {
            // The wait for the pods was stopped.
            Err(error) if !is_stopped(&error) => Err(error),
            _ => {
                let _ = console.say(&format!("{title} has its former profile again\n"));
                Ok(())
            }
        }
    }

    /// Creates the profile, or replaces the spec and labels of one of which `is_expected` is true.
    async fn put(
        &mut self,
        place: &Place,
        object: &Value,
        is_expected: &dyn Fn(&Value) -> bool,
    ) -> Result<(), CliError> {
        let until = Instant::now() + self.timeout;
        let client = self.client;
        let name = || object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        loop {
            match self.patiently(async || place.get(client).await).await? {
                None => match place.create(client, object).await {
                    // It may have arrived.
                    Err(error) if error.is_no_answer() && Instant::now() < until => {
                        self.stop.pause(POLL).await?;
                    }
                    created => return created.map(drop),
                },
                Some(found) if found["metadata"]["deletionTimestamp"].is_null() => {
                    let edit = |found: &Value| match is_expected(found) {
                        true => Ok(replaced(found, object)),
                        false => Err(WorkloadError::ProfileChanged(name())),
                    };
                    return self.patiently(async || place.change(client, edit).await).await.map(drop);
                }
                // An earlier run has deleted it, and a pod of that still ends.
                Some(_) if Instant::now() >= until => {
                    let why = "it is being deleted, and a pod still uses it".to_owned();
                    return Err(WorkloadError::NotReady { what: name(), why }.into());
                }
                Some(_) => self.stop.pause(POLL).await?,
            }
        }
    }

    /// Tries a request anew as long as the API server gives no answer.
    async fn patiently<T>(&mut self, request: impl AsyncFn() -> Result<T, CliError>) -> Result<T, CliError> {
        patiently(self.timeout, &mut self.stop, request).await
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

/// Whether the workload is in this round of the plan.
fn is_in_round(plan: &Plan, workload: &Value, round: u32) -> bool {
    let path = plan.path(&plan.learning);
    template::is_in_round(workload, &plan.target, &plan.learning, &path, round)
}

/// Whether the workload's template, and what is stored with it, is as the plan found it.
fn is_as_read(plan: &Plan, workload: &Value) -> bool {
    let stored = |it: &Value| it["metadata"]["annotations"][template::LEARNING].clone();
    workload["metadata"]["uid"] == plan.found["metadata"]["uid"]
        && workload["spec"]["template"] == plan.found["spec"]["template"]
        && stored(workload) == stored(&plan.found)
}

/// Whether everything is still so that the result fits.
async fn check(plan: &Plan, client: &Client, round: u32) -> Result<(), CliError> {
    let workload = plan.place.get(client).await?;
    if !workload.is_some_and(|it| is_in_round(plan, &it, round)) {
        return Err(WorkloadError::Changed.into());
    }
    plan.check_profiles(client).await
}

/// A profile with the spec of another, and with the labels and annotations that that has.
fn replaced(found: &Value, object: &Value) -> Value {
    let mut new = found.clone();
    new["spec"] = object["spec"].clone();
    for field in ["labels", "annotations"] {
        for (key, value) in object["metadata"][field].as_object().into_iter().flatten() {
            new["metadata"][field][key] = value.clone();
        }
    }
    new
}
