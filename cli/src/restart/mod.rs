//! `restart`: restarts the workloads with containers that may be under an earlier filter of a profile.
//!
//! Each is restarted as its kind does it: a change of its pod template, the same that `kubectl rollout restart` makes.
//! One after the other, and the first one that does not become ready ends it: a profile that a program does not survive
//! then takes down one workload. Everything happens with the user's own rights.

mod plan;
mod requests;
mod rollout;

use std::collections::BTreeSet;
use std::time::Duration;

use clap::Args;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use tokio::time::{Instant, sleep, sleep_until};

use crate::duration::duration;
use crate::error::CliError;
use crate::facts::Snapshot;
use crate::outdated::OutdatedView;
use crate::read;
use crate::show::{Paint, Tone, age, count, escaped};

use plan::{Plan, Restart};
use rollout::Rollout;

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
    let read_at = Instant::now();
    if view.workloads.is_empty() {
        dialogue.say(&view.render(paint, Timestamp::now()))?;
        remarks(&view, dialogue)?;
        return Ok(args.dry_run || view.is_none_left());
    }
    if let Some(profile) = snapshot.profiles.get(&args.profile).filter(|profile| !profile.is_ready()) {
        return Err(CliError::NotReady(profile.name.clone()));
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
    sleep_until(read_at + SECOND).await;
    for (number, restart) in plan.restarts.iter().enumerate() {
        if number > 0 {
            sleep(args.pause).await;
        }
        if !restart_one(client, restart, args.timeout, paint, dialogue).await? {
            let open = plan.restarts.len() - number - 1;
            dialogue.say(&format!("{} not restarted\n", count(open, "more workload")))?;
            return Ok(false);
        }
    }
    let ended = last_pods_end(client, args, &plan, paint, dialogue).await?;
    Ok(ended && plan.left.is_empty())
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

/// Restarts one workload and waits until it is ready. Returns whether it is.
async fn restart_one(
    client: &Client,
    restart: &Restart,
    timeout: Duration,
    paint: Paint,
    dialogue: &mut dyn Dialogue,
) -> Result<bool, CliError> {
    let it = &restart.workload;
    let name = escaped(format!("{} {}/{}", it.kind, it.namespace, it.name));
    let begun = Timestamp::now();
    requests::restart(client, restart, begun).await?;
    let until = Instant::now() + timeout;
    let why = loop {
        let why = match requests::object(client, it).await?.map(|object| restart.kind.rollout(&object)) {
            None => "it was deleted".to_owned(),
            Some(Rollout::Done) => {
                let took =
                    age(Some(&k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(begun)), Timestamp::now());
                dialogue.say(&format!("{name}: {} after {took}\n", paint.text("ready", Tone::Good)))?;
                return Ok(true);
            }
            Some(Rollout::Waiting(_)) if Instant::now() < until => {
                sleep(POLL).await;
                continue;
            }
            Some(Rollout::Waiting(why) | Rollout::Failed(why)) => why,
        };
        break why;
    };
    dialogue.say(&format!("{name}: {}: {}\n", paint.text("not ready", Tone::Bad), escaped(why)))?;
    Ok(false)
}

/// Waits until the old pods of the restarted workloads, and those that were ending before, have ended. Returns whether no
/// container is under an earlier filter then.
async fn last_pods_end(
    client: &Client,
    args: &RestartArgs,
    plan: &Plan,
    paint: Paint,
    dialogue: &mut dyn Dialogue,
) -> Result<bool, CliError> {
    let key =
        |it: &crate::outdated::OutdatedWorkload| (it.namespace.clone(), it.kind.clone(), it.name.clone());
    let restarted = plan.restarts.iter().map(|restart| &restart.workload);
    let awaited: BTreeSet<_> = restarted.chain(&plan.ending).map(key).collect();
    let until = Instant::now() + args.timeout;
    loop {
        let (view, _) = outdated(client, args).await?;
        let open: Vec<_> = view.workloads.iter().filter(|it| awaited.contains(&key(it))).collect();
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
                let name = format!("{} {}/{}", it.kind, it.namespace, it.name);
                let text = format!("{name}: {} still under an earlier filter: {why}", it.outdated_text());
                dialogue.say(&format!("{}\n", escaped(text)))?;
            }
            return Ok(false);
        }
        sleep(LIST).await;
    }
}
