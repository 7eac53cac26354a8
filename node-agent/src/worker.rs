//! The thread that owns the [`Keeper`].
//!
//! A flush can take seconds on a busy disk, so that the watches, the probes and the reports run on another thread.
//! Commands come through a bounded channel. All that wait are taken in before one pass over the directory, so that many
//! changes cost one write of the ledger. A pass that would follow a change immediately waits for [`GATHER`], because
//! in a rollout the profiles arrive one after the other, and each of them would otherwise have a pass of its own. A
//! change that comes alone does not wait, and neither does whoever requests the report.

use std::io;
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use api::{ProfileName, Report};
use daemon::Pulse;
use tokio::sync::{mpsc, oneshot, watch};

use crate::disk::{Displaced, Faults};
use crate::goal::{Goal, Placement};
use crate::journal::Journal;
use crate::keeper::{DirectoryLost, Keeper};

/// Commands that wait at most; a profile on its way to the disk takes some KB.
const QUEUE: usize = 64;

/// The least time between the end of a pass that changed something and the start of the next one.
const GATHER: Duration = Duration::from_millis(100);

/// When the next pass may begin.
#[derive(Debug)]
pub(crate) struct PassPacing {
    /// The least time between the end of a pass that changed something and the start of the next one.
    pub(crate) gather: Duration,
    pub(crate) earliest: Option<Instant>,
}

impl PassPacing {
    /// How long a pass waits for which the first command has come at `now`.
    pub(crate) fn pause(&self, now: Instant) -> Duration {
        self.earliest.map_or(Duration::ZERO, |earliest| earliest.saturating_duration_since(now))
    }

    /// A pass that changed something has ended at `now`.
    pub(crate) fn passed(&mut self, now: Instant) {
        self.earliest = Some(now + self.gather);
    }
}

/// The stack is small because every page of it that was ever touched stays in memory.
const STACK: usize = 256 * 1024;

/// What the thread has to do.
#[derive(Debug)]
pub enum Command {
    /// What should be under a name.
    Goal {
        /// The name.
        name: ProfileName,
        /// What should be there.
        goal: Goal,
        /// When the change came that is the reason.
        at: Instant,
    },
    /// Whether the node holds the file of a profile.
    Placement {
        /// The profile.
        name: ProfileName,
        /// Whether it does.
        placement: Placement,
        /// When this became known.
        at: Instant,
    },
    /// No file can have the name of a profile.
    Misnamed {
        /// The name.
        name: Box<str>,
        /// What is wrong with it; `None` once the profile is gone.
        message: Option<Box<str>>,
    },
    /// There has been a complete list of the profiles.
    ListComplete,
    /// Something happened to files of these names.
    FilesChanged(Vec<String>),
    /// Something happened to the directory itself.
    DirectoryChanged,
    /// Read every byte of every file.
    CheckAll,
    /// Try again what has failed.
    Retry,
    /// Build the report.
    Report(oneshot::Sender<Report>),
}

/// How many times the report has changed since the start; 0 until the first complete list is on the disk.
pub type Revision = u64;

/// The thread, from outside.
#[derive(Debug)]
pub struct Worker {
    /// Takes commands. The thread ends when all senders are gone.
    pub commands: mpsc::Sender<Command>,
    /// Changes with the report.
    pub revision: watch::Receiver<Revision>,
    /// Resolves when the thread has ended: to an error if the directory is lost.
    pub ended: oneshot::Receiver<Result<(), Box<DirectoryLost>>>,
    thread: Thread,
}

impl Worker {
    /// Requests reports.
    #[must_use]
    pub fn reports(&self) -> ReportRequests {
        ReportRequests { commands: self.commands.clone(), thread: self.thread.clone() }
    }
}

/// Requests the report of the thread, which does not let it wait for the time of the next pass.
#[derive(Debug, Clone)]
pub struct ReportRequests {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) thread: Thread,
}

impl ReportRequests {
    /// The report, once every earlier command is carried out; `None` if the thread has ended.
    pub async fn report(&self) -> Option<Report> {
        let (reply, report) = oneshot::channel();
        self.commands.send(Command::Report(reply)).await.ok()?;
        self.thread.unpark();
        report.await.ok()
    }
}

/// Starts the thread. It records in `journal` what happens; `pulse` shows whether it hangs.
///
/// # Errors
/// There can be no more threads.
pub fn start<F: Faults>(keeper: Keeper<F>, journal: Journal, pulse: Pulse) -> io::Result<Worker> {
    start_with(keeper, journal, pulse, PassPacing { gather: GATHER, earliest: None })
}

/// Starts the thread with another pacing.
pub(crate) fn start_with<F: Faults>(
    keeper: Keeper<F>,
    journal: Journal,
    pulse: Pulse,
    pacing: PassPacing,
) -> io::Result<Worker> {
    let (commands, queue) = mpsc::channel(QUEUE);
    let (revisions, revision) = watch::channel(0);
    let (end, ended) = oneshot::channel();
    let thread = thread::Builder::new().name("disk".to_owned()).stack_size(STACK).spawn(move || {
        // The receiver is gone if the program is ending for another reason.
        let _ = end.send(run(keeper, &journal, queue, &revisions, &pulse, pacing));
    })?;
    Ok(Worker { commands, revision, ended, thread: thread.thread().clone() })
}

fn run<F: Faults>(
    mut keeper: Keeper<F>,
    journal: &Journal,
    mut queue: mpsc::Receiver<Command>,
    revisions: &watch::Sender<Revision>,
    pulse: &Pulse,
    mut pacing: PassPacing,
) -> Result<(), Box<DirectoryLost>> {
    let mut replies = Vec::new();
    journal.record(&keeper.take_events());
    while let Some(first) = queue.blocking_recv() {
        if !matches!(first, Command::Report(_)) {
            // Who requests the report ends it.
            thread::park_timeout(pacing.pause(Instant::now()));
        }
        pulse.begins();
        let mut next = Some(first);
        while let Some(command) = next {
            match command {
                Command::Goal { name, goal, at } => keeper.set_goal(name, goal, at),
                Command::Placement { name, placement, at } => keeper.set_placement(name, placement, at),
                Command::Misnamed { name, message } => keeper.set_misnamed(name, message),
                Command::ListComplete => keeper.list_complete(),
                Command::FilesChanged(files) => files.iter().for_each(|file| keeper.file_changed(file)),
                Command::DirectoryChanged => {
                    keeper.directory_changed().map_err(|why| lost(&mut keeper, journal, why))?;
                }
                Command::CheckAll => keeper.check_all(),
                Command::Retry => keeper.retry().map_err(|why| lost(&mut keeper, journal, why))?,
                Command::Report(reply) => replies.push(reply),
            }
            next = queue.try_recv().ok();
        }
        let pass = keeper.sync();
        journal.record(&pass.events);
        if pass.failed {
            // Of all failures, only the loss of the directory does not pass by itself.
            keeper.directory().check_identity().map_err(|why| lost(&mut keeper, journal, why))?;
        }
        if pass.changed {
            pacing.passed(Instant::now());
        }
        if pass.changed && keeper.is_complete() {
            revisions.send_modify(|revision| *revision += 1);
        }
        for reply in replies.drain(..) {
            // The receiver is gone if the reporter was cancelled.
            let _ = reply.send(keeper.report());
        }
        pulse.ends();
    }
    Ok(())
}

/// The last report when the directory is lost; what happened before is recorded.
fn lost<F: Faults>(keeper: &mut Keeper<F>, journal: &Journal, why: Displaced) -> Box<DirectoryLost> {
    journal.record(&keeper.take_events());
    keeper.directory_lost(why)
}
