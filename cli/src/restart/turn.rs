//! A workload's turn: what is known of it is read again, it is restarted, and its new pods are awaited.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use tokio::time::{Instant, sleep};

use super::awaited::until_done;
use super::plan::{Decision, Restart};
use super::{Dialogue, POLL, RestartArgs, SECOND, is_ready, requests};
use crate::error::CliError;
use crate::outdated::OutdatedWorkload;
use crate::read;
use crate::show::{Paint, Tone, age, escaped};

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// The workload's new pods are ready, and its old ones have ended or are ending.
    Replaced,
    /// The workload was left as it is.
    Skipped,
    /// No further workload may be restarted.
    Halted,
}

/// What is to be done at a workload's turn.
enum Turn {
    /// Nothing any more: a new pod may start under the profile's earlier contents.
    NotReady,
    /// Nothing for this workload: it has no outdated container any more.
    Current,
    /// This.
    Decided(Box<Decision>),
}

/// Takes a workload's turn. Its state may have changed since the plan was made: while the user was asked, or while the
/// workloads before it became ready.
///
/// # Errors
/// The cluster cannot be read or changed. Requests without an answer are repeated for as long as the workload may take.
pub(super) async fn take(
    client: &Client,
    args: &RestartArgs,
    planned: &OutdatedWorkload,
    paint: Paint,
    dialogue: &mut dyn Dialogue,
) -> Result<Ended, CliError> {
    let name = escaped(planned.title());
    let until = Instant::now() + args.timeout;
    match answered(until, async || decide(client, args, planned).await).await? {
        Turn::NotReady => {
            let profile = escaped(&args.profile);
            let advice = format!("wait with `kubectl seccomp wait {profile}`");
            dialogue.say(&format!("{name}: not restarted: {profile} is not Ready any more: {advice}\n"))?;
            Ok(Ended::Halted)
        }
        Turn::Current => {
            dialogue.say(&format!("{name}: skipped: no outdated container of it is found any more\n"))?;
            Ok(Ended::Skipped)
        }
        Turn::Decided(decision) => match *decision {
            Decision::Ending(_) => {
                dialogue.say(&format!("{name}: skipped: its old pods are ending\n"))?;
                Ok(Ended::Replaced)
            }
            Decision::Leave(_, why) => {
                dialogue.say(&format!("{name}: skipped: {}\n", escaped(why)))?;
                Ok(Ended::Skipped)
            }
            Decision::Restart(restart) => {
                // A report may state a change that was in the second in which it was read.
                sleep(SECOND).await;
                restart_one(client, args, &restart, paint, dialogue).await
            }
        },
    }
}

/// What is to be done with a workload by the present state of the cluster.
async fn decide(client: &Client, args: &RestartArgs, planned: &OutdatedWorkload) -> Result<Turn, CliError> {
    let profile = Some(args.profile.as_str());
    let snapshot = read::snapshot(client, profile).await?;
    if !is_ready(&snapshot, args) {
        return Ok(Turn::NotReady);
    }
    let view = read::outdated(client, Some(&planned.namespace), &snapshot, profile).await?;
    let mut workloads = view.workloads.into_iter();
    let Some(workload) = workloads.find(|it| it.workload() == planned.workload()) else {
        return Ok(Turn::Current);
    };
    let object = requests::object(client, &workload).await?;
    Ok(Turn::Decided(Box::new(Decision::of(workload, object.as_ref()))))
}

/// Restarts a workload and waits until it is ready.
async fn restart_one(
    client: &Client,
    args: &RestartArgs,
    restart: &Restart,
    paint: Paint,
    dialogue: &mut dyn Dialogue,
) -> Result<Ended, CliError> {
    let name = escaped(restart.workload.title());
    let begun = Timestamp::now();
    let until = Instant::now() + args.timeout;
    // The same patch twice is one restart.
    answered(until, async || requests::restart(client, restart, begun).await).await?;
    let look = async || {
        let found = requests::object(client, &restart.workload).await?;
        Ok(found.map(|object| restart.kind.rollout(&object)))
    };
    let pause = async || {
        sleep(POLL).await;
        Ok(())
    };
    let Some(why) = until_done(until, look, pause).await? else {
        let took = age(Some(&Time(begun)), Timestamp::now());
        dialogue.say(&format!("{name}: {} after {took}\n", paint.text("ready", Tone::Good)))?;
        return Ok(Ended::Replaced);
    };
    dialogue.say(&format!("{name}: {}: {}\n", paint.text("not ready", Tone::Bad), escaped(why)))?;
    Ok(Ended::Halted)
}

/// The answer to a request, which is repeated until there is one.
///
/// # Errors
/// The answer is an error, or there is none until this time.
pub(super) async fn answered<T>(
    until: Instant,
    request: impl AsyncFn() -> Result<T, CliError>,
) -> Result<T, CliError> {
    loop {
        match request().await {
            Err(error) if error.is_no_answer() && Instant::now() < until => sleep(POLL).await,
            answer => return answer,
        }
    }
}
