//! `learn --workload`: a profile of what a workload of the cluster is seen to do, rollout by rollout.
//!
//! The workload runs under a profile that refuses what its present one refuses, and logs the rest. What the observers
//! report of it is permitted in the next round, until nothing new appears. In the end the workload has its former profile
//! again, or the result.
//!
//! - `args`: the options; `error`: why a workload does not learn.
//! - `template`: the profiles in a pod template; `base`: the profile from which it begins; `contents`: the profile that logs,
//!   and the result.
//! - `session`: when a round and the whole end; `cluster`: which containers learn, and what is read of the cluster;
//!   `sightings`: what was seen; `view`: how it is shown. These decide, and are pure.
//! - `plan` reads what is there, and `replaced` is what the result takes the place of; `steps` changes it with `requests`,
//!   `undo` puts it back, `waits` for answers and rollouts, and `stop` ends waits; here is the order.

mod args;
mod base;
mod cluster;
mod contents;
pub mod error;
mod plan;
mod replaced;
mod requests;
mod session;
mod sightings;
mod steps;
mod stop;
mod template;
mod undo;
mod view;
mod waits;

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::Client;
use syscalls::Syscall;
use tokio::time::Instant;

pub use args::{WorkloadArgs, WorkloadName};
use error::WorkloadError;

use super::LearnArgs;
use crate::error::CliError;
use crate::show::{Paint, Tone, count, escaped};
use plan::{Names, Plan};
use session::{Limits, Next, Session};
use sightings::Sightings;
use steps::Steps;
use stop::Stop;
use view::ResultView;
use waits::is_stopped;

/// The other side of the command: a terminal, or a test.
pub trait Console {
    /// Prints the profile, apart from what is said: it may be the contents of a file.
    ///
    /// # Errors
    /// It cannot be written.
    fn profile(&mut self, text: &str) -> Result<(), CliError>;

    /// Says something to a person.
    ///
    /// # Errors
    /// It cannot be written.
    fn say(&mut self, text: &str) -> Result<(), CliError>;

    /// Shows how far it is, in one line that takes the place of the one before.
    ///
    /// # Errors
    /// It cannot be written.
    fn progress(&mut self, line: &str) -> Result<(), CliError>;

    /// Asks a question to be answered with yes or no; `None` if nobody can answer.
    ///
    /// # Errors
    /// The answer cannot be read.
    fn ask(&mut self, question: &str) -> impl Future<Output = Result<Option<bool>, CliError>>;
}

/// Between two looks at the observations, each of which an observer writes at most every 30 s.
const LOOK: Duration = Duration::from_secs(10);

/// How the watching ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Quiet,
    Restless,
    Stopped,
    Failed,
}

/// Runs the command; `stopped` ends when the user wants it to. Returns whether the workload has the result.
///
/// # Errors
/// The workload cannot learn, or the cluster cannot be read or changed. The workload then has its former profile again,
/// unless the error says otherwise.
pub async fn learn_from_workload(
    client: &Client,
    args: &LearnArgs,
    paint: Paint,
    console: &mut impl Console,
    stopped: impl AsyncFn(),
) -> Result<bool, CliError> {
    let of_workload = &args.workload;
    let (Some(name), Some(workload)) = (&of_workload.profile, &of_workload.workload) else {
        // The options require each other.
        return Err(WorkloadError::NoContainers.into());
    };
    let (kind, timeout) = (workload.kind, of_workload.timeout);
    if of_workload.undo {
        let names = Names::of(client, of_workload, name, workload)?;
        undo::undo(client, &names, name, (kind, timeout), console, Stop::when(stopped())).await?;
        return Ok(true);
    }
    let limits =
        Limits { quiet: of_workload.quiet, settle: of_workload.settle, at_most: of_workload.at_most };
    if let Some(why) = limits.obstacle() {
        return Err(WorkloadError::Times(why).into());
    }
    let plan = Plan::read(client, of_workload, (name, workload), (&args.runtimes, args.architecture)).await?;
    let cluster = plan.cluster(client).await?;
    plan.check_observers(&cluster)?;
    console.say(&begins(&plan))?;
    let mut steps = Steps { client, plan: &plan, timeout, stop: Stop::when(stopped()) };
    if !of_workload.yes {
        let question = format!("Let {} learn?", escaped(&plan.title));
        match steps.stop.during(console.ask(&question)).await?? {
            Some(true) => {}
            Some(false) => return Err(WorkloadError::NotConfirmed.into()),
            None => return Err(WorkloadError::NobodyToAsk.into()),
        }
    }
    if let Some(path) = &args.evidence {
        // Before anything is changed: what was learned for hours must not fail at this.
        let opened = std::fs::OpenOptions::new().create(true).append(true).open(path);
        opened.map_err(|error| CliError::Write { path: path.clone(), error })?;
    }
    let session = Session::new(limits, plan.known()).continued_after(template::round_of(&plan.found));
    let mut learning = Learning { session, sightings: Sightings::since(&cluster) };
    let ended = learning.rounds(&mut steps, limits, console).await;
    let (ended, failed) = match ended {
        // What somebody else has changed is theirs.
        Err(error) if is_changed(&error) => return Err(error),
        Ok(ended) => (ended, None),
        Err(error) if is_stopped(&error) => (Ended::Stopped, None),
        Err(error) => (Ended::Failed, Some(error)),
    };
    let concluded = learning.conclude(&mut steps, args, ended, paint, console).await;
    let applied = failed.map_or(concluded, Err);
    match applied {
        Ok(true) => steps.finish(console, Stop::when(stopped())).await.map(|()| true),
        Err(error) if is_changed(&error) => Err(error),
        applied => {
            let restored = steps.restore(console, Stop::when(stopped())).await;
            match (applied, restored) {
                (Err(error), restored) if !is_stopped(&error) => {
                    if let Err(other) = restored {
                        let _ = console.say(&format!("{}: {}\n", escaped(&plan.title), other.first_line()));
                    }
                    Err(error)
                }
                (_, restored) => restored.map(|()| false),
            }
        }
    }
}

fn is_changed(error: &CliError) -> bool {
    matches!(error, CliError::LearnWorkload(error) if matches!(**error, WorkloadError::Changed))
}

/// What is going to happen.
fn begins(plan: &Plan) -> String {
    let (title, learning, name) = (escaped(&plan.title), &plan.learning, &plan.name);
    let refused = match plan.base.permits_everything {
        true => "Nothing is refused while it learns: every call is logged, and learned.".to_owned(),
        false => {
            let base = escaped(&plan.base.words);
            format!("Refused stays what is refused by {base}; the rest is logged, and learned.")
        }
    };
    let continued = if plan.is_continued {
        "An earlier run was not ended, or goes on elsewhere: it is continued.\n"
    } else {
        ""
    };
    let earlier = match plan.earlier.len() {
        0 => String::new(),
        number => format!("{number} calls are permitted already, as earlier runs have learned.\n"),
    };
    format!(
        "{title} will run under the SeccompProfile {learning}, and is rolled out anew in each round.\n\
         {refused}\n\
         In the end it has its present profile again, or {name} if you say yes.\n{continued}{earlier}"
    )
}

/// What was learned so far.
struct Learning {
    session: Session,
    sightings: Sightings,
}

impl Learning {
    /// Round by round, until nothing new appears.
    async fn rounds(
        &mut self,
        steps: &mut Steps<'_>,
        limits: Limits,
        console: &mut impl Console,
    ) -> Result<Ended, CliError> {
        let begun = Instant::now();
        let mut after = None;
        loop {
            let round = self.session.begin_round();
            console.progress(&format!("round {round}: rolling out"))?;
            steps.begin_round(round, after.replace(round), &self.session.calls()).await?;
            self.session.rolled_out(begun.elapsed());
            let known = count(self.session.calls().len(), "call");
            console.say(&format!("round {round}: it runs under {}; {known} known\n", steps.plan.learning))?;
            loop {
                steps.stop.pause(LOOK).await?;
                let looked = steps.look(round).await;
                let now = begun.elapsed();
                let next = match looked {
                    Ok(cluster) => {
                        let sighting = self.sightings.take(now, &steps.plan.learners, &cluster);
                        let next = self.session.saw(now, sighting);
                        console.progress(&view::progress(&self.session, limits, now))?;
                        next
                    }
                    Err(error) if error.is_no_answer() => {
                        console.progress(&format!("round {round}: no answer: {}", error.first_line()))?;
                        self.session.missed(now)
                    }
                    Err(error) => return Err(error),
                };
                match next {
                    Next::Watch => {}
                    Next::Round => break,
                    Next::Quiet => return Ok(Ended::Quiet),
                    Next::Restless => return Ok(Ended::Restless),
                }
            }
        }
    }

    /// Shows the result, and applies it if the user says so. Returns whether it was applied.
    async fn conclude(
        &mut self,
        steps: &mut Steps<'_>,
        args: &LearnArgs,
        ended: Ended,
        paint: Paint,
        console: &mut impl Console,
    ) -> Result<bool, CliError> {
        let plan = steps.plan;
        let nothing_seen = self.sightings.calls().is_empty();
        if nothing_seen && plan.earlier.is_empty() {
            return match ended {
                Ended::Quiet | Ended::Restless => Err(WorkloadError::NothingSeen.into()),
                Ended::Stopped => console.say("it was stopped: nothing was seen yet\n").map(|()| false),
                Ended::Failed => Ok(false),
            };
        }
        let calls = self.session.calls();
        let profile = plan.learned(&calls)?;
        let shown = ResultView {
            name: plan.name.as_str(),
            profile: &profile,
            sightings: &self.sightings,
            rounds: self.session.rounds(),
            unseen: self.unseen(plan),
        };
        console.profile(&shown.manifest())?;
        console.say(&shown.render(paint, Timestamp::now()))?;
        if let Some(path) = &args.evidence {
            let written = std::fs::write(path, shown.evidence());
            written.map_err(|error| CliError::Write { path: path.clone(), error })?;
        }
        let has_unknown = self.sightings.has_unknown();
        let why = match ended {
            Ended::Quiet if nothing_seen => {
                "nothing was seen in this run: only what earlier runs have learned is permitted"
            }
            Ended::Quiet if has_unknown => {
                "calls of unknown containers were made on its nodes meanwhile: if they were its own, calls are missing"
            }
            Ended::Quiet => "",
            Ended::Restless => "it never got quiet: calls are missing, or may be",
            Ended::Stopped => "it was stopped: calls may be missing",
            Ended::Failed => "it has failed: calls may be missing",
        };
        if !why.is_empty() {
            console.say(&format!("{}\n", paint.text(why, Tone::Bad)))?;
        }
        let question = format!("Apply {}, and let {} run under it?", plan.name, escaped(&plan.title));
        let yes = match ended {
            Ended::Stopped | Ended::Failed => return Ok(false),
            // The yes of the command line was to a workload that is seen, and gets quiet.
            Ended::Quiet if args.workload.yes && !nothing_seen && !has_unknown => true,
            Ended::Quiet | Ended::Restless => match steps.stop.during(console.ask(&question)).await?? {
                Some(yes) => yes,
                None => {
                    console.say("not applied: nobody said yes\n")?;
                    false
                }
            },
        };
        if yes {
            steps.apply(&profile, self.session.round()).await?;
            console.progress(&format!(
                "{} runs under {}: it must stay ready",
                escaped(&plan.title),
                plan.name
            ))?;
            steps.stays_ready(args.workload.settle).await?;
        }
        Ok(yes)
    }

    /// How many calls are permitted that were not seen in this run.
    fn unseen(&self, plan: &Plan) -> Vec<(usize, &'static str)> {
        let seen: BTreeSet<_> =
            self.sightings.calls().iter().filter_map(|it| Syscall::from_name(&it.call)).collect();
        let earlier: BTreeSet<_> = plan.known().difference(&seen).copied().collect();
        let by_runtime = plan.by_runtime.iter().filter(|it| !seen.contains(it) && !earlier.contains(it));
        vec![
            (earlier.len(), "as earlier runs have learned"),
            (by_runtime.count(), "because runtimes make them before the program begins"),
        ]
    }
}
