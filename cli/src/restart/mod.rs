//! `restart`: restarts the workloads with containers that may be under an earlier filter of a profile.
//!
//! Each is restarted as its kind does it: a change of its pod template, the same that `kubectl rollout restart` makes.
//! One after the other, and the first one that does not become ready ends it: a profile that a program does not survive
//! then takes down one workload. Everything happens with the user's own rights.

pub(crate) mod awaited;
mod plan;
mod requests;
pub(crate) mod rollout;
mod turn;

use std::collections::BTreeSet;
use std::time::Duration;

use clap::Args;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use tokio::time::{Instant, sleep};

use crate::duration::duration;
use crate::error::CliError;
use crate::facts::{ProfileSummary, Snapshot};
use crate::outdated::{OutdatedView, OutdatedWorkload};
use crate::read;
use crate::show::{Paint, count, escaped};

use plan::{Plan, Restart};
use turn::{Ended, answered};

/// The options of `restart`.
#[derive(Debug, Clone, Args)]
pub struct RestartArgs {
    /// The profile
    profile: String,
    /// Restart only workloads of this namespace
    #[arg(long, short, value_name = "NAME")]
    namespace: Option<String>,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Show what would be restarted, and change nothing
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// How long each workload may take to become ready, and old pods to end after the last one
    #[arg(long, default_value = "5m", value_parser = duration, value_name = "TIME")]
    timeout: Duration,
    /// How long to wait between two workloads
    #[arg(long, default_value = "0s", value_parser = duration, value_name = "TIME")]
    pause: Duration,
}

/// Between two requests about the same object.
const POLL: Duration = Duration::from_millis(500);
/// Between two lists of the pods.
const LIST: Duration = Duration::from_secs(2);
/// A report states a time that is rounded up to a second, and a pod's start is rounded down: a pod that starts this long
/// after a report was read counts as younger than the file.
const SECOND: Duration = Duration::from_secs(1);

/// The other side of the command: a terminal, or a test.
pub trait Dialogue {
    /// Prints text.
    ///
    /// # Errors
    /// It cannot be written.
    fn say(&mut self, text: &str) -> Result<(), CliError>;

    /// Asks a question to be answered with yes or no.
    ///
    /// # Errors
    /// Nobody can answer.
    fn ask(&mut self, question: &str) -> Result<bool, CliError>;
}

/// Runs the command. Returns whether no container is under an earlier filter any more, of the namespace if there is one in
/// the options; false if nobody can tell it of some. For a dry run: whether the plan was made.
///
/// # Errors
/// The profile does not exist or is not Ready, nobody said yes, or the cluster cannot be read or changed.
pub async fn restart(
    client: &Client,
    args: &RestartArgs,
    paint: Paint,
    dialogue: &mut dyn Dialogue,
) -> Result<bool, CliError> {
    let (view, snapshot) = outdated(client, args).await?;
    if view.workloads.is_empty() {
        dialogue.say(&view.render(paint, Timestamp::now()))?;
        remarks(&view, dialogue)?;
        return Ok(args.dry_run || view.is_none_left());
    }
    if !is_ready(&snapshot, args) {
        return Err(CliError::NotReady(args.profile.clone()));
    }
    let mut objects = Vec::new();
    for workload in &view.workloads {
        objects.push(requests::object(client, workload).await?);
    }
    let plan = Plan::of(&view, &objects);
    dialogue.say(&plan.render(paint, Timestamp::now()))?;
    remarks(&view, dialogue)?;
    if args.dry_run {
        return Ok(true);
    }
    if plan.restarts.is_empty() && plan.ending.is_empty() {
        return Ok(false);
    }
    if !plan.restarts.is_empty()
        && !args.yes
        && !dialogue.ask(&format!("Restart {}?", count(plan.restarts.len(), "workload")))?
    {
        return Err(CliError::NotConfirmed);
    }
    let mut replaced = plan.ending;
    for (number, Restart { workload, .. }) in plan.restarts.iter().enumerate() {
        if number > 0 {
            sleep(args.pause).await;
        }
        match turn::take(client, args, workload, paint, dialogue).await {
            Ok(Ended::Replaced) => replaced.push(workload.clone()),
            Ok(Ended::Skipped) => {}
            halted @ (Ok(Ended::Halted) | Err(_)) => {
                let open = plan.restarts.len() - number - 1;
                dialogue.say(&format!("{} not restarted\n", count(open, "more workload")))?;
                return halted.map(|_| false);
            }
        }
    }
    last_pods_end(client, args, &replaced, paint, dialogue).await
}

/// Whether the profile is Ready.
fn is_ready(snapshot: &Snapshot, args: &RestartArgs) -> bool {
    snapshot.profiles.get(&args.profile).is_some_and(ProfileSummary::is_ready)
}

/// The workloads with outdated containers, and the profile with the nodes.
async fn outdated(client: &Client, args: &RestartArgs) -> Result<(OutdatedView, Snapshot), CliError> {
    let snapshot = read::snapshot(client, Some(&args.profile)).await?;
    let view = read::outdated(client, args.namespace.as_deref(), &snapshot, Some(&args.profile)).await?;
    Ok((view, snapshot))
}

fn remarks(view: &OutdatedView, dialogue: &mut dyn Dialogue) -> Result<(), CliError> {
    view.remarks().iter().try_for_each(|remark| dialogue.say(&format!("{}\n", escaped(remark))))
}

/// Waits until the old pods of these workloads have ended. Returns whether no container is under an earlier filter then.
async fn last_pods_end(
    client: &Client,
    args: &RestartArgs,
    replaced: &[OutdatedWorkload],
    paint: Paint,
    dialogue: &mut dyn Dialogue,
) -> Result<bool, CliError> {
    let replaced: BTreeSet<_> = replaced.iter().map(OutdatedWorkload::workload).collect();
    let until = Instant::now() + args.timeout;
    loop {
        let (view, _) = answered(until, async || outdated(client, args).await).await?;
        let open: Vec<_> = view.workloads.iter().filter(|it| replaced.contains(&it.workload())).collect();
        if open.is_empty() {
            let profile = escaped(&args.profile);
            let text = match view.workloads.len() {
                0 => view.render(paint, Timestamp::now()),
                left => format!("{} left under an earlier filter of {profile}\n", count(left, "workload")),
            };
            dialogue.say(&text)?;
            remarks(&view, dialogue)?;
            return Ok(view.is_none_left());
        }
        if Instant::now() >= until {
            for it in open {
                let why = if it.note().is_empty() { "they have not ended".to_owned() } else { it.note() };
                let (name, pods) = (it.title(), it.outdated_text());
                let text = format!("{name}: {pods} still under an earlier filter: {why}");
                dialogue.say(&format!("{}\n", escaped(text)))?;
            }
            return Ok(false);
        }
        sleep(LIST).await;
    }
}
